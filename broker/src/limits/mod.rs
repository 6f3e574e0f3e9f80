//! What clients may have of the broker, so that none of them takes what others need: the share of an address, and the quotas of sessions,
//! users, API keys and channels.
//!
//! Without authentication clients cannot be told apart, but addresses can. The listener asks for each
//! connection, transports for each session, and whoever does work that costs a client little asks first and charges it
//! afterwards. This module knows nothing of channels or sessions.

mod address;
mod allowance;
mod commands;
mod exceeded;
mod forwarded;
mod members;
mod quota;
mod quotas;
mod share;
mod shares;
mod table;

pub use commands::{Backlog, CommandAllowance, Queued};
pub use exceeded::Exceeded;
pub use forwarded::Proxies;
pub use members::ListedMember;
pub use quota::{Permit, Quota};
pub use quotas::{Publishing, Quotas};
pub use share::{Held, Share};
pub use shares::Shares;
