//! `POST /v1/publish` with `application/x-ndjson`: messages stream in, one a line, and each is answered by one line.
//!
//! The answer begins with the request, and pulls it: the next line is read when the client has taken the results before,
//! so that neither side can make the broker hold more than a line and a few results. A line that is too long or no
//! message is answered by an error, and the stream goes on. Between two lines the client may take its time; a line of which a part has come
//! counts, and has to come on, as the body of a request does.

use actix_web::http::header::{CACHE_CONTROL, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::stream::{Stream, unfold};
use widecast_protocol::Code;
use widecast_protocol::codec::decode_batch_line;

use super::batch::{publish_all, refuse};
use super::line_reader::{Line, LineReader};
use super::outcome::MessageOutcome;
use crate::http::{
    BodyLimit, Caller, Problem, UnfinishedPiece, next_part, refuse_compressed, turn_of,
};
use crate::log_limit::LogLimit;
use crate::offload::offload;

/// Results are handed on when there are so many bytes of them, or nothing more to read at once.
const BATCH_BYTES: usize = 16 * 1024;

/// Answers a stream of lines with a stream of lines.
pub(super) fn publish_lines(
    request: &HttpRequest,
    caller: Caller,
    body: web::Payload,
) -> Result<HttpResponse, Problem> {
    refuse_compressed(request.headers())?;
    let config = &caller.services.config;
    let lines = Lines {
        reader: LineReader::new(config.limits.request_bytes.as_usize()),
        limit: BodyLimit::request(config),
        caller,
        body,
        unfinished: None,
        ended: false,
    };
    Ok(HttpResponse::Ok()
        .content_type("application/x-ndjson")
        .insert_header((CACHE_CONTROL, HeaderValue::from_static("no-store")))
        .insert_header(("x-accel-buffering", "no"))
        .streaming(lines.results()))
}

struct Lines {
    caller: Caller,
    body: web::Payload,
    reader: LineReader,
    /// The bound of a line, and of how long it may take.
    limit: BodyLimit,
    /// The line that has come in part, with its number.
    unfinished: Option<(u64, UnfinishedPiece)>,
    ended: bool,
}

impl Lines {
    fn results(self) -> impl Stream<Item = Result<Bytes, Problem>> {
        unfold(self, |mut lines| async move {
            let services = web::Data::clone(&lines.caller.services);
            let results = services.with_patience(lines.next_results()).await?;
            Some((Ok(results), lines))
        })
    }

    /// The results of the next lines; `None` after the last.
    async fn next_results(&mut self) -> Option<Bytes> {
        let mut out = BytesMut::new();
        while !self.ended && out.len() < BATCH_BYTES {
            if self.caller.services.is_draining() {
                self.take_leave(&mut out);
                break;
            }
            if let Some(line) = self.reader.next() {
                for outcome in self.publish(line).await {
                    write(&mut out, &outcome);
                }
            } else if !out.is_empty() {
                // The messages that have been published are acknowledged before the next part is waited for.
                break;
            } else {
                self.read_more(&mut out).await;
            }
        }
        (!out.is_empty()).then(|| out.freeze())
    }

    /// The acknowledged messages are published; the client sends the rest to the broker that it connects to next.
    fn take_leave(&mut self, out: &mut BytesMut) {
        self.ended = true;
        let problem = Problem::new(Code::ShuttingDown, "no further line is published");
        write(out, &MessageOutcome::refused(problem));
    }

    async fn read_more(&mut self, out: &mut BytesMut) {
        let leave_begins = self.caller.services.leave_begins();
        let part = tokio::select! {
            biased;
            () = leave_begins => return self.take_leave(out),
            part = self.next_part() => part,
        };
        match part {
            Ok(Some(part)) => {
                self.reader.push(&part);
            }
            Ok(None) => {
                self.ended = true;
                if let Some(line) = self.reader.last() {
                    for outcome in self.publish(line).await {
                        write(out, &outcome);
                    }
                }
            }
            Err(problem) => {
                self.ended = true;
                write(out, &MessageOutcome::refused(problem));
            }
        }
    }

    /// The next part of the body: it may take as long as it likes between two lines, but not within one.
    async fn next_part(&mut self) -> Result<Option<Bytes>, Problem> {
        let Some(line) = self.reader.partial() else {
            self.unfinished = None;
            return next_part(&mut self.body).await;
        };
        let known = self.unfinished.take();
        let (_, unfinished) = self.unfinished.insert(
            known
                .filter(|&(number, _)| number == line.number)
                .unwrap_or_else(|| (line.number, UnfinishedPiece::begin(self.limit))),
        );
        let services = &self.caller.services;
        unfinished
            .next_part(&mut self.body, line.held, services)
            .await
    }

    /// Publishes the message of a line; gives its result.
    async fn publish(&mut self, line: Line) -> Vec<MessageOutcome> {
        // The line is whole; what is behind it counts when it is waited for.
        self.unfinished = None;
        match line {
            Line::Whole(line) => self.publish_line(line).await,
            Line::TooLong => {
                let limit = self.caller.services.config.limits.request_bytes.get();
                let detail = format!(
                    "the line has more than the {limit} bytes that limits.request_bytes allows"
                );
                vec![refuse(
                    &self.caller,
                    Problem::new(Code::MessageTooLarge, detail),
                )]
            }
        }
    }

    async fn publish_line(&self, line: Bytes) -> Vec<MessageOutcome> {
        let bytes = line.len();
        // Held until the line is carried out.
        let _turn = match turn_of(&self.caller.services, bytes, bytes, self.limit).await {
            Ok(turn) => turn,
            Err(problem) => return vec![refuse(&self.caller, problem)],
        };
        let message = offload(bytes, move || decode_batch_line(&line)).await;
        publish_all(&self.caller, [message], &|| false).await
    }
}

fn write(out: &mut BytesMut, outcome: &MessageOutcome) {
    match serde_json::to_vec(outcome) {
        Ok(line) => out.put_slice(&line),
        Err(error) => {
            static LINE: LogLimit = LogLimit::new();
            if let Some(times) = LINE.due() {
                tracing::error!(times, %error, "a result could not be encoded, which is a mistake in the broker: please report it");
            }
            let problem = Problem::new(Code::Internal, "the result could not be written");
            out.put_slice(format!("{{\"error\":{}}}", problem.to_json()).as_bytes());
        }
    }
    out.put_u8(b'\n');
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use actix_web::dev::ServerHandle;
    use actix_web::rt::time::{sleep, timeout};
    use actix_web::test::TestRequest;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use crate::api::testing::{TestBroker, shown};
    use crate::config::ByteCount;

    const NDJSON: &str = "application/x-ndjson";

    #[actix_web::test]
    async fn each_line_is_answered_by_a_line_in_order() {
        let broker = TestBroker::new();
        let lines = "{\"channel\":\"a\",\"data\":1}\n\n{\"channel\":\"a\",\n[]\r\n{\"channels\":[\"a\",\"b\"],\"data\":2}";
        insta::assert_snapshot!(broker.post("/v1/publish", NDJSON, lines).await, @r##"
    200 {"channels":[{"channel":"a","offset":1,"epoch":"EPOCH","subscribers":2,"duplicate":false}]}
    {"error":{"type":"about:blank","title":"The body or frame is not JSON.","status":400,"detail":"not JSON: expected a field name in quotes at byte 15","code":"bad_json","retryable":false}}
    {"error":{"type":"about:blank","title":"The command is unknown, or lacks a field.","status":400,"detail":"expected a message: an object with `channel` and `data`","code":"bad_command","retryable":false}}
    {"channels":[{"channel":"a","offset":2,"epoch":"EPOCH","subscribers":2,"duplicate":false},{"channel":"b","offset":1,"epoch":"EPOCH","subscribers":2,"duplicate":false}]}
"##);
    }

    #[actix_web::test]
    async fn a_line_beyond_the_limit_is_an_error_and_the_stream_goes_on() {
        let broker = TestBroker::with(|config| config.limits.request_bytes = ByteCount::new(40));
        let long = format!("{{\"channel\":\"a\",\"data\":\"{}\"}}\n", "x".repeat(50));
        let lines = format!("{long}{{\"channel\":\"a\",\"data\":1}}\n");
        insta::assert_snapshot!(broker.post("/v1/publish", NDJSON, lines).await, @r##"
    200 {"error":{"type":"about:blank","title":"The message, body or frame is larger than the limit.","status":413,"detail":"the line has more than the 40 bytes that limits.request_bytes allows","code":"message_too_large","retryable":false}}
    {"channels":[{"channel":"a","offset":1,"epoch":"EPOCH","subscribers":2,"duplicate":false}]}
"##);
    }

    #[actix_web::test]
    async fn many_lines_are_answered_in_several_parts() {
        let broker = TestBroker::new();
        let lines = "{\"channel\":\"a\",\"data\":1}\n".repeat(1000);
        let answer = broker.post("/v1/publish", NDJSON, lines).await;
        assert_eq!(answer.lines().count(), 1000);
        assert!(answer.contains("\"offset\":1000,"));
    }

    #[actix_web::test]
    async fn a_broker_that_shuts_down_ends_the_stream_with_an_error() {
        let broker = TestBroker::new();
        let request = TestRequest::post()
            .uri("/v1/publish")
            .insert_header(("content-type", NDJSON))
            .set_payload("{\"channel\":\"a\",\"data\":1}\n".repeat(2));
        let response = broker.call(request).await;
        broker.services.drain();
        insta::assert_snapshot!(shown(response).await, @r#"200 {"error":{"type":"about:blank","title":"The broker is shutting down: reconnect, to another or to the next.","status":503,"detail":"no further line is published","code":"shutting_down","retryable":true}}"#);
    }

    #[actix_web::test]
    async fn a_compressed_stream_is_refused() {
        let request = TestRequest::post()
            .uri("/v1/publish")
            .insert_header(("content-type", NDJSON))
            .insert_header(("content-encoding", "gzip"));
        insta::assert_snapshot!(shown(TestBroker::new().call(request).await).await, @r#"415 {"type":"about:blank","title":"The body's content type or encoding is not one that the broker reads.","status":415,"detail":"Content-Encoding is gzip: send a stream of lines uncompressed","code":"unsupported_media_type","retryable":false}"#);
    }

    #[actix_web::test]
    async fn no_line_is_no_result() {
        assert_eq!(
            TestBroker::new().post("/v1/publish", NDJSON, "\n \n").await,
            "200 "
        );
    }

    /// Reads from a socket until it has seen a text.
    async fn read_until(socket: &mut TcpStream, text: &str) -> String {
        let mut seen = Vec::new();
        while !String::from_utf8_lossy(&seen).contains(text) {
            let read = timeout(Duration::from_secs(5), socket.read_buf(&mut seen)).await;
            let more = read.expect("an answer in time").unwrap() > 0;
            assert!(more, "ended after {}", String::from_utf8_lossy(&seen));
        }
        String::from_utf8_lossy(&seen).into_owned()
    }

    #[actix_web::test]
    async fn a_line_is_acknowledged_while_the_request_is_still_being_sent() {
        let line = "{\"channel\":\"a\",\"data\":1}\n";
        let (mut socket, server) = begin_stream(&TestBroker::new(), line).await;
        read_until(&mut socket, "\"offset\":1,").await;
        for offset in 2..=3 {
            send(&mut socket, line).await;
            read_until(&mut socket, &format!("\"offset\":{offset},")).await;
        }
        socket.write_all(b"0\r\n\r\n").await.unwrap();
        read_until(&mut socket, "0\r\n\r\n").await;
        server.stop(false).await;
    }

    /// A stream of lines of which these bytes have been sent, on a connection that stays open.
    async fn begin_stream(broker: &TestBroker, sent: &str) -> (TcpStream, ServerHandle) {
        let (address, server) = broker.serve();
        let mut socket = TcpStream::connect(address).await.unwrap();
        let head = "POST /v1/publish HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n";
        socket.write_all(head.as_bytes()).await.unwrap();
        send(&mut socket, sent).await;
        (socket, server)
    }

    async fn send(socket: &mut TcpStream, lines: &str) {
        let chunk = format!("{:x}\r\n{lines}\r\n", lines.len());
        socket.write_all(chunk.as_bytes()).await.unwrap();
    }

    #[actix_web::test]
    async fn a_stream_may_pause_between_lines_but_not_within_one() {
        let pause = Duration::from_millis(50);
        let broker = TestBroker::with(|config| config.timeouts.body = pause);
        let line = "{\"channel\":\"a\",\"data\":1}\n";
        let (mut socket, server) = begin_stream(&broker, line).await;
        read_until(&mut socket, "\"offset\":1,").await;
        // Nothing has to come between two lines.
        sleep(4 * pause).await;
        send(&mut socket, line).await;
        read_until(&mut socket, "\"offset\":2,").await;
        send(&mut socket, "{\"channel\":").await;
        read_until(&mut socket, "\"code\":\"request_timeout\"").await;
        server.stop(false).await;
    }

    #[actix_web::test]
    async fn a_long_line_waits_for_its_turn_and_a_short_one_does_not() {
        let broker = TestBroker::with(|config| config.timeouts.body = Duration::from_millis(50));
        let room = usize::try_from(broker.services.bounds.requests).unwrap();
        let others = broker.services.turns.try_take(room).unwrap();
        let line = |bytes| format!("{{\"channel\":\"a\",\"data\":\"{}\"}}\n", "x".repeat(bytes));
        let lines = line(100_000) + &line(1);
        insta::assert_snapshot!(broker.post("/v1/publish", NDJSON, lines).await, @r##"
    200 {"error":{"type":"about:blank","title":"The broker has as much to hold as it may.","status":503,"detail":"the broker has too many large requests to carry out: try again later","code":"overloaded","retryable":true}}
    {"channels":[{"channel":"a","offset":1,"epoch":"EPOCH","subscribers":2,"duplicate":false}]}
"##);
        drop(others);
        let answer = broker.post("/v1/publish", NDJSON, line(100_000)).await;
        assert!(answer.contains("\"offset\":2,"), "{answer}");
        let room = broker.services.turns.try_take(room);
        assert!(room.is_some(), "a turn was not given back");
    }
}
