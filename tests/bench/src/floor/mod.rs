//! The floor: the least a server of this kind can do, in one thread around epoll.
//!
//! It knows no history, no limits, no errors and no slow consumers: whoever cannot take a frame at once is cut off. It
//! speaks just as much of the broker's HTTP surface as the load generator uses, so that one load generator drives both.

mod channel;
mod connection;
mod server;

pub use server::{Batching, Floor};
