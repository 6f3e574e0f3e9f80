//! The past at the client's pace: reads the history for subscriptions that are behind, a portion at a time, and only when
//! what was sent before has been taken.
//!
//! Whatever the history holds, and however many channels a session resumes, no more of it waits in memory than the outbox
//! may hold, and one message for each of the subscriptions that read at once. The subscriptions of a session take turns: one after the
//! other, or several at once where the engine is in the network, since each would wait for the way there and back.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::timeout;
use tracing::field;
use widecast_protocol::ChannelName;

use crate::engine::{Portion, renew};
use crate::log_limit::LogLimit;

use super::ended::Ended;
use super::long_forms::make;
use super::outbox::Lane;
use super::outbox::Outbox;
use super::shard::Shard;

/// How many messages of the past are read at once.
const PORTION_MESSAGES: usize = 64;
/// A portion has at most the outbox's size divided by this, which is less than the half that is free when there is room.
const PORTION_PART: usize = 4;
/// How many portions are read before the worker does something else.
const PORTIONS_PER_TURN: usize = 16;

/// How many subscriptions of a session read at once, at first and at most.
const AT_ONCE_AT_FIRST: usize = 4;
const AT_ONCE: usize = 16;

/// How many subscriptions of a shard read at once besides one of each session.
pub(super) const MORE_AT_ONCE: usize = 128;

/// A subscription that is behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Behind {
    pub(super) channel: ChannelName,
    pub(super) key: usize,
    /// The lane in which the subscription began: another one may have its key by the time that the history is read.
    pub(super) first_lane: Lane,
}

/// The subscriptions of one outbox that are behind, in the order of their turns.
#[derive(Debug)]
pub(super) struct Turns {
    waiting: RefCell<VecDeque<Behind>>,
    /// Whether a task is running that gives them their turns.
    attended: Cell<bool>,
    /// How many may read at once.
    at_once: Cell<usize>,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            waiting: RefCell::default(),
            attended: Cell::new(false),
            at_once: Cell::new(AT_ONCE_AT_FIRST),
        }
    }
}

impl Turns {
    /// Adds one. Returns whether somebody has to be found who attends to it.
    pub(super) fn add(&self, behind: Behind) -> bool {
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.contains(&behind) {
            waiting.push_back(behind);
        }
        !self.attended.get()
    }

    pub(super) fn next(&self) -> Option<Behind> {
        self.waiting.borrow_mut().pop_front()
    }

    fn len(&self) -> usize {
        self.waiting.borrow().len()
    }

    /// A portion has been read, and there is room after it or not. What has no room is read in vain, so that fewer read at once then.
    fn adapt(&self, has_room: bool) {
        let now = self.at_once.get();
        let next = if has_room { now + 1 } else { now / 2 };
        self.at_once.set(next.clamp(1, AT_ONCE));
    }
}

/// The turns that have begun.
type Begun<'a> = FuturesUnordered<Pin<Box<dyn Future<Output = ()> + 'a>>>;

/// The outcome of a subscription's turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// The subscription is still behind.
    Again,
    /// The subscription hears messages as they come, or is gone.
    Over,
}

impl Shard {
    /// Sends the subscriptions of an outbox that are behind what there is room for, of each in turn, and leaves the rest to the
    /// background. With an engine that answers at once, what fits has been sent when this returns.
    pub async fn catch_up(self: &Rc<Self>, outbox: &Rc<Outbox>) {
        self.send_what_fits(outbox).await;
        self.attend(outbox);
        self.attend_to_those_behind();
    }

    async fn send_what_fits(&self, outbox: &Rc<Outbox>) {
        // Each of them gets a turn.
        let mut left = outbox.turns().len().max(PORTIONS_PER_TURN);
        let mut begun = Begun::new();
        loop {
            left -= self.begin_turns(outbox, &mut begun, left);
            if begun.next().await.is_none() {
                return;
            }
        }
    }

