//! The past at the client's pace: reads the history for subscriptions that are behind, a portion at a time, and only when
//! what was sent before has been taken.
//!
//! Whatever the history holds, and however many channels a session resumes, no more of it waits in memory than the outbox
//! may hold and one message. The subscriptions of a session take turns.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;

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

/// A subscription that is behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Behind {
    pub(super) channel: ChannelName,
    pub(super) key: usize,
    /// The lane in which the subscription began: another one may have its key by the time that the history is read.
    pub(super) first_lane: Lane,
}

/// The subscriptions of one outbox that are behind, in the order of their turns.
#[derive(Debug, Default)]
pub(super) struct Turns {
    waiting: RefCell<VecDeque<Behind>>,
    /// Whether a task is running that gives them their turns.
    attended: Cell<bool>,
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
}

/// The outcome of a subscription's turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// The subscription is still behind.
    Again,
    /// The subscription hears messages as they come, or is gone.
    Over,
}

impl Shard {
    /// Sends the subscriptions of an outbox that are behind what there is room for, of one after the other, and leaves the rest to the
    /// background. With an engine that answers at once, what fits has been sent when this returns.
    pub async fn catch_up(self: &Rc<Self>, outbox: &Rc<Outbox>) {
        self.send_what_fits(outbox).await;
        self.attend(outbox);
        self.attend_to_those_behind();
    }

    async fn send_what_fits(&self, outbox: &Rc<Outbox>) {
        // Each of them gets a turn.
        for _ in 0..outbox.turns().len().max(PORTIONS_PER_TURN) {
            if !outbox.is_open() || !outbox.has_room() {
                break;
            }
            let Some(behind) = outbox.turns().next() else {
                return;
            };
            self.give_turn(outbox, behind).await;
        }
    }

    /// Sees to it that the subscriptions of an outbox catch up.
    pub(super) fn attend(self: &Rc<Self>, outbox: &Rc<Outbox>) {
        let turns = outbox.turns();
        if turns.len() > 0 && outbox.is_open() && !turns.attended.replace(true) {
            actix_rt::spawn(Rc::clone(self).keep_pace(Rc::clone(outbox)));
        }
    }

    /// Gives one subscription after the other its turn whenever there is room, until none is behind or the session ends.
    async fn keep_pace(self: Rc<Self>, outbox: Rc<Outbox>) {
        let mut portions = 0;
        while self.wait_for_room(&outbox).await {
            let Some(behind) = outbox.turns().next() else {
                break;
            };
            self.give_turn(&outbox, behind).await;
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

    /// Reads the next portion of what a subscription has missed, and sends as much of it as there is room for.
    async fn give_turn(&self, outbox: &Rc<Outbox>, behind: Behind) {
        let Some(since) = self.begin_reading(&behind, outbox) else {
            return;
        };
        let portion = Portion {
            messages: PORTION_MESSAGES,
            bytes: (outbox.limit_bytes() / PORTION_PART).max(1) as u64,
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
            }
            Err(error) => {
                let channel = &behind.channel;
                static LINE: LogLimit = LogLimit::new();
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
