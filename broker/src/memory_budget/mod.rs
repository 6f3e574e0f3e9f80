//! One account of what clients make the broker hold, and what happens when it is too much.
//!
//! Each [`Part`] is counted where it is held, and has a bound ([`Bounds`]) below the ceiling (`limits.memory_bytes`) that it keeps to by itself: the
//! history drops its oldest messages, of unfinished bodies and unread answers the largest are given up ([`Hold`]), large requests wait for
//! their turn ([`Turns`]), sessions for which too much waits are ended, members are not listed. [`Pressure`] looks at the whole: at what all parts hold, and at what the system says that
//! the process takes. Under it first the history gives way, then the sessions that hold most, and new work is refused.
//!
//! A leaf: everybody may count and ask, and it knows nothing of channels or sessions. Counting costs a shared figure at most once for
//! each message, answer or turn of a worker, never once for each delivery.

mod bounds;
mod hold;
mod ledger;
mod machine;
mod pressure;
mod turns;

pub use bounds::{Bounds, CHANNEL_BYTES};
pub use hold::{GIVEN_UP, Hold, given_up};
pub use ledger::{Counted, Part, add, held, set, total};
pub use pressure::{Level, Pressure, is_full, level};
pub use turns::{LongTurn, NO_TURN, Turn, Turns};
