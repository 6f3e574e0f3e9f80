//! HTML forms as messages: one object with the fields, files with their name and type.

use actix_multipart::{Field, Multipart, MultipartError};
use actix_web::http::header::{ContentDisposition, HeaderMap};
use actix_web::web::Query;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use percent_encoding::percent_decode;
use widecast_protocol::value::form::{FormField, FormValue};
use widecast_protocol::{Code, Payload};

use crate::http::Problem;

/// More fields than any form has: each costs far more memory than the two bytes it takes to send it.
const MAX_FIELDS: usize = 1000;

/// The value of an `application/x-www-form-urlencoded` body. JSON is taken as JSON and a text as a string, because that is
/// what `curl -d` sends with this type.
///
/// # Errors
/// When it is not UTF-8, has too many fields, or is neither JSON nor a form.
pub(super) fn url_encoded(body: &Bytes) -> Result<Payload, Problem> {
    if let Some(first @ (b'{' | b'[' | b'"')) = body.trim_ascii_start().first() {
        match Payload::from_json(body.clone()) {
            Ok(payload) => return Ok(payload),
            // A text may begin with a quote.
            Err(_) if *first == b'"' => {}
            // A form has its quotes encoded, and a `=`: this is JSON with a mistake in it. If it were published as a form
            // with one strange field, the mistake would be found late.
            Err(error) if body.contains(&b'"') || !body.contains(&b'=') => return Err(error.into()),
            Err(_) => {}
        }
    }
    let text = percent_decode(body).decode_utf8();
    let text = text.map_err(|error| not_utf8("the decoded form", error))?;
    if !body.is_empty() && !body.contains(&b'=') {
        // Every field of a form has a `=`: nothing but text is left, perhaps encoded (`curl --data-urlencode`).
        return Ok(Payload::text(text));
    }
    check_count(body.split(|&byte| byte == b'&').count())?;
    let body = String::from_utf8_lossy(body);
    let pairs = Query::<Vec<(String, String)>>::from_query(&body)
        .map_err(|error| Problem::new(Code::InvalidRequest, error.to_string()))?;
    of_pairs(pairs.into_inner())
}

/// The value of a form that has these fields.
///
/// # Errors
/// When there are too many of them.
pub(super) fn of_pairs(pairs: Vec<(String, String)>) -> Result<Payload, Problem> {
    check_count(pairs.len())?;
    let fields: Vec<_> = pairs.into_iter().map(text_field).collect();
    Ok(Payload::form(&fields))
}

fn text_field((name, value): (String, String)) -> FormField {
    let value = FormValue::Text(value);
    FormField { name, value }
}

/// The value of a `multipart/form-data` body.
///
/// # Errors
/// When the parts cannot be told apart, a part has no name, a text is not UTF-8, or there are too many parts.
pub(super) async fn multipart(headers: &HeaderMap, body: Bytes) -> Result<Payload, Problem> {
    let body = stream::once(async { Ok(body) });
    let mut parts = Multipart::new(headers, body);
    let mut fields = Vec::new();
    while let Some(part) = parts.next().await {
        let part = part.map_err(|error| malformed(&error))?;
        fields.push(read_part(part).await?);
        check_count(fields.len())?;
    }
    Ok(Payload::form(&fields))
}

async fn read_part(mut part: Field) -> Result<FormField, Problem> {
    let name = part.name().unwrap_or_default().to_owned();
    let file = part.content_disposition().and_then(file_name);
    let content_type = part.content_type().map(ToString::to_string);
    // The body is bounded already, and so is any part of it.
    let bytes = part.bytes(usize::MAX).await;
    let bytes = bytes.map_err(|_| Problem::new(Code::MessageTooLarge, "a part is too large"))?;
    let bytes = bytes.map_err(|error| malformed(&error))?;
    let value = match file {
        Some(name) => FormValue::File {
            name,
            content_type: content_type.unwrap_or_default(),
            bytes,
        },
        None => FormValue::Text(text(&name, &bytes)?),
    };
    Ok(FormField { name, value })
}

/// The name of the file, if the part is one; [RFC 8187](https://www.rfc-editor.org/rfc/rfc8187)'s form first.
fn file_name(disposition: &ContentDisposition) -> Option<String> {
    let extended = disposition.get_filename_ext();
    let extended = extended.and_then(|name| String::from_utf8(name.value.clone()).ok());
    extended.or_else(|| disposition.get_filename().map(ToOwned::to_owned))
}

