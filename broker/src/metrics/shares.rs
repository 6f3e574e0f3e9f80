//! What clients were refused because they, or others with them, had as much of the broker as they may.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What there may be only so much of for an address, a session, a user, an API key or a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShareLimit {
    /// Connections at a time.
    Connections,
    /// Connections opened in a second.
    NewConnections,
    /// Sessions at a time.
    Sessions,
    /// Sessions opened in a second.
    NewSessions,
    /// Work in a second.
    Work,
    /// Sessions of a user at a time.
    UserSessions,
    /// Publications of a session in a second.
    SessionPublications,
    /// Bytes that a session publishes in a second.
    SessionBytes,
    /// Publications of a user in a second.
    UserPublications,
    /// Bytes that a user publishes in a second.
    UserBytes,
    /// Publications of an API key in a second.
    ApiKeyPublications,
    /// Bytes that an API key publishes in a second.
    ApiKeyBytes,
    /// Publications in a channel in a second.
    ChannelPublications,
    /// Bytes that are published in a channel in a second.
    ChannelBytes,
    /// Commands of a session in a second.
    SessionCommands,
    /// Commands that wait for their session.
    WaitingCommands,
    /// Members at a time.
    Members,
    /// Members of a user at a time.
    UserMembers,
    /// Idempotency keys for as long as they are remembered.
    IdempotencyKeys,
    /// Idempotency keys of a user for as long as they are remembered.
    UserIdempotencyKeys,
}

impl ShareLimit {
    const ALL: [Self; 20] = [
        Self::Connections,
        Self::NewConnections,
        Self::Sessions,
        Self::NewSessions,
        Self::Work,
        Self::UserSessions,
        Self::SessionPublications,
        Self::SessionBytes,
        Self::UserPublications,
        Self::UserBytes,
        Self::ApiKeyPublications,
        Self::ApiKeyBytes,
        Self::ChannelPublications,
        Self::ChannelBytes,
        Self::SessionCommands,
        Self::WaitingCommands,
        Self::Members,
        Self::UserMembers,
        Self::IdempotencyKeys,
        Self::UserIdempotencyKeys,
    ];
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LimitLabels {
    limit: &'static str,
}

impl From<ShareLimit> for LimitLabels {
    fn from(limit: ShareLimit) -> Self {
        let limit = match limit {
            ShareLimit::Connections => "connections",
            ShareLimit::NewConnections => "new_connections",
            ShareLimit::Sessions => "sessions",
            ShareLimit::NewSessions => "new_sessions",
            ShareLimit::Work => "work",
            ShareLimit::UserSessions => "user_sessions",
            ShareLimit::SessionPublications => "session_publications",
            ShareLimit::SessionBytes => "session_bytes",
            ShareLimit::UserPublications => "user_publications",
            ShareLimit::UserBytes => "user_bytes",
            ShareLimit::ApiKeyPublications => "api_key_publications",
            ShareLimit::ApiKeyBytes => "api_key_bytes",
            ShareLimit::ChannelPublications => "channel_publications",
            ShareLimit::ChannelBytes => "channel_bytes",
            ShareLimit::SessionCommands => "session_commands",
            ShareLimit::WaitingCommands => "waiting_commands",
            ShareLimit::Members => "members",
            ShareLimit::UserMembers => "user_members",
            ShareLimit::IdempotencyKeys => "idempotency_keys",
            ShareLimit::UserIdempotencyKeys => "user_idempotency_keys",
        };
        Self { limit }
    }
}

/// Figures about the shares of addresses.
#[derive(Debug, Clone)]
pub struct Shares {
    /// Addresses whose share is counted.
    pub addresses: Gauge,
    refused: Family<LimitLabels, Counter>,
}

impl Shares {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            addresses: Gauge::default(),
            refused: Family::default(),
        };
        // A figure that is absent until something happens cannot be alerted on.
        for limit in ShareLimit::ALL {
            drop(metrics.refused.get_or_create(&limit.into()));
        }
        registry.register(
            "addresses",
            "Addresses whose share of the broker is counted",
            metrics.addresses.clone(),
        );
        registry.register(
            "share_refusals",
            "Refusals because an address, a session, a user, an API key or a channel had as much as it may, by limit",
            metrics.refused.clone(),
        );
        metrics
    }

    /// Somebody has asked for more than they may have.
    pub fn refused(&self, limit: ShareLimit) {
        self.refused.get_or_create(&limit.into()).inc();
    }
}
