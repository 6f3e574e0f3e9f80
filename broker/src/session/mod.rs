//! Sessions, their commands, and the rules that hold for all clients, whatever transport they use.
//!
//! HTTP handlers call the same functions as commands in a stream, so that a rule is in one place. A session never knows which
//! transport carries it.

mod access;
mod actor;
mod at_once;
mod audit;
mod channels;
mod commands;
mod credentials;
mod dialect;
mod directory;
mod dispatch;
mod ending;
mod heartbeat;
mod hook;
mod identity;
mod idle_polls;
mod in_order;
mod inbound;
mod index;
mod join;
mod joining;
mod listing;
mod liveness;
mod named_channels;
mod nodes;
mod operate;
mod order;
mod polled;
mod publisher;
mod reading;
mod refusal;
mod relief;
mod services;
#[expect(
    clippy::module_inception,
    reason = "the session itself, beside what it is made of"
)]
mod session;
mod subscription_tokens;
mod transport;
#[cfg(test)]
mod trial;
mod under_way;
mod unfinished;
mod unheard;
mod worker;

pub use access::{require, require_jsonp, require_of_proven};
pub use actor::{Commands, SessionActor};
pub use at_once::at_once;
pub use audit::audit;
pub use dialect::{CursorScope, Dialect, Goodbye};
pub use directory::{SessionDirectory, SessionHandle};
pub use hook::{ShownHeaders, admit, hook_for};
pub use identity::{Echo, Identity, random_sender};
pub use in_order::{Sending, publish_each};
pub use inbound::{DiscardInbound, Inbound, InboundDecoder};
pub use index::{Selection, SessionIndex};
pub use join::{JoinOutcome, JoinRequest};
pub use nodes::{ListedNode, NodeRecord, Nodes, announce_node, hear_nodes, leave_nodes, recall};
pub use operate::{
    MessageToUser, Outcome, carry_out_everywhere, revoke, send_to_user, take_revocation_back,
};
pub use order::{Action, Order, OrderActor, OrderOutcome, Workers};
pub use polled::{TakeFrames, TakenFrames};
pub use publisher::{Publisher, checked_gzip, note_refused, publish};
pub use reading::{Reader, channel_info, channels, history, members, position};
pub use refusal::{Refusal, wait_millis};
pub use relief::relieve;
pub use services::Services;
pub use session::{Session, millis};
pub use transport::{Carrier, Transport};
pub use under_way::JoinUnderWay;
pub use worker::Worker;
