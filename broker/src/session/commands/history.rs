//! `history`.

use widecast_protocol::command::HistoryRequest;
use widecast_protocol::{Code, CommandId, Reply};

use crate::engine::{HistoryOrder, HistoryQuery};
use crate::session::reading::{self, Reader};
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
    session.require_jsonp_if_script(&channel)?;
    let since = place(request.since.as_ref(), &channel)?;
    let query = HistoryQuery {
        since,
        limit: request.limit.map_or(usize::MAX, |limit| limit as usize),
        order: match since {
            Some(_) => HistoryOrder::OldestFirst,
            None => HistoryOrder::NewestFirst,
        },
    };
    let reader = Reader {
        principal: &session.principal_on(&channel),
        share: session.share(),
    };
    let mut page = reading::history(services, reader, &channel, query).await?;
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
    let bytes = page.messages.iter().map(|message| message.weight_bytes());
    let bytes = bytes.sum();
    let messages = page.messages.iter();
    let messages = messages.map(|encoded| encoded.message().clone());
    let reply = Reply::History {
        id,
        channel,
        messages: messages.collect(),
        cursor,
    };
    session.reply_at_length(bytes, reply).await;
    Ok(())
}
