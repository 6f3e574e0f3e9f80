//! `POST /v1/publish`: many messages at once, each with its own result.
//!
//! A batch that can be read is answered with 200, whatever becomes of its messages: each result says for itself. Those of one channel
//! are published one after the other, so that they keep their order, and those of different channels at once.

use std::cell::RefCell;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use widecast_protocol::codec::{BatchMessage, Codec, decode_batch};
use widecast_protocol::command::Publish;
use widecast_protocol::{Code, DecodeError};

use super::answer;
use super::line_stream;
use super::outcome::MessageOutcome;
use crate::config::Config;
use crate::http::{BodyLimit, Caller, MediaType, Problem, read_body, take_turn};
use crate::memory_budget::{GIVEN_UP, LongTurn};
use crate::offload::offload;
use crate::session::{self, Refusal, Sending, publish_each};

#[derive(Serialize)]
struct BatchAnswer {
    results: Vec<MessageOutcome>,
}

pub(super) async fn publish_batch(
    request: HttpRequest,
    caller: Caller,
    body: web::Payload,
) -> Result<HttpResponse, Problem> {
    match MediaType::of(&request)? {
        MediaType::Json => batch(request, caller, body, Codec::Json).await,
        MediaType::MessagePack => batch(request, caller, body, Codec::MessagePack).await,
        MediaType::Ndjson => line_stream::publish_lines(&request, caller, body),
        _ => {
            let detail = "a batch is application/json, application/msgpack or application/x-ndjson";
            Err(Problem::new(Code::UnsupportedMediaType, detail))
        }
    }
}

async fn batch(
    request: HttpRequest,
    caller: Caller,
    body: web::Payload,
    codec: Codec,
) -> Result<HttpResponse, Problem> {
    let messages = read(&request, &caller.services.config, body, codec).await;
    let messages = messages.inspect_err(|problem| {
        // Nobody knows how many messages these would have been, so that none is counted.
        caller.audit("publish", None, Err(problem.code()));
    })?;
    let limits = &caller.services.config.limits;
    let turn = LongTurn::begin(take_turn(&request), limits.unfinished_bytes.get());
    let turn = RefCell::new(turn);
    let is_given_up = || turn.borrow_mut().is_given_up();
    let publishing = publish_all(&caller, messages, &is_given_up);
    let results = caller.services.with_patience(publishing).await;
    match codec {
        Codec::Json => answer::json(&BatchAnswer { results }),
        Codec::MessagePack => answer::msgpack(&BatchAnswer { results }),
    }
}

async fn read(
    request: &HttpRequest,
    config: &Config,
    body: web::Payload,
    codec: Codec,
) -> Result<Vec<Result<BatchMessage, DecodeError>>, Problem> {
    let body = read_body(request, body, BodyLimit::request(config)).await?;
    let messages = offload(body.len(), move || decode_batch(codec, &body)).await?;
    let limit = config.limits.messages_per_batch;
    if messages.len() > limit {
        let detail = format!(
            "the batch has {} messages, limits.messages_per_batch allows {limit}",
            messages.len()
        );
        return Err(Problem::new(Code::MessageTooLarge, detail));
    }
    Ok(messages)
}

/// Publishes each message on each of its channels. What it cannot be published on stops no other. It is asked before each publication
/// whether the rest is given up.
pub(super) async fn publish_all(
    caller: &Caller,
    messages: impl IntoIterator<Item = Result<BatchMessage, DecodeError>>,
    is_given_up: &dyn Fn() -> bool,
) -> Vec<MessageOutcome> {
    let mut outcomes = Vec::new();
    let mut publications = Vec::new();
    for message in messages {
        match checked(caller, message).await {
            Ok(message) => {
                let index = outcomes.len();
                outcomes.push(MessageOutcome::with_capacity(message.channels.len()));
                publications.extend(each(message).map(|publish| (index, publish)));
            }
            Err(problem) => outcomes.push(refuse(caller, problem)),
        }
    }
    let (places, sendings): (Vec<_>, Vec<_>) = publications
        .into_iter()
        .map(|(index, message)| {
            let place = (index, message.channel.clone());
            let who = caller.publisher.clone();
            (place, Sending { who, message })
        })
        .unzip();
    let may_go_on = |message: &Publish| {
        if is_given_up() {
            caller.note_refused(Some(&message.channel), Code::Overloaded);
            return Err(Refusal::new(Code::Overloaded, GIVEN_UP));
        }
        Ok(())
    };
    let published = publish_each(&caller.services, sendings, &may_go_on).await;
    for ((index, channel), published) in places.into_iter().zip(published) {
        outcomes[index].push(channel, published);
    }
    outcomes
}