fn text(name: &str, bytes: &[u8]) -> Result<String, Problem> {
    let text = std::str::from_utf8(bytes);
    let text = text.map_err(|error| not_utf8(&format!("the field {name:?}"), error))?;
    Ok(text.to_owned())
}

fn check_count(fields: usize) -> Result<(), Problem> {
    if fields <= MAX_FIELDS {
        return Ok(());
    }
    let detail = format!("the form has at least {fields} fields, the limit is {MAX_FIELDS}");
    Err(Problem::new(Code::MessageTooLarge, detail))
}

fn not_utf8(what: &str, error: std::str::Utf8Error) -> Problem {
    let at = error.valid_up_to();
    Problem::new(Code::BadUtf8, format!("{what} is not UTF-8 at byte {at}"))
}

fn malformed(error: &MultipartError) -> Problem {
    // The body is in memory: what cannot be taken from it did not fit into the parser's 64 KiB.
    let detail = match error {
        MultipartError::Payload(_) => "the head of a part is too long".to_owned(),
        error => error.to_string(),
    };
    Problem::new(
        Code::InvalidRequest,
        format!("not multipart/form-data: {detail}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::TestBroker;

    const PATH: &str = "/channels/a/messages";
    const MULTIPART: &str = "multipart/form-data; boundary=xx";

    fn form(body: impl Into<Bytes>) -> String {
        match url_encoded(&body.into()) {
            Ok(payload) => String::from_utf8_lossy(&payload.to_json()).into_owned(),
            Err(problem) => problem.to_string(),
        }
    }

    #[test]
    fn a_form_is_an_object_and_a_repeated_field_an_array() {
        insta::assert_snapshot!(form("a=1&b=%C3%A9+x&a=2&c&=d"), @r#"{"a":["1","2"],"b":"é x","c":"","":"d"}"#);
        insta::assert_snapshot!(form(""), @"{}");
        insta::assert_snapshot!(form("[0]=x"), @r#"{"[0]":"x"}"#);
    }

    #[test]
    fn json_that_curl_calls_a_form_is_json() {
        insta::assert_snapshot!(form("{\"a\":[1]}"), @r#"{"a":[1]}"#);
        insta::assert_snapshot!(form(" [1,2]\n"), @"[1,2]");
        insta::assert_snapshot!(form("\"a=b\""), @r#""a=b""#);
        insta::assert_snapshot!(form("{\"a\":1,}"), @"bad_json: not JSON: expected a field name in quotes at byte 7");
        insta::assert_snapshot!(form("[".repeat(200_000)), @"bad_json: values are nested more than 128 deep");
    }

    #[test]
    fn text_that_curl_calls_a_form_is_a_string() {
        insta::assert_snapshot!(form("hello"), @r#""hello""#);
        insta::assert_snapshot!(form("1 + 1 & 100%"), @r#""1 + 1 & 100%""#);
        insta::assert_snapshot!(form("gr%C3%BC%C3%9Fe%20%3D"), @r#""grüße =""#);
        insta::assert_snapshot!(form("42"), @r#""42""#);
        insta::assert_snapshot!(form("\"so\", he said"), @r#""\"so\", he said""#);
        insta::assert_snapshot!(form("a="), @r#"{"a":""}"#);
        insta::assert_snapshot!(form("%ff"), @"bad_utf8: the decoded form is not UTF-8 at byte 0");
    }

    #[test]
    fn a_body_that_is_no_form_is_refused() {
        insta::assert_snapshot!(form("a=%ff"), @"bad_utf8: the decoded form is not UTF-8 at byte 2");
        insta::assert_snapshot!(form(&b"a=\xff"[..]), @"bad_utf8: the decoded form is not UTF-8 at byte 2");
        insta::assert_snapshot!(form("=&".repeat(1000)), @"message_too_large: the form has at least 1001 fields, the limit is 1000");
    }

    fn part(head: &str, body: &str) -> String {
        format!("--xx\r\nContent-Disposition: form-data; {head}\r\n\r\n{body}\r\n")
    }

    #[actix_web::test]
    async fn a_file_keeps_its_name_and_type() {
        let broker = TestBroker::new();
        let body = [
            part("name=\"title\"", "Ein Pünktchen"),
            part(
                "name=\"image\"; filename=\"ä.png\"\r\nContent-Type: image/png",
                "\u{1}png\r\n--x",
            ),
            part("name=\"image\"; filename*=UTF-8''%C3%B6.txt", ""),
            "--xx--\r\n".to_owned(),
        ];
        let answer = broker.post(PATH, MULTIPART, body.concat()).await;
        assert!(answer.starts_with("200 "), "{answer}");
        insta::assert_snapshot!(broker.get(PATH).await, @r#"200 {"messages":[{"cursor":"EPOCH-1","channel":"a","offset":1,"origin":"","timestamp":1700000000000,"data":{"title":"Ein Pünktchen","image":[{"$type":"File","value":{"name":"ä.png","type":"image/png","last_modified":null,"bytes":{"$type":"binary","value":"AXBuZw0KLS14"}}},{"$type":"File","value":{"name":"ö.txt","type":"","last_modified":null,"bytes":{"$type":"binary","value":""}}}]}}],"cursor":"EPOCH-1","recovered":true}"#);
    }

    #[actix_web::test]
    async fn a_large_part_is_read_whole() {
        let broker = TestBroker::new();
        let large = "x".repeat(300_000);
        let body = part("name=\"f\"; filename=\"f\"", &large) + "--xx--\r\n";
        let answer = broker.post(PATH, MULTIPART, body).await;
        assert!(answer.starts_with("200 "), "{answer}");
    }

    #[actix_web::test]
    async fn a_body_that_is_no_multipart_form_is_refused() {
        let broker = TestBroker::new();
        insta::assert_snapshot!(broker.post(PATH, "multipart/form-data", "x").await, @r#"400 {"type":"about:blank","title":"The request is not as the broker expects it.","status":400,"detail":"not multipart/form-data: Multipart boundary is not found","code":"invalid_request","retryable":false}"#);
        insta::assert_snapshot!(broker.post(PATH, MULTIPART, "x").await, @r#"400 {"type":"about:blank","title":"The request is not as the broker expects it.","status":400,"detail":"not multipart/form-data: Multipart stream is incomplete","code":"invalid_request","retryable":false}"#);
        insta::assert_snapshot!(broker.post(PATH, MULTIPART, part("name=\"a\"", "cut")).await, @r#"400 {"type":"about:blank","title":"The request is not as the broker expects it.","status":400,"detail":"not multipart/form-data: Multipart stream is incomplete","code":"invalid_request","retryable":false}"#);
        insta::assert_snapshot!(broker.post(PATH, MULTIPART, part("x=1", "b") + "--xx--\r\n").await, @r#"400 {"type":"about:blank","title":"The request is not as the broker expects it.","status":400,"detail":"not multipart/form-data: Content-Disposition 'name' parameter was not found when parsing a \"form-data\" field","code":"invalid_request","retryable":false}"#);
        let bytes = [
            part("name=\"a\"", "?").replace('?', "\u{80}").as_bytes(),
            b"--xx--\r\n",
        ]
        .concat();
        let bytes: Vec<_> = bytes.into_iter().filter(|&byte| byte != 0xc2).collect();
        insta::assert_snapshot!(broker.post(PATH, MULTIPART, bytes).await, @r#"400 {"type":"about:blank","title":"Text is not UTF-8.","status":400,"detail":"the field \"a\" is not UTF-8 at byte 0","code":"bad_utf8","retryable":false}"#);
        let endless = part(&format!("name=\"{}\"", "a".repeat(100_000)), "b");
        insta::assert_snapshot!(broker.post(PATH, MULTIPART, endless).await, @r#"400 {"type":"about:blank","title":"The request is not as the broker expects it.","status":400,"detail":"not multipart/form-data: the head of a part is too long","code":"invalid_request","retryable":false}"#);
        let many = part("name=\"a\"", "b").repeat(1001) + "--xx--\r\n";
        insta::assert_snapshot!(broker.post(PATH, MULTIPART, many).await, @r#"413 {"type":"about:blank","title":"The message, body or frame is larger than the limit.","status":413,"detail":"the form has at least 1001 fields, the limit is 1000","code":"message_too_large","retryable":false}"#);
    }
}
