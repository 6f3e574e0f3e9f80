//! An instrument that publishes and subscribes in every way through a network that fails, and an oracle that judges what
//! every subscriber was told: nothing may be lost without a word, doubled, out of order or other than it was published.
//!
//! One run is a [`plan`] drawn from a seed, carried out on a [`stage`] and [judged](judge). The README says how to use it.

pub mod args;
pub mod brokers;
pub mod campaign;
pub mod catalog;
pub mod diary;
pub mod judge;
pub mod log;
pub mod payload;
pub mod place;
pub mod plan;
pub mod proxy;
pub mod publisher;
pub mod report;
pub mod scope;
pub mod seed;
pub mod servers;
pub mod stage;
pub mod subscriber;
pub mod trouble;
pub mod visitor;