/// A message that can be read. Its data is looked into here, so that it is not done again for each channel.
async fn checked(
    caller: &Caller,
    message: Result<BatchMessage, DecodeError>,
) -> Result<BatchMessage, Problem> {
    let message = message?;
    let share = &caller.publisher.share;
    let payload = session::checked_gzip(&caller.services, share, message.payload).await?;
    Ok(BatchMessage { payload, ..message })
}

/// The publication of a message on each of its channels.
fn each(message: BatchMessage) -> impl Iterator<Item = Publish> {
    message.channels.into_iter().map(move |channel| Publish {
        channel,
        payload: message.payload.clone(),
        event: message.event.clone(),
        idempotency_key: message.idempotency_key.clone(),
        message_id: message.message_id.clone(),
    })
}

/// The outcome of a message that cannot be read.
pub(super) fn refuse(caller: &Caller, problem: Problem) -> MessageOutcome {
    caller.note_refused(None, problem.code());
    MessageOutcome::refused(problem)
}

#[cfg(test)]
mod tests {
    use crate::api::testing::{TestBroker, header, shown};
    use crate::config::Config;
    use actix_web::test::{TestRequest, read_body};
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use futures_util::future::join;
    use std::io::Write;
    use std::sync::Arc;
    use std::sync::atomic::Ordering;
    use std::time::Duration;
    use widecast_protocol::Payload;

    const PATH: &str = "/v1/publish";

