//! What a session has yet to write: shared bytes in order, bounded, with a policy for when the bound is reached.
//!
//! Pushing never writes. It marks the outbox dirty, and the shard's [`FlushList`] writes what has come together by then:
//! one frame per write when idle, many under load. Not `Sync`: everything stays on the shard's thread.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use widecast_protocol::{ChannelName, Code, CursorVector, EncodedMessage, Position};

use crate::config::SlowConsumer;
use crate::net::Connection;

use super::backlog::Backlog;
use super::flush::FlushList;
use super::item::{Item, Lane};
use super::pace::{Behind, Turns};
use super::voice::{GapForm, Voice};

/// Who takes the bytes.
pub(super) enum Sink {
    /// Nobody yet: the head of the answer is still being written, or no poll is waiting.
    Nobody,
    /// The socket.
    Socket(Rc<Connection>),
    /// A poll, woken to take everything at once.
    Poll(Waker),
}

/// What became of a pushed message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It will be written.
    Queued,
    /// It will be written, and this many older ones will not: the client is told of the gap.
    Dropped(usize),
    /// It does not fit.
    Full,
    /// The session is over already.
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Open,
    /// Nothing more is taken; what is queued is written, then the socket is closed.
    Ending,
    Closed(Code),
}

/// The outbox of one session.
pub struct Outbox {
    pub(super) backlog: RefCell<Backlog>,
    limit_bytes: usize,
    voice: Voice,
    /// How many subscriptions there have been.
    lanes: Cell<u32>,
    pub(super) sink: RefCell<Sink>,
    pub(super) state: Cell<State>,
    /// In the flush list, or waiting for the kernel.
    pub(super) scheduled: Cell<bool>,
    /// Who waits for room or for the end.
    waiters: RefCell<Vec<Waker>>,
    /// The subscriptions whose past is being sent.
    turns: Turns,
    /// How much the client has been written, or has taken by polls.
    written: Cell<u64>,
    pub(super) flush_list: Rc<FlushList>,
}

impl Outbox {
    /// An empty outbox of at most `limit_bytes`; a single larger message still fits when it is empty.
    pub fn new(flush_list: Rc<FlushList>, limit_bytes: usize, voice: Voice) -> Rc<Self> {
        Rc::new(Self {
            backlog: RefCell::new(Backlog::new(voice)),
            limit_bytes,
            voice,
            lanes: Cell::new(0),
            sink: RefCell::new(Sink::Nobody),
            state: Cell::new(State::Open),
            scheduled: Cell::new(false),
            waiters: RefCell::default(),
            turns: Turns::default(),
            written: Cell::new(0),
            flush_list,
        })
    }

    /// Whether messages are taken.
    pub fn is_open(&self) -> bool {
        self.state.get() == State::Open
    }

    /// Why the outbox was closed, if it was.
    pub fn closed(&self) -> Option<Code> {
        match self.state.get() {
            State::Closed(code) => Some(code),
            State::Open | State::Ending => None,
        }
    }

    /// A place in the outbox for one more subscription.
    pub fn lane(&self) -> Lane {
        let lane = self.lanes.get();
        self.lanes.set(lane.wrapping_add(1));
        Lane(lane)
    }

    /// What is said besides what is pushed.
    pub(super) fn voice(&self) -> Voice {
        self.voice
    }

    /// Where the client is once it has everything that was written or taken so far; empty if nobody has to know.
    pub fn places(&self) -> CursorVector {
        self.backlog.borrow().told()
    }

    /// The client begins to hear a channel after `position`, and knows it.
    pub fn begin_at(&self, channel: &ChannelName, position: Position) {
        self.backlog.borrow_mut().begin_at(channel, position);
    }

    /// Bytes that wait to be written, with what they cost in memory.
    pub fn queued_bytes(&self) -> usize {
        self.backlog.borrow().bytes()
    }

    /// How many bytes the client has been written, or has taken by polls.
    pub fn written_bytes(&self) -> u64 {
        self.written.get()
    }

    /// Whether the bytes go to a socket.
    pub(super) fn has_socket(&self) -> bool {
        matches!(*self.sink.borrow(), Sink::Socket(_))
    }

    pub(super) fn turns(&self) -> &Turns {
        &self.turns
    }

