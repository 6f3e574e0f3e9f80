//! Which shards have subscribers of a channel, and the one hand-over to each per publication.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use actix::Addr;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use tokio::sync::Notify;
use widecast_protocol::{ChannelName, EncodedMessage};

use crate::engine::{Announcement, Deliver, NumberedChange};

use super::announced::AnnouncementQueue;
use super::interest::{ChannelInterest, InterestAnswer, InterestCall, Wanted};
use super::overrun::Overrun;
use super::shard_actor::{Arrived, PresenceChanged, ShardActor, SuspectGap, Wake};

/// How many messages may wait in a shard's mailbox.
pub(super) const MAILBOX_MESSAGES: usize = 4096;
/// How many bytes of messages may wait for a shard before further ones are left to be fetched from the history.
const WAITING_BYTES: u64 = 64 << 20;
/// How many bytes may wait for a shard before publishers have to wait.
const PRESSED_BYTES: u64 = WAITING_BYTES / 4;
const PRESSED_MESSAGES: u64 = MAILBOX_MESSAGES as u64 / 4;
/// About how many bytes a waiting message takes besides its payload.
const MESSAGE_OVERHEAD_BYTES: u64 = 256;

/// How publishers learn that a shard has too much to do.
#[derive(Debug, Default)]
struct BackPressure {
    pressed_shards: AtomicUsize,
    relieved: Notify,
}

impl BackPressure {
    fn uncount(&self) {
        self.pressed_shards.fetch_sub(1, Ordering::SeqCst);
        self.relieved.notify_waiters();
    }
}

/// A shard as the other threads see it.
pub(super) struct ShardHandle {
    address: Addr<ShardActor>,
    pressure: Arc<BackPressure>,
    waiting_messages: AtomicU64,
    waiting_bytes: AtomicU64,
    pressed: AtomicBool,
    /// Something could not be handed over: the shard has to look for holes.
    is_overrun: AtomicBool,
    overrun: Mutex<Overrun>,
}

fn weight(message: &EncodedMessage) -> u64 {
    message.message().payload.weight_bytes() as u64 + MESSAGE_OVERHEAD_BYTES
}

impl ShardHandle {
    fn hand_over(&self, message: &Arc<EncodedMessage>) {
        let weight = weight(message);
        let waiting = self.waiting_bytes.fetch_add(weight, Ordering::SeqCst) + weight;
        let messages = self.waiting_messages.fetch_add(1, Ordering::SeqCst) + 1;
        if waiting > WAITING_BYTES || self.address.try_send(Arrived(Arc::clone(message))).is_err() {
            self.account_for(weight);
            self.note_overrun(&message.message().channel);
        } else if waiting > PRESSED_BYTES || messages > PRESSED_MESSAGES {
            self.set_pressed();
        }
    }

    /// The shard calls this when it has taken a message from its mailbox.
    pub(super) fn taken(&self, message: &EncodedMessage) {
        self.account_for(weight(message));
    }

    /// The channels of which something could not be handed over since the last call, if there are any.
    pub(super) fn take_overrun(&self) -> Option<Overrun> {
        let is_overrun = self.is_overrun.load(Ordering::Relaxed)
            && self.is_overrun.swap(false, Ordering::AcqRel);
        is_overrun.then(|| std::mem::take(&mut *self.overrun()))
    }

    fn overrun(&self) -> std::sync::MutexGuard<'_, Overrun> {
        // No code that can panic runs under the lock.
        self.overrun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_overrun(&self, channel: &ChannelName) {
        self.overrun().add(channel);
        self.is_overrun.store(true, Ordering::Release);
        // If the mailbox has been emptied meanwhile nothing else would make the shard look; if it is still full, what is
        // in it will.
        let _ = self.address.try_send(Wake);
    }

    fn account_for(&self, weight: u64) {
        self.waiting_bytes.fetch_sub(weight, Ordering::SeqCst);
        self.waiting_messages.fetch_sub(1, Ordering::SeqCst);
        self.relieve_if_low();
    }

    fn set_pressed(&self) {
        if !self.pressed.load(Ordering::SeqCst) {
            // Counted before it is marked: whoever removes the mark finds it counted.
            self.pressure.pressed_shards.fetch_add(1, Ordering::SeqCst);
            if self.pressed.swap(true, Ordering::SeqCst) {
                self.pressure.uncount();
            }
        }
        // The shard may have taken everything before it could see the mark: then nobody else would remove it.
        self.relieve_if_low();
    }

    fn relieve_if_low(&self) {
        let low = self.waiting_bytes.load(Ordering::SeqCst) <= PRESSED_BYTES / 2
            && self.waiting_messages.load(Ordering::SeqCst) <= PRESSED_MESSAGES / 2;
        if low && self.pressed.load(Ordering::SeqCst) && self.pressed.swap(false, Ordering::SeqCst)
        {
            self.pressure.uncount();
        }
    }
}

/// A shard with subscribers of a channel.
struct Route {
    shard: Arc<ShardHandle>,
    subscribers: u64,
}

/// The shards with subscribers of a channel, and what the engine is told of it.
#[derive(Default)]
struct ChannelRoutes {
    routes: Vec<Route>,
    interest: ChannelInterest,
}

/// Channel → shards with subscribers, shared by all threads.
#[derive(Default)]
pub struct Routes {
    channels: DashMap<ChannelName, ChannelRoutes>,
    pressure: Arc<BackPressure>,
    announcements: AnnouncementQueue,
}

