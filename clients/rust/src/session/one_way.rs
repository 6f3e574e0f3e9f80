//! Sessions over transports that lead only from the broker: commands go by requests of their own.

use bytes::Bytes;
use hyper::{Method, header};
use tokio::sync::mpsc;

use super::link::{Frames, Gathering, Outgoing, joined};
use super::poll::PollFrames;
use super::query::SessionQuery;
use crate::error::{Error, Refusal};
use crate::frame::Frame;
use crate::http::{ANSWER_TIMEOUT, Http};
use crate::reconnect::End;
use crate::stream::ObjectStream;
use crate::transport::Transport;

/// Opens a session.
pub(super) async fn open(
    http: &Http,
    transport: Transport,
    query: &SessionQuery,
) -> Result<Frames, Error> {
    if transport == Transport::LongPoll {
        return Ok(Frames::Poll(PollFrames::new(http.clone(), query)));
    }
    let query = query.opening(Some("session=new"));
    let path = format!("/v1/{}{query}", transport.path());
    let request = http.get(&path, transport.accept());
    let stream = ObjectStream::open(http, request, transport).await?;
    Ok(Frames::Stream(stream))
}

/// Sends commands, one body after the other, so that they are carried out in order. Ends when the session is gone.
pub(super) async fn write(
    http: Http,
    session: String,
    commands: mpsc::Receiver<Outgoing>,
    refusing: mpsc::Sender<Frame>,
) -> End {
    let path = format!("/v1/sessions/{session}/commands");
    let mut gathering = Gathering::new(commands);
    while let Some(commands) = gathering.next().await {
        let request = http
            .request(Method::POST, &path)
            .header(header::CONTENT_TYPE, "application/json");
        let body = Bytes::from(joined(&commands));
        match http.whole(request, body, ANSWER_TIMEOUT).await {
            Ok(_) => {}
            // The session has ended by itself: its commands are for the next one.
            Err(Error::Refused(refusal))
                if refusal.code.as_deref() == Some("session_not_found") =>
            {
                return Error::Cut(refusal.to_string()).into();
            }
            Err(Error::Refused(refusal)) if !refusal.is_retryable => {
                for command in commands {
                    // Nobody takes it once the session is over.
                    let _ = refusing.send(error(command.id, &refusal)).await;
                }
            }
            Err(error) => return error.into(),
        }
    }
    Error::Closed.into()
}

/// The refusal of a body as the error of one of its commands.
fn error(id: u64, refusal: &Refusal) -> Frame {
    Frame {
        kind: Some("error".to_owned()),
        id: Some(id),
        code: refusal.code.clone(),
        message: Some(refusal.reason.clone()),
        retry_after_ms: refusal
            .retry_after
            .and_then(|after| after.as_millis().try_into().ok()),
        ..Frame::default()
    }
}
