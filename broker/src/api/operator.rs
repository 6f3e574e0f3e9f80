//! Finds out whether a request comes from the operator, who may see figures of all channels and put clients out.

use actix_web::http::header::{HOST, HeaderMap};
use actix_web::{FromRequest, HttpRequest, dev, web};
use futures_util::future::LocalBoxFuture;
use widecast_protocol::Code;

use crate::auth::{Principal, Subject, is_loopback_authority};
use crate::http::{Problem, proven};
use crate::session::{Services, audit};

/// Headers that a reverse proxy adds for the client behind it.
const FORWARDING: [&str; 4] = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];

/// The sender of a request operates the broker: it has an API key for that. Where no authentication is configured, it is whoever is on the
/// same machine.
///
/// For the latter three things have to hold: the connection comes from loopback; no reverse proxy passed it on, whose clients all seem
/// to be on this machine; and the broker was called by a name of loopback, because a foreign page can point its own name
/// to 127.0.0.1 and read what its browser gets (DNS rebinding). A proxy may say nothing of itself and call the broker by such a name, so that this
/// is no proof where the broker knows better ones.
pub struct Operator;

impl Operator {
    /// Makes sure that the sender of a request is the operator.
    ///
    /// # Errors
    /// `unauthorized` for somebody without credentials, `forbidden` for others.
    pub(super) async fn check(request: &HttpRequest) -> Result<Self, Problem> {
        let principal = proven(request).await?;
        Self::judge(request, &principal).inspect_err(|problem| {
            let services = request.app_data::<web::Data<Services>>();
            if let Some(services) = services {
                // The path, and not the query, which may have a token.
                let path = request.path();
                audit(
                    services,
                    &principal,
                    "operate",
                    Some(&path),
                    Err(problem.code()),
                );
            }
        })
    }

    fn judge(request: &HttpRequest, principal: &Principal) -> Result<Self, Problem> {
        let (code, detail) = match principal.subject() {
            Subject::Anybody if is_on_this_machine(request) => return Ok(Self),
            Subject::Anybody => (
                Code::Forbidden,
                "only clients on the broker's own machine, without a proxy, may ask this",
            ),
            _ if principal.is_operator() => return Ok(Self),
            Subject::Anonymous => (
                Code::Unauthorized,
                "this needs an API key with operator = true",
            ),
            Subject::User(_) | Subject::Named(_) | Subject::ApiKey(_) => (
                Code::Forbidden,
                "this needs an API key with operator = true",
            ),
        };
        Err(Problem::new(code, detail))
    }
}

fn is_on_this_machine(request: &HttpRequest) -> bool {
    let peer = request.peer_addr();
    let near = peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback());
    let headers = request.headers();
    let direct = !FORWARDING.iter().any(|name| headers.contains_key(*name));
    near && direct && called_by_loopback_name(headers)
}

fn called_by_loopback_name(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    host.is_some_and(is_loopback_authority)
}

impl FromRequest for Operator {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut dev::Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move { Self::check(&request).await })
    }
}
