//! Decides which bytes of a connection the HTTP dispatcher may see: one request at a time, and nothing of the next before
//! the answer is written.
//!
//! The dispatcher reads for as long as bytes come, whatever it has yet to answer. Behind a poll that waits it would keep 128
//! KiB of further requests, and look at them again and again. So the gate hands it whole heads and the bytes of their
//! bodies, and keeps a few bytes that come early; the rest waits in the kernel, and TCP slows the client down.
//!
//! The gate itself reads and writes nothing: [`ConnectionIo`](super::connection_io::ConnectionIo) does.

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::ReadBuf;
use tokio::time::Instant;

use super::chunks::{BadChunk, Chunks};
use super::head::{HEAD_BYTES, RequestFraming, RequestHead, TakesUpgrade, inspect};
use super::refusal::RequestRefusal;

/// How many bytes are read at once while the broker does not know yet whether they are a head or a body.
pub(super) const READ_BYTES: usize = 8 << 10;

/// The longest head after which the connection goes on. The buffer of the dispatcher grows with the head and never shrinks: behind a longer
/// one an idle connection would keep it.
const LONG_HEAD_BYTES: usize = 2 * READ_BYTES;

/// How many bytes are kept of those that come before the answer is written.
const READ_AHEAD: usize = READ_BYTES;

/// The phase that a connection is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The head of a request is next, or has come in part.
    Head,
    /// A request is handed on.
    Request,
    /// All of the request is handed on, and its answer is not written yet.
    Answer,
    /// Nothing more is handed on.
    Closed,
}

/// The request that is being handed on or answered.
#[derive(Debug, Default)]
struct RequestUnderWay {
    /// No other request follows on the connection.
    is_last: bool,
    /// How many bytes its head has.
    head_bytes: usize,
    /// The client waits to be told to send the body.
    expects_continue: bool,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    /// Read at most so many bytes for [`Gate::received`].
    Bytes(usize),
    /// Read the body into the dispatcher's buffer, at most so many bytes, and tell [`Gate::handed_on`].
    Body(usize),
    /// Nothing is read before the answer is written: what was read ahead is enough, or what follows cannot be told from the body.
    Nothing,
    /// Tell the dispatcher that nothing more comes.
    End,
}

/// Lets one request at a time through.
#[derive(Debug)]
pub(super) struct Gate {
    phase: Phase,
    takes: TakesUpgrade,
    /// The bytes that have been read and are not handed on.
    buffer: BytesMut,
    /// In how many bytes of the buffer the end of a head has been looked for.
    searched: usize,
    /// The head that is handed on in place of the one that came.
    rewritten: Bytes,
    /// How many of the next bytes belong to the request: its head, and a body of known length.
    passing: u64,
    /// Finds the end of the body, if it is chunked.
    chunks: Option<Chunks>,
    /// Why the end of the body cannot be found: the answer to the request is the last of the connection.
    fault: Option<BadChunk>,
    request: RequestUnderWay,
    is_first: bool,
    /// When the phase began; for a head, when its first byte came.
    since: Instant,
    /// When the client ended its direction.
    ended: Option<Instant>,
    /// A request was answered before it had come as a whole.
    is_cut: bool,
}

impl Gate {
    /// The gate of a connection that has just been opened.
    pub(super) fn new(now: Instant, takes: TakesUpgrade) -> Self {
        Self {
            phase: Phase::Head,
            takes,
            buffer: BytesMut::new(),
            searched: 0,
            rewritten: Bytes::new(),
            passing: 0,
            chunks: None,
            fault: None,
            request: RequestUnderWay::default(),
            is_first: true,
            since: now,
            ended: None,
            is_cut: false,
        }
    }

    /// When the phase began; for a head that has come in part, when its first byte came.
    pub(super) fn since(&self) -> Instant {
        self.since
    }

    /// When the client ended its direction.
    pub(super) fn ended(&self) -> Option<Instant> {
        self.ended
    }

    /// Whether no request is under way, and nothing has come of the next.
    pub(super) fn is_idle(&self) -> bool {
        self.phase == Phase::Head && self.buffer.is_empty()
    }

