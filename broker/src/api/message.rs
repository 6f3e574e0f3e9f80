//! `GET /channels/{channel}/messages/{offset}`: one past message, as the file that it is.
//!
//! The publisher of the message chose its media type. The address of the message has the same origin as the broker's own
//! pages, and a message that is called HTML must not get at these: so the answer is shown without rights, and only as the
//! type that it states.

use actix_web::http::header::{
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::{HttpRequest, HttpResponse};
use widecast_protocol::payload::Document;
use widecast_protocol::{ChannelName, Code, Epoch, Offset, Position};

use super::answer;
use crate::config::Right;
use crate::engine::{HistoryOrder, HistoryQuery};
use crate::http::{CURSOR_HEADER, Caller, ChannelPath, Problem};
use crate::session;

/// The policy for a page that is opened from here: it may be looked at, and do nothing.
const NO_RIGHTS: &str = "sandbox; default-src 'none'";

pub(super) async fn message(
    request: HttpRequest,
    caller: Caller,
    channel: ChannelPath,
) -> Result<HttpResponse, Problem> {
    let channel = channel.0;
    let named = MessagePlace::parse(request.match_info().query("offset"))?;
    let position = find(&caller, &channel, named).await?;
    let (position, document) = read(&caller, &channel, position).await?;
    let mut response = answer::body("application/octet-stream", document.bytes);
    let headers = response.headers_mut();
    if let Ok(media_type) = HeaderValue::from_str(&document.media_type) {
        headers.insert(CONTENT_TYPE, media_type);
    }
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(NO_RIGHTS));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(cursor) = HeaderValue::from_str(&position.to_string()) {
        headers.insert(HeaderName::from_static(CURSOR_HEADER), cursor);
    }
    Ok(response)
}

/// How a path names a message: by its offset alone, or by the cursor after it.
#[derive(Debug, Clone, Copy)]
struct MessagePlace {
    epoch: Option<Epoch>,
    offset: Offset,
}

impl MessagePlace {
    fn parse(text: &str) -> Result<Self, Problem> {
        let place = match (text.parse(), Position::parse(text)) {
            (Ok(offset), _) => Some(Self {
                epoch: None,
                offset: Offset(offset),
            }),
            (_, Ok(Position { epoch, offset })) => Some(Self {
                epoch: Some(epoch),
                offset,
            }),
            _ => None,
        };
        place.filter(|place| place.offset.0 > 0).ok_or_else(|| {
            let detail = format!(
                "{text:?} names no message: expected its offset, a number from 1 on, or its cursor"
            );
            Problem::new(Code::InvalidRequest, detail)
        })
    }
}

/// Makes sure that the message can have been published.
async fn find(
    caller: &Caller,
    channel: &ChannelName,
    named: MessagePlace,
) -> Result<Position, Problem> {
    let right = Right::History;
    let info = session::channel_info(&caller.services, caller.principal(), channel, right).await?;
    let end = info.map(|info| info.position);
    let Some(end) = end else {
        let detail = format!("{channel} has no messages yet, or no longer");
        return Err(Problem::new(Code::NotFound, detail));
    };
    let position = Position {
        epoch: named.epoch.unwrap_or(end.epoch),
        offset: named.offset,
    };
    if position.epoch != end.epoch {
        return Err(lost(channel, position));
    }
    if position.offset.0 > end.offset.0 {
        let (wanted, last) = (position.offset.0, end.offset.0);
        let detail = format!("message {wanted} is not there yet: {channel} has come to {last}");
        return Err(Problem::new(Code::NotFound, detail));
    }
    Ok(position)
}

async fn read(
    caller: &Caller,
    channel: &ChannelName,
    position: Position,
) -> Result<(Position, Document), Problem> {
    let before = Position {
        epoch: position.epoch,
        offset: Offset(position.offset.0 - 1),
    };
    let query = HistoryQuery {
        since: Some(before),
        limit: 1,
        order: HistoryOrder::OldestFirst,
    };
    let page = session::history(&caller.services, caller.reader(), channel, query).await?;
    let found = page.messages.first().map(|found| found.message());
    match found.filter(|found| found.offset == position.offset && found.epoch == position.epoch) {
        Some(found) => Ok((position, found.payload.to_document())),
        None => Err(lost(channel, position)),
    }
}

