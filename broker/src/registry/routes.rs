//! Which shards have subscribers of a channel, and the one hand-over to each per publication.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use actix::Addr;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use tokio::sync::Notify;
use widecast_protocol::{ChannelName, EncodedMessage};

use crate::engine::{Deliver, NumberedChange};

use super::shard::{Arrived, Lost, PresenceChanged, ShardActor, Wake};

/// How many messages may wait in a shard's mailbox.
pub(super) const MAILBOX_MESSAGES: usize = 4096;
/// How many bytes of messages may wait for a shard before further ones are left to be fetched from the history.
const WAITING_BYTES: u64 = 64 << 20;
/// From here on publishers wait.
const PRESSED_BYTES: u64 = WAITING_BYTES / 4;
const PRESSED_MESSAGES: u64 = MAILBOX_MESSAGES as u64 / 4;
/// The memory of a waiting message besides its payload, about.
const MESSAGE_OVERHEAD_BYTES: u64 = 256;

/// How publishers learn that a shard has too much to do.
#[derive(Debug, Default)]
struct Pressure {
    pressed_shards: AtomicUsize,
    relieved: Notify,
}

impl Pressure {
    fn uncount(&self) {
        self.pressed_shards.fetch_sub(1, Ordering::SeqCst);
        self.relieved.notify_waiters();
    }
}

/// A shard as the other threads see it.
pub(super) struct ShardHandle {
    address: Addr<ShardActor>,
    pressure: Arc<Pressure>,
    waiting_messages: AtomicU64,
    waiting_bytes: AtomicU64,
    pressed: AtomicBool,
    /// Something could not be handed over: the shard has to look for holes.
    overrun: AtomicBool,
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
            self.note_overrun();
        } else if waiting > PRESSED_BYTES || messages > PRESSED_MESSAGES {
            self.set_pressed();
        }
    }

    /// Called by the shard when it has taken a message from its mailbox.
    pub(super) fn taken(&self, message: &EncodedMessage) {
        self.account_for(weight(message));
    }

    /// Whether something could not be handed over since the last call.
    pub(super) fn take_overrun(&self) -> bool {
        self.overrun.load(Ordering::Relaxed) && self.overrun.swap(false, Ordering::AcqRel)
    }

    fn note_overrun(&self) {
        self.overrun.store(true, Ordering::Release);
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

/// Channel → shards with subscribers, shared by all threads.
#[derive(Default)]
pub struct Routes {
    channels: DashMap<ChannelName, Vec<Route>>,
    pressure: Arc<Pressure>,
}

impl Routes {
    /// No routes yet.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// How many subscriptions a channel has on this node.
    pub fn subscribers(&self, channel: &ChannelName) -> u64 {
        let routes = self.channels.get(channel);
        routes.map_or(0, |routes| {
            routes.iter().map(|route| route.subscribers).sum()
        })
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
            overrun: AtomicBool::new(false),
        })
    }

    /// A shard has one subscriber more.
    pub(super) fn add(&self, channel: &ChannelName, shard: &Arc<ShardHandle>) {
        let mut routes = self.channels.entry(channel.clone()).or_default();
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

    /// A shard has one subscriber less.
    pub(super) fn remove(&self, channel: &ChannelName, shard: &Arc<ShardHandle>) {
        let Entry::Occupied(mut routes) = self.channels.entry(channel.clone()) else {
            return;
        };
        if let Some(route) = routes
            .get_mut()
            .iter_mut()
            .find(|route| Arc::ptr_eq(&route.shard, shard))
        {
            route.subscribers -= 1;
        }
        routes.get_mut().retain(|route| route.subscribers > 0);
        if routes.get().is_empty() {
            routes.remove();
        }
    }

    /// Tells every shard with subscribers something rare.
    fn tell<M>(&self, channel: &ChannelName, message: impl Fn() -> M)
    where
        M: actix::Message + Send + 'static,
        M::Result: Send,
        ShardActor: actix::Handler<M>,
    {
        let Some(routes) = self.channels.get(channel) else {
            return;
        };
        for route in routes.iter() {
            if route.shard.address.try_send(message()).is_err() {
                route.shard.note_overrun();
            }
        }
    }
}

impl Deliver for Routes {
    fn deliver(&self, message: Arc<EncodedMessage>) -> u64 {
        let Some(routes) = self.channels.get(&message.message().channel) else {
            return 0;
        };
        let mut subscribers = 0;
        for route in routes.iter() {
            route.shard.hand_over(&message);
            subscribers += route.subscribers;
        }
        subscribers
    }

    fn presence(&self, channel: &ChannelName, change: NumberedChange) {
        self.tell(channel, || PresenceChanged {
            channel: channel.clone(),
            change: change.clone(),
        });
    }

    fn lost(&self, channel: &ChannelName) {
        self.tell(channel, || Lost(channel.clone()));
    }
}