    /// A subscription of this outbox is behind.
    pub(super) fn is_behind(self: &Rc<Self>, behind: Behind) {
        if self.turns.add(behind) {
            self.flush_list.add_behind(Rc::clone(self));
        }
    }

    /// Queues a message; `policy` is its channel's. One that does not fit is not queued. With
    /// [`Cursors::OfAll`](super::Cursors::OfAll), `bytes` are what follows the cursor.
    pub fn push_message(
        self: &Rc<Self>,
        bytes: Bytes,
        message: &Arc<EncodedMessage>,
        lane: Lane,
        policy: SlowConsumer,
    ) -> Pushed {
        if self.state.get() != State::Open {
            return Pushed::Closed;
        }
        let policy = self.possible(policy);
        let Some(dropped) = self.admit(bytes.len()) else {
            return Pushed::Full;
        };
        if policy == SlowConsumer::Disconnect && !self.voice.keeps_places() {
            self.append(Item::Frame(bytes));
        } else {
            let message = Arc::clone(message);
            self.append(Item::Message {
                bytes,
                message,
                lane,
                policy,
            });
        }
        if policy == SlowConsumer::Disconnect {
            self.flush_list.dropped(dropped);
            return Pushed::Queued;
        }
        match dropped {
            0 => Pushed::Queued,
            count => Pushed::Dropped(count),
        }
    }

    /// Queues a message of the past. Who sends the past waits for [`Outbox::poll_room`] before each, so that the bound is
    /// kept but for one message; were it refused, every attempt to resume would end at the same place.
    pub fn push_past(
        self: &Rc<Self>,
        bytes: Bytes,
        message: &Arc<EncodedMessage>,
        lane: Lane,
    ) -> Pushed {
        if self.state.get() != State::Open {
            return Pushed::Closed;
        }
        let message = Arc::clone(message);
        self.append(Item::Message {
            bytes,
            message,
            lane,
            policy: SlowConsumer::Disconnect,
        });
        Pushed::Queued
    }

    /// The client is not sent a message, because it is its own: its place moves past it all the same.
    pub(super) fn pass(&self, message: &EncodedMessage) {
        if self.voice.keeps_places() {
            let channel = &message.message().channel;
            self.backlog.borrow_mut().pass(channel, message.position());
        }
    }

    /// Tells the client that messages of a channel up to `cursor` are lost; where that cannot be told, ends the session.
    pub fn push_gap(self: &Rc<Self>, channel: &ChannelName, cursor: Position, lane: Lane) {
        match self.voice.gap {
            GapForm::Told if self.is_open() => {
                let channel = channel.clone();
                self.append(Item::Gap {
                    channel,
                    cursor,
                    lane,
                });
            }
            GapForm::Told => {}
            GapForm::Ends => self.finish(self.voice.end_of_gap()),
            GapForm::Closes => self.close(Code::HistoryLost),
        }
    }

    /// Queues the answer to a ping. While half of the outbox or more is full, it takes the place of one that waits last.
    pub fn push_pong(self: &Rc<Self>, pong: Bytes) {
        if !self.is_open() {
            return;
        }
        let is_answered = !self.has_room() && self.change(|backlog| backlog.replace_pong(&pong));
        if !is_answered {
            self.push_answer(Item::Pong(pong));
        }
    }

    /// The bound in bytes.
    pub fn limit_bytes(&self) -> usize {
        self.limit_bytes
    }

    /// Queues what is no message: an answer, a heartbeat, or who came and went. It does not matter how many messages wait:
    /// only when too much of this kind does, the session ends.
    pub fn push_frame(self: &Rc<Self>, bytes: Bytes) -> Pushed {
        self.push_answer(Item::Answer(bytes))
    }

    fn push_answer(self: &Rc<Self>, answer: Item) -> Pushed {
        if self.state.get() != State::Open {
            return Pushed::Closed;
        }
        let bytes = answer.bytes().len();
        let fits = self.backlog.borrow().fits_answer(bytes, self.limit_bytes);
        if !fits {
            self.close(Code::SlowConsumer);
            return Pushed::Full;
        }
        self.append(answer);
        Pushed::Queued
    }

    /// Queues the last frame: it and what is queued before it is written, then the socket is closed.
    pub fn finish(self: &Rc<Self>, last: Bytes) {
        if self.state.get() != State::Open {
            return;
        }
        self.state.set(State::Ending);
        if last.is_empty() {
            self.schedule();
        } else {
            self.append(Item::Frame(last));
        }
        self.wake_waiters();
    }

