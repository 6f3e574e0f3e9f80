//! Every message comes into the broker this way, from whatever transport: first it is checked whether the sender may publish it
//! and whether it is small enough, then the engine gets it.

use std::fmt::Display;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use tokio::task::coop::consume_budget;
use tokio::task::yield_now;
use widecast_protocol::command::Publish;
use widecast_protocol::{ChannelName, Code, EventName, Payload, PayloadKind, SenderKey};

use super::access::require;
use super::audit::audit;
use super::hook::ask_to_publish;
use super::refusal::Refusal;
use super::services::Services;
use super::session::Session;
use crate::auth::Principal;
use crate::config::Right;
use crate::engine::{Publication, Published};
use crate::limits::{Publishing, Quota, Share};
use crate::metrics::Limit;
use crate::offload::offload;

/// How the names of the broker's own events begin, so that nobody can pretend a gap.
const RESERVED_EVENTS: &str = "widecast.";

/// The events by which an `EventSource` tells of its own connection: a message called so would run the page's handlers for
/// that.
const CONNECTION_EVENTS: [&str; 2] = ["open", "error"];

/// The name of events without a name, wherever events have names: it counts as none.
const DEFAULT_EVENT: &str = "message";

/// The sender of a message.
#[derive(Clone)]
pub struct Publisher {
    /// For whom it acts, and from which page.
    pub principal: Principal,
    /// In which session, if it is one.
    pub session: Option<Rc<Session>>,
    /// How much the session may publish, if it is one and that is limited.
    pub quota: Option<Arc<Quota>>,
    /// The key of the sender, to whom its own messages are not delivered.
    pub sender: Option<SenderKey>,
    /// The share of the broker that its work is charged to.
    pub share: Share,
}

/// Publishes a message, and counts it.
///
/// # Errors
/// `forbidden`, `message_too_large`, `share_exceeded`, what the authorisation hook says, or that the engine failed; then the message may have been published all the same.
///
/// # Cancel safety
/// As [`crate::engine::MessageLog::publish`]: it has happened or not.
pub async fn publish(
    services: &Services,
    who: &Publisher,
    message: Publish,
) -> Result<Published, Refusal> {
    let (begun, admitted) = begin(services, who, message).await;
    let outcome = match admitted {
        Ok(message) => hand_over(services, who, message).await,
        Err(refusal) => Err(refusal),
    };
    begun.note(services, who, &outcome);
    outcome
}

/// Publishes messages of one channel, in their order, and counts them; gives what has become of each. It is asked of each whether it may be
/// published still, before its publisher is charged; whoever refuses it counts it.
///
/// # Cancel safety
/// As [`publish`], of each.
pub(super) async fn publish_in_order(
    services: &Services,
    who: &Publisher,
    messages: Vec<Publish>,
    may_go_on: &dyn Fn(&Publish) -> Result<(), Refusal>,
) -> Vec<Result<Published, Refusal>> {
    let mut outcomes: Vec<Option<Result<Published, Refusal>>> = Vec::new();
    let (mut places, mut publications) = (Vec::new(), Vec::new());
    for message in messages {
        let place = outcomes.len();
        outcomes.push(match may_go_on(&message) {
            Err(refusal) => Some(Err(refusal)),
            Ok(()) => match begin(services, who, message).await {
                (begun, Ok(message)) => {
                    places.push((place, begun));
                    publications.push(publication(services, who, message));
                    None
                }
                (begun, Err(refusal)) => {
                    let outcome = Err(refusal);
                    begun.note(services, who, &outcome);
                    Some(outcome)
                }
            },
        });
    }
    services.routes.room().await;
    let published = services.engine.publish_in_order(publications).await;
    for ((place, begun), published) in places.into_iter().zip(published) {
        let outcome = published.map_err(Refusal::from);
        begun.note(services, who, &outcome);
        outcomes[place] = Some(outcome);
    }
    let unknown = || Err(Refusal::new(Code::Internal, "the engine has not answered"));
    let outcomes = outcomes.into_iter();
    outcomes
        .map(|outcome| outcome.unwrap_or_else(unknown))
        .collect()
}

