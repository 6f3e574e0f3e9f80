//! Benchmarks of the widecast binary beside the kernel's floor.
//!
//! The floor is the least a server can do on this kernel: a bare epoll loop that writes the same bytes to the same number
//! of sockets ([`floor`]). A load generator ([`load`]) drives the broker and the floor in turn, and what either process
//! spent is read from the kernel ([`usage`]). Ratios of figures taken in one run mean something on any machine; absolute
//! figures only with the machine's description beside them.

pub mod args;
pub mod disturbance;
pub mod floor;
pub mod form;
pub mod http;
pub mod limits;
pub mod load;
pub mod machine;
pub mod poller;
pub mod report;
pub mod scenario;
pub mod server;
pub mod usage;
