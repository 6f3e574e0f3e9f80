//! What a session has yet to write: shared bytes in order, bounded, with a policy for when the bound is reached.
//!
//! Pushing never writes. It marks the outbox dirty, and the shard's [`FlushList`] writes what has come together by then:
//! one frame per write when idle, many under load. Not `Sync`: everything stays on the shard's thread.

use std::cell::{Cell, RefCell};
use std::collections::{HashSet, VecDeque};
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use widecast_protocol::{ChannelName, Code, EncodedMessage, Position};

use crate::config::SlowConsumer;
use crate::net::Connection;

use super::flush::FlushList;

/// How many frames one write takes: more than this bring nothing (one write costs 3.4 + 0.14·k µs).
const FRAMES_PER_WRITE: usize = 32;

/// How many items an empty outbox keeps room for: an idle session costs no more, and the next message no allocation.
const IDLE_CAPACITY: usize = 4;

/// How a client is told of lost messages.
#[derive(Clone, Copy)]
pub enum GapForm {
    /// By these bytes in the stream.
    Told(fn(&ChannelName, Position) -> Bytes),
    /// By the end of the stream, with these last bytes: the form has no room for anything but data.
    Ends(fn() -> Bytes),
    /// By whoever takes the bytes, who finds the outbox closed.
    Closes,
}

enum Item {
    /// Not to be dropped: a reply, a heartbeat, or a message of a channel whose policy is to disconnect.
    Frame(Bytes),
    /// May be dropped; remembers what it is, to tell of it.
    Message {
        bytes: Bytes,
        message: Arc<EncodedMessage>,
    },
    /// Messages up to here were dropped.
    Gap {
        channel: ChannelName,
        cursor: Position,
    },
}

impl Item {
    fn size(&self) -> usize {
        match self {
            Self::Frame(bytes) | Self::Message { bytes, .. } => bytes.len(),
            Self::Gap { .. } => 0,
        }
    }
}

/// Who takes the bytes.
enum Sink {
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
    /// The session ends: the client reads too slowly.
    Full,
    /// The session is over already.
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// Nothing more is taken; what is queued is written, then the socket is closed.
    Ending,
    Closed(Code),
}

/// What became of a flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flushed {
    /// Nothing is left.
    Done,
    /// More frames are queued than one slice writes.
    More,
    /// The kernel takes nothing for now.
    Blocked,
}

/// The outbox of one session.
pub struct Outbox {
    queue: RefCell<VecDeque<Item>>,
    queued_bytes: Cell<usize>,
    limit_bytes: usize,
    gap_form: GapForm,
    sink: RefCell<Sink>,
    state: Cell<State>,
    /// Part of the front item is already with the kernel.
    front_begun: Cell<bool>,
    /// In the flush list, or waiting for the kernel.
    pub(super) scheduled: Cell<bool>,
    /// Who waits for room or for the end: each channel whose past is being sent.
    waiters: RefCell<Vec<Waker>>,
    flush_list: Rc<FlushList>,
}

