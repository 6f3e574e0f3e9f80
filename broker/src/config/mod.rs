//! The settings of the broker: one file per section with its types, defaults, meanings and bounds.
//!
//! A setting is defined once, by a table in the file of its section; the parser, `widecast config show` and
//! `docs/configuration.md` all come from it. Layers, each stronger than the one before: defaults, the TOML file,
//! `WIDECAST_…` environment variables, flags. `cli` loads a [`Config`] once at start; everybody else only reads it.
//! A leaf: uses nothing of the broker.

mod byte_count;
mod environment;
mod error;
mod file;
mod heartbeat;
mod history;
mod limits;
mod load;
mod log;
mod namespace;
mod origin;
mod outbox;
mod poll;
mod presence;
mod reference;
mod section;
mod server;
mod settings;
mod shutdown;
mod source;
#[cfg(test)]
mod tests;
mod timeouts;
mod value;

pub use byte_count::ByteCount;
pub use error::{ConfigError, ConfigErrors};
pub use heartbeat::HeartbeatSettings;
pub use history::HistorySettings;
pub use limits::LimitSettings;
pub use load::{Layers, Loaded};
pub use log::{LogFilter, LogFormat, LogSettings};
pub use namespace::{NamespaceRules, NamespaceSettings, SlowConsumer, Switch};
pub use origin::AllowedOrigin;
pub use outbox::OutboxSettings;
pub use poll::PollSettings;
pub use presence::PresenceSettings;
pub use reference::{Entry, reference};
pub use server::{Demos, ServerSettings, Workers};
pub use settings::Config;
pub use shutdown::ShutdownSettings;
pub use source::Source;
pub use timeouts::TimeoutSettings;