    /// Drops everything and ends the session at once.
    pub fn close(&self, code: Code) {
        if matches!(self.state.get(), State::Closed(_)) {
            return;
        }
        self.state.set(State::Closed(code));
        self.change(Backlog::clear);
        let sink = std::mem::replace(&mut *self.sink.borrow_mut(), Sink::Nobody);
        match sink {
            Sink::Socket(connection) => connection.reset(),
            Sink::Poll(waker) => waker.wake(),
            Sink::Nobody => {}
        }
        self.wake_waiters();
    }

    /// Gives the outbox the socket it writes to.
    pub fn attach(self: &Rc<Self>, connection: Rc<Connection>) {
        if self.closed().is_some() {
            connection.reset();
            return;
        }
        *self.sink.borrow_mut() = Sink::Socket(connection);
        self.schedule();
    }

    /// Takes everything that is queued, for a poll; registers the poll to be woken when nothing is.
    pub fn poll_take(&self, context: &mut Context<'_>) -> Poll<Vec<Bytes>> {
        let frames = self.take();
        if !frames.is_empty() || !self.is_open() {
            *self.sink.borrow_mut() = Sink::Nobody;
            return Poll::Ready(frames);
        }
        *self.sink.borrow_mut() = Sink::Poll(context.waker().clone());
        Poll::Pending
    }

    /// Takes everything that is queued.
    pub fn take(&self) -> Vec<Bytes> {
        let taken = self.change(Backlog::take);
        self.count_written(taken.iter().map(Bytes::len).sum());
        self.wake_waiters();
        taken
    }

    /// Whether at least half of the outbox is free, or it is closed.
    pub fn has_room(&self) -> bool {
        !self.is_open() || self.queued_bytes() <= self.limit_bytes / 2
    }

    /// Ready when [`Outbox::has_room`].
    pub fn poll_room(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.has_room() {
            return Poll::Ready(());
        }
        self.wait(context);
        Poll::Pending
    }

    pub(super) fn owes_little(&self) -> bool {
        !self.is_open() || self.backlog.borrow().owed() <= self.limit_bytes / 2
    }

    /// Ready when more answers may be asked for: those that wait take at most half of the bound.
    pub fn poll_answers(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.owes_little() {
            return Poll::Ready(());
        }
        self.wait(context);
        Poll::Pending
    }

    fn wait(&self, context: &Context<'_>) {
        let mut waiters = self.waiters.borrow_mut();
        if !waiters.iter().any(|known| known.will_wake(context.waker())) {
            waiters.push(context.waker().clone());
        }
    }

    /// Changes what waits, and counts what the change makes of it.
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut Backlog) -> R) -> R {
        let mut backlog = self.backlog.borrow_mut();
        let before = backlog.bytes();
        let result = change(&mut backlog);
        self.flush_list.changed(before, backlog.bytes());
        result
    }

    fn append(self: &Rc<Self>, item: Item) {
        self.change(|backlog| backlog.push(item));
        self.schedule();
    }

    fn schedule(self: &Rc<Self>) {
        if !self.scheduled.replace(true) {
            self.flush_list.add(Rc::clone(self));
        }
    }

    pub(super) fn count_written(&self, bytes: usize) {
        self.written.set(self.written.get() + bytes as u64);
    }

    pub(super) fn wake_waiters(&self) {
        let waiters = std::mem::take(&mut *self.waiters.borrow_mut());
        for waiter in waiters {
            waiter.wake();
        }
    }

    /// What can be done for a channel with this policy: where a gap cannot be told within the stream, the client has to
    /// come again.
    fn possible(&self, policy: SlowConsumer) -> SlowConsumer {
        if self.voice.can_tell_gaps() {
            policy
        } else {
            SlowConsumer::Disconnect
        }
    }

    /// Makes room for `bytes` and says how many messages were dropped for it, if there is a way to.
    fn admit(&self, bytes: usize) -> Option<usize> {
        let limit = self.limit_bytes;
        self.change(|backlog| {
            if backlog.fits(bytes, limit) {
                return Some(0);
            }
            let dropped = backlog.make_room(bytes, limit);
            backlog.fits(bytes, limit).then_some(dropped)
        })
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.change(Backlog::clear);
    }
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
