//! Who writes what is published: ids, channels, data and keys, drawn from the publisher's own chance.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;

use crate::catalog::{Catalog, Draft, Publication};
use crate::payload::Form;

/// How much a publisher writes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rhythm {
    /// The longest pause between two publications.
    pub pause: Duration,
    /// How many of a thousand pauses end with a burst.
    pub bursts: u32,
    /// The most messages of a burst.
    pub burst: usize,
    /// How many of a thousand messages are large.
    pub large: u32,
    /// The most bytes of a large message.
    pub large_bytes: usize,
}

/// What a publisher writes.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The publisher's name, which begins its ids.
    pub name: String,
    /// The channels that it publishes on.
    pub channels: Vec<String>,
    /// The sender key that it publishes with.
    pub sender: Option<String>,
    /// How much it writes.
    pub rhythm: Rhythm,
    /// How many of a hundred messages have an idempotency key.
    pub keyed: u32,
}

/// Writes publications.
pub struct Author {
    /// What it writes.
    pub subject: Subject,
    catalog: Arc<Catalog>,
    random: StdRng,
    number: u64,
}

impl Author {
    /// An author that has written nothing yet.
    pub fn new(subject: Subject, catalog: Arc<Catalog>, random: StdRng) -> Self {
        Self {
            subject,
            catalog,
            random,
            number: 0,
        }
    }

    /// What is published next: data that the form can carry, entered in the catalog.
    pub fn write(&mut self, form: Form, can_have_a_key: bool) -> Arc<Publication> {
        self.number += 1;
        let id = format!("{}-{}", self.subject.name, self.number);
        let channels = &self.subject.channels;
        let channel = channels[self.random.random_range(0..channels.len())].clone();
        let bytes = self.bytes();
        let keyed = can_have_a_key && self.random.random_range(0..100) < self.subject.keyed;
        let event = (can_have_a_key && self.random.random_bool(0.2)).then(|| "tick".to_owned());
        let data = form.value(&id, bytes, &mut self.random);
        self.catalog.enter(Draft {
            id,
            channel,
            data,
            sender: self.subject.sender.clone(),
            keyed,
            event,
        })
    }

    /// How many come next, and after which pause.
    pub fn turn(&mut self) -> (Duration, usize) {
        let rhythm = self.subject.rhythm;
        let burst = self.random.random_range(0..1000) < rhythm.bursts;
        let count = if burst {
            self.random.random_range(1..=rhythm.burst.max(1))
        } else {
            1
        };
        (rhythm.pause.mul_f64(self.random.random()), count)
    }

    /// Its chance, for what else the publisher decides.
    pub fn random(&mut self) -> &mut StdRng {
        &mut self.random
    }

    /// Where answers go that the protocol does not have.
    pub fn strange(&self, what: &str) {
        self.catalog
            .strange(format!("{}: {what}", self.subject.name));
    }

    fn bytes(&mut self) -> usize {
        let rhythm = self.subject.rhythm;
        if self.random.random_range(0..1000) < rhythm.large {
            self.random.random_range(1..=rhythm.large_bytes.max(1))
        } else if self.random.random_bool(0.1) {
            self.random.random_range(1..6000)
        } else {
            self.random.random_range(1..300)
        }
    }
}
