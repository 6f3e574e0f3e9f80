//! The settings of the broker: one file per section with its types, defaults, meanings and bounds.
//!
//! A setting is defined once, by a table in the file of its section; the parser, `widecast config show` and
//! `docs/configuration.md` all come from it. Layers, each stronger than the one before: defaults, the TOML file,
//! `WIDECAST_…` environment variables, flags. `cli` loads a [`Config`] once at start; everybody else only reads it.
//! A leaf: uses nothing of the broker.

mod allowed_channels;
mod auth;
mod byte_count;
mod called_url;
mod channel_pattern;
mod consistency;
mod engine;
mod environment;
mod error;
mod file;
mod heartbeat;
mod hidden_secrets;
mod history;
mod hook;
mod key_hash;
mod limits;
mod load;
mod log;
mod namespace;
mod node_name;
mod origin;
mod outbox;
mod poll;
mod presence;
mod proxies;
mod redis;
mod reference;
mod regular_file;
mod rights;
mod section;
mod server;
mod settings;
mod shutdown;
mod source;
#[cfg(test)]
mod tests;
mod timeouts;
mod value;

pub use allowed_channels::AllowedChannels;
pub use auth::{ApiKeyName, ApiKeySettings, AuthSettings, ClaimValue, FilePath, JwtSettings};
pub use byte_count::ByteCount;
pub use called_url::CalledUrl;
pub use channel_pattern::{ChannelPattern, PatternError};
pub use engine::{Durability, EngineKind, EngineName, EngineSections, EngineSettings};
pub use error::{ConfigError, ConfigErrors};
pub use heartbeat::HeartbeatSettings;
pub use hidden_secrets::{API_KEY_PREFIX, without_secrets};
pub use history::HistorySettings;
pub use hook::{HookEvent, HookSettings, OnFailure, ShownHeader};
pub use key_hash::KeyHash;
pub use limits::{IDEMPOTENCY_WINDOW, LimitSettings};
pub use load::{Layers, Loaded};
pub use log::{LogFilter, LogFormat, LogSettings};
pub use namespace::{NamespaceRules, NamespaceSettings, SlowConsumerPolicy, Switch};
pub use origin::AllowedOrigin;
pub use outbox::OutboxSettings;
pub use poll::PollSettings;
pub use presence::PresenceSettings;
pub use proxies::ClientAddressHeader;
pub use reference::{ReferenceEntry, reference};
pub use regular_file::{open_regular_file, read_regular_file};
pub use rights::{Right, Rights};
pub use server::{Demos, ServerSettings, Workers};
pub use settings::Config;
pub use shutdown::ShutdownSettings;
pub use source::SettingSource;
pub use timeouts::TimeoutSettings;
