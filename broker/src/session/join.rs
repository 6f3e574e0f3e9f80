//! Joining a channel without losing a message: hold what comes, find out where to begin, answer, then let the messages
//! flow from there.

use std::rc::Rc;

use widecast_protocol::{ChannelName, Code, Offset, Payload, Position};

use crate::engine::{HistoryOrder, HistoryQuery, MemberList, Portion};
use crate::metrics::ResumeOutcome;
use crate::registry::{Membership, Subscriber};

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

/// A channel has been joined; [`Session::let_flow`] lets its messages flow.
#[must_use = "no message flows before Session::let_flow"]
pub struct Arrival {
    membership: Rc<Membership>,
    /// The place after which everything will be heard.
    pub cursor: Position,
    /// Whether nothing was lost between the cursor that was asked for and `cursor`.
    pub recovered: bool,
    /// The place that the client may be given before it is told of a loss: until then, the one that it asked for.
    pub known: Position,
    /// Who is here, when presence was asked for.
    pub members: Option<MemberList>,
    /// Whether nothing has been published after `cursor` so far.
    nothing_past: bool,
}

/// Where a session begins to hear a channel.
struct Beginning {
    cursor: Position,
    recovered: bool,
    nothing_past: bool,
}

impl Arrival {
    /// The channel.
    pub fn channel(&self) -> &ChannelName {
        self.membership.channel()
    }
}

impl Session {
    /// Joins a channel; messages are held until [`Session::let_flow`].
    ///
    /// # Errors
    /// When the namespace does not allow it, the session has joined as many channels as it may, or the engine cannot
    /// be reached.
    pub async fn join(self: &Rc<Self>, joining: Joining) -> Result<Arrival, Refusal> {
        let channel = joining.channel.clone();
        let arrived = self.arrive(joining).await;
        if arrived.is_err() {
            self.leave(&channel);
            self.disappear(&channel).await;
        }
        arrived
    }

    async fn arrive(&self, joining: Joining) -> Result<Arrival, Refusal> {
        self.check(&joining)?;
        let channel = &joining.channel;
        let subscriber = self.subscriber(channel, joining.presence.is_some());
        let membership = Rc::new(self.shard().join(channel, subscriber).await?);
        self.channels.borrow_mut().insert(Joined {
            membership: Rc::clone(&membership),
            beginning: joining.since,
        });
        let beginning = self.beginning(&joining).await?;
        let members = match joining.presence {
            Some(data) => Some(self.appear(channel, data).await?),
            None => None,
        };
        let Beginning {
            cursor, recovered, ..
        } = beginning;
        let lost_since = joining
            .since
            .filter(|_| !recovered && self.dialect().tells_gaps());
        let known = lost_since.unwrap_or(cursor);
        self.outbox().begin_at(channel, known);
        Ok(Arrival {
            membership,
            cursor,
            recovered,
            known,
            members,
            nothing_past: beginning.nothing_past,
        })
    }

    /// Leaves a channel; whoever was listed there still is. Returns whether it had been joined.
    pub(super) fn leave(&self, channel: &ChannelName) -> bool {
        self.channels.borrow_mut().remove(channel).is_some()
    }

    fn check(&self, joining: &Joining) -> Result<(), Refusal> {
        let channel = &joining.channel;
        self.require(channel, Right::Subscribe)?;
        if let Some(data) = &joining.presence {
            self.check_listing(channel, data)?;
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
        let watch = with_presence.then(|| self.watch()).flatten();
        Subscriber {
            outbox: Rc::clone(self.outbox()),
            sender: self.identity().muted(),
            lane: self.outbox().lane(),
            policy: self.services().config.namespace(channel).slow_consumer,
            presence: watch.map(Box::new),
        }
    }

    /// Where a session begins that joins a channel.
    async fn beginning(&self, joining: &Joining) -> Result<Beginning, Refusal> {
        let services = self.services();
        let channel = &joining.channel;
        if let Some(since) = joining.since {
            let replay = services
                .engine
                .replay(channel, since, Portion::NONE)
                .await?;
            services.metrics.sessions.resumed(if replay.recovered {
                ResumeOutcome::Recovered
            } else {
                ResumeOutcome::Lost
            });
            return Ok(Beginning {
                cursor: replay.position,
                recovered: replay.recovered,
                nothing_past: replay.complete,
            });
        }
        let limits = services.history_limits(channel);
        let position = services.engine.position(channel, limits).await?;
        let first = match joining.history {
            Some(limit) => self.first_of_the_newest(channel, limit).await?,
            None => None,
        };
        Ok(Beginning {
            cursor: first.unwrap_or(position),
            recovered: true,
            nothing_past: first.is_none(),
        })
    }

    /// The place before the newest messages, at most so many of them.
    async fn first_of_the_newest(
        &self,
        channel: &ChannelName,
        limit: u32,
    ) -> Result<Option<Position>, Refusal> {
        let services = self.services();
        let most = services.config.limits.messages_per_history;
        let query = HistoryQuery {
            since: None,
            limit: (limit as usize).min(most),
            order: HistoryOrder::NewestFirst,
        };
        let page = services.engine.history(channel, query).await?;
        let oldest = page.messages.last();
        Ok(oldest.map(|oldest| {
            let Position { epoch, offset } = oldest.position();
            // Offsets count from 1.
            let offset = Offset(offset.0 - 1);
            Position { epoch, offset }
        }))
    }

    /// Lets the messages of a joined channel flow: first what is past, at the client's pace, then what comes.
    pub async fn let_flow(&self, arrival: Arrival) {
        let Arrival {
            membership,
            cursor,
            nothing_past,
            members,
            ..
        } = arrival;
        if let Some(list) = members {
            membership.begin_watch(list.changes);
        }
        membership.begin(self.outbox(), cursor, nothing_past).await;
    }
}

impl Session {
    /// A place in a channel that is joined after which the session hears everything.
    pub(super) fn place(&self, channel: &ChannelName) -> Option<Position> {
        self.channels.borrow().place(channel)
    }

    /// Tells the client what was lost before it came, and lets the messages of a joined channel flow.
    pub async fn tell_and_let_flow(&self, arrival: Arrival) {
        if !arrival.recovered {
            arrival.membership.tell_gap(arrival.cursor);
        }
        self.let_flow(arrival).await;
    }
}
