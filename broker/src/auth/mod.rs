//! Who may do what.
//!
//! So far: which web pages may talk to the broker, and by which name. A leaf that knows the settings and nothing else of the broker.

mod name;
mod origin;

pub use name::{is_loopback_authority, knows_name};
pub use origin::{Admission, admit};