/// A message whose publication has begun.
struct Begun {
    channel: ChannelName,
    payload_bytes: u64,
    at: Instant,
}

/// Begins to publish a message: it may be, or not.
async fn begin(
    services: &Services,
    who: &Publisher,
    message: Publish,
) -> (Begun, Result<Publish, Refusal>) {
    let payload_bytes = message.payload.size_bytes() as u64;
    // A request or frame of many messages gives way to others every so often.
    consume_budget().await;
    let begun = Begun {
        channel: message.channel.clone(),
        payload_bytes,
        at: Instant::now(),
    };
    let admitted = admit(services, who, message, begun.at).await;
    (begun, admitted)
}

impl Begun {
    /// Counts what has become of the message.
    fn note(&self, services: &Services, who: &Publisher, outcome: &Result<Published, Refusal>) {
        let told = outcome.as_ref().map(|_| ()).map_err(|refusal| refusal.code);
        let channel = &self.channel;
        audit(services, &who.principal, "publish", Some(channel), told);
        let figures = &services.metrics.publications;
        match outcome {
            Ok(published) if published.duplicate => {
                figures.duplicates.inc();
            }
            Ok(_) => {
                figures.accepted.inc();
                figures.payload_bytes.inc_by(self.payload_bytes);
                figures.took(channel, self.at.elapsed());
            }
            Err(refusal) => figures.refused(refusal.code),
        }
    }
}

/// Counts a message that was refused before it came to [`publish`], and writes it into the audit log. The channel is unknown where
/// the message cannot be read.
pub fn note_refused(
    services: &Services,
    principal: &Principal,
    channel: Option<&ChannelName>,
    code: Code,
) {
    services.metrics.publications.refused(code);
    let channel = channel.map(|channel| channel as &dyn Display);
    audit(services, principal, "publish", channel, Err(code));
}

async fn admit(
    services: &Services,
    who: &Publisher,
    mut message: Publish,
    now: Instant,
) -> Result<Publish, Refusal> {
    require(services, &who.principal, &message.channel, Right::Publish)?;
    message.event = match message.event {
        Some(event) => admit_event(event)?,
        None => None,
    };
    message.payload = admit_payload(services, &who.share, message.payload, now).await?;
    // An id is a key, too.
    let keyed = message.idempotency_key.is_some() || message.message_id.is_some();
    if keyed && who.principal.api_key().is_none() {
        who.share.take_key(now)?;
    }
    let publishing = Publishing {
        session: who.quota.as_deref(),
        user: who.principal.charged_user(&message.channel),
        api_key: who.principal.api_key(),
        channel: message.channel.as_str(),
        bytes: message.payload.size_bytes(),
        keyed,
        at: now,
    };
    let channel_quota = services.quotas.charge_sender(publishing)?;
    if let Some(payload) = ask_to_publish(services, who, &message).await? {
        check_size(services, &payload)?;
        message.payload = check_forms(services, &who.share, payload).await?;
    }
    // What the hook refuses costs its sender, and not those who are in the channel with it.
    let publishing = Publishing {
        bytes: message.payload.size_bytes(),
        at: services.hook.as_ref().map_or(now, |_| Instant::now()),
        ..publishing
    };
    services.quotas.charge_channel(channel_quota, publishing)?;
    Ok(message)
}

/// Makes sure that data is not too large, in whatever form it is sent, and charges for it.
///
/// # Errors
/// `message_too_large`, `share_exceeded`, or what is wrong with a compressed value.
pub(super) async fn admit_payload(
    services: &Services,
    share: &Share,
    payload: Payload,
    now: Instant,
) -> Result<Payload, Refusal> {
    share.take_work(payload.size_bytes(), now)?;
    check_size(services, &payload)?;
    let payload = checked_gzip(services, share, payload).await?;
    check_forms(services, share, payload).await
}

fn check_size(services: &Services, payload: &Payload) -> Result<(), Refusal> {
    let limit = services.config.limits.message_bytes;
    let actual = payload.size_bytes();
    if actual > limit.as_usize() {
        let detail = format!(
            "the message has {actual} bytes, limits.message_bytes allows {}",
            limit.get()
        );
        return Err(services.beyond(Limit::Message, Code::MessageTooLarge, detail));
    }
    Ok(())
}

