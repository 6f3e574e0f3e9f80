//! Finds out who sends a request: by the credential in it, and by what that proves.

use std::borrow::Cow;

use actix_web::http::header::{
    AUTHORIZATION, COOKIE, HeaderMap, HeaderName, ORIGIN, SEC_WEBSOCKET_PROTOCOL,
};
use actix_web::{HttpRequest, web};
use serde::Deserialize;
use widecast_protocol::Code;

use super::client_share::client_address;
use super::edge::{VerifiedPage, verified_page};
use super::header::{FETCH_DEST, FETCH_MODE, FETCH_SITE};
use super::problem::Problem;
use super::query::{Query, has_parameter};
use crate::auth::{Admission, Principal, Shown, Subject};
use crate::config::{Config, ShownHeader};
use crate::session::{Services, ShownHeaders, audit};

/// How the name of a subprotocol begins that carries a token: a browser's WebSocket can set no other header.
pub const TOKEN_PROTOCOL: &str = "widecast.token.";

#[derive(Deserialize)]
struct TokenParameter {
    token: Option<String>,
}

/// Finds out who sends a request, before the authorisation hook has been asked. A credential that proves nothing is refused,
/// also where none would be needed, because its owner believes to have proved something.
///
/// # Errors
/// `unauthorized`, with what is wrong with the credential; `authorization_unavailable` while it cannot be checked.
pub async fn proven(request: &HttpRequest) -> Result<Principal, Problem> {
    let services = request
        .app_data::<web::Data<Services>>()
        .ok_or_else(|| Problem::new(Code::Internal, "the services are missing"))?;
    let page = verified_page(request);
    let address = client_address(request);
    let cookie = services.config.auth.cookie.name();
    let credential = match credential(request)? {
        None => cookie.and_then(|name| cookie_value(request, &page, name).map(Cow::Borrowed)),
        found => found,
    };
    let subject = match credential {
        None => services.auth.without_credential(),
        Some(credential) => {
            let proven = services.auth.prove(Shown {
                credential: &credential,
                address,
                last: request.conn_data(),
            });
            proven.await.map_err(|error| {
                let nobody = Principal::new(Subject::Anonymous, page.origin.clone()).at(address);
                audit(services, &nobody, "authenticate", None, Err(error.code()));
                Problem::new(error.code(), error.to_string())
            })?
        }
    };
    Ok(Principal::new(subject, page.origin).at(address))
}

/// The headers of a request that the authorisation hook is shown.
pub fn shown_headers(request: &HttpRequest, config: &Config) -> ShownHeaders {
    let headers = request.headers();
    let shown = config.hook.headers.iter().map(ShownHeader::name);
    let shown = shown.filter(|name| *name != "cookie" || cookies_count(request));
    let values = shown.filter_map(|name| {
        let value = headers.get(name)?.to_str().ok()?;
        Some((name.to_owned(), value.to_owned()))
    });
    values.collect()
}

fn cookies_count(request: &HttpRequest) -> bool {
    is_trusted(request, &verified_page(request))
}

/// The credential that somebody has put into a request: the header `Authorization`, else `?token=`, else a subprotocol.
fn credential(request: &HttpRequest) -> Result<Option<Cow<'_, str>>, Problem> {
    let headers = request.headers();
    if let Some(header) = headers.get(AUTHORIZATION) {
        let bearer = bearer(header.as_bytes()).ok_or_else(|| {
            let detail = "the header Authorization is not of the form Bearer TOKEN";
            Problem::new(Code::Unauthorized, detail)
        })?;
        return Ok(Some(bearer.into()));
    }
    if has_parameter(request.query_string(), "token")
        && let Some(token) = Query::<TokenParameter>::of(request)?.0.token
    {
        return Ok(Some(token.into()));
    }
    Ok(protocol_token(headers).map(Cow::Borrowed))
}

/// The credential of `Bearer …`; the word is in any case ([RFC 9110, section 11.1](https://www.rfc-editor.org/rfc/rfc9110#section-11.1)).
fn bearer(header: &[u8]) -> Option<&str> {
    const SCHEME: &[u8] = b"bearer ";
    let (scheme, credential) = header.trim_ascii().split_at_checked(SCHEME.len())?;
    let is_bearer = scheme.eq_ignore_ascii_case(SCHEME);
    // Not `to_str` of the header, which takes a step for each byte of a long token.
    let credential = str::from_utf8(credential.trim_ascii_start()).ok()?;
    is_bearer.then_some(credential)
}

/// The token among the subprotocols that a WebSocket offers.
fn protocol_token(headers: &HeaderMap) -> Option<&str> {
    let offered = headers.get_all(SEC_WEBSOCKET_PROTOCOL);
    let offered = offered.filter_map(|header| header.to_str().ok());
    let mut names = offered.flat_map(|header| header.split(',')).map(str::trim);
    names.find_map(|name| name.strip_prefix(TOKEN_PROTOCOL))
}

