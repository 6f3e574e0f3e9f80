//! The HTTP dispatcher's view of a connection: bytes pass the [`Gate`], and a connection on which something takes too long
//! is ended.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::chunks::BadChunk;
use super::connection::{Connection, HangUp, Owner};
use super::gate::{Gate, READ_BYTES, Want};
use super::head::TakesUpgrade;
use super::linger::linger;
use super::pace::{Alarm, Pace, Patience};
use super::refusal::RequestRefusal;
use crate::config::TimeoutSettings;
use crate::memory_budget::{Bounds, Counted, Hold, Part};
use crate::metrics::Slowness;

/// How often the broker checks whether a client is still there while it leaves the client's bytes unread. The end of the
/// connection lies behind these bytes, so reading would not show it.
const LOOK: Duration = Duration::from_millis(500);

/// How long requests are still answered after the client has ended its direction, since it may still read.
const HALF_CLOSED: Duration = Duration::from_secs(1);

thread_local! {
    /// Where bytes are read to before it is known how many have come: to zero a buffer for each read would take longer than the read.
    static SCRATCH: RefCell<[u8; READ_BYTES]> = const { RefCell::new([0; READ_BYTES]) };
}

/// What the listener grants each connection.
#[derive(Debug, Clone)]
pub struct Terms {
    /// How long clients that send or take nothing are waited for.
    pub timeouts: TimeoutSettings,
    /// How many bytes all unfinished requests may take together, and all answers that are being written.
    pub bounds: Bounds,
    /// Whether a WebSocket may begin at a path; elsewhere the offer is ignored.
    pub takes_upgrade: TakesUpgrade,
}

/// What a connection needs for as long as the dispatcher has it.
pub(super) struct Dispatch {
    timeouts: TimeoutSettings,
    unfinished_bytes: u64,
    gate: Gate,
    /// The memory of a head that has come in part.
    head: Option<Hold>,
    /// The memory of a long head that has come as a whole.
    long_head: Option<Counted>,
    reading: Alarm,
    look_at: Option<Instant>,
    /// The deadline for an answer that the client does not take at once.
    answer: Option<Pace>,
    /// The memory of that part of the answer which the dispatcher has not been handed yet.
    answer_rest: Option<Hold>,
    answer_limit: u64,
    writing: Alarm,
    /// The dispatcher has the last byte of the answer.
    is_answered: bool,
}

impl Dispatch {
    pub(super) fn new(terms: Terms) -> Self {
        Self {
            timeouts: terms.timeouts,
            unfinished_bytes: terms.bounds.unfinished,
            gate: Gate::new(Instant::now(), terms.takes_upgrade),
            head: None,
            long_head: None,
            reading: Alarm::default(),
            look_at: None,
            answer: None,
            answer_rest: None,
            answer_limit: terms.bounds.answers,
            writing: Alarm::default(),
            is_answered: false,
        }
    }

    pub(super) fn into_early(self) -> Bytes {
        self.gate.into_early()
    }

    /// Counts the memory of a long head for as long as its request is answered, which may take as long as a poll waits.
    fn count_long_head(&mut self) {
        match self.gate.long_head() {
            Some(bytes) if self.long_head.is_none() => {
                self.long_head = Some(Counted::of(Part::Requests, bytes));
            }
            Some(_) => {}
            None => self.long_head = None,
        }
    }

    /// Counts the memory of a head that has come in part. Ready when the head is given up to make room for others.
    fn poll_given_up(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if !self.gate.is_in_head() {
            self.head = None;
            return Poll::Pending;
        }
        let head = self.head.get_or_insert_with(|| Hold::of(Part::Unfinished));
        head.hold(self.gate.kept_bytes(), self.unfinished_bytes);
        head.poll_given_up(context)
    }

    /// Ready when the next bytes have not come in time.
    fn poll_too_late(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let timeouts = &self.timeouts;
        let time = if self.gate.is_in_head() || (self.gate.is_idle() && self.gate.is_first()) {
            timeouts.head
        } else if self.gate.is_idle() {
            timeouts.idle
        } else {
            return Poll::Pending;
        };
        self.reading.poll(self.gate.since() + time, context)
    }
}

