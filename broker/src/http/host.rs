//! By which name the broker was called.

use std::net::Ipv6Addr;

use actix_web::HttpRequest;
use actix_web::http::header::HOST;
use actix_web::http::uri::Authority;
use widecast_protocol::Code;

use super::problem::Problem;

/// `host[:port]` as the client wrote it: the authority of a target in absolute form, whatever the header says
/// ([RFC 9112, section 3.2.2](https://www.rfc-editor.org/rfc/rfc9112#section-3.2.2)), else the header `Host`.
pub fn host(request: &HttpRequest) -> Option<&str> {
    let authority = request.uri().authority().map(Authority::as_str);
    authority.or_else(|| {
        let header = request.headers().get(HOST);
        header.and_then(|host| host.to_str().ok())
    })
}

/// Makes sure that the broker was called by something that can be a name
/// ([RFC 9112, section 3.2](https://www.rfc-editor.org/rfc/rfc9112#section-3.2)). HTTP/1.0 needs none.
///
/// # Errors
/// `invalid_request` when it was not.
pub(super) fn check_host(request: &HttpRequest) -> Result<(), Problem> {
    let header = request.headers().get(HOST);
    let header = header.map(|host| host.to_str().unwrap_or_default());
    let authority = request.uri().authority().map(Authority::as_str);
    let mut given = header.iter().chain(&authority);
    if given.all(|text| is_authority(text)) {
        return Ok(());
    }
    let detail = "expected a Host such as broker.example or broker.example:8080";
    Err(Problem::new(Code::InvalidRequest, detail))
}

/// Whether the text is `host[:port]` ([RFC 3986, section 3.2](https://www.rfc-editor.org/rfc/rfc3986#section-3.2)), without
/// anybody's name before it.
fn is_authority(text: &str) -> bool {
    if let Some(rest) = text.strip_prefix('[') {
        return rest.split_once(']').is_some_and(|(address, port)| {
            let port = port.strip_prefix(':');
            let has_end = port.is_some() || rest.ends_with(']');
            address.parse::<Ipv6Addr>().is_ok() && has_end && port.is_none_or(is_port)
        });
    }
    let (name, port) = match text.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (text, None),
    };
    let of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&byte);
    !name.is_empty() && name.bytes().all(of_name) && port.is_none_or(is_port)
}

/// The empty one is allowed, and means the default.
fn is_port(text: &str) -> bool {
    text.is_empty()
        || (text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn only_a_host_with_or_without_a_port_is_one() {
        for good in [
            "broker",
            "an_upstream",
            "broker.example:8080",
            "127.0.0.1:",
            "[::1]",
            "[::1]:65535",
            "xn--exmple-cua.com",
        ] {
            assert!(is_authority(good), "{good}");
        }
        for bad in [
            "",
            ":80",
            "a b",
            "localhost:abc",
            "localhost:65536",
            "localhost:+1",
            "localhost/x",
            "user@localhost",
            "a:1:2",
            "[::1",
            "[::1]x",
            "[::1]80",
            "[x]",
            "::1",
            "a\\b",
            "a,b/",
            "ex\u{e4}mple",
        ] {
            assert!(!is_authority(bad), "{bad}");
        }
    }

    #[test]
    fn the_target_says_it_before_the_header() {
        let called = |target: &str, header: &'static str| {
            let request = TestRequest::get().uri(target);
            let request = request.insert_header(("host", header)).to_http_request();
            host(&request).map(str::to_owned)
        };
        assert_eq!(called("/x", "a").as_deref(), Some("a"));
        assert_eq!(called("http://b:1/x", "a").as_deref(), Some("b:1"));
    }
}
