//! What was measured, for people and for programs.

mod row;
mod table;

pub use row::{Row, Target, Verdict, float};
pub use table::{json, table};
