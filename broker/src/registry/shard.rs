//! The subscriptions of one worker thread, which its sessions share with the [`ShardActor`].

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::{Semaphore, oneshot};
use widecast_protocol::{ChannelName, EncodedMessage, Position};

use crate::engine::{
    ConnectionId, Engine, EngineError, NumberedChange, Replay, until_deadline,
    with_callers_patience,
};
use crate::log_limit::LogLimit;
use crate::metrics::Metrics;

use super::background::run_in_background;
use super::catch_up_reader::{Behind, MORE_AT_ONCE, Turn};
use super::fanout::{Fanout, Next};
use super::interest::{InterestCall, Wanted};
use super::long_forms::Waiting;
use super::outbox::FlushList;
use super::outbox::Outbox;
use super::overrun::Overrun;
use super::refill::REFILLS_AT_ONCE;
use super::routes::{MAILBOX_MESSAGES, Routes, ShardHandle};
use super::shard_actor::ShardActor;
use super::subscription::Destination;
use super::subscription_handle::SubscriptionHandle;

/// The subscriptions of one worker thread.
pub struct Shard {
    pub(super) channels: RefCell<HashMap<ChannelName, Fanout>>,
    flush_list: Rc<FlushList>,
    handle: Arc<ShardHandle>,
    routes: Arc<Routes>,
    engine: Arc<dyn Engine>,
    pub(super) metrics: Arc<Metrics>,
    patience: Duration,
    /// Whoever fills holes from the history.
    pub(super) refills: Semaphore,
    /// Subscriptions that read the past beside another one of their session.
    pub(super) more_reads: Semaphore,
    /// What waits behind large messages.
    pub(super) waiting: Waiting,
    /// The channels whose watchers have to be told who came and went.
    with_news: RefCell<Vec<ChannelName>>,
}

impl Shard {
    /// Starts the shard of the current thread. A client for whom messages wait that do not fit into its outbox, and that takes
    /// nothing for as long as `patience`, loses its connection.
    ///
    /// # Panics
    /// Outside an actix system.
    pub fn start(
        routes: &Arc<Routes>,
        engine: &Arc<dyn Engine>,
        metrics: &Arc<Metrics>,
        patience: Duration,
    ) -> Rc<Self> {
        let mut started = None;
        ShardActor::create(|context| {
            context.set_mailbox_capacity(MAILBOX_MESSAGES);
            let shard = Rc::new(Self {
                channels: RefCell::default(),
                flush_list: FlushList::new(metrics.deliveries.clone()),
                handle: routes.register(context.address()),
                routes: Arc::clone(routes),
                engine: Arc::clone(engine),
                metrics: Arc::clone(metrics),
                patience,
                refills: Semaphore::new(REFILLS_AT_ONCE),
                more_reads: Semaphore::new(MORE_AT_ONCE),
                waiting: Waiting::default(),
                with_news: RefCell::default(),
            });
            started = Some(Rc::clone(&shard));
            ShardActor { shard }
        });
        started.expect("create calls its closure before it returns")
    }

    /// Where this thread's outboxes are written from.
    pub fn flush_list(&self) -> &Rc<FlushList> {
        &self.flush_list
    }

    /// The connections of this thread that hear a channel.
    pub fn subscribers(&self, channel: &ChannelName) -> Vec<ConnectionId> {
        let channels = self.channels.borrow();
        let fanout = channels.get(channel);
        fanout.map_or_else(Vec::new, |fanout| fanout.owners().collect())
    }

    pub(super) fn engine(&self) -> &dyn Engine {
        &*self.engine
    }

    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    /// A session ends because its client is too slow.
    pub(super) fn count_slow(&self) {
        self.metrics.deliveries.gave_up();
    }

    /// Where the history is to be read from for a subscription that is behind.
    pub(super) fn begin_reading(&self, behind: &Behind, outbox: &Rc<Outbox>) -> Option<Position> {
        let mut channels = self.channels.borrow_mut();
        channels
            .get_mut(&behind.channel)?
            .begin_reading(behind, outbox)
    }

    /// Sends a subscription what was read after `since`, as far as there is room.
    pub(super) fn send_past(
        &self,
        behind: &Behind,
        outbox: &Rc<Outbox>,
        since: Position,
        replay: &Replay,
    ) -> Turn {
        let mut channels = self.channels.borrow_mut();
        match channels.get_mut(&behind.channel) {
            Some(fanout) => fanout.send_past(behind, outbox, (since, replay), &self.metrics),
            None => Turn::Over,
        }
    }

    /// Makes a session a subscriber: from now on, messages that reach this shard are held for it until
    /// [`SubscriptionHandle::begin`]. [`SubscriptionHandle::subscribe`] makes the engine deliver to this node.
    pub fn join(
        self: &Rc<Self>,
        channel: &ChannelName,
        destination: Destination,
    ) -> SubscriptionHandle {
        let key = {
            let mut channels = self.channels.borrow_mut();
            channels
                .entry(channel.clone())
                .or_default()
                .join(destination)
        };
        self.routes.add(channel, &self.handle);
        self.metrics.sessions.subscriptions.inc();
        SubscriptionHandle {
            shard: Rc::clone(self),
            channel: channel.clone(),
            key,
        }
    }

