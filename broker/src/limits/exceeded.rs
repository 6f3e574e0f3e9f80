//! Why somebody gets nothing more for the moment: which limit is reached, and when to try again.

use std::fmt;
use std::time::Duration;

use crate::metrics::ShareLimit;

/// The share of an address, or the quota of a session, user, API key or channel, is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exceeded {
    pub(super) limit: ShareLimit,
    /// How long the client should wait before it tries again.
    pub wait: Duration,
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.detail())
    }
}

impl Exceeded {
    /// The setting that says so.
    pub(super) const fn setting(self) -> &'static str {
        match self.limit {
            ShareLimit::Connections => "limits.connections_per_address",
            ShareLimit::NewConnections => "limits.connections_per_address_and_second",
            ShareLimit::Sessions => "limits.sessions_per_address",
            ShareLimit::NewSessions => "limits.sessions_per_address_and_second",
            ShareLimit::Work => "limits.work_bytes_per_address_and_second",
            ShareLimit::UserSessions => "limits.sessions_per_user",
            ShareLimit::SessionPublications => "limits.publications_per_session_and_second",
            ShareLimit::SessionBytes => "limits.publication_bytes_per_session_and_second",
            ShareLimit::UserPublications => "limits.publications_per_user_and_second",
            ShareLimit::UserBytes => "limits.publication_bytes_per_user_and_second",
            ShareLimit::ApiKeyPublications => "limits.publications_per_api_key_and_second",
            ShareLimit::ApiKeyBytes => "limits.publication_bytes_per_api_key_and_second",
            ShareLimit::ChannelPublications => "limits.publications_per_channel_and_second",
            ShareLimit::ChannelBytes => "limits.publication_bytes_per_channel_and_second",
            ShareLimit::SessionCommands => "limits.commands_per_session_and_second",
            ShareLimit::WaitingCommands => "limits.request_bytes",
            ShareLimit::Members => "limits.members_per_address",
            ShareLimit::UserMembers => "limits.members_per_user",
            ShareLimit::IdempotencyKeys => "limits.idempotency_keys_per_address",
            ShareLimit::UserIdempotencyKeys => "limits.idempotency_keys_per_user",
        }
    }

    /// The text for the client: what is used up, and which setting limits it.
    pub const fn detail(&self) -> &'static str {
        match self.limit {
            ShareLimit::Connections => {
                "the clients of your address have as many connections as limits.connections_per_address allows: use one for several channels, or try again later"
            }
            ShareLimit::NewConnections => {
                "the clients of your address open more connections than limits.connections_per_address_and_second allows: keep them open, and try again later"
            }
            ShareLimit::Sessions => {
                "the clients of your address have as many sessions and streams as limits.sessions_per_address allows: use one for several channels, or try again later"
            }
            ShareLimit::NewSessions => {
                "the clients of your address open more sessions and streams than limits.sessions_per_address_and_second allows: keep them open, and try again later"
            }
            ShareLimit::Work => {
                "the clients of your address make more work than limits.work_bytes_per_address_and_second allows: try again later"
            }
            ShareLimit::UserSessions => {
                "the user has as many sessions and streams as limits.sessions_per_user allows: use one for several channels, or try again later"
            }
            ShareLimit::SessionPublications => {
                "the session publishes more messages than limits.publications_per_session_and_second allows: try again later"
            }
            ShareLimit::SessionBytes => {
                "the session publishes more bytes than limits.publication_bytes_per_session_and_second allows: try again later"
            }
            ShareLimit::UserPublications => {
                "the user publishes more messages than limits.publications_per_user_and_second allows: try again later"
            }
            ShareLimit::UserBytes => {
                "the user publishes more bytes than limits.publication_bytes_per_user_and_second allows: try again later"
            }
            ShareLimit::ApiKeyPublications => {
                "the API key publishes more messages than limits.publications_per_api_key_and_second allows: try again later"
            }
            ShareLimit::ApiKeyBytes => {
                "the API key publishes more bytes than limits.publication_bytes_per_api_key_and_second allows: try again later"
            }
            ShareLimit::ChannelPublications => {
                "in this channel there are published more messages than limits.publications_per_channel_and_second allows: try again later"
            }
            ShareLimit::ChannelBytes => {
                "in this channel there are published more bytes than limits.publication_bytes_per_channel_and_second allows: try again later"
            }
            ShareLimit::SessionCommands => {
                "the session sends more commands than limits.commands_per_session_and_second allows: try again later"
            }
            ShareLimit::WaitingCommands => {
                "as many bytes of commands wait for the session as limits.request_bytes allows: wait for the answer before you send more"
            }
            ShareLimit::Members => {
                "the clients of your address are listed as members as often as limits.members_per_address allows: try again later"
            }
            ShareLimit::UserMembers => {
                "the user is listed as a member as often as limits.members_per_user allows: try again later"
            }
            ShareLimit::IdempotencyKeys => {
                "the clients of your address use more idempotency keys than limits.idempotency_keys_per_address allows: try again later"
            }
            ShareLimit::UserIdempotencyKeys => {
                "the user uses more idempotency keys than limits.idempotency_keys_per_user allows: try again later"
            }
        }
    }
}
