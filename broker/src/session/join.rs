//! Joining a channel without losing a message: hold what comes, find out where to begin, answer, then let the messages
//! flow from there. [`Joining`] decides what is asked, and in which order.

use std::rc::Rc;
use std::time::Instant;

use widecast_protocol::{ChannelName, Code, Payload, Position};

use crate::config::Right;
use crate::engine::{HistoryOrder, HistoryQuery, MemberList, Portion, Replay, renew};
use crate::metrics::{GapReason, ResumeOutcome};
use crate::registry::{Destination, SubscriptionHandle};

use super::audit::audit;
use super::channels::JoinedChannel;
use super::joining::{JoinAnswer, JoinStart, JoinStep, Joining};
use super::refusal::Refusal;
use super::session::Session;

/// Which channel to join, and how.
#[derive(Debug, Clone)]
pub struct JoinRequest {
    /// The channel.
    pub channel: ChannelName,
    /// Where to resume; from the end without it.
    pub since: Option<Position>,
    /// How many of the newest past messages to send, when not resuming.
    pub history: Option<u32>,
    /// The data to be listed with; without it the session is not listed.
    pub presence: Option<Payload>,
}

/// Where a session begins that has joined a channel. [`Session::let_flow`] lets the messages flow.
#[must_use = "no message flows before Session::let_flow"]
pub struct JoinOutcome {
    handle: Rc<SubscriptionHandle>,
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

impl JoinOutcome {
    /// The channel.
    pub fn channel(&self) -> &ChannelName {
        self.handle.channel()
    }
}

impl Session {
    /// Joins a channel; messages are held until [`Session::let_flow`].
    ///
    /// # Errors
    /// When the session may not hear the channel, it has joined as many channels as it may, it has left the channel meanwhile, or
    /// the engine cannot be reached.
    pub async fn join(self: &Rc<Self>, request: JoinRequest) -> Result<JoinOutcome, Refusal> {
        let _under_way = self.is_about_to_join(&request.channel);
        // All that it asks of the engine has one deadline, with what is cleared away after a failure.
        let joining = async {
            self.admit(&request).await?;
            self.join_admitted(request).await
        };
        self.services().with_patience(joining).await
    }

    /// Makes sure that the session may join a channel, by the broker's rules and then by the authorisation hook. A channel that it has
    /// joined stays joined, whatever the outcome.
    ///
    /// # Errors
    /// When the session may not hear the channel, or has joined as many others as it may.
    pub(super) async fn admit(&self, request: &JoinRequest) -> Result<(), Refusal> {
        let outcome = match self.check(request) {
            Ok(()) => self.ask_to_join(request).await,
            Err(refusal) => Err(refusal),
        };
        outcome.inspect_err(|refusal| self.audit_join(&request.channel, Err(refusal.code)))
    }

    /// Joins a channel that the session has been admitted to.
    ///
    /// # Errors
    /// When the session has left the channel meanwhile, or the engine cannot be reached. It is then not in the channel.
    pub(super) async fn join_admitted(
        self: &Rc<Self>,
        request: JoinRequest,
    ) -> Result<JoinOutcome, Refusal> {
        let channel = request.channel.clone();
        let outcome = self.try_join(request).await;
        let told = outcome.as_ref().map(|_| ()).map_err(|refusal| refusal.code);
        self.audit_join(&channel, told);
        if outcome.is_err() {
            self.leave(&channel);
            self.disappear(&channel).await;
        }
        outcome
    }

    fn audit_join(&self, channel: &ChannelName, outcome: Result<(), Code>) {
        let principal = self.principal_on(channel);
        audit(
            self.services(),
            &principal,
            "subscribe",
            Some(channel),
            outcome,
        );
    }

    async fn try_join(&self, request: JoinRequest) -> Result<JoinOutcome, Refusal> {
        self.require_open()?;
        if self.is_called_off(&request.channel) {
            return Err(has_left());
        }
        // Others may have been joined while the hook was asked.
        self.check_room(&request.channel)?;
        let JoinRequest {
            channel,
            since,
            history,
            presence,
        } = if self.services().is_ephemeral(&request.channel) {
            // What has been is over: the session begins at the end, whatever it asks for.
            JoinRequest {
                since: None,
                history: None,
                ..request
            }
        } else {
            request
        };
        let destination = self.destination(&channel, presence.is_some());
        let handle = Rc::new(self.shard().join(&channel, destination));
        self.channels.borrow_mut().insert(JoinedChannel {
            handle: Rc::clone(&handle),
            joined: Instant::now(),
            beginning: since,
            is_named: false,
        });
        let joining = Joining::new(since, history, presence);
        let (start, members) = self.run(joining, &handle).await?;
        let known = start.known(since, self.dialect().tells_gaps());
        self.outbox().begin_at(&channel, known);
        Ok(JoinOutcome {
            handle,
            cursor: start.cursor,
            recovered: start.recovered,
            known,
            members,
            nothing_past: start.nothing_past,
        })
    }

    /// Takes the steps of joining, for as long as the session has not left the channel.
    async fn run(
        &self,
        mut joining: Joining,
        handle: &Rc<SubscriptionHandle>,
    ) -> Result<(JoinStart, Option<MemberList>), Refusal> {
        let channel = handle.channel();
        loop {
            let answer = match joining.next() {
                JoinStep::Subscribe => {
                    handle.subscribe().await?;
                    JoinAnswer::Subscribed
                }
                JoinStep::CheckPlace(since) => {
                    JoinAnswer::Checked(self.check_place(channel, since).await?)
                }
                JoinStep::FindEnd => JoinAnswer::End(self.find_end(channel).await?),
                JoinStep::ReadNewest { limit, .. } => {
                    JoinAnswer::Oldest(self.oldest_of_the_newest(channel, limit).await?)
                }
                JoinStep::Enter(_, data) => {
                    self.enter(channel, data).await?;
                    JoinAnswer::Entered
                }
                JoinStep::ListMembers(_) => JoinAnswer::Members(self.list_members(channel).await?),
                JoinStep::Joined(start, members) => return Ok((start, members)),
            };
            if !self.channels.borrow().holds(handle) {
                self.require_open()?;
                return Err(has_left());
            }
            joining.done(answer);
        }
    }

