//! Finds out the kind of a body by its `Content-Type`.

use actix_web::HttpMessage;
use actix_web::http::header::CONTENT_TYPE;
use widecast_protocol::Code;

use super::problem::Problem;

/// The kinds of bodies that are told apart; everything else is binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaType {
    /// `application/json` and what else is [JSON](https://mimesniff.spec.whatwg.org/#json-mime-type).
    Json,
    /// `application/msgpack` and its older names.
    MessagePack,
    /// `application/x-ndjson`: JSON, one value a line.
    Ndjson,
    /// `text/plain`.
    Text,
    /// `application/x-www-form-urlencoded`.
    Form,
    /// `multipart/form-data`.
    Multipart,
    /// Anything else, and a body without a type, as
    /// [RFC 9110, section 8.3](https://www.rfc-editor.org/rfc/rfc9110#section-8.3) suggests.
    Binary,
}

impl MediaType {
    /// The kind of a request's body.
    ///
    /// # Errors
    /// `unsupported_media_type` when the body is text that is not UTF-8.
    pub fn of(request: &impl HttpMessage) -> Result<Self, Problem> {
        let kind = Self::named(&request.content_type().to_ascii_lowercase());
        if kind == Self::Binary {
            return Ok(kind);
        }
        let header = request.headers().get(CONTENT_TYPE);
        let header = header.and_then(|header| header.to_str().ok());
        match header.and_then(charset) {
            Some(charset) if !is_utf8(charset) => {
                let detail = format!("the charset is {charset}: send UTF-8");
                Err(Problem::new(Code::UnsupportedMediaType, detail))
            }
            _ => Ok(kind),
        }
    }

    fn named(essence: &str) -> Self {
        match essence {
            "application/json" | "text/json" => Self::Json,
            "application/msgpack" | "application/x-msgpack" | "application/vnd.msgpack" => {
                Self::MessagePack
            }
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Self::Ndjson,
            "text/plain" => Self::Text,
            "application/x-www-form-urlencoded" => Self::Form,
            "multipart/form-data" => Self::Multipart,
            // RFC 6839, section 3.1: whatever else it is, it is JSON.
            other if other.ends_with("+json") => Self::Json,
            _ => Self::Binary,
        }
    }
}

/// The value of the parameter `charset`, if it has one. Read less strictly than the grammar of media types, which has no room
/// for what many libraries write, such as a `;` at the end.
fn charset(content_type: &str) -> Option<&str> {
    let parameters = content_type.split(';').skip(1);
    let mut parameters = parameters.filter_map(|parameter| parameter.split_once('='));
    let (_, value) = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))?;
    let value = value.trim().trim_matches(['"', '\'']);
    (!value.is_empty()).then_some(value)
}

/// Whether text in this charset is UTF-8 as it stands.
fn is_utf8(charset: &str) -> bool {
    ["utf-8", "utf8", "us-ascii", "ascii"]
        .iter()
        .any(|name| charset.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn kind(content_type: &str) -> Result<MediaType, String> {
        let request = TestRequest::default().insert_header(("content-type", content_type));
        MediaType::of(&request.to_request()).map_err(|problem| problem.to_string())
    }

    #[test]
    fn the_content_type_says_what_a_body_is() {
        assert_eq!(kind("application/json; charset=UTF-8"), Ok(MediaType::Json));
        assert_eq!(kind("Application/JSON"), Ok(MediaType::Json));
        assert_eq!(kind("application/problem+json"), Ok(MediaType::Json));
        assert_eq!(kind("text/json"), Ok(MediaType::Json));
        let vendors = "application/vnd.example.v1+json; v=1; charset=utf8";
        assert_eq!(kind(vendors), Ok(MediaType::Json));
        assert_eq!(kind("application/x-msgpack"), Ok(MediaType::MessagePack));
        assert_eq!(kind("text/plain;charset=utf-8"), Ok(MediaType::Text));
        assert_eq!(
            kind("multipart/form-data; boundary=x"),
            Ok(MediaType::Multipart)
        );
        assert_eq!(kind("image/png"), Ok(MediaType::Binary));
        assert_eq!(kind("text/html; charset=latin1"), Ok(MediaType::Binary));
        assert_eq!(kind("nonsense"), Ok(MediaType::Binary));
        let none = TestRequest::default().to_request();
        assert_eq!(MediaType::of(&none), Ok(MediaType::Binary));
    }

    #[test]
    fn utf8_has_several_names() {
        for charset in [
            "; charset=utf8",
            ";charset=UTF8",
            "; Charset=\"utf-8\"",
            "; charset='utf-8'",
            "; charset = utf-8",
            "; format=flowed; charset=Utf-8;",
            "; charset=US-ASCII",
            "; charset=ascii",
            "; charset=",
            "; charset",
            ";",
        ] {
            let content_type = format!("text/plain{charset}");
            assert_eq!(kind(&content_type), Ok(MediaType::Text), "{content_type}");
        }
    }

    #[test]
    fn text_in_another_charset_is_refused() {
        insta::assert_snapshot!(kind("text/plain; charset=iso-8859-1").unwrap_err(), @"unsupported_media_type: the charset is iso-8859-1: send UTF-8");
        insta::assert_snapshot!(kind("application/json; charset=utf-16").unwrap_err(), @"unsupported_media_type: the charset is utf-16: send UTF-8");
    }
}
