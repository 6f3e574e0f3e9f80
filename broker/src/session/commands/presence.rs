//! `presence`.

use widecast_protocol::command::PresenceRequest;
use widecast_protocol::{CommandId, Reply};

use crate::session::reading::{self, Reader};
use crate::session::refusal::Refusal;
use crate::session::session::Session;

/// Answers who is in a channel, page by page.
pub(in crate::session) async fn presence(
    session: &Session,
    id: Option<CommandId>,
    request: PresenceRequest,
) -> Result<(), Refusal> {
    let channel = request.channel;
    session.require_jsonp_if_script(&channel)?;
    let limit = request.limit.map(|limit| limit as usize);
    let reader = Reader {
        principal: &session.principal_on(&channel),
        share: session.share(),
    };
    let services = session.services();
    let query = session.member_query(&channel, request.after, limit);
    let list = reading::members(services, reader, &channel, &query).await?;
    session.shows_page(&channel, &list);
    session.reply(&Reply::Presence {
        id,
        channel,
        members: list.list,
    });
    Ok(())
}
