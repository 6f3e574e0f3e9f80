//! `batch`.

use std::rc::Rc;

use widecast_protocol::codec::DecodeError;
use widecast_protocol::command::Publish;
use widecast_protocol::{Code, CommandId, Reply};

use crate::engine::renew;
use crate::metrics::Limit;
use crate::session::at_once::in_channels;
use crate::session::publisher::note_refused;
use crate::session::refusal::Refusal;
use crate::session::session::Session;

use super::publish::publish_one;

/// Publishes several messages: those of one channel in their order, those of different channels at once. One that is refused does not stop
/// the others, but the end of the session does.
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
        let services = session.services();
        return Err(services.beyond(Limit::Batch, Code::MessageTooLarge, detail));
    }
    let publishing = messages.into_iter().map(|message| {
        let channel = message.as_ref().ok().map(|message| message.channel.clone());
        (channel, publish_in_batch(session, message))
    });
    let results = in_channels(session.services(), publishing).await;
    let failed = results
        .iter()
        .any(|result| matches!(result, Reply::Error { .. }));
    if id.is_some() || failed {
        session.reply(&Reply::Batch { id, results });
    }
    Ok(())
}

async fn publish_in_batch(session: &Rc<Session>, message: Result<Publish, DecodeError>) -> Reply {
    // With the session, the rest of a batch ends.
    let result = match session.require_open() {
        Ok(()) => publish_or_note(session, message).await,
        Err(refusal) => Err(refusal),
    };
    if result.is_ok() {
        renew();
    }
    result.unwrap_or_else(|refusal| refusal.into_reply(None))
}

async fn publish_or_note(
    session: &Rc<Session>,
    message: Result<Publish, DecodeError>,
) -> Result<Reply, Refusal> {
    match message {
        Ok(message) => publish_one(session, None, message).await,
        Err(error) => {
            note_refused(session.services(), &session.principal(), None, error.code());
            Err(Refusal::new(error.code(), error.to_string()))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use futures_util::future::join;
    use widecast_protocol::{ChannelName, Payload};

    use super::*;
    use crate::session::trial::Trial;

    fn message(channel: &str) -> Publish {
        Publish {
            channel: ChannelName::parse(channel).unwrap(),
            payload: Payload::text("text".to_owned()),
            event: None,
            idempotency_key: None,
            message_id: None,
        }
    }

    #[actix_web::test]
    async fn messages_of_different_channels_are_published_at_once_and_of_one_in_order() {
        let trial = Trial::new();
        let session = trial.session();
        let asked = trial.engine.hold_up("publish");
        let messages = ["a", "b", "a", "c"].map(|name| Ok(message(name))).into();
        let others = async {
            for _ in 0..24 {
                tokio::task::yield_now().await;
            }
            // The second message of `a` waits for the first one.
            assert_eq!(asked.load(Ordering::Relaxed), 3);
            trial.engine.let_go();
        };
        let (done, ()) = join(
            batch(&session, Some(CommandId::Number(1)), messages),
            others,
        )
        .await;
        assert!(done.is_ok());
        let answer = session.outbox().take().concat();
        let answer = String::from_utf8_lossy(&answer);
        let of = |result: &str| {
            let (channel, rest) = result.split_once("\",\"offset\":").unwrap();
            let (offset, _) = rest.split_once(',').unwrap();
            format!("{channel} {offset}")
        };
        let results = answer.split("\"channel\":\"").skip(1).map(of);
        assert_eq!(results.collect::<Vec<_>>(), ["a 1", "b 1", "a 2", "c 1"]);
    }
}
