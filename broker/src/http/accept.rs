//! Which form of an answer a client would rather have.

use actix_web::HttpMessage;
use actix_web::http::header::{Accept, Header, Quality};

/// Whether the client names one of the media types in `Accept`, and does not like the other form better
/// ([RFC 9110, section 12.5.1](https://www.rfc-editor.org/rfc/rfc9110#section-12.5.1)): a form of which it says nothing, or that it takes
/// as anything else, is not meant.
pub fn prefers(request: &impl HttpMessage, media_types: &[&str], other: &str) -> bool {
    let Ok(accept) = Accept::parse(request) else {
        return false;
    };
    let ranges = accept.iter();
    let ranges: Vec<_> = ranges
        .map(|range| (range.item.essence_str(), range.quality))
        .collect();
    let named = media_types.iter().map(|name| quality_of(&ranges, name));
    let named = named.max().flatten();
    named
        .is_some_and(|quality| quality > Quality::ZERO && quality >= quality_of_any(&ranges, other))
}

/// The quality of a media type that is named as it is.
fn quality_of(ranges: &[(&str, Quality)], name: &str) -> Option<Quality> {
    let named = ranges
        .iter()
        .filter(|(range, _)| range.eq_ignore_ascii_case(name));
    named.map(|(_, quality)| *quality).max()
}

/// The quality of a media type by the range that says most of it.
fn quality_of_any(ranges: &[(&str, Quality)], name: &str) -> Quality {
    let kind = name.split_once('/').map_or(name, |(kind, _)| kind);
    let kind = quality_of(ranges, &format!("{kind}/*"));
    let named = quality_of(ranges, name).or(kind);
    named
        .or_else(|| quality_of(ranges, "*/*"))
        .unwrap_or(Quality::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn packed(fields: &[&'static str]) -> bool {
        let mut request = TestRequest::get();
        for field in fields {
            request = request.append_header(("accept", *field));
        }
        let names = ["application/msgpack", "application/x-msgpack"];
        prefers(&request.to_request(), &names, "application/json")
    }

    #[test]
    fn a_form_is_chosen_by_what_the_client_likes_best() {
        for yes in [
            "application/msgpack",
            "Application/MsgPack",
            "application/x-msgpack; q=0.1",
            "application/msgpack, application/json",
            "application/json;q=0.9, application/msgpack",
            "application/json;q=0, application/msgpack;q=0.1",
            "text/html, application/msgpack;q=0.5, */*;q=0.1",
            "application/msgpack, */*",
            "application/msgpack;q=0.5, application/*;q=0.4, */*",
            "nonsense, application/msgpack",
        ] {
            assert!(packed(&[yes]), "{yes}");
        }
        for no in [
            "",
            "*/*",
            "application/*",
            "application/json",
            "application/msgpack;q=0",
            "application/msgpack;q=0, */*",
            "application/json, application/msgpack;q=0.5",
            "application/msgpack;q=0.5, */*",
            "application/msgpackish",
            "text/plain; x=\"application/msgpack\"",
        ] {
            assert!(!packed(&[no]), "{no}");
        }
        assert!(!packed(&[]));
        assert!(packed(&["text/html", "application/msgpack"]));
    }
}
