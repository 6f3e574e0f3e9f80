//! `POST /channels/{channel}/messages`: publishes the body.

use actix_web::http::header::{HeaderMap, HeaderName};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use widecast_protocol::command::Publish;
use widecast_protocol::{Code, IdempotencyKey};

use super::answer;
use super::content;
use super::receipt::Receipt;
use crate::config::Right;
use crate::http::{Caller, ChannelPath, Problem, Query, query};
use crate::session;

/// The header that makes a repetition harmless.
static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

#[derive(Debug, Deserialize)]
pub(super) struct PublishParameters {
    event: Option<String>,
    message_id: Option<String>,
}

pub(super) async fn publish(
    request: HttpRequest,
    caller: Caller,
    channel: ChannelPath,
    parameters: Query<PublishParameters>,
    body: web::Payload,
) -> Result<HttpResponse, Problem> {
    let config = &caller.services.config;
    let read = async {
        // A request whose head is reason enough is refused before its body is asked for.
        caller.require(&channel.0, Right::Publish)?;
        Ok(Publish {
            channel: channel.0.clone(),
            event: query::event(parameters.0.event.as_deref())?,
            idempotency_key: idempotency_key(request.headers())?,
            message_id: query::message_id(parameters.0.message_id.as_deref())?,
            payload: content::read(&request, body, config).await?,
        })
    };
    let message = read.await.inspect_err(|problem: &Problem| {
        caller.note_refused(Some(&channel.0), problem.code());
    })?;
    let published = session::publish(&caller.services, &caller.publisher, message).await?;
    answer::json(&Receipt::new(&channel.0, &published))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Problem> {
    let Some(header) = headers.get(&IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    // A text that is not ASCII is no key, and the empty text is none either.
    let text = header.to_str().unwrap_or_default();
    IdempotencyKey::parse(text)
        .map(Some)
        .map_err(|error| Problem::new(Code::BadIdempotencyKey, error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use actix_web::test::TestRequest;
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use crate::api::testing::{TestBroker, header, shown};
    use crate::config::{ByteCount, Switch};

    const PATH: &str = "/channels/news/messages";

    #[actix_web::test]
    async fn the_answer_says_where_the_message_is() {
        let broker = TestBroker::new();
        insta::assert_snapshot!(broker.post(PATH, "application/json", "{\"hello\":1}").await, @r#"200 {"channel":"news","offset":1,"epoch":"EPOCH","subscribers":2,"duplicate":false}"#);
        insta::assert_snapshot!(broker.post("/channels/a%2Fb/messages?event=x", "text/plain", "hi").await, @r#"200 {"channel":"a/b","offset":1,"epoch":"EPOCH","subscribers":2,"duplicate":false}"#);
        insta::assert_snapshot!(broker.get("/channels/a%2Fb/messages").await, @r#"200 {"messages":[{"cursor":"EPOCH-1","channel":"a/b","offset":1,"event":"x","origin":"","timestamp":1700000000000,"data":"hi"}],"cursor":"EPOCH-1","recovered":true}"#);
    }

    #[actix_web::test]
    async fn the_content_type_decides_what_the_body_is() {
        let broker = TestBroker::new();
        for (content_type, body) in [
            ("application/json", &b" [1, 2]\n"[..]),
            ("application/json", b"\"text\""),
            ("application/problem+json", b"1"),
            ("application/msgpack", b"\x92\x01\xc4\x01\xff"),
            ("text/plain;charset=UTF-8", b"{}"),
            ("image/png", b"\x89PNG"),
        ] {
            let answer = broker.post(PATH, content_type, body).await;
            assert!(answer.starts_with("200 "), "{content_type}: {answer}");
        }
        let untyped = TestRequest::post().uri(PATH).set_payload("plain");
        assert_eq!(broker.call(untyped).await.status(), 200);
        insta::assert_snapshot!(broker.get(PATH).await.replace("},{", "},\n{"), @r##"
    200 {"messages":[{"cursor":"EPOCH-1","channel":"news","offset":1,"origin":"","timestamp":1700000000000,"data":[1, 2]},
    {"cursor":"EPOCH-2","channel":"news","offset":2,"origin":"","timestamp":1700000000000,"data":"text"},
    {"cursor":"EPOCH-3","channel":"news","offset":3,"origin":"","timestamp":1700000000000,"data":1},
    {"cursor":"EPOCH-4","channel":"news","offset":4,"origin":"","timestamp":1700000000000,"data":[1,{"$type":"binary","value":"/w=="}]},
    {"cursor":"EPOCH-5","channel":"news","offset":5,"origin":"","timestamp":1700000000000,"data":"{}"},
    {"cursor":"EPOCH-6","channel":"news","offset":6,"origin":"","timestamp":1700000000000,"data":{"$type":"binary","value":"iVBORw=="}},
    {"cursor":"EPOCH-7","channel":"news","offset":7,"origin":"","timestamp":1700000000000,"data":{"$type":"binary","value":"cGxhaW4="}}],"cursor":"EPOCH-7","recovered":true}
"##);
    }

    #[actix_web::test]
    async fn a_body_that_is_not_what_its_type_says_is_refused() {
        let broker = TestBroker::new();
        let json = "application/json";
        insta::assert_snapshot!(broker.post(PATH, json, "{\"a\":}").await, @r#"400 {"type":"about:blank","title":"The body or frame is not JSON.","status":400,"detail":"not JSON: expected a value at byte 5","code":"bad_json","retryable":false}"#);
        insta::assert_snapshot!(broker.post(PATH, json, "").await, @r#"400 {"type":"about:blank","title":"The body or frame is not JSON.","status":400,"detail":"not JSON: expected a value at byte 0","code":"bad_json","retryable":false}"#);
        insta::assert_snapshot!(broker.post(PATH, json, "[".repeat(200_000)).await, @r#"400 {"type":"about:blank","title":"The body or frame is not JSON.","status":400,"detail":"values are nested more than 128 deep","code":"bad_json","retryable":false}"#);
        insta::assert_snapshot!(broker.post(PATH, json, &b"\"\xff\""[..]).await, @r#"400 {"type":"about:blank","title":"Text is not UTF-8.","status":400,"detail":"text is not UTF-8 at byte 1","code":"bad_utf8","retryable":false}"#);
        let msgpack = "application/msgpack";
        insta::assert_snapshot!(broker.post(PATH, msgpack, &b"\xdf\xff\xff\xff\xff"[..]).await, @r#"400 {"type":"about:blank","title":"The body or frame is not MessagePack.","status":400,"detail":"not MessagePack: expected as many entries as the map's header says at byte 5","code":"bad_msgpack","retryable":false}"#);
        insta::assert_snapshot!(broker.post(PATH, msgpack, vec![0x91; 200_000]).await, @r#"400 {"type":"about:blank","title":"The body or frame is not MessagePack.","status":400,"detail":"values are nested more than 128 deep","code":"bad_msgpack","retryable":false}"#);
        insta::assert_snapshot!(broker.post(PATH, "text/plain", &b"a\xff"[..]).await, @r#"400 {"type":"about:blank","title":"Text is not UTF-8.","status":400,"detail":"text is not UTF-8 at byte 1","code":"bad_utf8","retryable":false}"#);
        insta::assert_snapshot!(broker.post(PATH, "text/plain; charset=latin1", "a").await, @r#"415 {"type":"about:blank","title":"The body's content type or encoding is not one that the broker reads.","status":415,"detail":"the charset is latin1: send UTF-8","code":"unsupported_media_type","retryable":false}"#);
        let counted = "widecast_messages_refused_total{code=\"bad_msgpack\"} 2\n";
        assert!(broker.metrics().await.contains(counted));
        insta::assert_snapshot!(broker.post(PATH, "application/x-ndjson", "{}").await, @r#"415 {"type":"about:blank","title":"The body's content type or encoding is not one that the broker reads.","status":415,"detail":"application/x-ndjson is for POST /v1/publish: one message has one value","code":"unsupported_media_type","retryable":false}"#);
    }

    #[actix_web::test]
    async fn bad_names_and_keys_are_refused() {
        let broker = TestBroker::new();
        let text = "text/plain";
        insta::assert_snapshot!(broker.post("/channels//messages", text, "").await, @r#"400 {"type":"about:blank","title":"The name of the channel is empty, too long, `.` or `..`, or has control characters.","status":400,"detail":"channel name is empty","code":"bad_channel_name","retryable":false}"#);
        insta::assert_snapshot!(broker.post("/channels/%ff/messages", text, "").await, @r#"400 {"type":"about:blank","title":"Text is not UTF-8.","status":400,"detail":"the channel name in the path is not UTF-8 at byte 0","code":"bad_utf8","retryable":false}"#);
        insta::assert_snapshot!(broker.post("/channels/%0a/messages", text, "").await, @r#"400 {"type":"about:blank","title":"The name of the channel is empty, too long, `.` or `..`, or has control characters.","status":400,"detail":"channel name has the forbidden character U+000A at byte 0","code":"bad_channel_name","retryable":false}"#);
        let long = format!("/channels/{}/messages", "x".repeat(256));
        insta::assert_snapshot!(broker.post(&long, text, "").await, @r#"400 {"type":"about:blank","title":"The name of the channel is empty, too long, `.` or `..`, or has control characters.","status":400,"detail":"channel name has 256 bytes, the limit is 255","code":"bad_channel_name","retryable":false}"#);
        insta::assert_snapshot!(broker.post("/channels/a/messages?event=a%0Ab", text, "").await, @r#"400 {"type":"about:blank","title":"The name of the event is empty, too long, or has a line break or NUL.","status":400,"detail":"event name has the forbidden character U+000A at byte 1","code":"bad_event_name","retryable":false}"#);
        insta::assert_snapshot!(broker.post("/channels/a/messages?event=", text, "").await, @r#"400 {"type":"about:blank","title":"The name of the event is empty, too long, or has a line break or NUL.","status":400,"detail":"event name is empty","code":"bad_event_name","retryable":false}"#);
        insta::assert_snapshot!(broker.post("/channels/a/messages?event=%ff", text, "").await, @r#"400 {"type":"about:blank","title":"Text is not UTF-8.","status":400,"detail":"the decoded query is not UTF-8 at byte 6","code":"bad_utf8","retryable":false}"#);
        insta::assert_snapshot!(broker.post("/channels/a/messages?sender=short", text, "").await, @r#"400 {"type":"about:blank","title":"The sender key is not 16 to 64 visible ASCII characters.","status":400,"detail":"sender key has 5 characters, at least 16 are needed","code":"bad_sender_key","retryable":false}"#);
        let header = |name: &'static str, value: &'static str| {
            TestRequest::post().uri(PATH).insert_header((name, value))
        };
        let key = broker.call(header("idempotency-key", "a b")).await;
        insta::assert_snapshot!(shown(key).await, @r#"400 {"type":"about:blank","title":"The idempotency key is not 1 to 255 visible ASCII characters.","status":400,"detail":"idempotency key has the forbidden character U+0020 at byte 1","code":"bad_idempotency_key","retryable":false}"#);
        let sender = broker
            .call(header("widecast-sender", "grüße-an-alle-die-da-sind"))
            .await;
        insta::assert_snapshot!(shown(sender).await, @r#"400 {"type":"about:blank","title":"The sender key is not 16 to 64 visible ASCII characters.","status":400,"detail":"sender key is empty","code":"bad_sender_key","retryable":false}"#);
    }

    #[actix_web::test]
    async fn an_error_names_the_limit_and_the_value() {
        let broker = TestBroker::with(|config| config.limits.message_bytes = ByteCount::new(10));
        assert!(
            broker
                .post(PATH, "text/plain", "0123456789")
                .await
                .starts_with("200 ")
        );
        insta::assert_snapshot!(broker.post(PATH, "text/plain", "0123456789a").await, @r#"413 {"type":"about:blank","title":"The message, body or frame is larger than the limit.","status":413,"detail":"the body has 11 bytes, limits.message_bytes allows 10","code":"message_too_large","retryable":false}"#);
        let announced = TestRequest::post()
            .uri(PATH)
            .insert_header(("content-length", "5000000000"));
        insta::assert_snapshot!(shown(broker.call(announced).await).await, @r#"413 {"type":"about:blank","title":"The message, body or frame is larger than the limit.","status":413,"detail":"the body has 5000000000 bytes, limits.message_bytes allows 10","code":"message_too_large","retryable":false}"#);
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    async fn post_encoded(broker: &TestBroker, encoding: &str, body: Vec<u8>) -> String {
        let request = TestRequest::post()
            .uri(PATH)
            .insert_header(("content-type", "text/plain"))
            .insert_header(("content-encoding", encoding));
        shown(broker.call(request.set_payload(body)).await).await
    }

    #[actix_web::test]
    async fn a_compressed_body_is_inflated_up_to_the_limit() {
        let broker = TestBroker::with(|config| config.limits.message_bytes = ByteCount::new(1000));
        let text = "a".repeat(1000);
        let answer = post_encoded(&broker, "gzip", gzip(text.as_bytes())).await;
        assert!(answer.starts_with("200 "), "{answer}");
        assert!(broker.get(PATH).await.contains(&text));
        let bomb = gzip(&vec![0; 500_000]);
        insta::assert_snapshot!(post_encoded(&broker, "GZIP", bomb).await, @r#"413 {"type":"about:blank","title":"The message, body or frame is larger than the limit.","status":413,"detail":"the body has inflated more than 1000 bytes, limits.message_bytes allows 1000","code":"message_too_large","retryable":false}"#);
        insta::assert_snapshot!(post_encoded(&broker, "gzip", b"plain text of some length".to_vec()).await, @r#"400 {"type":"about:blank","title":"The request is not as the broker expects it.","status":400,"detail":"Content-Encoding is gzip, but the body is not gzip, or corrupt","code":"invalid_request","retryable":false}"#);
        let text = || b"text".to_vec();
        for plain in ["", "identity", "Identity", ",", "identity, ,identity"] {
            let answer = post_encoded(&broker, plain, text()).await;
            assert!(answer.starts_with("200 "), "{plain:?}: {answer}");
        }
        let answer = post_encoded(&broker, "identity, gzip,", gzip(b"text")).await;
        assert!(answer.starts_with("200 "), "{answer}");
        for other in ["gzip, gzip", "gzip, br", "br, gzip", "deflate", "gzipped"] {
            let answer = post_encoded(&broker, other, gzip(b"text")).await;
            assert!(answer.starts_with("415 "), "{other:?}: {answer}");
        }
        let two = TestRequest::post()
            .uri(PATH)
            .append_header(("content-encoding", "gzip"));
        let two = two
            .append_header(("content-encoding", "br"))
            .set_payload(gzip(b"text"));
        let refused = broker.call(two).await;
        assert_eq!(header(&refused, "accept-encoding"), "gzip");
        assert_eq!(refused.status(), 415);
        insta::assert_snapshot!(post_encoded(&broker, "br", Vec::new()).await, @r#"415 {"type":"about:blank","title":"The body's content type or encoding is not one that the broker reads.","status":415,"detail":"Content-Encoding is br: send the body as gzip or as it is","code":"unsupported_media_type","retryable":false}"#);
    }

    /// The MessagePack of a value that is compressed itself.
    fn compressed(value: &[u8]) -> Vec<u8> {
        let gzip = gzip(value);
        let length = u8::try_from(gzip.len()).unwrap();
        [&[0xc7, length + 2, 31, 0xc4, length], &*gzip].concat()
    }

    #[actix_web::test]
    async fn a_compressed_message_is_checked_and_shown_as_its_value() {
        let broker = TestBroker::with(|config| config.limits.message_bytes = ByteCount::new(200));
        let msgpack = "application/msgpack";
        let answer = broker.post(PATH, msgpack, compressed(b"\x91\xa2hi")).await;
        assert!(answer.starts_with("200 "), "{answer}");
        insta::assert_snapshot!(broker.get(PATH).await, @r#"200 {"messages":[{"cursor":"EPOCH-1","channel":"news","offset":1,"origin":"","timestamp":1700000000000,"data":["hi"]}],"cursor":"EPOCH-1","recovered":true}"#);
        let bomb = compressed(&[0; 10_000]);
        insta::assert_snapshot!(broker.post(PATH, msgpack, bomb.clone()).await, @r#"413 {"type":"about:blank","title":"The message, body or frame is larger than the limit.","status":413,"detail":"the compressed message has more than 200 bytes inflated, all that limits.message_bytes allows","code":"message_too_large","retryable":false}"#);
        insta::assert_snapshot!(broker.post(PATH, msgpack, compressed(b"\xc1")).await, @r#"400 {"type":"about:blank","title":"The body or frame is not MessagePack.","status":400,"detail":"the inflated message: not MessagePack: expected a value, not the reserved byte 0xC1 at byte 0","code":"bad_msgpack","retryable":false}"#);
        let batch = [b"\x81\xa8messages\x91\x82\xa7channel\xa1a\xa4data", &*bomb].concat();
        let answer = broker.post("/v1/publish", msgpack, batch).await;
        assert!(answer.contains("message_too_large"), "{answer}");
        assert!(!answer.contains("offset"), "{answer}");
    }

    #[actix_web::test]
    async fn a_message_that_becomes_far_larger_in_another_form_is_refused() {
        let broker = TestBroker::with(|config| config.limits.message_bytes = ByteCount::new(200));
        let msgpack = "application/msgpack";
        // An extension of two bytes in one of four, in an array: 18 times as large as JSON.
        let part = b"\xd6\x1d\xd5\x1d\xc4\0";
        let array = |count: u8| [&[0xdc, 0, count], &*part.repeat(count.into())].concat();
        insta::assert_snapshot!(broker.post(PATH, msgpack, array(32)).await, @r#"413 {"type":"about:blank","title":"The message, body or frame is larger than the limit.","status":413,"detail":"the message has 3393 bytes in its largest form, and 3200 are allowed: 16 times limits.message_bytes, but at most 64 MiB and an eighth of limits.memory_bytes","code":"message_too_large","retryable":false}"#);
        insta::assert_snapshot!(broker.post(PATH, msgpack, compressed(&array(32))).await, @r#"413 {"type":"about:blank","title":"The message, body or frame is larger than the limit.","status":413,"detail":"the message has 3393 bytes in its largest form, and 3200 are allowed: 16 times limits.message_bytes, but at most 64 MiB and an eighth of limits.memory_bytes","code":"message_too_large","retryable":false}"#);
        let answer = broker.post(PATH, msgpack, array(29)).await;
        assert!(answer.starts_with("200 "), "{answer}");
    }

    #[actix_web::test]
    async fn a_namespace_may_forbid_to_publish() {
        let broker = TestBroker::with(|config| config.namespaces.default.publish = Switch::Off);
        insta::assert_snapshot!(broker.post(PATH, "text/plain", "x").await, @r#"403 {"type":"about:blank","title":"The credentials do not allow this, or the namespace does not.","status":403,"detail":"the namespace of news does not allow publish","code":"forbidden","retryable":false}"#);
        assert!(
            broker
                .metrics()
                .await
                .contains("messages_refused_total{code=\"forbidden\"} 1")
        );
    }

    #[actix_web::test]
    async fn an_idempotency_key_makes_a_repetition_harmless() {
        let broker = TestBroker::new();
        let publish = || {
            let request = TestRequest::post()
                .uri(PATH)
                .insert_header(("idempotency-key", "k-1"));
            broker.call(request.set_payload("once"))
        };
        let first = shown(publish().await).await;
        let second = shown(publish().await).await;
        assert!(
            first.contains("\"offset\":1") && first.contains("\"duplicate\":false"),
            "{first}"
        );
        assert!(
            second.contains("\"offset\":1") && second.contains("\"duplicate\":true"),
            "{second}"
        );
    }

    #[actix_web::test]
    async fn a_message_id_is_shown_and_makes_a_repetition_harmless() {
        let broker = TestBroker::new();
        let path = format!("{PATH}?message_id=m-1");
        broker.post(&path, "text/plain", "once").await;
        insta::assert_snapshot!(broker.post(&path, "text/plain", "once").await, @r#"200 {"channel":"news","offset":1,"epoch":"EPOCH","subscribers":0,"duplicate":true}"#);
        insta::assert_snapshot!(broker.get(PATH).await, @r#"200 {"messages":[{"cursor":"EPOCH-1","channel":"news","offset":1,"message_id":"m-1","origin":"","timestamp":1700000000000,"data":"once"}],"cursor":"EPOCH-1","recovered":true}"#);
        insta::assert_snapshot!(broker.post(&format!("{PATH}?message_id=a%20b"), "text/plain", "").await, @r#"400 {"type":"about:blank","title":"The command is unknown, or lacks a field.","status":400,"detail":"message id has the forbidden character U+0020 at byte 1","code":"bad_command","retryable":false}"#);
    }

    #[actix_web::test]
    async fn the_origin_is_what_the_broker_has_verified() {
        let broker = TestBroker::new();
        let request = TestRequest::post()
            .uri(PATH)
            .insert_header(("origin", "http://localhost:3000"));
        assert_eq!(broker.call(request.set_payload("x")).await.status(), 200);
        let page = broker.get(PATH).await;
        assert!(
            page.contains("\"origin\":\"http://localhost:3000\""),
            "{page}"
        );
    }

    #[actix_web::test]
    async fn another_method_hears_which_are_possible() {
        let response = TestBroker::new()
            .call(TestRequest::delete().uri(PATH))
            .await;
        assert_eq!(
            response.headers().get("allow").unwrap(),
            "POST, GET, HEAD, OPTIONS"
        );
        assert_eq!(response.status(), 405);
    }
}