fn lost(channel: &ChannelName, position: Position) -> Problem {
    let offset = position.offset.0;
    let detail = format!("the history of {channel} no longer has message {offset}");
    Problem::new(Code::HistoryLost, detail)
}

#[cfg(test)]
mod tests {
    use actix_web::test::{TestRequest, read_body};

    use crate::api::testing::{TestBroker, header};

    async fn get(broker: &TestBroker, offset: &str) -> String {
        broker.get(&format!("/channels/a/messages/{offset}")).await
    }

    #[actix_web::test]
    async fn a_message_is_given_as_what_it_was_published_as() {
        let broker = TestBroker::new();
        for (content_type, body) in [
            ("image/png", &b"\x89PNG"[..]),
            ("text/plain", b"hello"),
            ("application/json", b"{\"a\":1}"),
            ("application/msgpack", b"\x91\x01"),
        ] {
            let path = "/channels/a/messages";
            let answer = broker.post(path, content_type, body).await;
            assert!(answer.starts_with("200 "), "{answer}");
        }
        for (offset, content_type, body) in [
            (1, "image/png", &b"\x89PNG"[..]),
            (2, "text/plain; charset=utf-8", b"hello"),
            (3, "application/json", b"{\"a\":1}"),
            (4, "application/json", b"[1]"),
        ] {
            let uri = format!("/channels/a/messages/{offset}");
            let response = broker.call(TestRequest::get().uri(&uri)).await;
            assert_eq!(response.status(), 200);
            assert_eq!(header(&response, "content-type"), content_type);
            assert_eq!(header(&response, "x-content-type-options"), "nosniff");
            let policy = header(&response, "content-security-policy");
            assert_eq!(policy, "sandbox; default-src 'none'");
            let cursor = header(&response, "widecast-cursor");
            assert!(cursor.ends_with(&format!("-{offset}")), "{cursor}");
            let again = format!("/channels/a/messages/{cursor}");
            assert_eq!(read_body(response).await, body);
            let response = broker.call(TestRequest::get().uri(&again)).await;
            assert_eq!(read_body(response).await, body);
        }
    }

    #[actix_web::test]
    async fn a_message_that_is_not_there_is_told_from_one_that_is_gone() {
        let broker = TestBroker::with(|config| config.namespaces.default.history_messages = 1);
        insta::assert_snapshot!(get(&broker, "1").await, @r#"404 {"type":"about:blank","title":"There is nothing at this address.","status":404,"detail":"a has no messages yet, or no longer","code":"not_found","retryable":false}"#);
        for _ in 0..2 {
            broker.post("/channels/a/messages", "text/plain", "x").await;
        }
        insta::assert_snapshot!(get(&broker, "2").await, @"200 x");
        insta::assert_snapshot!(get(&broker, "1").await, @r#"410 {"type":"about:blank","title":"The history no longer reaches back to the cursor: messages were lost.","status":410,"detail":"the history of a no longer has message 1","code":"history_lost","retryable":false}"#);
        insta::assert_snapshot!(get(&broker, "3").await, @r#"404 {"type":"about:blank","title":"There is nothing at this address.","status":404,"detail":"message 3 is not there yet: a has come to 2","code":"not_found","retryable":false}"#);
        insta::assert_snapshot!(get(&broker, "0-2").await, @r#"410 {"type":"about:blank","title":"The history no longer reaches back to the cursor: messages were lost.","status":410,"detail":"the history of a no longer has message 2","code":"history_lost","retryable":false}"#);
        for nonsense in ["0", "-1", "first", "1.5", "%20"] {
            let answer = get(&broker, nonsense).await;
            assert!(answer.starts_with("400 "), "{answer}");
        }
    }
}
