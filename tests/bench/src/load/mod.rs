//! The load generator: thousands of subscribers and a few publishers in one thread, cheap enough that the server is the
//! bottleneck. It stays on the loopback address, and every run is bounded in messages and in time.

mod count;
mod drive;
mod exchange;
mod poll;
mod subscriber;
mod swarm;

pub use count::{Counter, FrameCounter};
pub use drive::{Outcome, Plan, Publishers, drive};
pub use exchange::Exchange;
pub use poll::{PollOutcome, PollPlan, Polling, poll};
pub use swarm::{Swarm, SwarmPlan};
