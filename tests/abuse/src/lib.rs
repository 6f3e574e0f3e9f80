//! Abuses a broker in many ways, one after the other, and checks what it promises all the same: its memory stays below a
//! stated bound, and a bystander who publishes and subscribes beside the attack loses nothing.
//!
//! Each kind of abuse is a file in [`kinds`]. Its variants come from the dice, which a seed repeats, and its strength from the
//! scale. The tests run each kind a little; `cargo run -p widecast-abuse` runs them for as long and as strongly as one likes.

pub mod bystander;
pub mod dice;
pub mod kinds;
pub mod siege;