impl Connection {
    fn poll_through_gate(
        &self,
        dispatch: &mut Dispatch,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let before = out.filled().len();
            if let Err(refusal) = dispatch.gate.hand_on(out, Instant::now()) {
                self.refuse(dispatch, refusal);
            }
            dispatch.count_long_head();
            if out.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
            match dispatch.gate.want(out.remaining()) {
                Want::End => return Poll::Ready(Ok(())),
                Want::Bytes(most) => ready!(self.poll_read_early(dispatch, context, most))?,
                Want::Body(most) => {
                    ready!(self.poll_read_body(dispatch, context, out, most))?;
                    if out.filled().len() > before {
                        return Poll::Ready(Ok(()));
                    }
                }
                Want::Nothing => ready!(self.poll_look(dispatch, context)),
            }
        }
    }

    /// Reads into the gate, and ends the connection when that takes too long.
    fn poll_read_early(
        &self,
        dispatch: &mut Dispatch,
        context: &mut Context<'_>,
        most: usize,
    ) -> Poll<io::Result<()>> {
        let most = most.min(READ_BYTES);
        let polled = SCRATCH.with_borrow_mut(|bytes| {
            let polled = self.poll_some(context, &mut bytes[..most]);
            if let Poll::Ready(Ok(count @ 1..)) = polled {
                dispatch.gate.received(&bytes[..count], Instant::now());
            }
            polled
        });
        match polled {
            Poll::Ready(Ok(0)) => dispatch.gate.end(Instant::now()),
            Poll::Ready(Ok(_)) => {}
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending if dispatch.poll_given_up(context).is_ready() => {
                self.refuse(dispatch, RequestRefusal::Overloaded);
            }
            Poll::Pending => {
                ready!(dispatch.poll_too_late(context));
                if dispatch.gate.is_in_head() {
                    self.gave_up(Slowness::Head);
                    self.refuse(dispatch, RequestRefusal::HeadTimeout);
                } else {
                    // That no further request comes is nothing to count.
                    if dispatch.gate.is_first() {
                        self.gave_up(Slowness::Opening);
                    }
                    dispatch.gate.close();
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads a part of a body into the buffer of the dispatcher.
    fn poll_read_body(
        &self,
        dispatch: &mut Dispatch,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
        most: usize,
    ) -> Poll<io::Result<()>> {
        let bytes = out.initialize_unfilled_to(most);
        let count = ready!(self.poll_some(context, bytes))?;
        if count == 0 {
            dispatch.gate.end(Instant::now());
        }
        let count = dispatch.gate.handed_on(&bytes[..count]);
        out.advance(count);
        Poll::Ready(Ok(()))
    }

    fn poll_some(&self, context: &mut Context<'_>, bytes: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_read_ready(context))?;
            match self.stream.try_read(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    /// Looks now and then whether the client is still there, while nothing is read from it.
    fn poll_look(&self, dispatch: &mut Dispatch, context: &mut Context<'_>) -> Poll<()> {
        loop {
            let now = Instant::now();
            match self.is_hung_up() {
                Some(HangUp::Gone) => dispatch.gate.close(),
                Some(HangUp::Ended) => dispatch.gate.end(now),
                None => {}
            }
            let ended = dispatch.gate.ended();
            if ended.is_some_and(|ended| now >= ended + HALF_CLOSED) {
                dispatch.gate.close();
            }
            if dispatch.gate.want(0) != Want::Nothing {
                return Poll::Ready(());
            }
            let at = *dispatch.look_at.get_or_insert(now + LOOK);
            ready!(dispatch.reading.poll(at, context));
            dispatch.look_at = None;
        }
    }

    /// Answers bytes that are no request. No request is being answered at that moment, so that no answer of the dispatcher
    /// is cut in two. A client that takes nothing is not waited for.
    fn refuse(&self, dispatch: &mut Dispatch, refusal: RequestRefusal) {
        tracing::debug!(client.address = %self.peer(), ?refusal, "a request was refused before it was read as a whole");
        let _ = self.try_write(&refusal.answer());
        dispatch.gate.close();
        dispatch.head = None;
    }

    /// So many bytes of the answer wait until the client has taken those before them.
    pub(super) fn hold_answer(&self, bytes: usize) {
        if let Some(dispatch) = &mut *self.dispatch.borrow_mut() {
            let limit = dispatch.answer_limit;
            let rest = &mut dispatch.answer_rest;
            rest.get_or_insert_with(|| Hold::of(Part::Answers))
                .hold(bytes, limit);
        }
    }

    /// The dispatcher has been handed the last byte of an answer.
    pub(super) fn answer_ends(&self) {
        if let Some(dispatch) = &mut *self.dispatch.borrow_mut() {
            dispatch.answer_rest = None;
            dispatch.is_answered = true;
        }
    }

    /// Whether the request that is being answered has a long head.
    pub(super) fn has_long_head(&self) -> bool {
        let dispatch = self.dispatch.borrow();
        let dispatch = dispatch.as_ref();
        dispatch.is_some_and(|dispatch| dispatch.gate.long_head().is_some())
    }

    /// Whether some of the request that is being answered has yet to come.
    pub(super) fn is_in_request(&self) -> bool {
        let dispatch = self.dispatch.borrow();
        let dispatch = dispatch.as_ref();
        dispatch.is_some_and(|dispatch| dispatch.gate.is_in_request())
    }

    /// What is wrong with the body of the request that is being answered.
    pub(super) fn body_fault(&self) -> Option<BadChunk> {
        let dispatch = self.dispatch.borrow();
        dispatch.as_ref()?.gate.fault()
    }

    /// Returns whether the client waits to be told to send the body, and takes note that it is told now.
    pub(super) fn take_expectation(&self) -> bool {
        let mut dispatch = self.dispatch.borrow_mut();
        let dispatch = dispatch.as_mut();
        dispatch.is_some_and(|dispatch| dispatch.gate.take_expectation())
    }

    /// Writes to the socket while the dispatcher has nothing to write.
    pub(super) fn poll_write_beside(
        &self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_paced(context, |stream| stream.try_write(bytes))
    }

    /// The kernel has everything that the dispatcher had to write.
    fn poll_flushed(&self, context: &mut Context<'_>) {
        self.flushed();
        let Some(dispatch) = &mut *self.dispatch.borrow_mut() else {
            return;
        };
        dispatch.answer = None;
        if !std::mem::take(&mut dispatch.is_answered) {
            return;
        }
        dispatch.look_at = None;
        dispatch.head = None;
        dispatch.gate.answered(Instant::now());
        // The dispatcher may not read again by itself, nor wait for the time to be up.
        if dispatch.gate.has_news() || dispatch.poll_too_late(context).is_ready() {
            context.waker().wake_by_ref();
        }
    }

    /// Writes the dispatcher's bytes, and ends the connection of a client that takes them too slowly.
    fn poll_write_paced(
        &self,
        context: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let written = loop {
            let Poll::Ready(ready) = self.stream.poll_write_ready(context) else {
                break Poll::Pending;
            };
            ready?;
            match write(&self.stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => break Poll::Ready(result),
            }
        };
        let Some(dispatch) = &mut *self.dispatch.borrow_mut() else {
            return written;
        };
        let rest = dispatch.answer_rest.as_ref();
        if rest.is_some_and(|rest| rest.poll_given_up(context).is_ready()) {
            tracing::debug!(client.address = %self.peer(), "the answers that clients do not take fill their share of memory: ending the connection with the largest");
            self.reset();
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let now = Instant::now();
        let patience = Patience::answer(&dispatch.timeouts);
        match (&written, &mut dispatch.answer) {
            (Poll::Ready(Ok(count)), Some(pace)) => pace.progress(now, *count),
            (Poll::Ready(_), _) => {}
            (Poll::Pending, pace) => {
                let deadline = pace
                    .get_or_insert_with(|| Pace::begin(now, patience))
                    .deadline();
                ready!(dispatch.writing.poll(deadline, context));
                tracing::debug!(client.address = %self.peer(), "the client did not take its answer within timeouts.answer_ms: ending its connection");
                self.gave_up(Slowness::Answer);
                self.reset();
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        written
    }

    /// Ends our direction. The rest is read and thrown away: a connection with unread bytes would be reset, and the client
    /// would lose its answer.
    fn finish(self: &Rc<Self>) {
        self.finish_writing();
        let dispatch = self.dispatch.borrow();
        let dispatch = dispatch.as_ref();
        let has_unread = dispatch.is_some_and(|dispatch| dispatch.gate.has_unread());
        if has_unread || matches!(self.discard(), Ok(1..)) {
            actix_rt::spawn(linger(Rc::clone(self)));
        }
    }
}

/// The dispatcher's view of a connection.
pub struct ConnectionIo(pub Rc<Connection>);

impl AsyncRead for ConnectionIo {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.0.owner() {
            Owner::Session => Poll::Ready(Ok(())),
            Owner::Leaving => Poll::Pending,
            Owner::Dispatcher => match &mut *self.0.dispatch.borrow_mut() {
                Some(dispatch) => self.0.poll_through_gate(dispatch, context, buffer),
                None => Poll::Ready(Ok(())),
            },
        }
    }
}

impl AsyncWrite for ConnectionIo {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.0.owner() == Owner::Session {
            return Poll::Ready(Ok(bytes.len()));
        }
        self.0
            .poll_write_paced(context, |stream| stream.try_write(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_flushed(context);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.0.owner() != Owner::Session {
            self.0.finish();
        }
        Poll::Ready(Ok(()))
    }
}
