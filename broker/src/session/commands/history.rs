//! `history`.

use widecast_protocol::command::HistoryRequest;
use widecast_protocol::{Code, CommandId, Reply};

use crate::engine::{HistoryOrder, HistoryQuery};
use crate::session::access::Right;
use crate::session::refusal::Refusal;
use crate::session::session::Session;

use super::place;

/// Answers with past messages, oldest first: those after `since`, or the newest.
pub(in crate::session) async fn history(
    session: &Session,
    id: Option<CommandId>,
    request: HistoryRequest,
) -> Result<(), Refusal> {
    let services = session.services();
    let channel = request.channel;
    session.require(&channel, Right::History)?;
    let since = place(request.since.as_ref(), &channel)?;
    let most = services.config.limits.messages_per_history;
    let query = HistoryQuery {
        since,
        limit: request
            .limit
            .map_or(most, |limit| (limit as usize).min(most)),
        order: match since {
            Some(_) => HistoryOrder::OldestFirst,
            None => HistoryOrder::NewestFirst,
        },
    };
    let mut page = services.engine.history(&channel, query).await?;
    if !page.recovered {
        let detail = format!("the history of {channel} no longer reaches back to the cursor");
        return Err(Refusal::new(Code::HistoryLost, detail));
    }
    if since.is_none() {
        page.messages.reverse();
    }
    let cursor = page
        .messages
        .last()
        .map_or(page.position, |newest| newest.position());
    session.reply(&Reply::History {
        id,
        channel,
        messages: page.messages,
        cursor,
    });
    Ok(())
}
