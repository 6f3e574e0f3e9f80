//! Putting things into an outbox: messages as far as they fit, and answers and gaps, which no client may miss.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use widecast_protocol::{ChannelName, EncodedMessage, Position};

use crate::config::SlowConsumerPolicy;

use super::form::GapForm;
use super::item::{Item, Lane};
use super::{Outbox, State};
use crate::registry::ended::Ended;

/// The outcome of pushing a message.
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

impl Outbox {
    /// Queues a message; `policy` is that of its channel. A message that does not fit is not queued. With
    /// [`CursorForm::OfAll`](super::CursorForm::OfAll), `bytes` are those that follow the cursor.
    pub fn push_message(
        self: &Rc<Self>,
        bytes: Bytes,
        message: &Arc<EncodedMessage>,
        lane: Lane,
        policy: SlowConsumerPolicy,
    ) -> Pushed {
        if self.state.get() != State::Open {
            return Pushed::Closed;
        }
        let policy = self.possible(policy);
        let Some(dropped) = self.admit(bytes.len()) else {
            return Pushed::Full;
        };
        if policy == SlowConsumerPolicy::Disconnect && !self.backlog.borrow().keeps_places() {
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
        if policy == SlowConsumerPolicy::Disconnect {
            self.flush_list.dropped(dropped);
            return Pushed::Queued;
        }
        match dropped {
            0 => Pushed::Queued,
            count => Pushed::Dropped(count),
        }
    }

    /// Queues a message of the past, and never refuses it: then every attempt to resume would end at the same message. The
    /// caller waits for [`Outbox::poll_room`] before each, so that the bound is exceeded by one message at the most.
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
            policy: SlowConsumerPolicy::Disconnect,
        });
        Pushed::Queued
    }

    /// A message is not sent to the client, because the client has published it itself. The client's place moves past it all
    /// the same, unless the session ends: what came before may have been thrown away then.
    pub(in crate::registry) fn pass(&self, message: &EncodedMessage) {
        if self.form.tells_places() && self.is_open() {
            let channel = &message.message().channel;
            self.backlog.borrow_mut().pass(channel, message.position());
        }
    }

    /// Tells the client its place, if it has moved past messages of the client's own and nothing that was written has told so. While
    /// something waits, nothing is told: the place would be ahead of it.
    pub fn tell_place(self: &Rc<Self>) {
        let place = self.backlog.borrow_mut().take_unsaid();
        if let Some(place) = place {
            self.push_frame(place);
        }
    }

    /// Tells the client that messages of a channel up to `cursor` are lost, or notes it; where neither is possible, ends the session.
    pub fn push_gap(self: &Rc<Self>, channel: &ChannelName, cursor: Position, lane: Lane) {
        if !self.is_open() {
            return;
        }
        match self.form.gap {
            GapForm::Told => {}
            GapForm::Noted => self.lost.set(true),
            GapForm::Ends => return self.finish(self.form.end_of_gap(), Ended::HistoryLost),
        }
        self.append(Item::Gap {
            channel: channel.clone(),
            cursor,
            lane,
        });
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

    /// Queues bytes that are no message: an answer, a heartbeat, or the news of who came and went. They are taken however
    /// many messages wait; only when too many bytes of this kind wait, the session ends.
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
            self.close(Ended::SlowConsumer);
            return Pushed::Full;
        }
        self.append(answer);
        Pushed::Queued
    }

    /// The policy that is possible for a channel with this policy: where a gap cannot be told within the stream, the client
    /// has to connect again.
    fn possible(&self, policy: SlowConsumerPolicy) -> SlowConsumerPolicy {
        if self.form.can_tell_gaps() {
            policy
        } else {
            SlowConsumerPolicy::Disconnect
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