    #[actix_web::test]
    async fn each_message_has_its_result_and_a_bad_one_stops_no_other() {
        let broker = TestBroker::new();
        let body = r#"{"messages":[
            {"channels":["a","b"],"data":1},
            {"channels":[""],"data":2},
            {"channels":["a"],"data":3,"event":"e","idempotency_key":"k"},
            {"channels":["a"],"data":4,"idempotency_key":"k"}
        ]}"#;
        let answer = broker.post(PATH, "application/json", body).await;
        insta::assert_snapshot!(answer.replace("},{", "},\n{"), @r##"
    200 {"results":[{"channels":[{"channel":"a","offset":1,"epoch":"EPOCH","subscribers":2,"duplicate":false},
    {"channel":"b","offset":1,"epoch":"EPOCH","subscribers":2,"duplicate":false}]},
    {"error":{"type":"about:blank","title":"The name of the channel is empty, too long, `.` or `..`, or has control characters.","status":400,"detail":"channel name is empty","code":"bad_channel_name","retryable":false}},
    {"channels":[{"channel":"a","offset":2,"epoch":"EPOCH","subscribers":2,"duplicate":false}]},
    {"channels":[{"channel":"a","offset":2,"epoch":"EPOCH","subscribers":0,"duplicate":true}]}]}
"##);
        insta::assert_snapshot!(broker.get("/channels/a/messages").await, @r#"200 {"messages":[{"cursor":"EPOCH-1","channel":"a","offset":1,"origin":"","timestamp":1700000000000,"data":1},{"cursor":"EPOCH-2","channel":"a","offset":2,"event":"e","origin":"","timestamp":1700000000000,"data":3}],"cursor":"EPOCH-2","recovered":true}"#);
    }

    #[actix_web::test]
    async fn messages_of_different_channels_are_published_at_once_and_of_one_in_order() {
        let engine = Arc::new(TestBroker::flaky_engine());
        let broker = TestBroker::on(Arc::clone(&engine) as _, Config::default());
        let asked = engine.hold_up("publish");
        let body = r#"{"messages":[
            {"channels":["a","b"],"data":1},
            {"channels":["a"],"data":2},
            {"channels":["c"],"data":3}
        ]}"#;
        let others = async {
            while_others_run().await;
            // The second message of `a` waits for the first one.
            assert_eq!(asked.load(Ordering::Relaxed), 3);
            engine.let_go();
        };
        let (answer, ()) = join(broker.post(PATH, "application/json", body), others).await;
        insta::assert_snapshot!(answer.replace("},{", "},\n{"), @r#"
    200 {"results":[{"channels":[{"channel":"a","offset":1,"epoch":"EPOCH","subscribers":0,"duplicate":false},
    {"channel":"b","offset":1,"epoch":"EPOCH","subscribers":0,"duplicate":false}]},
    {"channels":[{"channel":"a","offset":2,"epoch":"EPOCH","subscribers":0,"duplicate":false}]},
    {"channels":[{"channel":"c","offset":1,"epoch":"EPOCH","subscribers":0,"duplicate":false}]}]}
"#);
        let history = broker.get("/channels/a/messages").await;
        let at = |text| history.find(text).unwrap();
        assert!(at(r#""data":1"#) < at(r#""data":2"#), "{history}");
    }

    /// Lets a request come as far as it can.
    async fn while_others_run() {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    #[actix_web::test]
    async fn a_large_request_waits_for_its_turn_and_a_small_one_does_not() {
        let broker = TestBroker::with(|config| config.timeouts.body = Duration::from_millis(50));
        let room = usize::try_from(broker.services.bounds.requests).unwrap();
        let turns = &broker.services.turns;
        let json = "application/json";
        let batch = |bytes: usize| {
            let data = "x".repeat(bytes);
            format!(r#"{{"messages":[{{"channel":"a","data":"{data}"}}]}}"#)
        };
        let compressed = async || {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(batch(100_000).as_bytes()).unwrap();
            let request = TestRequest::post()
                .uri(PATH)
                .insert_header(("content-type", json))
                .insert_header(("content-encoding", "gzip"))
                .set_payload(encoder.finish().unwrap());
            shown(broker.call(request).await).await
        };
        let others = turns.try_take(room).unwrap();
        insta::assert_snapshot!(broker.post(PATH, json, batch(100_000)).await, @r#"503 {"type":"about:blank","title":"The broker has as much to hold as it may.","status":503,"detail":"the broker has too many large requests to carry out: try again later","code":"overloaded","retryable":true}"#);
        let refused = compressed().await;
        assert!(refused.starts_with("503 "), "{refused}");
        let small = broker.post(PATH, json, batch(1000)).await;
        assert!(small.starts_with("200 "), "{small}");
        drop(others);
        for answer in [
            broker.post(PATH, json, batch(100_000)).await,
            compressed().await,
        ] {
            assert!(answer.starts_with("200 "), "{answer}");
        }
        assert!(turns.try_take(room).is_some(), "a turn was not given back");
    }

    #[actix_web::test]
    async fn a_message_is_refused_for_one_channel_and_published_on_the_others() {
        let broker = TestBroker::with(|config| {
            config.limits.message_bytes = crate::config::ByteCount::new(3);
        });
        let body = r#"{"messages":[{"channels":["a","b"],"data":"long"},{"channels":["a"],"data":"abc"}]}"#;
        let answer = broker.post(PATH, "application/json", body).await;
        insta::assert_snapshot!(answer.replace("},{", "},\n{"), @r##"
    200 {"results":[{"channels":[{"channel":"a","error":{"type":"about:blank","title":"The message, body or frame is larger than the limit.","status":413,"detail":"the message has 4 bytes, limits.message_bytes allows 3","code":"message_too_large","retryable":false}},
    {"channel":"b","error":{"type":"about:blank","title":"The message, body or frame is larger than the limit.","status":413,"detail":"the message has 4 bytes, limits.message_bytes allows 3","code":"message_too_large","retryable":false}}]},
    {"channels":[{"channel":"a","offset":1,"epoch":"EPOCH","subscribers":2,"duplicate":false}]}]}
"##);
    }

    #[actix_web::test]
    async fn a_batch_in_messagepack_is_answered_in_messagepack() {
        let batch = r#"{"messages":[{"channel":"a","data":1},{"channel":"a"}]}"#;
        let packed = Payload::from_json(batch).unwrap().to_msgpack();
        let request = TestRequest::post()
            .uri(PATH)
            .insert_header(("content-type", "application/msgpack"))
            .set_payload(packed);
        let response = TestBroker::new().call(request).await;
        assert_eq!(response.status(), 200);
        assert_eq!(header(&response, "content-type"), "application/msgpack");
        let body = read_body(response).await;
        let json = Payload::from_msgpack(body).unwrap().to_json();
        let json = String::from_utf8_lossy(&json).into_owned();
        assert!(
            json.starts_with(r#"{"results":[{"channels":[{"channel":"a","offset":1,"epoch":""#),
            "{json}"
        );
        assert!(
            json.contains(r#"{"error":{"type":"about:blank","title":"#),
            "{json}"
        );
    }

    #[actix_web::test]
    async fn a_batch_that_cannot_be_read_is_refused_as_a_whole() {
        let broker = TestBroker::with(|config| config.limits.messages_per_batch = 1);
        let json = "application/json";
        insta::assert_snapshot!(broker.post(PATH, json, "{").await, @r#"400 {"type":"about:blank","title":"The body or frame is not JSON.","status":400,"detail":"not JSON: expected `,` or `}` at byte 1","code":"bad_json","retryable":false}"#);
        insta::assert_snapshot!(broker.post(PATH, json, "[]").await, @r#"400 {"type":"about:blank","title":"The command is unknown, or lacks a field.","status":400,"detail":"`messages` is missing: expected an array of messages","code":"bad_command","retryable":false}"#);
        insta::assert_snapshot!(broker.post(PATH, json, "[".repeat(200_000)).await, @r#"400 {"type":"about:blank","title":"The body or frame is not JSON.","status":400,"detail":"values are nested more than 128 deep","code":"bad_json","retryable":false}"#);
        let two = r#"{"messages":[{"channel":"a","data":1},{"channel":"a","data":1}]}"#;
        insta::assert_snapshot!(broker.post(PATH, json, two).await, @r#"413 {"type":"about:blank","title":"The message, body or frame is larger than the limit.","status":413,"detail":"the batch has 2 messages, limits.messages_per_batch allows 1","code":"message_too_large","retryable":false}"#);
        let bomb = &b"\x81\xa8messages\xdd\xff\xff\xff\xff"[..];
        insta::assert_snapshot!(broker.post(PATH, "application/msgpack", bomb).await, @r#"400 {"type":"about:blank","title":"The body or frame is not MessagePack.","status":400,"detail":"not MessagePack: expected as many elements as the array's header says at byte 15","code":"bad_msgpack","retryable":false}"#);
        insta::assert_snapshot!(broker.post(PATH, "text/plain", "x").await, @r#"415 {"type":"about:blank","title":"The body's content type or encoding is not one that the broker reads.","status":415,"detail":"a batch is application/json, application/msgpack or application/x-ndjson","code":"unsupported_media_type","retryable":false}"#);
        insta::assert_snapshot!(shown(broker.call(TestRequest::get().uri(PATH)).await).await, @r#"405 {"type":"about:blank","title":"The address does not answer this method.","status":405,"detail":"GET is not possible here, only POST, OPTIONS","code":"method_not_allowed","retryable":false}"#);
    }
}
