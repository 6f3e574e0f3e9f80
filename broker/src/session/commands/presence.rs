//! `presence`.

use widecast_protocol::{ChannelName, CommandId, Reply};

use crate::session::access::Right;
use crate::session::refusal::Refusal;
use crate::session::session::Session;

/// Answers who is in a channel.
pub(in crate::session) async fn presence(
    session: &Session,
    id: Option<CommandId>,
    channel: ChannelName,
) -> Result<(), Refusal> {
    session.require(&channel, Right::Presence)?;
    let members = session.services().engine.members(&channel).await?.members;
    session.reply(&Reply::Presence {
        id,
        channel,
        members,
    });
    Ok(())
}
