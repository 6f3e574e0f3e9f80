//! What operators do to clients. Whoever calls these has to make sure that it is asked by one.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use widecast_protocol::{Code, DirectMessage, EventName, MessageId, Payload, Reply};

use super::index::Selection;
use super::order::{Action, Order, OrderOutcome};
use super::publisher::{Publisher, admit_event, admit_payload};
use super::refusal::Refusal;
use super::services::Services;
use super::session::millis;
use crate::auth::{Revocation, RevokedTokens};

/// Revokes tokens; gives the revocation as it is kept now, and for how many sessions one of them had counted.
///
/// # Errors
/// `overloaded` when as many revocations are kept as may be.
pub async fn revoke(
    services: &Services,
    revocation: Revocation,
) -> Result<(Revocation, OrderOutcome), Refusal> {
    let selection = match revocation.tokens.clone() {
        RevokedTokens::OfUser(user) => Selection {
            user: Some(user),
            ..Selection::default()
        },
        RevokedTokens::Named(name) => Selection {
            token: Some(name),
            ..Selection::default()
        },
    };
    // Kept before the sessions are told: one that is opened meanwhile finds it, or is found.
    let kept = services.auth.revocations().add(revocation);
    let kept = kept.map_err(|error| Refusal::new(Code::Overloaded, error.to_string()))?;
    let order = Order {
        selection,
        action: Action::CheckTokens,
    };
    let outcome = services.workers.carry_out(&order).await;
    Ok((kept, outcome))
}

/// What is to be sent to a user.
#[derive(Debug, Clone)]
pub struct MessageToUser {
    /// The user.
    pub user: Arc<str>,
    /// The data.
    pub payload: Payload,
    /// The name of the event.
    pub event: Option<EventName>,
    /// The message id that the sender gave it.
    pub id: Option<MessageId>,
}

/// Sends a message to every session of a user that has frames. It is not kept for those that come later.
///
/// # Errors
/// As [`super::publish`], but for the right.
pub async fn send_to_user(
    services: &Services,
    who: &Publisher,
    message: MessageToUser,
) -> Result<OrderOutcome, Refusal> {
    let payload = admit_payload(services, &who.share, message.payload).await?;
    let event = message.event.map(admit_event).transpose()?.flatten();
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let direct = DirectMessage {
        payload: payload.detached(),
        event,
        id: message.id,
        origin: who.principal.origin(),
        timestamp_ms: millis(since.unwrap_or_default()),
    };
    let order = Order {
        selection: Selection {
            user: Some(message.user),
            ..Selection::default()
        },
        action: Action::Tell(Arc::new(Reply::Direct(direct))),
    };
    Ok(services.workers.carry_out(&order).await)
}