    async fn check_place(&self, channel: &ChannelName, since: Position) -> Result<Replay, Refusal> {
        let services = self.services();
        let replay = services.engine.replay(channel, since, Portion::NONE);
        let replay = replay.await?;
        services.metrics.sessions.resumed(if replay.recovered {
            ResumeOutcome::Recovered
        } else {
            ResumeOutcome::Lost
        });
        Ok(replay)
    }

    async fn find_end(&self, channel: &ChannelName) -> Result<Position, Refusal> {
        let services = self.services();
        let limits = services.history_limits(channel);
        Ok(services.engine.position(channel, limits).await?)
    }

    /// The place of the oldest of the newest messages, at most so many of them.
    async fn oldest_of_the_newest(
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
        Ok(page.messages.last().map(|oldest| oldest.position()))
    }

    /// Leaves a channel in order to join it again: what was shown for it still counts. Returns whether it had been joined.
    pub(super) fn step_out(&self, channel: &ChannelName) -> bool {
        self.channels.borrow_mut().remove(channel).is_some()
    }

    /// Leaves a channel; whoever was listed there still is. Returns whether it had been joined.
    pub(super) fn leave(&self, channel: &ChannelName) -> bool {
        self.forget_subscription_token(channel);
        self.step_out(channel)
    }

    async fn ask_to_join(&self, request: &JoinRequest) -> Result<(), Refusal> {
        let mut rights = vec![Right::Subscribe];
        rights.extend(request.presence.as_ref().map(|_| Right::Presence));
        rights.extend(request.history.map(|_| Right::History));
        self.ask_to_read(&request.channel, &rights).await
    }

    fn check(&self, request: &JoinRequest) -> Result<(), Refusal> {
        let channel = &request.channel;
        self.require(channel, Right::Subscribe)?;
        if let Some(data) = &request.presence {
            self.check_listing(channel, data)?;
        }
        if request.history.is_some() {
            self.require(channel, Right::History)?;
        }
        self.check_room(channel)
    }

    /// Makes sure that the session may have joined this channel beside the others that it has.
    fn check_room(&self, channel: &ChannelName) -> Result<(), Refusal> {
        let limit = self.services().config.limits.channels_per_session;
        let channels = self.channels.borrow();
        let others = channels.len() - usize::from(channels.handle(channel).is_some());
        if others >= limit {
            let detail = format!(
                "the session has joined {limit} channels, limits.channels_per_session allows no more"
            );
            return Err(Refusal::new(Code::TooManyChannels, detail));
        }
        Ok(())
    }

    fn destination(&self, channel: &ChannelName, with_presence: bool) -> Destination {
        let watch = with_presence.then(|| self.watch()).flatten();
        Destination {
            outbox: Rc::clone(self.outbox()),
            sender: self.muted(),
            lane: self.outbox().lane(),
            policy: self
                .services()
                .config
                .namespace(channel)
                .slow_consumer_policy(),
            presence: watch.map(Box::new),
        }
    }

    /// Lets the messages of a joined channel flow: first what is past, at the client's pace, then what comes.
    pub async fn let_flow(&self, outcome: JoinOutcome) {
        self.begin_to_hear(outcome);
        self.catch_up().await;
    }

    /// As [`Self::let_flow`], but of what is past nothing is sent before [`Self::catch_up`]. The client is told by now, or by the answer that
    /// is made next, if something was lost before.
    pub fn begin_to_hear(&self, outcome: JoinOutcome) {
        let JoinOutcome {
            handle,
            cursor,
            nothing_past,
            members,
            recovered,
            ..
        } = outcome;
        if !recovered {
            let gaps = &self.services().metrics.gaps;
            gaps.told(handle.channel(), GapReason::ResumedTooLate);
        }
        if let Some(list) = members {
            handle.begin_watch(list.changes);
        }
        handle.begin(cursor, nothing_past);
    }

    /// Sends what is past in the channels that begin to be heard, a portion of each in turn: as much as there is room for before this
    /// returns, the rest at the client's pace.
    pub async fn catch_up(&self) {
        // It is as it should be so far: what is read now has its own time, since a failure ends the session.
        renew();
        self.shard().catch_up(self.outbox()).await;
    }
}

/// The session has left a channel, perhaps because it lost its right to it, while it was asked for something there.
pub(super) fn has_left() -> Refusal {
    Refusal::new(Code::NotSubscribed, "the session has left the channel")
}

impl Session {
    /// A place in a channel that is joined after which the session hears everything.
    pub(super) fn place(&self, channel: &ChannelName) -> Option<Position> {
        self.channels.borrow().place(channel)
    }

    /// Whether the session has not left the channel since.
    pub(super) fn is_in(&self, outcome: &JoinOutcome) -> bool {
        self.channels.borrow().holds(&outcome.handle)
    }

    /// Tells the client what was lost in a channel before it came.
    pub fn tell_gap(&self, outcome: &JoinOutcome) {
        if !outcome.recovered {
            outcome.handle.tell_gap(outcome.cursor);
        }
    }
}

#[cfg(test)]
#[path = "join_tests.rs"]
mod tests;
