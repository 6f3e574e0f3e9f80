//! What operators do to clients. Whoever calls these has to make sure that it is asked by one.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use futures_util::future::join;
use widecast_protocol::{Code, DirectMessage, EventName, MessageId, Payload, Reply};

use super::index::Selection;
use super::nodes::{announce_order, announce_revocation};
use super::order::{Action, Order, OrderOutcome};
use super::publisher::{Publisher, admit_event, admit_payload};
use super::refusal::Refusal;
use super::services::Services;
use super::session::millis;
use crate::auth::{Revocation, RevokedTokens};
use crate::engine::EngineError;
use crate::log_limit::LogLimit;

/// What became of an order, as far as this node knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// What was done here.
    pub here: OrderOutcome,
    /// How many other nodes were told.
    pub other_nodes: usize,
}

/// The order to sessions that may have used tokens that are revoked.
pub(super) fn check_order(tokens: &RevokedTokens) -> Order {
    let mut selection = Selection::default();
    match Clone::clone(tokens) {
        RevokedTokens::OfUser(user) => selection.user = Some(user),
        RevokedTokens::Named(name) => selection.token = Some(name),
    }
    Order::now(selection, Action::CheckTokens)
}

/// Revokes tokens here and on all other nodes; gives the revocation as it is kept now, and for how many sessions one of them had
/// counted.
///
/// # Errors
/// `overloaded` when as many revocations are kept as may be; `engine_unavailable` when it is in force here, and the engine could not
/// be told.
pub async fn revoke(
    services: &Services,
    revocation: Revocation,
) -> Result<(Revocation, Outcome), Refusal> {
    // Kept before the sessions are told: one that is opened meanwhile finds it, or is found.
    let kept = services.auth.revocations().add(revocation);
    let note = kept.map_err(|error| Refusal::new(Code::Overloaded, error.to_string()))?;
    let revocation = note.revocation.clone();
    let order = check_order(&revocation.tokens);
    let announced = announce_revocation(services, note);
    let (here, announced) = join(services.workers.carry_out(&order), announced).await;
    let outcome = everywhere(
        services,
        here,
        announced,
        "the tokens are revoked on this node",
    )?;
    Ok((revocation, outcome))
}

/// Takes a revocation back on all nodes. Returns whether it was there.
///
/// # Errors
/// `engine_unavailable` when it is taken back here, and the engine could not be told.
pub async fn take_revocation_back(
    services: &Services,
    tokens: &RevokedTokens,
) -> Result<bool, Refusal> {
    let Some(note) = services.auth.revocations().remove(tokens) else {
        return Ok(false);
    };
    let announced = announce_revocation(services, note).await;
    let here = OrderOutcome::default();
    everywhere(
        services,
        here,
        announced,
        "the revocation is taken back on this node",
    )?;
    Ok(true)
}

/// Carries out an order for the sessions of all nodes.
///
/// # Errors
/// `engine_unavailable` when it was carried out here, and the other nodes could not be told.
pub async fn carry_out_everywhere(services: &Services, order: Order) -> Result<Outcome, Refusal> {
    let carrying_out = carry_out_and_announce(services, order);
    services.with_patience(carrying_out).await
}

async fn carry_out_and_announce(services: &Services, order: Order) -> Result<Outcome, Refusal> {
    let (here, announced) = if order.selection.session.is_some() {
        let here = services.workers.carry_out(&order).await;
        if here != OrderOutcome::default() {
            // No other node has a session of this name.
            return Ok(Outcome {
                here,
                other_nodes: 0,
            });
        }
        (here, announce_order(services, order).await)
    } else {
        // The other nodes need not wait until many sessions are told here.
        let announced = announce_order(services, order.clone());
        join(services.workers.carry_out(&order), announced).await
    };
    let done = format!("it was carried out for {} sessions of this node", here.done);
    everywhere(services, here, announced, &done)
}

fn everywhere(
    services: &Services,
    here: OrderOutcome,
    announced: Result<(), EngineError>,
    done: &str,
) -> Result<Outcome, Refusal> {
    announced.map_err(|error| {
        static LINE: LogLimit = LogLimit::new();
        if let Some(times) = LINE.due() {
            tracing::warn!(
                times,
                error = &error as &dyn std::error::Error,
                "what an operator has ordered could not be told to the engine"
            );
        }
        let detail = format!("{done}, and the engine could not be told: repeat it");
        Refusal::new(Code::from(error), detail)
    })?;
    Ok(Outcome {
        here,
        other_nodes: services.nodes.others(),
    })
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

/// Sends a message to every session of a user that has frames, on all nodes. It is not kept for those that come later.
///
/// # Errors
/// As [`super::publish`], but for the right.
pub async fn send_to_user(
    services: &Services,
    who: &Publisher,
    message: MessageToUser,
) -> Result<Outcome, Refusal> {
    let now = Instant::now();
    let payload = admit_payload(services, &who.share, message.payload, now).await?;
    let event = message.event.map(admit_event).transpose()?.flatten();
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let direct = DirectMessage {
        payload: payload.detached(),
        event,
        id: message.id,
        origin: who.principal.origin(),
        timestamp_ms: millis(since.unwrap_or_default()),
    };
    let selection = Selection {
        user: Some(message.user),
        ..Selection::default()
    };
    let tell = Action::Tell(Arc::new(Reply::Direct(direct)));
    carry_out_everywhere(services, Order::now(selection, tell)).await
}
