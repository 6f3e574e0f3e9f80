//! Makes sure that a client may do something on a channel.

use widecast_protocol::{ChannelName, Code};

use super::hook::ask_to_read;
use super::refusal::Refusal;
use super::services::Services;
use super::session::Session;
use crate::auth::{Denial, Principal, Subject};
use crate::config::Right;
use crate::metrics::Limit;
use crate::registry::Ended;

/// Makes sure that somebody may do something on a channel, and that its name is not too long. A token that was checked a while ago
/// may have ended since.
///
/// # Errors
/// `unauthorized`, `forbidden` or `bad_channel_name`.
pub fn require(
    services: &Services,
    principal: &Principal,
    channel: &ChannelName,
    right: Right,
) -> Result<(), Refusal> {
    recheck(services, principal)?;
    match principal.shown_for(channel) {
        Some(proof) if services.auth.recheck(proof).is_err() => {
            let principal = principal.clone().hiding();
            require_of_proven(services, &principal, channel, right)
        }
        _ => require_of_proven(services, principal, channel, right),
    }
}

/// Makes sure that somebody's token, if they have one, has neither ended nor been revoked since it was checked.
///
/// # Errors
/// `unauthorized`.
pub(super) fn recheck(services: &Services, principal: &Principal) -> Result<(), Refusal> {
    let Subject::User(proof) = principal.subject() else {
        return Ok(());
    };
    let counts = services.auth.recheck(proof);
    counts.map_err(|error| Refusal::new(error.code(), error.to_string()))
}

/// The same of somebody who has proved a moment ago who they are.
///
/// # Errors
/// `unauthorized`, `forbidden` or `bad_channel_name`.
pub fn require_of_proven(
    services: &Services,
    principal: &Principal,
    channel: &ChannelName,
    right: Right,
) -> Result<(), Refusal> {
    if let Err(detail) = services.config.limits.check_length(channel) {
        return Err(services.beyond(Limit::ChannelName, Code::BadChannelName, detail));
    }
    let rules = services.config.namespace(channel);
    match principal.require(right, channel, rules) {
        Ok(_) => Ok(()),
        Err(Denial { code, detail }) => Err(Refusal::new(code, detail)),
    }
}

/// Makes sure that the channel's namespace allows JSONP: any page can load a script, and nobody learns which page it was.
///
/// # Errors
/// `forbidden`, naming the setting.
pub fn require_jsonp(services: &Services, channel: &ChannelName) -> Result<(), Refusal> {
    if services.config.namespace(channel).jsonp.is_on() {
        return Ok(());
    }
    let detail = format!("the namespace of {channel} does not allow JSONP (namespace.….jsonp)");
    Err(Refusal::new(Code::Forbidden, detail))
}

impl Session {
    /// Makes sure that the session may do something with the channel: as [`require`] for its namespace, and as
    /// [`Session::require_jsonp_if_script`].
    pub(super) fn require(&self, channel: &ChannelName, right: Right) -> Result<(), Refusal> {
        self.require_jsonp_if_script(channel)?;
        require(self.services(), &self.principal_on(channel), channel, right)
    }

    /// Makes sure that the session may go on with what it does in the channel. While the hook is asked what it leaves a session whose
    /// token has ended, the session hears what it has joined, but can do nothing new.
    pub(super) fn require_to_go_on(
        &self,
        channel: &ChannelName,
        right: Right,
    ) -> Result<(), Refusal> {
        self.require_jsonp_if_script(channel)?;
        let principal = self.principal_on(channel).going_on();
        require(self.services(), &principal, channel, right)
    }

    /// For whom the session acts on a channel: with the subscription token that it has shown for it.
    pub(super) fn principal_on(&self, channel: &ChannelName) -> Principal {
        let principal = self.principal();
        match self.subscription_token(channel) {
            Some(proof) => principal.showing(channel, proof),
            None => principal,
        }
    }

    /// Asks the authorisation hook whether the session may have these rights on the channel.
    pub(super) async fn ask_to_read(
        &self,
        channel: &ChannelName,
        rights: &[Right],
    ) -> Result<(), Refusal> {
        if self.services().hook.is_none() {
            return Ok(());
        }
        let principal = self.principal_on(channel);
        ask_to_read(self.services(), &principal, channel, rights, Some(self)).await
    }

    /// Makes sure that the session has not ended, for example because an operator has put its client out.
    pub(super) fn require_open(&self) -> Result<(), Refusal> {
        if self.outbox().is_open() {
            return Ok(());
        }
        let code = self.outbox().ended().and_then(Ended::code);
        let code = code.unwrap_or(Code::SessionNotFound);
        Err(Refusal::new(code, "the session has ended meanwhile"))
    }

    /// Makes sure that the channel may be used by JSONP, if the session is loaded as scripts.
    pub(super) fn require_jsonp_if_script(&self, channel: &ChannelName) -> Result<(), Refusal> {
        if self.dialect().is_script() {
            return require_jsonp(self.services(), channel);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::TestBroker;
    use widecast_protocol::Origin;

    #[test]
    fn a_name_longer_than_the_setting_is_refused_with_limit_and_length() {
        let broker = TestBroker::with(|config| config.limits.channel_name_bytes = 5);
        let anybody = Principal::new(Subject::Anybody, Origin::unknown());
        let refusal = |name: &str| {
            let channel = ChannelName::parse(name).unwrap();
            require(&broker.services, &anybody, &channel, Right::Publish)
                .map_err(|refusal| refusal.detail)
        };
        assert_eq!(refusal("abcde"), Ok(()));
        let detail = "the channel name has 6 bytes, limits.channel_name_bytes allows 5";
        assert_eq!(refusal("abcdef"), Err(detail.to_owned()));
    }
}