    /// Whether the next request would be the first.
    pub(super) fn is_first(&self) -> bool {
        self.is_first
    }

    /// Whether the head of a request has come in part.
    pub(super) fn is_in_head(&self) -> bool {
        self.phase == Phase::Head && !self.buffer.is_empty()
    }

    /// How many bytes of memory the gate keeps.
    pub(super) fn kept_bytes(&self) -> usize {
        self.buffer.capacity()
    }

    /// How many bytes the head of the request has that is under way, if it is a long one: the dispatcher keeps it until it is answered, and
    /// the buffer in which it came until the connection ends.
    pub(super) fn long_head(&self) -> Option<usize> {
        let bytes = self.request.head_bytes;
        (self.phase != Phase::Head && bytes > LONG_HEAD_BYTES).then_some(bytes)
    }

    /// Whether a request is not whole yet.
    pub(super) fn is_in_request(&self) -> bool {
        self.phase == Phase::Request
    }

    /// What is wrong with the body of the request that is being answered.
    pub(super) fn fault(&self) -> Option<BadChunk> {
        self.fault
    }

    /// Whether bytes have come that nobody will read.
    pub(super) fn has_unread(&self) -> bool {
        self.is_cut || self.is_in_request() || !self.buffer.is_empty()
    }

    /// What to do next.
    pub(super) fn want(&self, room: usize) -> Want {
        match self.phase {
            Phase::Closed => Want::End,
            Phase::Answer if self.ended.is_some() && !self.buffer.is_empty() => Want::Nothing,
            Phase::Request if self.fault.is_some() => Want::Nothing,
            _ if self.ended.is_some() => Want::End,
            Phase::Head => Want::Bytes((HEAD_BYTES + 1 - self.buffer.len()).min(READ_BYTES)),
            Phase::Request if self.chunks.is_some() => Want::Body(room),
            Phase::Request => {
                Want::Body(usize::try_from(self.passing).map_or(room, |n| n.min(room)))
            }
            Phase::Answer if self.buffer.len() < READ_AHEAD => {
                Want::Bytes(READ_AHEAD - self.buffer.len())
            }
            Phase::Answer => Want::Nothing,
        }
    }

