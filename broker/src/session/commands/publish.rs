//! `publish`.

use std::rc::Rc;

use widecast_protocol::command::Publish;
use widecast_protocol::{ChannelName, CommandId, Reply};

use crate::engine::Published;
use crate::session::publisher::{self, Publisher};
use crate::session::refusal::Refusal;
use crate::session::session::Session;

/// Publishes a message.
pub(in crate::session) async fn publish(
    session: &Rc<Session>,
    id: Option<CommandId>,
    message: Publish,
) -> Result<(), Refusal> {
    let who = publisher_of(session, &message.channel)?;
    let channel = message.channel.clone();
    let published = publisher::publish(session.services(), &who, message).await?;
    if id.is_some() {
        session.reply(&published_reply(id, channel, &published));
    }
    Ok(())
}

/// The publisher of a session's messages on a channel, if a session like it may publish there.
pub(super) fn publisher_of(
    session: &Rc<Session>,
    channel: &ChannelName,
) -> Result<Publisher, Refusal> {
    let who = session.publisher(channel);
    let may = session.require_jsonp_if_script(channel);
    may.inspect_err(|refusal| session.note_refused_message(Some(channel), refusal))?;
    Ok(who)
}

/// The frame that says where a message is.
pub(super) fn published_reply(
    id: Option<CommandId>,
    channel: ChannelName,
    published: &Published,
) -> Reply {
    Reply::Published {
        id,
        channel,
        offset: published.position.offset,
        epoch: published.position.epoch,
        duplicate: published.duplicate,
    }
}
