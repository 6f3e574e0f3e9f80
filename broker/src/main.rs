//! The `widecast` binary.
fn main() {}