async fn check_forms(
    services: &Services,
    share: &Share,
    payload: Payload,
) -> Result<Payload, Refusal> {
    let limit = usize::try_from(services.bounds.largest_form).unwrap_or(usize::MAX);
    // Only of large values it takes a walk to find out.
    if payload.weight_bytes().saturating_mul(Payload::MOST_GROWTH) <= limit {
        return Ok(payload);
    }
    let admitted = payload.clone();
    let check = move || check_growth(&payload, limit);
    let growth = offload(admitted.weight_bytes(), check).await;
    let growth = growth.inspect_err(|_| services.metrics.limits.refused(Limit::Message))?;
    // Somebody may ask for the larger form.
    share.charge_work(growth);
    Ok(admitted)
}

/// Refuses what becomes larger than `limit` bytes where a subscriber asks for another form of it than it came in. Says how much larger
/// it becomes.
fn check_growth(payload: &Payload, limit: usize) -> Result<usize, Refusal> {
    let actual = payload.largest_form_bytes();
    if actual <= limit {
        return Ok(actual.saturating_sub(payload.size_bytes()));
    }
    let detail = format!(
        "the message has {actual} bytes in its largest form, and {limit} are allowed: 16 times limits.message_bytes, but at most 64 MiB and an eighth of limits.memory_bytes"
    );
    Err(Refusal::new(Code::MessageTooLarge, detail))
}

pub(super) fn admit_event(event: EventName) -> Result<Option<EventName>, Refusal> {
    let name = event.as_str();
    if name == DEFAULT_EVENT {
        return Ok(None);
    }
    let detail = if name.starts_with(RESERVED_EVENTS) {
        format!("the event name {name} is the broker's own: {RESERVED_EVENTS}…")
    } else if CONNECTION_EVENTS.contains(&name) {
        format!(
            "an event named {name} is what an EventSource tells of its own connection: take another name"
        )
    } else {
        return Ok(Some(event));
    };
    Err(Refusal::new(Code::BadEventName, detail))
}

/// Looks into a compressed message: is it a value, and no larger than others may be? One that was looked into before is
/// passed on as it is.
///
/// # Errors
/// `message_too_large`, or what is wrong with the value; `share_exceeded` when too much was published from the client's address.
pub async fn checked_gzip(
    services: &Services,
    share: &Share,
    payload: Payload,
) -> Result<Payload, Refusal> {
    let most = payload.most_inflated_bytes();
    if most == 0 {
        return Ok(payload);
    }
    share.check_work()?;
    let limit = services.config.limits.message_bytes.as_usize();
    let checked = offload(most.min(limit), move || payload.checked_gzip(limit)).await;
    let checked = checked.map_err(|error| {
        // As much may have been inflated as is allowed.
        share.charge_work(limit);
        let detail = match error.code() {
            Code::MessageTooLarge => {
                services.metrics.limits.refused(Limit::Message);
                format!("{error}, all that limits.message_bytes allows")
            }
            _ => error.to_string(),
        };
        Refusal::new(error.code(), detail)
    })?;
    if checked.kind() == PayloadKind::Gzip {
        share.charge_work(checked.weight_bytes());
        // A request of a thousand small ones is the work of a large one for each: others get their turn in between.
        yield_now().await;
    }
    Ok(checked)
}

async fn hand_over(
    services: &Services,
    who: &Publisher,
    message: Publish,
) -> Result<Published, Refusal> {
    services.routes.room().await;
    let publication = publication(services, who, message);
    Ok(services.engine.publish(publication).await?)
}

/// A message as the engine is given it.
fn publication(services: &Services, who: &Publisher, message: Publish) -> Publication {
    let history = services.history_limits(&message.channel);
    Publication {
        channel: message.channel,
        // The history may keep it for long after the buffer it came in.
        payload: message.payload.detached(),
        event: message.event,
        origin: who.principal.origin(),
        sender: who.sender.clone(),
        // An id names one message: the same id again is the same message again.
        idempotency_key: message
            .idempotency_key
            .or_else(|| message.message_id.as_ref().map(Into::into)),
        id: message.message_id,
        history,
    }
}
