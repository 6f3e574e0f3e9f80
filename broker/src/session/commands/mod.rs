//! What clients can ask a session for, one file each. A command answers with a frame only when it has an id, except
//! those that are asked for their answer.

mod batch;
mod history;
mod presence;
mod publish;
mod subscribe;

use widecast_protocol::{ChannelName, Code, Cursor, Position};

pub(super) use batch::batch;
pub(super) use history::history;
pub(super) use presence::presence;
pub(super) use publish::publish;
pub(super) use subscribe::{subscribe, unsubscribe};

use super::refusal::Refusal;

/// The place in a channel that a cursor says.
fn place(cursor: Option<&Cursor>, channel: &ChannelName) -> Result<Option<Position>, Refusal> {
    let Some(cursor) = cursor else {
        return Ok(None);
    };
    let place = cursor.position(channel).ok_or_else(|| {
        let detail = format!("the cursor says nothing about {channel}");
        Refusal::new(Code::BadCursor, detail)
    })?;
    Ok(Some(place))
}

/// The answer to `authenticate` while the broker knows no keys to check a token with.
pub(super) fn authentication_is_off() -> Refusal {
    Refusal::new(
        Code::Unauthorized,
        "this broker has no authentication configured: connect without a token",
    )
}
