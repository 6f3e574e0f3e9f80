//! `POST /v1/publish` with `application/x-ndjson`: messages stream in, one a line, and each is answered by one line.
//!
//! The answer begins with the request, and pulls it: the next line is read when the client has taken the results before,
//! so that neither side can make the broker hold more than a line and a few results. A line that is too long or no
//! message is answered by an error, and the stream goes on.

use actix_web::http::header::{CACHE_CONTROL, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::stream::{Stream, unfold};
use widecast_protocol::Code;
use widecast_protocol::codec::decode_batch_line;

use super::batch::{publish_one, refuse};
use super::line_reader::{Line, LineReader};
use super::outcome::MessageOutcome;
use crate::http::{Caller, Problem, next_part, refuse_compressed};

/// Results are handed on when there are so many bytes of them, or nothing more to read at once.
const BATCH_BYTES: usize = 16 * 1024;

/// Answers a stream of lines with a stream of lines.
pub(super) fn publish_lines(
    request: &HttpRequest,
    caller: Caller,
    body: web::Payload,
) -> Result<HttpResponse, Problem> {
    refuse_compressed(request.headers())?;
    let limit = caller.services.config.limits.request_bytes.as_usize();
    let lines = Lines {
        caller,
        body,
        reader: LineReader::new(limit),
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
                let outcome = self.publish(line).await;
                write(&mut out, &outcome);
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
        match next_part(&mut self.body).await {
            Ok(Some(part)) => {
                self.reader.push(&part);
            }
            Ok(None) => {
                self.ended = true;
                if let Some(line) = self.reader.last() {
                    let outcome = self.publish(line).await;
                    write(out, &outcome);
                }
            }
            Err(problem) => {
                self.ended = true;
                write(out, &MessageOutcome::refused(problem));
            }
        }
    }

    async fn publish(&self, line: Line) -> MessageOutcome {
        match line {
            Line::Whole(line) => publish_one(&self.caller, decode_batch_line(&line)).await,
            Line::TooLong => {
                let limit = self.caller.services.config.limits.request_bytes.get();
                let detail = format!(
                    "the line has more than the {limit} bytes that limits.request_bytes allows"
                );
                refuse(&self.caller, Problem::new(Code::MessageTooLarge, detail))
            }
        }
    }
}

fn write(out: &mut BytesMut, outcome: &MessageOutcome) {
    match serde_json::to_vec(outcome) {
        Ok(line) => out.put_slice(&line),
        Err(error) => {
            tracing::error!(%error, "a result could not be encoded, which is a mistake in the broker: please report it");
            let problem = Problem::new(Code::Internal, "the result could not be written");
            out.put_slice(format!("{{\"error\":{}}}", problem.to_json()).as_bytes());
        }
    }
    out.put_u8(b'\n');
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use actix_web::rt::time::timeout;
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
        let (address, server) = TestBroker::new().serve();
        let mut socket = TcpStream::connect(address).await.unwrap();
        let head = "POST /v1/publish HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n";
        socket.write_all(head.as_bytes()).await.unwrap();
        for offset in 1..=3 {
            let line = "{\"channel\":\"a\",\"data\":1}\n";
            let chunk = format!("{:x}\r\n{line}\r\n", line.len());
            socket.write_all(chunk.as_bytes()).await.unwrap();
            read_until(&mut socket, &format!("\"offset\":{offset},")).await;
        }
        socket.write_all(b"0\r\n\r\n").await.unwrap();
        read_until(&mut socket, "0\r\n\r\n").await;
        server.stop(false).await;
    }
}
