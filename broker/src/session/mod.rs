//! What clients do, whatever transport they use: sessions, their commands, and the rules that hold for all of them.
//!
//! HTTP handlers call the same functions as commands in a stream, so that a rule is in one place. A session never knows
//! which transport drains it.

mod access;
mod publisher;
mod refusal;
mod services;

pub use access::{Right, require};
pub use publisher::{Publisher, publish};
pub use refusal::Refusal;
pub use services::Services;
