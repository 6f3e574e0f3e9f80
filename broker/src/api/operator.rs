//! Who may see what concerns all channels.

use std::future::{Ready, ready};

use actix_web::http::header::{HOST, HeaderMap};
use actix_web::{FromRequest, HttpRequest, dev};
use widecast_protocol::Code;

use crate::auth::is_loopback_authority;
use crate::http::Problem;

/// Headers that a reverse proxy adds for the client behind it.
const FORWARDING: [&str; 4] = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];

/// The sender of a request is on this machine. As long as there is no authentication, that is who operates the broker.
///
/// Three things have to hold: the connection comes from loopback; no reverse proxy passed it on, whose clients all seem
/// to be on this machine; and the broker was called by a name of loopback, because a foreign page can point its own name
/// to 127.0.0.1 and read what its browser gets (DNS rebinding).
pub struct Operator;

impl Operator {
    fn check(request: &HttpRequest) -> Result<Self, Problem> {
        let near = request
            .peer_addr()
            .is_some_and(|peer| peer.ip().to_canonical().is_loopback());
        let headers = request.headers();
        let direct = !FORWARDING.iter().any(|name| headers.contains_key(*name));
        if near && direct && called_by_loopback_name(headers) {
            return Ok(Self);
        }
        let detail = "only clients on the broker's own machine, without a proxy, may ask this";
        Err(Problem::new(Code::Forbidden, detail))
    }
}

fn called_by_loopback_name(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    host.is_some_and(is_loopback_authority)
}

impl FromRequest for Operator {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut dev::Payload) -> Self::Future {
        ready(Self::check(request))
    }
}