impl Outbox {
    /// An empty outbox of at most `limit_bytes`; a single larger message still fits when it is empty.
    pub fn new(flush_list: Rc<FlushList>, limit_bytes: usize, gap_form: GapForm) -> Rc<Self> {
        Rc::new(Self {
            queue: RefCell::default(),
            queued_bytes: Cell::new(0),
            limit_bytes,
            gap_form,
            sink: RefCell::new(Sink::Nobody),
            state: Cell::new(State::Open),
            front_begun: Cell::new(false),
            scheduled: Cell::new(false),
            waiters: RefCell::default(),
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

    /// Bytes that wait to be written.
    pub fn queued_bytes(&self) -> usize {
        self.queued_bytes.get()
    }

    /// Queues a message; `policy` is its channel's.
    pub fn push_message(
        self: &Rc<Self>,
        bytes: Bytes,
        message: &Arc<EncodedMessage>,
        policy: SlowConsumer,
    ) -> Pushed {
        if self.state.get() != State::Open {
            return Pushed::Closed;
        }
        // Where a gap cannot be told within the stream, every policy is to disconnect.
        if policy == SlowConsumer::Disconnect || !matches!(self.gap_form, GapForm::Told(_)) {
            return self.push_frame(bytes);
        }
        let Some(dropped) = self.admit(bytes.len(), policy) else {
            return Pushed::Full;
        };
        let message = Arc::clone(message);
        self.append(Item::Message { bytes, message });
        match dropped {
            0 => Pushed::Queued,
            count => Pushed::Dropped(count),
        }
    }

    /// Queues a message of the past. Who sends the past waits for [`Outbox::poll_room`] before each, so that the bound is
    /// kept but for one message; were it refused, every attempt to resume would end at the same place.
    pub fn push_past(self: &Rc<Self>, bytes: Bytes) -> Pushed {
        if self.state.get() != State::Open {
            return Pushed::Closed;
        }
        self.append(Item::Frame(bytes));
        Pushed::Queued
    }

    /// Tells the client that messages of a channel up to `cursor` are lost; where that cannot be told, ends the session.
    pub fn push_gap(self: &Rc<Self>, channel: &ChannelName, cursor: Position) {
        match self.gap_form {
            GapForm::Told(_) if self.is_open() => {
                let channel = channel.clone();
                self.append(Item::Gap { channel, cursor });
            }
            GapForm::Told(_) => {}
            GapForm::Ends(last) => self.finish(last()),
            GapForm::Closes => self.close(Code::HistoryLost),
        }
    }

    /// The bound in bytes.
    pub fn limit_bytes(&self) -> usize {
        self.limit_bytes
    }

    /// Queues what must not be dropped, in the place of messages that may be.
    pub fn push_frame(self: &Rc<Self>, bytes: Bytes) -> Pushed {
        if self.state.get() != State::Open {
            return Pushed::Closed;
        }
        let Some(dropped) = self.admit(bytes.len(), SlowConsumer::DropOldest) else {
            return Pushed::Full;
        };
        self.flush_list.dropped(dropped);
        self.append(Item::Frame(bytes));
        Pushed::Queued
    }

    /// Queues the last frame: it and what is queued before it is written, then the socket is closed.
    pub fn finish(self: &Rc<Self>, last: Bytes) {
        if self.state.get() == State::Open {
            self.append(Item::Frame(last));
            self.state.set(State::Ending);
            self.wake_waiters();
        }
    }

    /// Drops everything and ends the session at once.
    pub fn close(&self, code: Code) {
        if matches!(self.state.get(), State::Closed(_)) {
            return;
        }
        self.state.set(State::Closed(code));
        *self.queue.borrow_mut() = VecDeque::new();
        self.shrink(self.queued_bytes.get());
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
        let queue = std::mem::take(&mut *self.queue.borrow_mut());
        self.shrink(self.queued_bytes.get());
        self.wake_waiters();
        queue.into_iter().map(|item| self.bytes_of(item)).collect()
    }

    /// Whether at least half of the outbox is free, or it is closed.
    pub fn has_room(&self) -> bool {
        !self.is_open() || self.queued_bytes.get() <= self.limit_bytes / 2
    }

    /// Ready when [`Outbox::has_room`].
    pub fn poll_room(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.has_room() {
            return Poll::Ready(());
        }
        let mut waiters = self.waiters.borrow_mut();
        if !waiters.iter().any(|known| known.will_wake(context.waker())) {
            waiters.push(context.waker().clone());
        }
        Poll::Pending
    }

    fn grow(&self, bytes: usize) {
        self.queued_bytes.set(self.queued_bytes.get() + bytes);
        self.flush_list.queued(self.queued_bytes.get(), bytes);
    }

    fn shrink(&self, bytes: usize) {
        self.queued_bytes.set(self.queued_bytes.get() - bytes);
        self.flush_list.removed(bytes);
    }

    fn fits(&self, bytes: usize) -> bool {
        let queued = self.queued_bytes.get();
        queued == 0 || queued + bytes <= self.limit_bytes
    }

    fn append(self: &Rc<Self>, item: Item) {
        self.grow(item.size());
        self.queue.borrow_mut().push_back(item);
        self.schedule();
    }

    fn schedule(self: &Rc<Self>) {
        if !self.scheduled.replace(true) {
            self.flush_list.add(Rc::clone(self));
        }
    }

    fn wake_waiters(&self) {
        let waiters = std::mem::take(&mut *self.waiters.borrow_mut());
        for waiter in waiters {
            waiter.wake();
        }
    }

    fn bytes_of(&self, item: Item) -> Bytes {
        match item {
            Item::Frame(bytes) | Item::Message { bytes, .. } => bytes,
            Item::Gap { channel, cursor } => match self.gap_form {
                GapForm::Told(form) => form(&channel, cursor),
                GapForm::Ends(_) | GapForm::Closes => Bytes::new(),
            },
        }
    }

    /// Makes room for `bytes` and says how many messages were dropped for it; without a way to, ends the session.
    fn admit(&self, bytes: usize, policy: SlowConsumer) -> Option<usize> {
        if self.fits(bytes) {
            return Some(0);
        }
        let dropped = self.make_room(bytes, policy);
        if !self.fits(bytes) {
            self.close(Code::SlowConsumer);
            return None;
        }
        Some(dropped)
    }

    /// Drops messages until `bytes` more fit, and says how many were dropped.
    fn make_room(&self, bytes: usize, policy: SlowConsumer) -> usize {
        let mut queue = self.queue.borrow_mut();
        let mut dropped = 0;
        if policy == SlowConsumer::Latest {
            let mut newest = HashSet::new();
            for index in (self.first_droppable()..queue.len()).rev() {
                let superseded = match &queue[index] {
                    Item::Message { message, .. } => {
                        !newest.insert(message.message().channel.clone())
                    }
                    Item::Frame(_) | Item::Gap { .. } => false,
                };
                if superseded {
                    self.drop_at(&mut queue, index);
                    dropped += 1;
                }
            }
        }
        let mut index = self.first_droppable();
        while index < queue.len() && self.queued_bytes.get() + bytes > self.limit_bytes {
            if matches!(queue[index], Item::Message { .. }) {
                self.drop_at(&mut queue, index);
                dropped += 1;
            }
            index += 1;
        }
        merge_gaps(&mut queue);
        dropped
    }

    fn first_droppable(&self) -> usize {
        usize::from(self.front_begun.get())
    }

    fn drop_at(&self, queue: &mut VecDeque<Item>, index: usize) {
        if let Item::Message { bytes, message } = &queue[index] {
            self.shrink(bytes.len());
            queue[index] = Item::Gap {
                channel: message.message().channel.clone(),
                cursor: message.position(),
            };
        }
    }

    /// Writes up to [`FRAMES_PER_WRITE`] frames to the socket, or wakes the poll that waits.
    pub(super) fn flush(&self) -> Flushed {
        let connection = match &*self.sink.borrow() {
            Sink::Nobody => return Flushed::Done,
            Sink::Poll(waker) => {
                waker.wake_by_ref();
                return Flushed::Done;
            }
            Sink::Socket(connection) => Rc::clone(connection),
        };
        match self.write_some(&connection) {
            Ok(()) if self.queue.borrow().is_empty() => {
                if self.state.get() == State::Ending {
                    self.state.set(State::Closed(Code::ShuttingDown));
                    connection.finish_writing();
                    self.wake_waiters();
                }
                Flushed::Done
            }
            Ok(()) => Flushed::More,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Flushed::Blocked,
            Err(_) => {
                // The reader sees the end of the stream and ends the session.
                self.close(Code::SlowConsumer);
                Flushed::Done
            }
        }
    }

    /// Waits until the kernel takes bytes again.
    pub(super) async fn writable(&self) {
        let connection = match &*self.sink.borrow() {
            Sink::Socket(connection) => Rc::clone(connection),
            Sink::Nobody | Sink::Poll(_) => return,
        };
        // A failed socket counts as writable: the next write finds the error.
        let _ = connection.writable().await;
    }

    fn write_some(&self, connection: &Connection) -> io::Result<()> {
        let mut queue = self.queue.borrow_mut();
        let count = queue.len().min(FRAMES_PER_WRITE);
        for item in queue.iter_mut().take(count) {
            if let Item::Gap { .. } = item {
                let gap = std::mem::replace(item, Item::Frame(Bytes::new()));
                let bytes = self.bytes_of(gap);
                self.grow(bytes.len());
                *item = Item::Frame(bytes);
            }
        }
        let written = match &*queue.make_contiguous() {
            [] => return Ok(()),
            [Item::Frame(bytes) | Item::Message { bytes, .. }] => connection.try_write(bytes)?,
            items => {
                let mut slices = [IoSlice::new(&[]); FRAMES_PER_WRITE];
                for (slice, item) in slices.iter_mut().zip(items) {
                    if let Item::Frame(bytes) | Item::Message { bytes, .. } = item {
                        *slice = IoSlice::new(bytes);
                    }
                }
                connection.try_write_vectored(&slices[..count])?
            }
        };
        self.flush_list.wrote(written);
        self.forget(&mut queue, written);
        drop(queue);
        if self.queued_bytes.get() <= self.limit_bytes / 2 {
            self.wake_waiters();
        }
        Ok(())
    }

    /// Removes `written` bytes from the front.
    fn forget(&self, queue: &mut VecDeque<Item>, mut written: usize) {
        self.shrink(written);
        while let Some(front) = queue.front_mut() {
            let size = front.size();
            if written < size {
                if written > 0 {
                    let begun = std::mem::replace(front, Item::Frame(Bytes::new()));
                    let mut rest = self.bytes_of(begun);
                    rest.advance(written);
                    *front = Item::Frame(rest);
                    self.front_begun.set(true);
                }
                return;
            }
            written -= size;
            queue.pop_front();
            self.front_begun.set(false);
        }
        if queue.capacity() > IDLE_CAPACITY {
            *queue = VecDeque::new();
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.shrink(self.queued_bytes.get());
    }
}

/// Keeps of several gaps of a channel only the last: it covers the others.
fn merge_gaps(queue: &mut VecDeque<Item>) {
    let mut seen = HashSet::new();
    let mut keep: Vec<bool> = queue
        .iter()
        .rev()
        .map(|item| match item {
            Item::Gap { channel, .. } => seen.insert(channel.clone()),
            Item::Frame(_) | Item::Message { .. } => true,
        })
        .collect();
    queue.retain(|_| keep.pop().unwrap_or(true));
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
