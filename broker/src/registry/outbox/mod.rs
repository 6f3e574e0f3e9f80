//! The bytes that a session has yet to write: shared, in order, bounded, with a policy for when the bound is reached.
//!
//! Pushing never writes. It marks the outbox dirty, and the shard's [`FlushList`] writes what has come together by then:
//! one frame per write when idle, many under load. Not `Sync`: everything stays on the shard's thread.

mod backlog;
mod droppable;
pub(super) mod flush;
mod form;
mod item;
mod pushing;
mod told_places;
mod writing;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use widecast_protocol::{ChannelName, CursorVector, Position};

use crate::engine::ConnectionId;
use crate::net::Connection;

use self::backlog::Backlog;
use self::item::Item;
use crate::registry::catch_up_reader::{Behind, Turns};
use crate::registry::ended::Ended;

pub use self::flush::FlushList;
pub use self::form::{CursorForm, GapForm, OutboxForm};
pub use self::item::Lane;
pub use self::pushing::Pushed;

/// Where the bytes go.
pub(in crate::registry) enum Sink {
    /// Nobody yet: the head of the answer is still being written, or no poll is waiting.
    Nobody,
    /// The socket.
    Socket(Rc<Connection>),
    /// A poll, woken to take everything at once.
    Poll(Waker),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::registry) enum State {
    Open,
    /// Nothing more is taken; what is queued is written, then the socket is closed.
    Ending(Ended),
    Closed(Ended),
}

/// The outbox of one session.
pub struct Outbox {
    pub(in crate::registry) backlog: RefCell<Backlog>,
    pub(in crate::registry) limit_bytes: usize,
    pub(in crate::registry) form: OutboxForm,
    /// The connection whose outbox this is.
    owner: ConnectionId,
    /// How many subscriptions there have been.
    lanes: Cell<u32>,
    pub(in crate::registry) sink: RefCell<Sink>,
    pub(in crate::registry) state: Cell<State>,
    /// Whether the outbox is in the flush list, or waits for the kernel.
    pub(in crate::registry) scheduled: Cell<bool>,
    /// Whether the poll that takes what waits has to tell of a gap.
    lost: Cell<bool>,
    /// The tasks that wait for room or for the end.
    waiters: RefCell<Vec<Waker>>,
    /// The subscriptions whose past is being sent.
    turns: Turns,
    /// How many bytes were written to the client, or taken by its polls.
    written: Cell<u64>,
    pub(in crate::registry) flush_list: Rc<FlushList>,
}