/// Whether cookies count. A browser sends them with whatever any page loads: only a page counts that is trusted, and what it has
/// asked for itself, which neither images nor scripts are. Any page can make a frame of the origin `null`, whoever has listed it.
fn is_trusted(request: &HttpRequest, page: &VerifiedPage) -> bool {
    let headers = request.headers();
    let is =
        |name: &HeaderName, value: &str| headers.get(name).is_some_and(|header| header == value);
    let is_own = !headers.contains_key(ORIGIN)
        && is(&FETCH_SITE, "same-origin")
        && !is(&FETCH_MODE, "no-cors");
    let is_loaded = ["image", "script"].iter().any(|it| is(&FETCH_DEST, it));
    let is_listed = page.admission == Some(Admission::Trusted) && !is(&ORIGIN, "null");
    (is_listed || is_own) && !is_loaded && !is_for_loading(request)
}

/// Whether a request is one that is made for images and scripts: an image ping or JSONP. It has no cookie, whatever its headers say of
/// it, since not every browser says the truth or anything there.
fn is_for_loading(request: &HttpRequest) -> bool {
    // The path as it was routed, in which no letter is encoded.
    let is_ping = request.match_info().as_str().ends_with("/publish.gif");
    is_ping || has_parameter(request.query_string(), "callback")
}

/// The token in the cookie of this name, if cookies count.
fn cookie_value<'a>(request: &'a HttpRequest, page: &VerifiedPage, name: &str) -> Option<&'a str> {
    if !is_trusted(request, page) {
        return None;
    }
    let cookies = request
        .headers()
        .get_all(COOKIE)
        .filter_map(|header| header.to_str().ok());
    let mut pairs = cookies.flat_map(|header| header.split(';'));
    pairs.find_map(|pair| {
        let (key, value) = pair.trim().split_once('=')?;
        (key == name && !value.is_empty()).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn found(request: TestRequest) -> String {
        match credential(&request.to_http_request()) {
            Ok(found) => found.map_or_else(|| "none".to_owned(), Cow::into_owned),
            Err(problem) => problem.detail().to_owned(),
        }
    }

    #[test]
    fn a_credential_comes_in_a_header_the_url_or_a_subprotocol_in_this_order() {
        let get = TestRequest::get;
        let header = |value: &'static str| get().insert_header((AUTHORIZATION, value));
        assert_eq!(found(get()), "none");
        assert_eq!(found(header("Bearer a.b.c")), "a.b.c");
        assert_eq!(found(header("bearer  a.b.c")), "a.b.c");
        assert_eq!(found(header("Bearer a.b.c").uri("/?token=d")), "a.b.c");
        assert_eq!(found(get().uri("/?x=1&token=a.b.c")), "a.b.c");
        assert_eq!(found(get().uri("/?%74oken=a.b.c")), "a.b.c");
        let offers = (SEC_WEBSOCKET_PROTOCOL, "chat, widecast.token.a.b.c");
        assert_eq!(found(get().insert_header(offers)), "a.b.c");
        for other in ["Basic dTpw", "Bearer", ""] {
            assert!(found(header(other)).contains("Bearer TOKEN"), "{other}");
        }
    }

    #[test]
    fn a_cookie_counts_only_in_what_a_trusted_page_asks_for_itself() {
        let at = |path: &str, headers: &[(&'static str, &'static str)], admission| {
            let mut request = TestRequest::get().insert_header(("cookie", "a=1; t=a.b.c"));
            request = request.uri(path);
            for header in headers {
                request = request.insert_header(*header);
            }
            let page = VerifiedPage {
                origin: widecast_protocol::Origin::unknown(),
                admission,
            };
            cookie_value(&request.to_http_request(), &page, "t").map(str::to_owned)
        };
        let value = |headers: &[_], admission| at("/v1/poll", headers, admission);
        let origin = ("origin", "https://a.example");
        let yes = Some("a.b.c".to_owned());
        assert_eq!(value(&[origin], Some(Admission::Trusted)), yes);
        assert_eq!(value(&[origin], Some(Admission::Anybody)), None);
        let opaque = ("origin", "null");
        assert_eq!(value(&[opaque], Some(Admission::Trusted)), None);
        let own = ("sec-fetch-site", "same-origin");
        assert_eq!(value(&[own, ("sec-fetch-mode", "cors")], None), yes);
        assert_eq!(value(&[own, ("sec-fetch-mode", "no-cors")], None), None);
        assert_eq!(value(&[("sec-fetch-site", "cross-site")], None), None);
        assert_eq!(value(&[], None), None);
        for destination in ["image", "script"] {
            let loaded = [
                origin,
                ("sec-fetch-mode", "cors"),
                ("sec-fetch-dest", destination),
            ];
            assert_eq!(value(&loaded, Some(Admission::Trusted)), None);
        }
        // What only images and scripts ask for, whatever they say of themselves.
        for path in [
            "/channels/a/publish.gif?data=x",
            "/channels/a/poll?callback=f",
            "/v1/poll?session=new&%63allback=f",
        ] {
            assert_eq!(at(path, &[origin], Some(Admission::Trusted)), None);
            assert_eq!(at(path, &[own], None), None, "{path}");
        }
    }
}