    pub(super) fn leave(&self, handle: &SubscriptionHandle) {
        let channel = &handle.channel;
        let left = {
            let mut channels = self.channels.borrow_mut();
            let Some(fanout) = channels.get_mut(channel) else {
                return;
            };
            fanout.leave(handle.key);
            // Dropped after the borrow has ended.
            if fanout.is_empty() {
                channels.remove(channel)
            } else {
                None
            }
        };
        drop(left);
        let must_call = self.routes.remove(channel, &self.handle);
        self.metrics.sessions.subscriptions.dec();
        if must_call {
            self.call_about_interest(channel.clone());
        }
    }

    /// Has the engine deliver a channel to this node that has been joined.
    pub(super) async fn want(&self, channel: &ChannelName) -> Result<(), EngineError> {
        let Wanted::Wait { answer, must_call } = self.routes.want(channel) else {
            return Ok(());
        };
        if must_call {
            self.call_about_interest(channel.clone());
        }
        match until_deadline(answer).await? {
            Ok(answer) => answer,
            // The one who was asked has gone, and with it its thread.
            Err(_) => Err(EngineError::unavailable("the worker that asked is ending")),
        }
    }

    /// Tells the engine whether a channel has subscribers on this node, until it knows what is true.
    fn call_about_interest(&self, channel: ChannelName) {
        let (engine, routes) = (Arc::clone(&self.engine), Arc::clone(&self.routes));
        run_in_background(async move {
            while let Some(call) = routes.next_interest_call(&channel) {
                let answer = match call {
                    InterestCall::Interested => engine.interested(&channel).await,
                    InterestCall::Uninterested => {
                        engine.uninterested(&channel);
                        Ok(())
                    }
                };
                if !routes.interest_called(&channel, call, answer) {
                    break;
                }
            }
        });
    }

    /// A connection is no longer here as a member. It is done whether or not somebody waits for the answer, after which
    /// the same connection may enter again.
    pub fn exit(&self, channel: &ChannelName, connection: ConnectionId) -> oneshot::Receiver<()> {
        let engine = Arc::clone(&self.engine);
        let channel = channel.clone();
        let (done, answer) = oneshot::channel();
        let exit = async move {
            if let Err(error) = engine.exit(&channel, connection).await {
                static LINE: LogLimit = LogLimit::new();
                if let Some(times) = LINE.due() {
                    tracing::warn!(times, channel.name = channel.as_str(), %error, "the engine was not told that a member has left; it is listed until the engine forgets it");
                }
            }
            // Nobody has to wait for it.
            let _ = done.send(());
        };
        run_in_background(with_callers_patience(exit));
        answer
    }

    pub(super) fn arrived(self: &Rc<Self>, message: &Arc<EncodedMessage>) {
        self.look_for_overrun();
        self.deliver_in_turn(message);
    }

    /// Delivers a message whose turn it is.
    pub(super) fn deliver(self: &Rc<Self>, message: &Arc<EncodedMessage>) {
        self.handle.taken(message);
        self.flush_list.arrived();
        let channel = &message.message().channel;
        let next = match self.channels.borrow_mut().get_mut(channel) {
            Some(fanout) => fanout.arrived(message, &self.metrics),
            None => Next::Nothing,
        };
        self.go_on(channel, next);
    }

    /// Somebody came to a channel, or went: [`Shard::tell_news`] tells of it.
    pub(super) fn presence(&self, channel: ChannelName, change: NumberedChange) {
        let mut channels = self.channels.borrow_mut();
        let fanout = channels.get_mut(&channel);
        if fanout.is_some_and(|fanout| fanout.presence(change)) {
            self.with_news.borrow_mut().push(channel);
        }
    }

    /// Tells who came and went, once the last news are written. So what comes meanwhile is told together, however much it is.
    pub(super) fn tell_news(&self) {
        if self.with_news.borrow().is_empty() || !self.flush_list.has_gone_round() {
            return;
        }
        let mut channels = self.channels.borrow_mut();
        for channel in self.with_news.take() {
            if let Some(fanout) = channels.get_mut(&channel) {
                fanout.tell_news(&channel);
            }
        }
        self.flush_list.begin_round();
    }

    pub(super) fn suspect_gap(self: &Rc<Self>, channel: &ChannelName) {
        let next = match self.channels.borrow_mut().get_mut(channel) {
            Some(fanout) => fanout.suspect_gap(),
            None => Next::Nothing,
        };
        self.go_on(channel, next);
    }

    /// Looks whether something could not be handed over.
    pub(super) fn look_for_overrun(self: &Rc<Self>) {
        static LINE: LogLimit = LogLimit::new();
        let Some(overrun) = self.handle.take_overrun() else {
            return;
        };
        if let Some(times) = LINE.due() {
            tracing::warn!(
                times,
                "a worker was handed more messages than it can hold; it reads them from the history. Add workers, or publish less, if this repeats"
            );
        }
        let channels = match overrun {
            Overrun::Channels(channels) => channels,
            Overrun::All => self.channels.borrow().keys().cloned().collect(),
        };
        for channel in channels {
            self.suspect_gap(&channel);
        }
    }

    fn go_on(self: &Rc<Self>, channel: &ChannelName, next: Next) {
        if let Next::Fill(since) = next {
            actix_rt::spawn(Rc::clone(self).refill(channel.clone(), since));
        }
        self.attend_to_those_behind();
    }

    pub(super) fn attend_to_those_behind(self: &Rc<Self>) {
        for outbox in self.flush_list.take_behind() {
            self.attend(&outbox);
        }
    }
}
