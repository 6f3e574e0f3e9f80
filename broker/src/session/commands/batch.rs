//! `batch`.

use std::rc::Rc;

use widecast_protocol::codec::DecodeError;
use widecast_protocol::command::Publish;
use widecast_protocol::{ChannelName, Code, CommandId, Reply};

use crate::session::in_order::{Sending, publish_each};
use crate::session::refusal::Refusal;
use crate::session::session::Session;

use super::publish::{published_reply, publisher_of};

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
        return Err(Refusal::new(Code::MessageTooLarge, detail));
    }
    let mut replies = Vec::with_capacity(actual);
    let (mut places, mut sendings) = (Vec::new(), Vec::new());
    for message in messages {
        match sending(session, message) {
            Ok(sending) => {
                places.push(replies.len());
                sendings.push(sending);
                replies.push(None);
            }
            Err(refusal) => replies.push(Some(refusal.into_reply(None))),
        }
    }
    let channels: Vec<ChannelName> = sendings
        .iter()
        .map(|sending| sending.message.channel.clone())
        .collect();
    // With the session, the rest of a batch ends.
    let may_go_on = |message: &Publish| {
        let is_open = session.require_open();
        is_open.inspect_err(|refusal| session.note_refused_message(Some(&message.channel), refusal))
    };
    let outcomes = publish_each(session.services(), sendings, &may_go_on).await;
    for ((place, channel), outcome) in places.into_iter().zip(channels).zip(outcomes) {
        replies[place] = Some(match outcome {
            Ok(published) => published_reply(None, channel, &published),
            Err(refusal) => refusal.into_reply(None),
        });
    }
    let results: Vec<Reply> = replies.into_iter().flatten().collect();
    let failed = results
        .iter()
        .any(|result| matches!(result, Reply::Error { .. }));
    if id.is_some() || failed {
        session.reply(&Reply::Batch { id, results });
    }
    Ok(())
}

/// A message that can be read, and that the session may publish as what it is.
fn sending(
    session: &Rc<Session>,
    message: Result<Publish, DecodeError>,
) -> Result<Sending, Refusal> {
    let message = message.map_err(|error| {
        let refusal = Refusal::new(error.code(), error.to_string());
        session.note_refused_message(None, &refusal);
        refusal
    })?;
    let who = publisher_of(session, &message.channel)?;
    Ok(Sending { who, message })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use futures_util::future::join;
    use widecast_protocol::Payload;

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
