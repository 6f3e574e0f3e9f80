//! Who may do what.
//!
//! So far: which web pages may talk to the broker. A leaf that knows the settings and nothing else of the broker.

mod origin;

pub use origin::{Admission, admit, is_loopback_authority};
