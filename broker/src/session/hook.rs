//! Asks the authorisation hook, where there is one, before something is done that the broker's own rules allow.
//!
//! The hook is asked only after these rules have allowed something, so it can only take rights away. It is never asked about API
//! keys, because their owners are backends themselves.
//!
//! It may take its time, and meanwhile a token can end or be revoked, and a client be put out. So everything here looks, once the hook has
//! answered, whether what it was asked about is still allowed: whoever asks need not.

use widecast_protocol::command::Publish;
use widecast_protocol::{ChannelName, Code, EventName, Payload};

use super::access::{recheck, require};
use super::audit::audit;
use super::publisher::Publisher;
use super::refusal::Refusal;
use super::services::Services;
use super::session::Session;
use crate::auth::{Principal, Subject};
use crate::config::{HookEvent, Right};
use crate::outbound_http::{AskedMessage, Hook, NoAnswer, Permission, Question, Verdict};

/// The headers of a request that the hook is shown, as names and values.
pub type ShownHeaders = Vec<(String, String)>;

/// Lets somebody connect: as who they are then, and with what they may do at most.
///
/// # Errors
/// What the hook says, `authorization_unavailable`, or `unauthorized` when the token has ended meanwhile.
pub async fn admit(
    services: &Services,
    principal: Principal,
    headers: &[(String, String)],
) -> Result<Principal, Refusal> {
    let Some(hook) = hook_for(services, HookEvent::Connect, &principal) else {
        return Ok(principal);
    };
    let question = Question {
        headers,
        ..question(HookEvent::Connect, &principal)
    };
    let permission = ask(hook, question).await;
    let permission = permission.and_then(|permission| {
        recheck(services, &principal)?;
        Ok(permission)
    });
    let permission = permission.inspect_err(|refusal| {
        audit(services, &principal, "connect", None, Err(refusal.code));
    })?;
    Ok(principal.admitted(permission.user, permission.bound))
}

/// Whether the hook is asked about everybody who connects without an API key.
pub(super) fn asks_who_connects(services: &Services) -> bool {
    let hook = services.hook.as_ref();
    hook.is_some_and(|hook| hook.asks_at(HookEvent::Connect))
}

/// Makes sure that somebody, perhaps in a session, may have these rights on a channel, beside publishing.
///
/// # Errors
/// As [`admit`]; what has become of the rights or the session meanwhile.
pub(super) async fn ask_to_read(
    services: &Services,
    principal: &Principal,
    channel: &ChannelName,
    rights: &[Right],
    session: Option<&Session>,
) -> Result<(), Refusal> {
    let Some(hook) = hook_for(services, HookEvent::Subscribe, principal) else {
        return Ok(());
    };
    let question = Question {
        channel: Some(channel),
        rights,
        session: session.map(Session::id),
        ..question(HookEvent::Subscribe, principal)
    };
    ask(hook, question).await?;
    require_still(services, (principal, session), channel, rights)
}

/// Makes sure that somebody may publish a message; gives what is to be published instead of its data, if anything is.
///
/// # Errors
/// As [`ask_to_read`].
pub(super) async fn ask_to_publish(
    services: &Services,
    who: &Publisher,
    message: &Publish,
) -> Result<Option<Payload>, Refusal> {
    let (principal, session) = (&who.principal, who.session.as_deref());
    let Some(hook) = hook_for(services, HookEvent::Publish, principal) else {
        return Ok(None);
    };
    let question = Question {
        channel: Some(&message.channel),
        message: Some(AskedMessage {
            event: message.event.as_ref().map(EventName::as_str),
            payload: &message.payload,
        }),
        session: session.map(Session::id),
        ..question(HookEvent::Publish, principal)
    };
    let permission = ask(hook, question).await?;
    let channel = &message.channel;
    require_still(services, (principal, session), channel, &[Right::Publish])?;
    Ok(permission.data)
}

/// Makes sure that the hook was not asked for too long: whoever it was asked about still has the rights, and so has their session, if it
/// is one.
fn require_still(
    services: &Services,
    (principal, session): (&Principal, Option<&Session>),
    channel: &ChannelName,
    rights: &[Right],
) -> Result<(), Refusal> {
    session.map_or(Ok(()), Session::require_open)?;
    for right in rights {
        require(services, principal, channel, *right)?;
        session.map_or(Ok(()), |session| session.require(channel, *right))?;
    }
    Ok(())
}

/// The hook, if it is asked about this somebody at this event.
pub fn hook_for<'a>(
    services: &'a Services,
    event: HookEvent,
    principal: &Principal,
) -> Option<&'a Hook> {
    let is_backend = matches!(principal.subject(), Subject::ApiKey(_));
    let hook = services.hook.as_ref()?;
    (!is_backend && hook.asks_at(event)).then_some(hook)
}

fn question(event: HookEvent, principal: &Principal) -> Question<'_> {
    Question {
        event,
        principal,
        session: None,
        channel: None,
        rights: &[],
        message: None,
        headers: &[],
    }
}

async fn ask(hook: &Hook, question: Question<'_>) -> Result<Permission, Refusal> {
    let code = Code::AuthorizationUnavailable;
    // In a box: the call takes more room than all that is done without a hook, which would be moved with every request.
    match Box::pin(hook.ask(question)).await {
        Ok(Verdict::Allowed(permission)) => Ok(permission),
        Ok(Verdict::Refused { code, reason }) => Err(Refusal::new(code, reason)),
        Err(NoAnswer::Busy) => {
            let detail = "the authorisation hook is asked as much as auth.hook.concurrent_requests allows: try again later";
            Err(Refusal::new(code, detail))
        }
        Err(NoAnswer::Failed) => {
            let detail = "the authorisation hook gives no answer that can be used: try again later";
            Err(Refusal::new(code, detail))
        }
    }
}
