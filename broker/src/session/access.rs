//! What a client may do on a channel.

use widecast_protocol::{ChannelName, Code};

use super::refusal::Refusal;
use super::services::Services;
use super::session::Session;

/// What can be allowed on a channel; the words are those of capabilities and of the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// To publish.
    Publish,
    /// To hear what is published.
    Subscribe,
    /// To ask who is here, and to be listed.
    Presence,
    /// To ask for past messages.
    History,
}

impl Right {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Subscribe => "subscribe",
            Self::Presence => "presence",
            Self::History => "history",
        }
    }
}

/// Makes sure that the channel's namespace allows something, and that its name is not too long.
///
/// # Errors
/// `forbidden` or `bad_channel_name`.
pub fn require(services: &Services, channel: &ChannelName, right: Right) -> Result<(), Refusal> {
    let limit = services.config.limits.channel_name_bytes;
    let actual = channel.as_str().len();
    if actual > limit {
        let detail = format!(
            "the channel name has {actual} bytes, limits.channel_name_bytes allows {limit}"
        );
        return Err(Refusal::new(Code::BadChannelName, detail));
    }
    let rules = services.config.namespace(channel);
    let switch = match right {
        Right::Publish => rules.publish,
        Right::Subscribe => rules.subscribe,
        Right::Presence => rules.presence,
        Right::History => rules.history,
    };
    if switch.is_on() {
        return Ok(());
    }
    let right = right.as_str();
    let detail = format!("the namespace of {channel} does not allow {right}");
    Err(Refusal::new(Code::Forbidden, detail))
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
    /// As [`require`], and as [`Session::require_way`].
    pub(super) fn require(&self, channel: &ChannelName, right: Right) -> Result<(), Refusal> {
        self.require_way(channel)?;
        require(self.services(), channel, right)
    }

    /// Makes sure that the channel may be used in the way that the session came by.
    pub(super) fn require_way(&self, channel: &ChannelName) -> Result<(), Refusal> {
        if self.dialect().is_script() {
            return require_jsonp(self.services(), channel);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::Broker;

    #[test]
    fn a_name_longer_than_the_setting_is_refused_with_limit_and_length() {
        let broker = Broker::with(|config| config.limits.channel_name_bytes = 5);
        let refusal = |name: &str| {
            let channel = ChannelName::parse(name).unwrap();
            require(&broker.services, &channel, Right::Publish).map_err(|refusal| refusal.detail)
        };
        assert_eq!(refusal("abcde"), Ok(()));
        let detail = "the channel name has 6 bytes, limits.channel_name_bytes allows 5";
        assert_eq!(refusal("abcdef"), Err(detail.to_owned()));
    }
}