impl Routes {
    /// No routes yet.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// How many subscriptions a channel has on this node.
    pub fn subscribers(&self, channel: &ChannelName) -> u64 {
        let found = self.channels.get(channel);
        found.map_or(0, |found| {
            found.routes.iter().map(|route| route.subscribers).sum()
        })
    }

    /// What other nodes have announced.
    pub fn announcements(&self) -> &AnnouncementQueue {
        &self.announcements
    }

    /// Waits until every shard can take more: what makes publishers as slow as the slowest worker.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn room(&self) {
        loop {
            let relieved = self.pressure.relieved.notified();
            if self.pressure.pressed_shards.load(Ordering::SeqCst) == 0 {
                return;
            }
            relieved.await;
        }
    }

    pub(super) fn register(&self, address: Addr<ShardActor>) -> Arc<ShardHandle> {
        Arc::new(ShardHandle {
            address,
            pressure: Arc::clone(&self.pressure),
            waiting_messages: AtomicU64::new(0),
            waiting_bytes: AtomicU64::new(0),
            pressed: AtomicBool::new(false),
            is_overrun: AtomicBool::new(false),
            overrun: Mutex::default(),
        })
    }

    /// A shard has one subscriber more.
    pub(super) fn add(&self, channel: &ChannelName, shard: &Arc<ShardHandle>) {
        let mut found = self.channels.entry(channel.clone()).or_default();
        let routes = &mut found.routes;
        match routes
            .iter_mut()
            .find(|route| Arc::ptr_eq(&route.shard, shard))
        {
            Some(route) => route.subscribers += 1,
            None => routes.push(Route {
                shard: Arc::clone(shard),
                subscribers: 1,
            }),
        }
    }

    /// A shard has one subscriber less. Returns whether it has to see to [`Routes::next_interest_call`].
    pub(super) fn remove(&self, channel: &ChannelName, shard: &Arc<ShardHandle>) -> bool {
        let Entry::Occupied(mut entry) = self.channels.entry(channel.clone()) else {
            return false;
        };
        let found = entry.get_mut();
        if let Some(route) = found
            .routes
            .iter_mut()
            .find(|route| Arc::ptr_eq(&route.shard, shard))
        {
            route.subscribers -= 1;
        }
        found.routes.retain(|route| route.subscribers > 0);
        if !found.routes.is_empty() {
            return false;
        }
        let must_call = found.interest.unwant();
        if found.interest.is_over() {
            entry.remove();
        }
        must_call
    }

    /// A subscriber that has been added wants the engine to deliver the channel to this node.
    pub(super) fn want(&self, channel: &ChannelName) -> Wanted {
        let mut found = self.channels.entry(channel.clone()).or_default();
        found.interest.want()
    }

    /// The call that the engine has to be given next about a channel; to be asked until there is none.
    pub(super) fn next_interest_call(&self, channel: &ChannelName) -> Option<InterestCall> {
        let Entry::Occupied(mut entry) = self.channels.entry(channel.clone()) else {
            return None;
        };
        let found = entry.get_mut();
        let has_subscribers = !found.routes.is_empty();
        let call = found.interest.next_call(has_subscribers);
        if !has_subscribers && found.interest.is_over() {
            entry.remove();
        }
        call
    }

    /// The engine has been called. Returns whether there may be something else to call.
    pub(super) fn interest_called(
        &self,
        channel: &ChannelName,
        call: InterestCall,
        answer: InterestAnswer,
    ) -> bool {
        let Entry::Occupied(mut entry) = self.channels.entry(channel.clone()) else {
            return false;
        };
        let found = entry.get_mut();
        let goes_on = found.interest.called(call, answer);
        if found.routes.is_empty() && found.interest.is_over() {
            entry.remove();
        }
        goes_on
    }

    /// Does something with every shard that has subscribers.
    fn for_each(&self, channel: &ChannelName, tell: impl Fn(&ShardHandle)) {
        if let Some(found) = self.channels.get(channel) {
            found.routes.iter().for_each(|route| tell(&route.shard));
        }
    }
}

impl Deliver for Routes {
    fn deliver(&self, message: Arc<EncodedMessage>) -> u64 {
        let Some(found) = self.channels.get(&message.message().channel) else {
            return 0;
        };
        let mut subscribers = 0;
        for route in &found.routes {
            route.shard.hand_over(&message);
            subscribers += route.subscribers;
        }
        subscribers
    }

    fn presence(&self, channel: &ChannelName, change: NumberedChange) {
        self.for_each(channel, |shard| {
            #[expect(
                clippy::disallowed_methods,
                reason = "nobody could ask later for a change that did not fit into the mailbox; those who come and go are bounded by their sessions"
            )]
            shard.address.do_send(PresenceChanged {
                channel: channel.clone(),
                change: change.clone(),
            });
        });
    }

    fn lost(&self, channel: &ChannelName) {
        self.for_each(channel, |shard| {
            let told = shard.address.try_send(SuspectGap(channel.clone()));
            if told.is_err() {
                shard.note_overrun(channel);
            }
        });
    }

    fn announced(&self, announcement: Announcement) {
        self.announcements.add(announcement);
    }

    fn announcements_lost(&self) {
        self.announcements.note_lost();
    }
}
