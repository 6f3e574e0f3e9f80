//! What the engine knows about all channels together, kept true by settling each channel after every change.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use widecast_protocol::ChannelName;

use super::agenda::{Agenda, Appointment, Matter, PerMatter};
use super::budget::Budget;
use super::channel::Channel;
use super::directory::Directory;
use super::settings::MemorySettings;
use super::totals::{Holdings, Totals};

/// A channel that expires one message after the other is looked at no more often than this.
const EXPIRY_PAUSE: Duration = Duration::from_secs(1);

/// A channel, and what the books say about it.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) channel: Channel,
    pub(super) bytes: u64,
    pub(super) holdings: Holdings,
    pub(super) in_use: bool,
    pub(super) appointments: PerMatter<Option<Instant>>,
}

/// The sums and indexes over all channels. All its locks are leaves, taken under one channel's lock.
#[derive(Debug)]
pub(super) struct Books {
    pub(super) budget: Budget,
    pub(super) agenda: Agenda,
    pub(super) directory: Directory,
    pub(super) totals: Totals,
    /// How many channels are remembered but not in use.
    idle: AtomicUsize,
}

impl Books {
    pub(super) fn new(settings: &MemorySettings) -> Self {
        Self {
            budget: Budget::new(settings.history_bytes),
            agenda: Agenda::default(),
            directory: Directory::default(),
            totals: Totals::default(),
            idle: AtomicUsize::new(0),
        }
    }

    /// A channel that was not known. It has to be settled before its lock is released.
    pub(super) fn open(&self, channel: Channel) -> Slot {
        self.idle.fetch_add(1, Ordering::Relaxed);
        Slot {
            channel,
            bytes: 0,
            holdings: Holdings::default(),
            in_use: false,
            appointments: PerMatter::default(),
        }
    }

    /// A channel is forgotten. It must not be in use.
    pub(super) fn close(&self, name: &ChannelName, slot: &mut Slot) {
        self.idle.fetch_sub(1, Ordering::Relaxed);
        for matter in Matter::ALL {
            self.cancel(matter, name, slot);
        }
    }

    /// Brings the books up to date with the channel. On the path of every publication: it compares, and does something
    /// only at a change.
    pub(super) fn settle(
        &self,
        name: &ChannelName,
        slot: &mut Slot,
        settings: &MemorySettings,
        now: Instant,
    ) {
        let bytes = slot.channel.bytes();
        self.budget.book(slot.bytes, bytes);
        slot.bytes = bytes;
        let holdings = Holdings::of(&slot.channel);
        self.totals.book(slot.holdings, holdings);
        slot.holdings = holdings;
        let in_use = slot.channel.in_use();
        if in_use != slot.in_use {
            slot.in_use = in_use;
            self.turn(name, in_use);
        }
        for matter in Matter::ALL {
            let made = slot.appointments.get(matter).is_some();
            match slot.channel.next_look(matter, settings) {
                Some(at) if !made => {
                    let at = match matter {
                        Matter::Expiry if at > now => at.max(now + EXPIRY_PAUSE),
                        _ => at,
                    };
                    *slot.appointments.get_mut(matter) = Some(at);
                    let channel = name.clone();
                    self.agenda.make(matter, Appointment { at, channel });
                }
                None if made => self.cancel(matter, name, slot),
                _ => {}
            }
        }
    }

    fn turn(&self, name: &ChannelName, in_use: bool) {
        if in_use {
            self.directory.add(name.clone());
            self.idle.fetch_sub(1, Ordering::Relaxed);
        } else {
            self.directory.remove(name);
            self.idle.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn cancel(&self, matter: Matter, name: &ChannelName, slot: &mut Slot) {
        if let Some(at) = slot.appointments.get_mut(matter).take() {
            let channel = name.clone();
            self.agenda.cancel(matter, &Appointment { at, channel });
        }
    }

    /// An appointment that was taken from the agenda is kept now. False when the channel has made another since then,
    /// between the taking and the channel's lock.
    pub(super) fn keep(&self, matter: Matter, taken: &Appointment, slot: &mut Slot) -> bool {
        if *slot.appointments.get(matter) != Some(taken.at) {
            return false;
        }
        // It may have been cancelled and made again for the same time.
        self.cancel(matter, &taken.channel, slot);
        true
    }

    /// How many channels are remembered but not in use.
    pub(super) fn idle(&self) -> usize {
        self.idle.load(Ordering::Relaxed)
    }
}
