//! The connection of a session: frames come, commands go, whatever transport carries them.

use std::collections::VecDeque;

use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::time::{Duration, timeout};

use super::poll::PollFrames;
use super::query::SessionQuery;
use super::{one_way, websocket};
use crate::error::Error;
use crate::frame::Frame;
use crate::http::{CONNECT_TIMEOUT, Http};
use crate::reconnect::End;
use crate::stream::{ObjectStream, Piece};
use crate::transport::Transport;

/// How many commands are sent together at the most: fewer than any broker allows by default.
const COMMANDS_PER_FRAME: usize = 100;
/// How large the commands may be that are sent together, so that they do not make each other too large.
const BYTES_TOGETHER: usize = 256 * 1024;

/// A command on its way.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) id: u64,
    pub(super) text: String,
}

/// The reading half of a connection, by transport.
#[derive(Debug)]
pub(super) enum Frames {
    WebSocket(websocket::WebSocketFrames),
    Stream(ObjectStream),
    Poll(PollFrames),
}

impl Frames {
    /// The next frames. Cancel safe.
    async fn next(&mut self) -> Result<Vec<Frame>, End> {
        match self {
            Self::WebSocket(frames) => frames.next().await,
            Self::Poll(frames) => frames.next().await,
            Self::Stream(stream) => match stream.next().await? {
                Piece::Object(object) => Ok(vec![Frame::read(&object)?]),
                Piece::Place(_) => Ok(Vec::new()),
            },
        }
    }
}

/// A connection over which `welcome` has come.
pub(crate) struct Link {
    frames: Frames,
    /// The frames that have come together with the last one.
    arrived: VecDeque<Frame>,
    /// The first frame.
    pub(super) welcome: Frame,
    outgoing: mpsc::Sender<Outgoing>,
    /// Sends commands; it ends only when it fails.
    writing: BoxFuture<'static, End>,
    /// Errors of commands that were refused on their way, where they have a way of their own.
    refused: mpsc::Receiver<Frame>,
}

impl Link {
    /// Opens a session, and waits for its first frame. So many commands may wait to be sent.
    pub(super) async fn open(
        http: &Http,
        transport: Transport,
        query: &SessionQuery,
        capacity: usize,
    ) -> Result<Self, End> {
        let begun = Self::begin(http, transport, query, capacity);
        let begun = timeout(CONNECT_TIMEOUT, begun).await;
        let begun = begun.map_err(|_| End::from(http.no_answer(CONNECT_TIMEOUT)))?;
        let mut link = begun?;
        link.keep_heartbeat();
        Ok(link)
    }

    async fn begin(
        http: &Http,
        transport: Transport,
        query: &SessionQuery,
        capacity: usize,
    ) -> Result<Self, End> {
        let (mut frames, sink) = if transport == Transport::WebSocket {
            let (frames, sink) = websocket::open(http, query).await?;
            (Frames::WebSocket(frames), Some(sink))
        } else {
            (one_way::open(http, transport, query).await?, None)
        };
        let mut arrived = VecDeque::new();
        let welcome = first(&mut frames, &mut arrived).await?;
        let (outgoing, commands) = mpsc::channel(capacity);
        let (refusing, refused) = mpsc::channel(COMMANDS_PER_FRAME);
        let writing: BoxFuture<'static, End> = if let Some(sink) = sink {
            Box::pin(websocket::write(sink, commands))
        } else {
            let session = welcome.session.clone();
            let session = session.ok_or(Error::Protocol("a session with its name"))?;
            Box::pin(one_way::write(http.clone(), session, commands, refusing))
        };
        Ok(Self {
            frames,
            arrived,
            welcome,
            outgoing,
            writing,
            refused,
        })
    }

    fn keep_heartbeat(&mut self) {
        let interval = Duration::from_millis(self.welcome.heartbeat_ms.unwrap_or_default());
        match &mut self.frames {
            Frames::WebSocket(frames) => frames.set_heartbeat(interval),
            Frames::Stream(stream) => stream.set_heartbeat(interval),
            Frames::Poll(_) => {}
        }
    }

    /// Nothing was read for a while, because there was no room.
    pub(super) fn resume(&mut self) {
        match &mut self.frames {
            Frames::WebSocket(frames) => frames.resume(),
            Frames::Stream(stream) => stream.resume(),
            Frames::Poll(_) => {}
        }
    }

    /// Sends a command. There has to be room: whoever opens the link says how much is needed.
    pub(super) fn send(&self, id: u64, text: String) -> Result<(), End> {
        let sent = self.outgoing.try_send(Outgoing { id, text });
        sent.map_err(|_| Error::Cut("too many commands wait to be sent".to_owned()).into())
    }

    /// The next frame; commands are sent meanwhile. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Frame, End> {
        loop {
            if let Some(frame) = self.arrived.pop_front() {
                return Ok(frame);
            }
            tokio::select! {
                frames = self.frames.next() => self.arrived.extend(frames?),
                end = &mut self.writing => return Err(end),
                Some(frame) = self.refused.recv() => return Ok(frame),
            }
        }
    }
}

/// The first frame, which is `welcome`; a refusal may come in its place.
async fn first(frames: &mut Frames, arrived: &mut VecDeque<Frame>) -> Result<Frame, End> {
    loop {
        arrived.extend(frames.next().await?);
        let Some(frame) = arrived.pop_front() else {
            continue;
        };
        return match frame.kind.as_deref() {
            Some("welcome") => Ok(frame),
            Some("goodbye" | "error") => Err(Error::Refused(frame.into_refusal()).into()),
            _ => Err(Error::Protocol("a session that begins with `welcome`").into()),
        };
    }
}

/// Waits for a command, and takes those with it that wait behind it, as far as they fit into one frame.
pub(super) struct Gathering {
    commands: mpsc::Receiver<Outgoing>,
    /// The command that did not fit any more.
    next: Option<Outgoing>,
}

impl Gathering {
    pub(super) fn new(commands: mpsc::Receiver<Outgoing>) -> Self {
        let next = None;
        Self { commands, next }
    }

    /// The next commands; nothing once the session needs no connection any more.
    pub(super) async fn next(&mut self) -> Option<Vec<Outgoing>> {
        let first = match self.next.take() {
            Some(command) => command,
            None => self.commands.recv().await?,
        };
        let mut bytes = first.text.len();
        let mut together = vec![first];
        while together.len() < COMMANDS_PER_FRAME {
            let Ok(command) = self.commands.try_recv() else {
                break;
            };
            bytes += command.text.len();
            if bytes > BYTES_TOGETHER {
                self.next = Some(command);
                break;
            }
            together.push(command);
        }
        Some(together)
    }
}

/// Several commands as one frame.
pub(super) fn joined(commands: &[Outgoing]) -> String {
    if let [command] = commands {
        return command.text.clone();
    }
    let texts: Vec<&str> = commands
        .iter()
        .map(|command| command.text.as_str())
        .collect();
    format!("[{}]", texts.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn commands_go_together_as_far_as_they_fit() {
        let (outgoing, commands) = mpsc::channel(300);
        let large = "x".repeat(BYTES_TOGETHER / 2);
        for id in 0..250 {
            let text = if id == 240 || id == 241 { &large } else { "{}" };
            let text = text.to_owned();
            outgoing.send(Outgoing { id, text }).await.unwrap();
        }
        drop(outgoing);
        let mut gathering = Gathering::new(commands);
        let mut counts = Vec::new();
        while let Some(together) = gathering.next().await {
            counts.push(together.len());
        }
        assert_eq!(counts, [100, 100, 41, 9]);
    }
}
