//! Joining a channel without losing a message: hold what comes, read the history, send it, then go live.

use std::collections::VecDeque;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use widecast_protocol::reply::Member;
use widecast_protocol::{ChannelName, Code, EncodedMessage, Payload, Position};

use crate::engine::{HistoryOrder, HistoryQuery, PresenceEntry, Replay};
use crate::metrics::ResumeOutcome;
use crate::registry::{CatchUp, Membership, PresenceWatch, Subscriber};

use super::access::Right;
use super::channels::Joined;
use super::refusal::Refusal;
use super::session::Session;

/// Which channel to join, and how.
#[derive(Debug, Clone)]
pub struct Joining {
    /// The channel.
    pub channel: ChannelName,
    /// Where to resume; from the end without it.
    pub since: Option<Position>,
    /// How many of the newest past messages to send, when not resuming.
    pub history: Option<u32>,
    /// The data to be listed with, for who wants to be listed.
    pub presence: Option<Payload>,
}

/// A channel has been joined; [`Session::catch_up`] lets its messages flow.
#[must_use = "no message flows before Session::catch_up"]
pub struct Arrival {
    membership: Rc<Membership>,
    /// The place after which everything will be heard.
    pub cursor: Position,
    /// Whether nothing was lost between the cursor that was asked for and `cursor`.
    pub recovered: bool,
    /// The place that the client may be given before it is told of a loss: until then, the one that it asked for.
    pub known: Position,
    /// Who is here, when presence was asked for.
    pub members: Option<Vec<Member>>,
    /// What to send before what comes.
    pub past: Vec<Arc<EncodedMessage>>,
    /// The place after the last of `past`.
    end: Position,
}

impl Arrival {
    /// The channel.
    pub fn channel(&self) -> &ChannelName {
        self.membership.channel()
    }
}

impl Session {
    /// Joins a channel; messages are held until [`Session::catch_up`].
    ///
    /// # Errors
    /// When the namespace does not allow it, the session has joined as many channels as it may, or the engine cannot
    /// be reached.
    pub async fn join(self: &Rc<Self>, joining: Joining) -> Result<Arrival, Refusal> {
        let channel = &joining.channel;
        self.check(&joining)?;
        let subscriber = self.subscriber(channel, joining.presence.is_some());
        let membership = Rc::new(self.shard().join(channel, subscriber).await?);
        self.channels.borrow_mut().insert(Joined {
            membership: Rc::clone(&membership),
            is_present: joining.presence.is_some(),
            beginning: joining.since,
        });
        let since = joining.since;
        let (replay, members) = match self.arrive(&joining).await {
            Ok(arrived) => arrived,
            Err(refusal) => {
                self.leave(channel);
                return Err(refusal);
            }
        };
        let cursor = if replay.recovered { since } else { None };
        let cursor = cursor.unwrap_or_else(|| before(&replay));
        let lost_since = since.filter(|_| !replay.recovered && self.dialect().tells_gaps());
        let known = lost_since.unwrap_or(cursor);
        self.outbox().begin_at(channel, known);
        Ok(Arrival {
            membership,
            cursor,
            recovered: replay.recovered,
            known,
            members,
            end: replay.position,
            past: replay.messages,
        })
    }

    /// Leaves a channel. Returns whether it had been joined.
    pub fn leave(&self, channel: &ChannelName) -> bool {
        let left = self.channels.borrow_mut().remove(channel);
        if let Some(joined) = &left
            && joined.is_present
        {
            self.shard().exit(channel, self.connection());
        }
        left.is_some()
    }

    fn check(&self, joining: &Joining) -> Result<(), Refusal> {
        let channel = &joining.channel;
        self.require(channel, Right::Subscribe)?;
        if let Some(data) = &joining.presence {
            let limit = self.services().config.limits.presence_bytes;
            let actual = data.size_bytes();
            if actual > limit.as_usize() {
                let detail = format!(
                    "the presence data has {actual} bytes, limits.presence_bytes allows {}",
                    limit.get()
                );
                return Err(Refusal::new(Code::MessageTooLarge, detail));
            }
            self.require(channel, Right::Presence)?;
        }
        if joining.history.is_some() {
            self.require(channel, Right::History)?;
        }
        let limit = self.services().config.limits.channels_per_session;
        if self.channels.borrow().len() >= limit {
            let detail = format!(
                "the session has joined {limit} channels, limits.channels_per_session allows no more"
            );
            return Err(Refusal::new(Code::TooManyChannels, detail));
        }
        Ok(())
    }

    fn subscriber(&self, channel: &ChannelName, with_presence: bool) -> Subscriber {
        let presence = self.dialect().wire().filter(|_| with_presence).map(|wire| {
            let own_id = self.identity().member_id();
            Box::new(PresenceWatch { wire, own_id })
        });
        Subscriber {
            outbox: Rc::clone(self.outbox()),
            sender: self.identity().muted(),
            form: self.dialect().message_form(),
            lane: self.outbox().lane(),
            policy: self.services().config.namespace(channel).slow_consumer,
            presence,
        }
    }

    async fn arrive(&self, joining: &Joining) -> Result<(Replay, Option<Vec<Member>>), Refusal> {
        let replay = self.past(joining).await?;
        let members = self
            .appear(&joining.channel, joining.presence.clone())
            .await?;
        Ok((replay, members))
    }

