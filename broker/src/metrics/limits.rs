//! What clients were refused because it was more than a setting allows, whoever asks for it. What an address, a session, a user, an API
//! key or a channel may have is in [`super::Shares`].

use std::sync::atomic::Ordering;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// A setting that bounds what clients may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Memory, of all clients together.
    Memory,
    /// The bytes of a message.
    Message,
    /// The bytes of several messages or commands.
    Request,
    /// The bytes of what has not come whole, of all clients together.
    Unfinished,
    /// The bytes with which a member is listed.
    Presence,
    /// The bytes of a channel's name.
    ChannelName,
    /// The channels of a session.
    Channels,
    /// The messages of a batch.
    Batch,
    /// The commands of a frame or POST.
    Commands,
    /// The fragments of a WebSocket message.
    Fragments,
    /// Connections, and sessions of polls.
    Connections,
}

impl Limit {
    const ALL: [Self; 11] = [
        Self::Memory,
        Self::Message,
        Self::Request,
        Self::Unfinished,
        Self::Presence,
        Self::ChannelName,
        Self::Channels,
        Self::Batch,
        Self::Commands,
        Self::Fragments,
        Self::Connections,
    ];

    /// The key of the setting, with its section.
    pub const fn setting(self) -> &'static str {
        match self {
            Self::Memory => "limits.memory_bytes",
            Self::Message => "limits.message_bytes",
            Self::Request => "limits.request_bytes",
            Self::Unfinished => "limits.unfinished_bytes",
            Self::Presence => "limits.presence_bytes",
            Self::ChannelName => "limits.channel_name_bytes",
            Self::Channels => "limits.channels_per_session",
            Self::Batch => "limits.messages_per_batch",
            Self::Commands => "limits.commands_per_frame",
            Self::Fragments => "limits.fragments_per_message",
            Self::Connections => "server.max_connections",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LimitLabels {
    limit: &'static str,
}

impl From<Limit> for LimitLabels {
    fn from(limit: Limit) -> Self {
        let setting = limit.setting();
        let limit = setting.split_once('.').map_or(setting, |(_, key)| key);
        Self { limit }
    }
}

/// How often clients were refused because of each limit.
#[derive(Debug, Clone)]
pub struct Limits {
    refused: Family<LimitLabels, Counter>,
}

impl Limits {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            refused: Family::default(),
        };
        // A figure that is absent until something happens cannot be alerted on.
        for limit in Limit::ALL {
            drop(metrics.refused.get_or_create(&limit.into()));
        }
        registry.register(
            "limit_refusals",
            "Refusals of connections, requests, commands and messages that were beyond a limit, by the setting",
            metrics.refused.clone(),
        );
        metrics
    }

    /// Somebody has asked for more than a setting allows.
    pub fn refused(&self, limit: Limit) {
        self.refused.get_or_create(&limit.into()).inc();
    }

    /// Sets how often something was refused since the start, where it is counted elsewhere.
    pub fn set_refused(&self, limit: Limit, total: u64) {
        let refused = self.refused.get_or_create(&limit.into());
        refused.inner().store(total, Ordering::Relaxed);
    }
}
