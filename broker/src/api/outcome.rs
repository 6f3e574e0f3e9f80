//! The outcome of one message of a batch.

use serde::{Serialize, Serializer};
use widecast_protocol::ChannelName;

use super::receipt::Receipt;
use crate::engine::Published;
use crate::http::Problem;
use crate::session::Refusal;

/// `{"channels":[…]}` with a receipt or an error for each channel, or `{"error":…}` when the message cannot be read.
#[derive(Debug, Serialize)]
pub(super) enum MessageOutcome {
    #[serde(rename = "channels")]
    Channels(Vec<ChannelOutcome>),
    #[serde(rename = "error")]
    Refused(Problem),
}

impl MessageOutcome {
    /// The outcome of a message for so many channels.
    pub(super) fn with_capacity(channels: usize) -> Self {
        Self::Channels(Vec::with_capacity(channels))
    }

    /// The outcome of a message that cannot be read.
    pub(super) fn refused(problem: Problem) -> Self {
        Self::Refused(problem)
    }

    /// Adds what became of it on one channel.
    pub(super) fn push(&mut self, channel: ChannelName, published: Result<Published, Refusal>) {
        if let Self::Channels(outcomes) = self {
            outcomes.push(ChannelOutcome { channel, published });
        }
    }
}

/// The outcome of a message on one channel.
#[derive(Debug)]
pub(super) struct ChannelOutcome {
    channel: ChannelName,
    published: Result<Published, Refusal>,
}

#[derive(Serialize)]
struct Failed<'a> {
    channel: &'a str,
    error: Problem,
}

impl Serialize for ChannelOutcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.published {
            Ok(published) => Receipt::new(&self.channel, published).serialize(serializer),
            Err(refusal) => {
                let channel = self.channel.as_str();
                let error = refusal.clone().into();
                Failed { channel, error }.serialize(serializer)
            }
        }
    }
}