    /// What has to be sent before what comes.
    async fn past(&self, joining: &Joining) -> Result<Replay, Refusal> {
        let services = self.services();
        let channel = &joining.channel;
        if let Some(since) = joining.since {
            let replay = services.engine.replay(channel, since).await?;
            services.metrics.sessions.resumed(if replay.recovered {
                ResumeOutcome::Recovered
            } else {
                ResumeOutcome::Lost
            });
            return Ok(replay);
        }
        let limits = services.history_limits(channel);
        let position = services.engine.position(channel, limits).await?;
        let Some(limit) = joining.history else {
            return Ok(Replay {
                messages: Vec::new(),
                recovered: true,
                position,
            });
        };
        let limit = (limit as usize).min(services.config.limits.messages_per_history);
        let query = HistoryQuery {
            since: None,
            limit,
            order: HistoryOrder::NewestFirst,
        };
        let mut messages = services.engine.history(channel, query).await?.messages;
        messages.reverse();
        let position = messages.last().map_or(position, |newest| newest.position());
        Ok(Replay {
            messages,
            recovered: true,
            position,
        })
    }

    async fn appear(
        &self,
        channel: &ChannelName,
        data: Option<Payload>,
    ) -> Result<Option<Vec<Member>>, Refusal> {
        let Some(data) = data else { return Ok(None) };
        let engine = &self.services().engine;
        let member = Member {
            id: self.identity().member_id(),
            data,
        };
        let entry = PresenceEntry {
            connection: self.connection(),
            member,
        };
        engine.enter(channel, entry).await?;
        Ok(Some(engine.members(channel).await?))
    }

    /// Lets the messages of a joined channel flow: first what is past, as fast as the client reads, then what comes.
    pub fn catch_up(self: &Rc<Self>, arrival: Arrival) {
        let mut past = Past {
            messages: arrival.past.into(),
            end: arrival.end,
            behind: false,
        };
        while self.outbox().has_room() {
            if let Some(message) = past.messages.pop_front() {
                arrival.membership.replay(&message);
            } else if past.go_live(&arrival.membership) {
                return;
            } else if past.behind {
                break;
            }
        }
        let membership = Rc::downgrade(&arrival.membership);
        actix_rt::spawn(send_past(Rc::downgrade(self), membership, past));
    }
}

/// What a session has yet to be sent before it hears messages as they come.
struct Past {
    messages: VecDeque<Arc<EncodedMessage>>,
    /// The place after the last of them.
    end: Position,
    /// More came meanwhile than could be held: the history has to be read on from the end.
    behind: bool,
}

impl Past {
    /// Lets messages flow as they come, unless some came while the past was sent: these are now the past.
    fn go_live(&mut self, membership: &Membership) -> bool {
        match membership.go_live(self.end) {
            CatchUp::Live => return true,
            CatchUp::Behind => self.behind = true,
            CatchUp::More(more) => {
                self.end = more.last().map_or(self.end, |last| last.position());
                self.messages = more.into();
            }
        }
        false
    }
}

/// Sends the past at the client's pace; ends when the session or its membership does.
async fn send_past(session: Weak<Session>, membership: Weak<Membership>, mut past: Past) {
    loop {
        // Live messages have to fit: with the past still waiting, the first of them could end the session.
        while !past.behind {
            let Some(outbox) = session.upgrade().map(|session| Rc::clone(session.outbox())) else {
                return;
            };
            std::future::poll_fn(|context| outbox.poll_room(context)).await;
            let Some(membership) = membership.upgrade().filter(|_| outbox.is_open()) else {
                return;
            };
            if let Some(message) = past.messages.pop_front() {
                membership.replay(&message);
            } else if past.go_live(&membership) {
                return;
            }
        }
        let (Some(session), Some(membership)) = (session.upgrade(), membership.upgrade()) else {
            return;
        };
        match session
            .services()
            .engine
            .replay(membership.channel(), past.end)
            .await
        {
            Ok(replay) => {
                if !replay.recovered {
                    membership.tell_gap(replay.position);
                }
                past = Past {
                    messages: replay.messages.into(),
                    end: replay.position,
                    behind: false,
                };
            }
            Err(error) => {
                tracing::warn!(session.connection = session.connection().0, %error, "a session cannot catch up; it has to reconnect");
                session.end(Code::EngineUnavailable);
                return;
            }
        }
    }
}

impl Session {
    /// A place in a channel that is joined after which the session hears everything.
    pub(super) fn place(&self, channel: &ChannelName) -> Option<Position> {
        self.channels.borrow().place(channel)
    }

    /// Tells the client what was lost before it came, and lets the messages of a joined channel flow.
    pub fn flow(self: &Rc<Self>, arrival: Arrival) {
        if !arrival.recovered {
            arrival.membership.tell_gap(arrival.cursor);
        }
        self.catch_up(arrival);
    }
}

/// The place before everything that will be sent.
fn before(replay: &Replay) -> Position {
    let first = replay.messages.first().map(|first| first.position());
    first.map_or(replay.position, |first| Position {
        epoch: first.epoch,
        offset: widecast_protocol::Offset(first.offset.0 - 1),
    })
}
