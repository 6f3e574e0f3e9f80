//! `subscribe` and `unsubscribe`.

use std::rc::Rc;

use widecast_protocol::command::{Listing, Subscribe};
use widecast_protocol::{ChannelName, Code, CommandId, Reply};

use crate::session::join::Joining;
use crate::session::refusal::Refusal;
use crate::session::session::Session;

use super::place;

/// Joins a channel. Asking again for one that is joined already moves the session to the new cursor; without one it stays
/// where it is, and hears everything; then `presence` changes only how it is listed.
pub(in crate::session) async fn subscribe(
    session: &Rc<Session>,
    id: Option<CommandId>,
    subscribe: Subscribe,
) -> Result<(), Refusal> {
    let channel = subscribe.channel;
    let since = place(subscribe.cursor.as_ref(), &channel)?;
    let stays = since.is_none() && subscribe.history.is_none();
    if stays && session.place(&channel).is_some() {
        return stay(session, id, channel, subscribe.presence).await;
    }
    session.leave(&channel);
    let presence = match subscribe.presence {
        Some(Listing::Listed(data)) => Some(data),
        Some(Listing::Unlisted) | None => {
            session.disappear(&channel).await;
            None
        }
    };
    let arrival = session
        .join(Joining {
            channel: channel.clone(),
            since,
            history: subscribe.history,
            presence,
        })
        .await?;
    // Always answered: without the cursor in it the client could not resume.
    session.reply(&Reply::Subscribed {
        id,
        channel,
        cursor: arrival.cursor,
        recovered: arrival.recovered,
        members: arrival.members.as_ref().map(|list| list.members.clone()),
    });
    session.let_flow(arrival).await;
    Ok(())
}

/// Answers for a channel that is joined already, in which the session stays where it is.
async fn stay(
    session: &Session,
    id: Option<CommandId>,
    channel: ChannelName,
    listing: Option<Listing>,
) -> Result<(), Refusal> {
    let list = match listing {
        Some(listing) => session.change_listing(&channel, listing).await?,
        None => None,
    };
    let not_joined = || Refusal::new(Code::NotSubscribed, "the session has left the channel");
    session.reply(&Reply::Subscribed {
        id,
        channel: channel.clone(),
        cursor: session.place(&channel).ok_or_else(not_joined)?,
        recovered: true,
        members: list.as_ref().map(|list| list.members.clone()),
    });
    if let Some(list) = list {
        session.begin_watch(&channel, &list);
    }
    Ok(())
}

/// Leaves a channel.
pub(in crate::session) async fn unsubscribe(
    session: &Session,
    id: Option<CommandId>,
    channel: ChannelName,
) -> Result<(), Refusal> {
    if !session.leave(&channel) {
        let detail = format!("the session has not joined {channel}");
        return Err(Refusal::new(Code::NotSubscribed, detail));
    }
    session.disappear(&channel).await;
    if id.is_some() {
        session.reply(&Reply::Unsubscribed {
            id,
            channel,
            code: None,
        });
    }
    Ok(())
}
