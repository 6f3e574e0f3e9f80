//! `batch`.

use std::rc::Rc;

use widecast_protocol::codec::DecodeError;
use widecast_protocol::command::Publish;
use widecast_protocol::{Code, CommandId, Reply};

use crate::engine::renew;
use crate::session::publisher::note_refused;
use crate::session::refusal::Refusal;
use crate::session::session::Session;

use super::publish::publish_one;

/// Publishes several messages in their order. One that is refused does not stop the others, but the end of the session does.
pub(in crate::session) async fn batch(
    session: &Rc<Session>,
    id: Option<CommandId>,
    messages: Vec<Result<Publish, DecodeError>>,
) -> Result<(), Refusal> {
    let limit = session.services().config.limits.messages_per_batch;
    let actual = messages.len();
    if actual > limit {
        let detail =
            format!("the batch has {actual} messages, limits.messages_per_batch allows {limit}");
        return Err(Refusal::new(Code::MessageTooLarge, detail));
    }
    let mut results = Vec::with_capacity(actual);
    for message in messages {
        if !session.outbox().is_open() {
            break;
        }
        let result = match message {
            Ok(message) => publish_one(session, None, message).await,
            Err(error) => {
                note_refused(session.services(), &session.principal(), None, error.code());
                Err(Refusal::new(error.code(), error.to_string()))
            }
        };
        if result.is_ok() {
            renew();
        }
        results.push(result.unwrap_or_else(|refusal| refusal.into_reply(None)));
    }
    let failed = results
        .iter()
        .any(|result| matches!(result, Reply::Error { .. }));
    if id.is_some() || failed {
        session.reply(&Reply::Batch { id, results });
    }
    Ok(())
}
