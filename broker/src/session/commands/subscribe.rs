//! `subscribe` and `unsubscribe`.

use std::rc::Rc;

use widecast_protocol::command::Subscribe;
use widecast_protocol::{ChannelName, Code, CommandId, Reply};

use crate::session::join::Joining;
use crate::session::refusal::Refusal;
use crate::session::session::Session;

use super::place;

/// Joins a channel. Asking again for one that is joined already moves the session to the new cursor; without one it stays
/// where it is.
pub(in crate::session) async fn subscribe(
    session: &Rc<Session>,
    id: Option<CommandId>,
    subscribe: Subscribe,
) -> Result<(), Refusal> {
    let channel = subscribe.channel;
    let since = place(subscribe.cursor.as_ref(), &channel)?;
    let asks_nothing_new =
        since.is_none() && subscribe.history.is_none() && subscribe.presence.is_none();
    if asks_nothing_new && let Some(cursor) = session.place(&channel) {
        session.reply(&Reply::Subscribed {
            id,
            channel,
            cursor,
            recovered: true,
            members: None,
        });
        return Ok(());
    }
    session.leave(&channel);
    let arrival = session
        .join(Joining {
            channel: channel.clone(),
            since,
            history: subscribe.history,
            presence: subscribe.presence,
        })
        .await?;
    // Always answered: without the cursor in it the client could not resume.
    session.reply(&Reply::Subscribed {
        id,
        channel,
        cursor: arrival.cursor,
        recovered: arrival.recovered,
        members: arrival.members.clone(),
    });
    session.let_flow(arrival).await;
    Ok(())
}

/// Leaves a channel.
pub(in crate::session) fn unsubscribe(
    session: &Session,
    id: Option<CommandId>,
    channel: ChannelName,
) -> Result<(), Refusal> {
    if !session.leave(&channel) {
        let detail = format!("the session has not joined {channel}");
        return Err(Refusal::new(Code::NotSubscribed, detail));
    }
    if id.is_some() {
        session.reply(&Reply::Unsubscribed {
            id,
            channel,
            code: None,
        });
    }
    Ok(())
}
