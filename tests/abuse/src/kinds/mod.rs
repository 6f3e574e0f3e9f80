//! The kinds of abuse.

mod answers;
mod batches;
mod cursors;
mod forms;
mod heads;
mod inflation;
mod members;
mod messages;
mod pings;
mod pipelines;
mod readers;
mod sessions;

use std::pin::Pin;

use anyhow::Result;
use widecast_tests::socket::Bare;
use widecast_tests::{Broker, Settings};

use crate::dice::Dice;

/// An abuse under way; gives the connections that it leaves open.
pub type Attack<'a> = Pin<Box<dyn Future<Output = Result<Vec<Bare>>> + 'a>>;

/// A kind of abuse.
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    /// What a broker without bounds would suffer.
    pub about: &'static str,
    /// How the broker is set, so that its bounds are reached soon.
    pub settings: fn() -> Settings,
    /// How much memory the broker may take for it, at scale 1 and at most in proportion to it. Of this, debug builds, their threads
    /// and the bystander take some.
    pub most_mib: u64,
    /// Begins it.
    pub run: for<'a> fn(&'a Broker, &'a mut Dice) -> Attack<'a>,
}

/// Every kind.
pub const KINDS: &[Kind] = &[
    cursors::KIND,
    pipelines::KIND,
    heads::KIND,
    messages::KIND,
    pings::KIND,
    batches::KIND,
    inflation::KIND,
    readers::KIND,
    sessions::KIND,
    forms::KIND,
    answers::KIND,
    members::KIND,
];

/// The kind of a name.
pub fn kind(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name)
}
