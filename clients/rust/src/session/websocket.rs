//! A session over a WebSocket.

use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use hyper::Uri;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::tungstenite::client::ClientRequestBuilder;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WebSocketError, Message as Packet};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use widecast_protocol::error::chain;

use super::link::{Gathering, Outgoing, joined};
use super::query::SessionQuery;
use crate::error::{Error, Refusal};
use crate::frame::Frame;
use crate::http::{Http, SENDER_HEADER, Wire};
use crate::reconnect::End;
use crate::stream::LONGEST_SILENCE;

/// The subprotocol: frames as JSON.
const SUBPROTOCOL: &str = "widecast.v1.json";
/// The largest frame that is taken: more than the largest message that a broker can be set to.
const MAX_FRAME_BYTES: usize = 1 << 30;

type Socket = WebSocketStream<Wire>;

/// The frames that a WebSocket brings.
#[derive(Debug)]
pub(super) struct WebSocketFrames {
    packets: SplitStream<Socket>,
    /// When something came last, be it a ping.
    heard: Instant,
    silence: Duration,
}

/// Opens a WebSocket.
pub(super) async fn open(
    http: &Http,
    query: &SessionQuery,
) -> Result<(WebSocketFrames, SplitSink<Socket, Packet>), Error> {
    let address = http
        .base()
        .join_websocket(&format!("/v1/ws{}", query.opening(None)));
    let address: Result<Uri, _> = address.parse();
    let address = address.map_err(|error| http.unreachable(Box::new(error)))?;
    let mut request = ClientRequestBuilder::new(address)
        .with_sub_protocol(SUBPROTOCOL)
        .with_header(SENDER_HEADER, http.sender().as_str());
    if let Some(token) = http.token() {
        request = request.with_header("authorization", token.header());
    }
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_FRAME_BYTES))
        .max_frame_size(Some(MAX_FRAME_BYTES));
    let opened = client_async_with_config(request, http.wire().await?, Some(config)).await;
    let (socket, _) = opened.map_err(|error| match error {
        WebSocketError::Http(answer) => {
            let (head, body) = answer.into_parts();
            Error::Refused(Refusal::read(&head, &body.unwrap_or_default()))
        }
        other => http.unreachable(other.into()),
    })?;
    let (sink, packets) = socket.split();
    let frames = WebSocketFrames {
        packets,
        heard: Instant::now(),
        silence: LONGEST_SILENCE,
    };
    Ok((frames, sink))
}

impl WebSocketFrames {
    /// Takes note of the interval between the broker's heartbeats.
    pub(super) fn set_heartbeat(&mut self, interval: Duration) {
        self.silence = LONGEST_SILENCE.max(interval.saturating_mul(3));
    }

    /// Nothing was read for a while, because there was no room.
    pub(super) fn resume(&mut self) {
        self.heard = Instant::now();
    }

    /// The next frames. Pings are answered by the way. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Vec<Frame>, End> {
        loop {
            let packet = timeout_at(self.heard + self.silence, self.packets.next()).await;
            let cut = |reason: &str| End::from(Error::Cut(reason.to_owned()));
            let packet = packet.map_err(|_| cut("no heartbeat"))?;
            let packet = packet.ok_or_else(|| cut("the broker closed it"))?;
            self.heard = Instant::now();
            match packet.map_err(|error| cut(&chain(&error)))? {
                Packet::Text(text) => return Ok(Frame::read_all(text.as_bytes())?),
                Packet::Binary(_) => return Err(Error::Protocol("frames of JSON").into()),
                Packet::Close(_) => return Err(cut("the broker closed it")),
                Packet::Ping(_) | Packet::Pong(_) | Packet::Frame(_) => {}
            }
        }
    }
}

/// Sends commands until that fails.
pub(super) async fn write(
    mut sink: SplitSink<Socket, Packet>,
    commands: mpsc::Receiver<Outgoing>,
) -> End {
    let mut gathering = Gathering::new(commands);
    while let Some(commands) = gathering.next().await {
        if let Err(error) = sink.send(Packet::text(joined(&commands))).await {
            return Error::Cut(chain(&error)).into();
        }
    }
    Error::Closed.into()
}
