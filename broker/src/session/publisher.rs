//! The way of every message into the broker, from whatever transport: may it, is it small enough, then the engine.

use std::time::Instant;

use tokio::task::coop::consume_budget;
use tokio::task::yield_now;
use widecast_protocol::command::Publish;
use widecast_protocol::{Code, EventName, Origin, Payload, PayloadKind, SenderKey};

use super::access::{Right, require};
use super::refusal::Refusal;
use super::services::Services;
use crate::engine::{Publication, Published};

/// How the names of the broker's own events begin, so that nobody can pretend a gap.
const RESERVED_EVENTS: &str = "widecast.";

/// What an `EventSource` itself tells of its connection: a message called so would run the page's handlers for that.
const CONNECTION_EVENTS: [&str; 2] = ["open", "error"];

/// What the events without a name are called wherever events have names: it is none.
const DEFAULT_EVENT: &str = "message";

/// Who publishes.
#[derive(Debug, Clone)]
pub struct Publisher {
    /// As the broker has verified it.
    pub origin: Origin,
    /// The key of the sender, who does not hear its own messages.
    pub sender: Option<SenderKey>,
}

/// Publishes a message, and counts it.
///
/// # Errors
/// `forbidden`, `message_too_large`, or that the engine failed; then the message may have been published all the same.
///
/// # Cancel safety
/// As [`crate::engine::Engine::publish`]: it has happened or not.
pub async fn publish(
    services: &Services,
    who: &Publisher,
    message: Publish,
) -> Result<Published, Refusal> {
    let payload_bytes = message.payload.size_bytes() as u64;
    // A request or frame of many messages gives way to others every so often.
    consume_budget().await;
    let admitted = Instant::now();
    let outcome = match admit(services, message).await {
        Ok(message) => hand_over(services, who, message).await,
        Err(refusal) => Err(refusal),
    };
    let figures = &services.metrics.publications;
    match &outcome {
        Ok(published) if published.duplicate => {
            figures.duplicates.inc();
        }
        Ok(_) => {
            figures.accepted.inc();
            figures.payload_bytes.inc_by(payload_bytes);
            figures.took(admitted.elapsed());
        }
        Err(refusal) => figures.refused(refusal.code),
    }
    outcome
}

async fn admit(services: &Services, mut message: Publish) -> Result<Publish, Refusal> {
    require(services, &message.channel, Right::Publish)?;
    message.event = match message.event {
        Some(event) => admit_event(event)?,
        None => None,
    };
    let limit = services.config.limits.message_bytes;
    let actual = message.payload.size_bytes();
    if actual > limit.as_usize() {
        let detail = format!(
            "the message has {actual} bytes, limits.message_bytes allows {}",
            limit.get()
        );
        return Err(Refusal::new(Code::MessageTooLarge, detail));
    }
    message.payload = checked_gzip(services, message.payload).await?;
    Ok(message)
}

fn admit_event(event: EventName) -> Result<Option<EventName>, Refusal> {
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
/// `message_too_large`, or what is wrong with the value.
pub async fn checked_gzip(services: &Services, payload: Payload) -> Result<Payload, Refusal> {
    if payload.kind() == PayloadKind::Gzip {
        return Ok(payload);
    }
    let limit = services.config.limits.message_bytes.as_usize();
    let checked = payload.checked_gzip(limit).map_err(|error| {
        let detail = match error.code() {
            Code::MessageTooLarge => format!("{error}, all that limits.message_bytes allows"),
            _ => error.to_string(),
        };
        Refusal::new(error.code(), detail)
    })?;
    if checked.kind() == PayloadKind::Gzip {
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
    let history = services.history_limits(&message.channel);
    let publication = Publication {
        channel: message.channel,
        // The history may keep it for long after the buffer it came in.
        payload: message.payload.detached(),
        event: message.event,
        origin: who.origin.clone(),
        sender: who.sender.clone(),
        // An id names one message: the same id again is the same message again.
        idempotency_key: message
            .idempotency_key
            .or_else(|| message.message_id.as_ref().map(Into::into)),
        id: message.message_id,
        history,
    };
    Ok(services.engine.publish(publication).await?)
}
