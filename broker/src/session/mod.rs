//! What clients do, whatever transport they use: sessions, their commands, and the rules that hold for all of them.
//!
//! HTTP handlers call the same functions as commands in a stream, so that a rule is in one place. A session never knows
//! which transport drains it.

mod access;
mod actor;
mod carry_out;
mod channels;
mod commands;
mod dialect;
mod directory;
mod heart;
mod identity;
mod inbound;
mod join;
mod life;
mod listing;
mod polled;
mod publisher;
mod refusal;
mod services;
#[expect(
    clippy::module_inception,
    reason = "the session itself, beside what it is made of"
)]
mod session;
mod unfinished;

pub use access::{Right, require, require_jsonp};
pub use actor::{Commands, SessionActor};
pub use dialect::{Dialect, Farewell, Span};
pub use directory::{Directory, Listed};
pub use heart::Heart;
pub use identity::{Echo, Identity, random_sender};
pub use inbound::{Inbound, Reader};
pub use join::{Arrival, Joining};
pub use polled::{Take, Taken};
pub use publisher::{Publisher, checked_gzip, publish};
pub use refusal::Refusal;
pub use services::Services;
pub use session::{Carrier, Session, Worker, millis};
