//! The log of who did what (`log.audit`): a line for each thing that somebody has asked for, with what became of it. It never has a
//! token, a key or data.

use std::fmt::Display;

use tracing::field;
use widecast_protocol::Code;

use super::services::Services;
use crate::auth::Principal;

/// Writes down, if the settings say so, that somebody has asked for something; `object` is the channel, or whom an operator means.
pub fn audit(
    services: &Services,
    principal: &Principal,
    action: &'static str,
    object: Option<&dyn Display>,
    outcome: Result<(), Code>,
) {
    if !services.config.log.audit.is_on() {
        return;
    }
    let object = object.map(ToString::to_string);
    let outcome = outcome.map_or_else(Code::as_str, |()| "done");
    tracing::event!(
        target: "widecast::audit",
        tracing::Level::INFO,
        audit.action = action,
        audit.outcome = outcome,
        // As a text, which is written in quotes and without control characters: an operator's client chooses it freely.
        audit.object = object.as_deref(),
        key.name = principal.api_key(),
        user.name = principal.user(),
        client.address = principal.address().map(field::display),
        "{action}: {outcome}"
    );
}