impl Outbox {
    /// An empty outbox of at most `limit_bytes`; a single larger message still fits when it is empty.
    pub fn new(
        flush_list: Rc<FlushList>,
        limit_bytes: usize,
        form: OutboxForm,
        owner: ConnectionId,
    ) -> Rc<Self> {
        Rc::new(Self {
            backlog: RefCell::new(Backlog::new(form, limit_bytes)),
            limit_bytes,
            form,
            owner,
            lanes: Cell::new(0),
            sink: RefCell::new(Sink::Nobody),
            state: Cell::new(State::Open),
            scheduled: Cell::new(false),
            lost: Cell::new(false),
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
    pub fn closed(&self) -> Option<Ended> {
        match self.state.get() {
            State::Closed(ended) => Some(ended),
            State::Open | State::Ending(_) => None,
        }
    }

    /// How the session ends or has ended, if it does.
    pub fn ended(&self) -> Option<Ended> {
        match self.state.get() {
            State::Closed(ended) | State::Ending(ended) => Some(ended),
            State::Open => None,
        }
    }

    /// A place in the outbox for one more subscription.
    pub fn lane(&self) -> Lane {
        let lane = self.lanes.get();
        self.lanes.set(lane.wrapping_add(1));
        Lane(lane)
    }

    /// Whose it is.
    pub(in crate::registry) fn owner(&self) -> ConnectionId {
        self.owner
    }

    /// How the outbox tells of gaps and cursors.
    pub(in crate::registry) fn form(&self) -> OutboxForm {
        self.form
    }

    /// The places of the client once it has everything that was written or taken so far; empty if nobody has to know them.
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

    /// How many of these bytes belong to answers and not to messages.
    pub fn owed_bytes(&self) -> usize {
        self.backlog.borrow().owed()
    }

    /// How many bytes the client has been written, or has taken by polls.
    pub fn written_bytes(&self) -> u64 {
        self.written.get()
    }

    /// The address of the client, if it has a connection of its own.
    pub(in crate::registry) fn peer(&self) -> Option<SocketAddr> {
        match &*self.sink.borrow() {
            Sink::Socket(connection) => Some(connection.peer()),
            Sink::Nobody | Sink::Poll(_) => None,
        }
    }

    /// Whether the bytes go to a socket.
    pub(in crate::registry) fn has_socket(&self) -> bool {
        matches!(*self.sink.borrow(), Sink::Socket(_))
    }

    pub(in crate::registry) fn turns(&self) -> &Turns {
        &self.turns
    }

    /// A subscription of this outbox is behind.
    pub(in crate::registry) fn is_behind(self: &Rc<Self>, behind: Behind) {
        if self.turns.add(behind) {
            self.flush_list.add_behind(Rc::clone(self));
        }
    }

    /// The bound in bytes.
    pub fn limit_bytes(&self) -> usize {
        self.limit_bytes
    }

    /// Queues the last frame: it and what is queued before it is written, then the socket is closed.
    pub fn finish(self: &Rc<Self>, last: Bytes, ended: Ended) {
        if self.state.get() != State::Open {
            return;
        }
        self.state.set(State::Ending(ended));
        if last.is_empty() {
            self.schedule();
        } else {
            self.append(Item::Frame(last));
        }
        self.wake_waiters();
    }

    /// Drops everything and ends the session at once. A session that is ending already keeps its first reason.
    pub fn close(&self, ended: Ended) {
        if matches!(self.state.get(), State::Closed(_)) {
            return;
        }
        self.state.set(State::Closed(self.ended().unwrap_or(ended)));
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

    /// Whether messages were lost that the client has to be told of beside what it takes; never in another form than
    /// [`GapForm::Noted`].
    pub fn has_lost(&self) -> bool {
        self.lost.get()
    }

    /// Takes everything that is queued, for a poll; registers the poll to be woken when nothing is, and nothing is lost.
    pub fn poll_take(&self, context: &mut Context<'_>) -> Poll<Vec<Bytes>> {
        let frames = self.take();
        if !frames.is_empty() || self.has_lost() || !self.is_open() {
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

    pub(in crate::registry) fn owes_little(&self) -> bool {
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

    /// Changes the backlog, and counts how its size changes.
    pub(in crate::registry) fn change<R>(&self, change: impl FnOnce(&mut Backlog) -> R) -> R {
        let mut backlog = self.backlog.borrow_mut();
        let before = backlog.size();
        let result = change(&mut backlog);
        self.flush_list.changed(before, backlog.size());
        result
    }

    pub(in crate::registry) fn append(self: &Rc<Self>, item: Item) {
        self.change(|backlog| backlog.push(item));
        self.schedule();
    }

    fn schedule(self: &Rc<Self>) {
        if !self.scheduled.replace(true) {
            self.flush_list.add(Rc::clone(self));
        }
    }

    pub(in crate::registry) fn count_written(&self, bytes: usize) {
        self.written.set(self.written.get() + bytes as u64);
    }

    pub(in crate::registry) fn wake_waiters(&self) {
        let waiters = std::mem::take(&mut *self.waiters.borrow_mut());
        for waiter in waiters {
            waiter.wake();
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.change(Backlog::clear);
    }
}

#[cfg(test)]
mod tests;