    /// Takes bytes that were read.
    pub(super) fn received(&mut self, bytes: &[u8], now: Instant) {
        if self.is_idle() {
            self.since = now;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The client has ended its direction, or is gone.
    pub(super) fn end(&mut self, now: Instant) {
        self.ended.get_or_insert(now);
    }

    /// Hands nothing more on, and keeps nothing: the connection may still linger.
    pub(super) fn close(&mut self) {
        self.is_cut |= self.has_unread();
        self.phase = Phase::Closed;
        self.buffer = BytesMut::new();
        self.rewritten = Bytes::new();
    }

    /// Hands on what may be handed on.
    ///
    /// # Errors
    /// When the bytes that have come are no request.
    pub(super) fn hand_on(
        &mut self,
        out: &mut ReadBuf<'_>,
        now: Instant,
    ) -> Result<(), RequestRefusal> {
        if self.phase == Phase::Head && !self.buffer.is_empty() {
            self.look_for_head(now)?;
        }
        if self.phase != Phase::Request {
            return Ok(());
        }
        let count = self.rewritten.len().min(out.remaining());
        out.put_slice(&self.rewritten.split_to(count));
        if self.rewritten.is_empty() {
            let count = self.admit(out.remaining());
            out.put_slice(&self.buffer[..count]);
            self.buffer.advance(count);
            if self.buffer.is_empty() {
                // An idle connection keeps no memory.
                self.buffer = BytesMut::new();
            }
        }
        Ok(())
    }

    /// How many bytes at the front of the buffer belong to the request; at most `room` of them.
    fn admit(&mut self, room: usize) -> usize {
        let mut most = room.min(self.buffer.len());
        let mut count = usize::try_from(self.passing).map_or(most, |passing| passing.min(most));
        self.passing -= count as u64;
        most -= count;
        if self.passing == 0 && self.chunks.is_some() {
            let buffer = std::mem::take(&mut self.buffer);
            count += self.scan(&buffer[count..count + most]);
            self.buffer = buffer;
        }
        self.finish_request();
        count
    }

    /// How many of the bytes belong to the chunked body. Where it is not chunked as it should be, nothing more of it is handed on.
    fn scan(&mut self, bytes: &[u8]) -> usize {
        let Some(chunks) = self.chunks.as_mut().filter(|_| self.fault.is_none()) else {
            return 0;
        };
        match chunks.scan(bytes) {
            Ok(count) => {
                if chunks.is_at_end() {
                    self.chunks = None;
                }
                count
            }
            Err(fault) => {
                self.fault = Some(fault);
                0
            }
        }
    }

    /// These bytes were read into the dispatcher's buffer. Returns how many of them belong to the body.
    pub(super) fn handed_on(&mut self, bytes: &[u8]) -> usize {
        let count = if self.chunks.is_some() {
            let count = self.scan(bytes);
            self.buffer.extend_from_slice(&bytes[count..]);
            count
        } else {
            self.passing = self.passing.saturating_sub(bytes.len() as u64);
            bytes.len()
        };
        self.request.expects_continue = false;
        self.finish_request();
        count
    }

    fn finish_request(&mut self) {
        if self.passing == 0 && self.chunks.is_none() && self.rewritten.is_empty() {
            self.phase = Phase::Answer;
        }
    }

    fn look_for_head(&mut self, now: Instant) -> Result<(), RequestRefusal> {
        if self.searched > 0 && !self.has_end_of_head() && self.buffer.len() < HEAD_BYTES {
            // To read the head anew for every byte of it would be work without bounds.
            self.searched = self.buffer.len();
            return Ok(());
        }
        let Some(head) = inspect(&self.buffer, self.takes)? else {
            self.searched = self.buffer.len();
            return Ok(());
        };
        self.begin(head, now);
        Ok(())
    }

    /// Whether an empty line is among the bytes that were not looked at yet.
    fn has_end_of_head(&self) -> bool {
        let new = &self.buffer[self.searched.saturating_sub(3)..];
        let mut ends = new.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        ends.any(|(at, _)| matches!(new[at + 1..], [b'\n', ..] | [b'\r', b'\n', ..]))
    }

    fn begin(&mut self, head: RequestHead, now: Instant) {
        self.phase = Phase::Request;
        self.since = now;
        self.searched = 0;
        self.is_first = false;
        self.request.head_bytes = head.length;
        self.request.is_last = head.is_last || head.length > LONG_HEAD_BYTES;
        self.chunks = (head.framing == RequestFraming::Chunked).then(Chunks::default);
        self.passing = match head.framing {
            RequestFraming::Length(length) => length,
            RequestFraming::Chunked | RequestFraming::OtherProtocol => 0,
        };
        match head.rewritten {
            Some(rewritten) => {
                self.buffer.advance(head.length);
                self.rewritten = rewritten;
            }
            None => self.passing = self.passing.saturating_add(head.length as u64),
        }
        // A client that has sent some of the body does not wait to be told to.
        let is_awaited = head.framing.has_body() && self.buffer.is_empty();
        self.request.expects_continue = head.expects_continue && is_awaited;
    }

    /// Returns whether the client waits to be told to send the body, and takes note that it is told now.
    pub(super) fn take_expectation(&mut self) -> bool {
        std::mem::take(&mut self.request.expects_continue)
    }

    /// The kernel has the whole answer: the gate lets the next request through, if there may be one.
    pub(super) fn answered(&mut self, now: Instant) {
        self.is_cut |= self.is_in_request();
        self.phase = match self.phase {
            Phase::Answer if !self.request.is_last => Phase::Head,
            Phase::Head => Phase::Head,
            // The rest of a request that has been answered already would be read as another request.
            Phase::Answer | Phase::Request | Phase::Closed => Phase::Closed,
        };
        self.since = now;
    }

    /// Whether the dispatcher would be handed bytes now, or the end.
    pub(super) fn has_news(&self) -> bool {
        self.phase == Phase::Closed || self.ended.is_some() || !self.buffer.is_empty()
    }

    /// The bytes that came behind the request, for the session that takes the connection over.
    pub(super) fn into_early(self) -> Bytes {
        self.buffer.freeze()
    }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
