//! What a client may do on a channel.

use widecast_protocol::{ChannelName, Code};

use super::refusal::Refusal;
use super::services::Services;

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

/// Makes sure that the channel's namespace allows something.
///
/// # Errors
/// `forbidden` when it does not.
pub fn require(services: &Services, channel: &ChannelName, right: Right) -> Result<(), Refusal> {
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
