//! `publish`.

use std::rc::Rc;

use widecast_protocol::command::Publish;
use widecast_protocol::{CommandId, Reply};

use crate::session::publisher;
use crate::session::refusal::Refusal;
use crate::session::session::Session;

/// Publishes a message.
pub(in crate::session) async fn publish(
    session: &Rc<Session>,
    id: Option<CommandId>,
    message: Publish,
) -> Result<(), Refusal> {
    let reply = publish_one(session, id.clone(), message).await?;
    if id.is_some() {
        session.reply(&reply);
    }
    Ok(())
}

/// Publishes a message and makes the frame that says so.
pub(super) async fn publish_one(
    session: &Rc<Session>,
    id: Option<CommandId>,
    message: Publish,
) -> Result<Reply, Refusal> {
    let channel = message.channel.clone();
    let services = session.services();
    let who = session.publisher(&channel);
    session
        .require_jsonp_if_script(&channel)
        .inspect_err(|refusal| {
            session.note_refused_message(Some(&channel), refusal);
        })?;
    let published = publisher::publish(services, &who, message).await?;
    Ok(Reply::Published {
        id,
        channel,
        offset: published.position.offset,
        epoch: published.position.epoch,
        duplicate: published.duplicate,
    })
}