    /// Gives as many subscriptions as may read at once their turns, and no more than `most`, if there is room for what they read. Returns
    /// how many it gave.
    fn begin_turns<'a>(
        &'a self,
        outbox: &'a Rc<Outbox>,
        begun: &mut Begun<'a>,
        most: usize,
    ) -> usize {
        let turns = outbox.turns();
        let mut count = 0;
        while count < most && outbox.is_open() && outbox.has_room() {
            // Where nothing is waited for, what another has read in vain would only cost more.
            let at_once = match self.engine().patience() {
                Some(_) => turns.at_once.get(),
                None => 1,
            };
            if begun.len() >= at_once {
                break;
            }
            let more = if begun.is_empty() {
                None
            } else {
                let Ok(more) = self.more_reads.try_acquire() else {
                    break;
                };
                Some(more)
            };
            // All that is read at once is one portion.
            let sharing = at_once.min(begun.len() + turns.len());
            let Some(behind) = turns.next() else {
                break;
            };
            begun.push(Box::pin(async move {
                self.give_turn(outbox, behind, sharing).await;
                drop(more);
            }));
            count += 1;
        }
        count
    }

    /// Sees to it that the subscriptions of an outbox catch up.
    pub(super) fn attend(self: &Rc<Self>, outbox: &Rc<Outbox>) {
        let turns = outbox.turns();
        if turns.len() > 0 && outbox.is_open() && !turns.attended.replace(true) {
            actix_rt::spawn(Rc::clone(self).keep_pace(Rc::clone(outbox)));
        }
    }

    /// Gives the subscriptions their turns whenever there is room, until none is behind or the session ends.
    async fn keep_pace(self: Rc<Self>, outbox: Rc<Outbox>) {
        let mut portions = 0;
        let mut begun = Begun::new();
        while !begun.is_empty() || self.wait_for_room(&outbox).await {
            self.begin_turns(&outbox, &mut begun, usize::MAX);
            if begun.next().await.is_none() {
                break;
            }
            portions += 1;
            if portions % PORTIONS_PER_TURN == 0 {
                tokio::task::yield_now().await;
            }
        }
        outbox.turns().attended.set(false);
    }

    /// Waits until the client has taken enough. Returns whether the session goes on: it ends when its client takes nothing
    /// for too long.
    async fn wait_for_room(&self, outbox: &Outbox) -> bool {
        loop {
            let written = outbox.written_bytes();
            let room = poll_fn(|context| outbox.poll_room(context));
            if timeout(self.patience(), room).await.is_ok() {
                return outbox.is_open();
            }
            if outbox.has_socket() && outbox.written_bytes() == written {
                self.count_slow();
                outbox.close(Ended::SlowConsumer);
                return false;
            }
        }
    }

    /// Reads the next portion of what a subscription has missed, while so many share it, and sends as much of it as there is room for.
    async fn give_turn(&self, outbox: &Rc<Outbox>, behind: Behind, sharing: usize) {
        let Some(since) = self.begin_reading(&behind, outbox) else {
            return;
        };
        let portion = Portion {
            messages: PORTION_MESSAGES,
            bytes: (outbox.limit_bytes() / PORTION_PART / sharing).max(1) as u64,
        };
        match self.engine().replay(&behind.channel, since, portion).await {
            Ok(replay) => {
                // The next portion has as long as all of them.
                renew();
                // What is more has no room in the outbox.
                let most = outbox.limit_bytes() / 2;
                let _made = make(&replay.messages, &[outbox.form().wire], most).await;
                if self.send_past(&behind, outbox, since, &replay) == Turn::Again {
                    outbox.turns().add(behind);
                }
                outbox.turns().adapt(outbox.has_room());
            }
            Err(error) => {
                static LINE: LogLimit = LogLimit::new();
                let channel = &behind.channel;
                if let Some(times) = LINE.due() {
                    tracing::warn!(
                        times,
                        channel.name = channel.as_str(),
                        client.address = outbox.peer().map(field::display),
                        %error,
                        "the history cannot be read for a client that is behind; its connection is ended, so that it resumes"
                    );
                }
                outbox.close(Ended::EngineUnavailable);
            }
        }
    }
}
