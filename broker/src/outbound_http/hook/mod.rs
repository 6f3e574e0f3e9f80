//! The authorisation hook: a backend that is asked whether somebody may do something that the broker's own rules allow.
//!
//! [`Hook::ask`] is one question and its answer. The session asks, and makes a refusal of what it hears.

mod answer;
mod asking;
mod cache;
mod question;
mod signature;

pub use answer::{Permission, Verdict};
pub use asking::{Hook, HookError, NoAnswer};
pub use question::{AskedMessage, Question};
