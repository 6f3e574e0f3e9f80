//! What clients can ask a session for, one file each. A command answers with a frame only when it has an id, except
//! those that are asked for their answer.

mod batch;
mod history;
mod presence;
mod publish;
mod subscribe;

use widecast_protocol::Code;

pub(super) use batch::batch;
pub(super) use history::history;
pub(super) use presence::presence;
pub(super) use publish::publish;
pub(super) use subscribe::{subscribe, unsubscribe};

use super::refusal::Refusal;

/// The answer to `authenticate` while the broker knows no keys to check a token with.
pub(super) fn authentication_is_off() -> Refusal {
    Refusal::new(
        Code::Unauthorized,
        "this broker has no authentication configured: connect without a token",
    )
}
