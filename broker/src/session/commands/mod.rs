//! What clients can ask a session for, one file each. `publish`, `unsubscribe` and `batch` are answered only if they have an id or
//! fail; all others are always answered. (`authenticate` is in `credentials.rs`, `ping` in `dispatch.rs`.)

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
