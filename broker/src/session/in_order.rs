//! Publishing the messages of one request: those of one channel in their order, those of different channels at once.

use std::collections::HashMap;

use futures_util::StreamExt;
use widecast_protocol::ChannelName;
use widecast_protocol::command::Publish;

use super::at_once::at_once;
use super::hook::hook_for;
use super::publisher::{Publisher, publish, publish_in_order};
use super::refusal::Refusal;
use super::services::Services;
use crate::config::HookEvent;
use crate::engine::{Published, renew};

/// How many messages of a channel are handed to the engine together, and how many bytes of them, unless one is larger.
const TOGETHER_MESSAGES: usize = 64;
const TOGETHER_BYTES: usize = 256 << 10;

/// A message to be published, and its publisher.
pub struct Sending {
    /// The publisher.
    pub who: Publisher,
    /// The message.
    pub message: Publish,
}

/// What has become of a message.
type Outcome = Result<Published, Refusal>;

/// Whether a message may be published still, or why not: it is asked right before.
type MayGoOn<'a> = &'a dyn Fn(&Publish) -> Result<(), Refusal>;

/// Publishes messages; gives what has become of each, in their order. What is refused stops no other. Messages of one channel have one
/// publisher. Where nothing is waited for, one after the other costs least.
pub async fn publish_each(
    services: &Services,
    sendings: Vec<Sending>,
    may_go_on: MayGoOn<'_>,
) -> Vec<Outcome> {
    let principal = sendings.first().map(|sending| &sending.who.principal);
    let hook = principal.and_then(|principal| hook_for(services, HookEvent::Publish, principal));
    if !services.waits_for_engine() && hook.is_none() {
        let mut outcomes = Vec::with_capacity(sendings.len());
        for Sending { who, message } in sendings {
            outcomes.push(match may_go_on(&message) {
                Ok(()) => publish(services, &who, message).await,
                Err(refusal) => Err(refusal),
            });
        }
        return outcomes;
    }
    let count = sendings.len();
    // While the hook is asked about the later ones, the earlier ones would wait.
    let most = if hook.is_some() { 1 } else { TOGETHER_MESSAGES };
    let works = by_channel(sendings).into_iter().map(async |of_channel| {
        let OfChannel { who, messages } = of_channel;
        let mut outcomes = Vec::with_capacity(messages.len());
        for together in portions(messages, most) {
            let numbers: Vec<usize> = together.iter().map(|(number, _)| *number).collect();
            let messages = together.into_iter().map(|(_, message)| message).collect();
            let published = publish_in_order(services, &who, messages, may_go_on).await;
            if published.iter().any(Result::is_ok) {
                // The rest has as long as all of it: only silence is not waited for again and again.
                renew();
            }
            outcomes.extend(numbers.into_iter().zip(published));
        }
        outcomes
    });
    let done: Vec<Vec<(usize, Outcome)>> = at_once(hook, works).collect().await;
    let mut outcomes: Vec<(usize, Outcome)> = done.into_iter().flatten().collect();
    debug_assert_eq!(outcomes.len(), count);
    outcomes.sort_unstable_by_key(|(number, _)| *number);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

/// The messages of one channel, each with its number among all.
struct OfChannel {
    who: Publisher,
    messages: Vec<(usize, Publish)>,
}

fn by_channel(sendings: Vec<Sending>) -> Vec<OfChannel> {
    let mut places: HashMap<ChannelName, usize> = HashMap::new();
    let mut channels: Vec<OfChannel> = Vec::new();
    for (number, Sending { who, message }) in sendings.into_iter().enumerate() {
        let place = *places
            .entry(message.channel.clone())
            .or_insert(channels.len());
        if place == channels.len() {
            let messages = Vec::new();
            channels.push(OfChannel { who, messages });
        }
        channels[place].messages.push((number, message));
    }
    channels
}

/// Divides messages of one channel into those that go together: so many at most.
fn portions(messages: Vec<(usize, Publish)>, most: usize) -> Vec<Vec<(usize, Publish)>> {
    let mut portions: Vec<Vec<(usize, Publish)>> = Vec::new();
    let mut bytes = 0;
    for numbered in messages {
        let size = numbered.1.payload.size_bytes();
        bytes += size;
        match portions.last_mut() {
            Some(last) if last.len() < most && bytes <= TOGETHER_BYTES => last.push(numbered),
            _ => {
                bytes = size;
                portions.push(vec![numbered]);
            }
        }
    }
    portions
}

#[cfg(test)]
mod tests {
    use widecast_protocol::{Code, Payload};

    use super::*;
    use crate::engine::flaky::Fault;
    use crate::session::trial::Trial;

    fn message(channel: &str, bytes: usize) -> Publish {
        Publish {
            channel: ChannelName::parse(channel).unwrap(),
            payload: Payload::text("x".repeat(bytes)),
            event: None,
            idempotency_key: None,
            message_id: None,
        }
    }

    fn sending(trial: &Trial, message: Publish) -> Sending {
        let who = trial.session().publisher(&message.channel);
        Sending { who, message }
    }

    #[actix_web::test]
    async fn outcomes_come_in_the_order_of_the_messages_and_a_failure_stops_no_other() {
        let trial = Trial::new();
        let mut calls = 0;
        trial.engine.set_faults(move |call| {
            calls += usize::from(call == "publish");
            (call == "publish" && calls == 3).then_some(Fault::Fails)
        });
        let names = ["a", "b", "a", "a", "b", "a"];
        let sendings = names.map(|name| sending(&trial, message(name, 1)));
        let refused = ChannelName::parse("b").unwrap();
        let refused = |message: &Publish| {
            if message.channel == refused {
                return Err(Refusal::new(Code::Overloaded, "no more"));
            }
            Ok(())
        };
        let services = &trial.worker.services;
        let outcomes = publish_each(services, sendings.into(), &refused).await;
        let offset = |outcome: &Outcome| {
            let published = outcome.as_ref().ok();
            published.map(|published| published.position.offset.0)
        };
        let offsets: Vec<_> = outcomes.iter().map(offset).collect();
        assert_eq!(offsets, [Some(1), None, Some(2), None, None, Some(3)]);
    }

    #[test]
    fn so_many_messages_and_bytes_go_together() {
        let sizes = |most: usize, bytes: &[usize]| {
            let messages = bytes.iter().map(|&bytes| message("a", bytes)).enumerate();
            let portions = portions(messages.collect(), most);
            portions.iter().map(Vec::len).collect::<Vec<_>>()
        };
        assert_eq!(sizes(64, &[1; 130]), [64, 64, 2]);
        assert_eq!(sizes(1, &[1; 3]), [1, 1, 1]);
        let half = TOGETHER_BYTES / 2;
        assert_eq!(sizes(64, &[half, half, 1, 3 * half, 1]), [2, 1, 1, 1]);
    }
}
