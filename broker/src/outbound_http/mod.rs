//! HTTP requests that the broker itself makes: for the keys of identity providers, and to the authorisation hook.
//!
//! Everything asked is bounded in time and size, and nobody's answer is trusted to be what it should be. This module uses the
//! leaves, and knows nothing of channels or sessions.

mod hook;
mod http;
mod key_sets;

pub use hook::{AskedMessage, Hook, HookError, NoAnswer, Permission, Question, Verdict};
pub use http::{CallError, HttpClient};
pub use key_sets::{fetch_key_sets, keep_key_sets};
