//! `subscribe` and `unsubscribe`.

use std::rc::Rc;

use widecast_protocol::command::Subscribe;
use widecast_protocol::{ChannelName, Code, CommandId, Reply};

use crate::session::join::Joining;
use crate::session::refusal::Refusal;
use crate::session::session::Session;

/// Joins a channel. Asking again for a channel that is joined already moves the session to the new cursor.
pub(in crate::session) async fn subscribe(
    session: &Rc<Session>,
    id: Option<CommandId>,
    subscribe: Subscribe,
) -> Result<(), Refusal> {
    let channel = subscribe.channel;
    let since = match &subscribe.cursor {
        None => None,
        Some(cursor) => Some(cursor.position(&channel).ok_or_else(|| {
            Refusal::new(
                Code::BadCursor,
                format!("the cursor is of other channels than {channel}"),
            )
        })?),
    };
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
    session.catch_up(arrival);
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
