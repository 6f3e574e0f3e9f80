//! The newest messages of one channel, for those who resume: bounded by count, bytes and age.
//!
//! A plain structure: no lock, clock or channel in it. Engines compose it; what it holds is up to them. It counts the
//! channel's offsets too, because what it holds is always the end of the sequence, without holes: what was dropped is
//! older than everything held.

mod limits;
mod ring;
mod view;

pub use limits::HistoryLimits;
pub use ring::{EXPIRED_AT_ONCE, History};
pub use view::HistoryView;
