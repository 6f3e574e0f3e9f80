//! The listener and its connections: accepts sockets, hands each to actix's HTTP/1 dispatcher, and takes it back
//! ("detaches" it) when a request turns out to be a subscription, so that sessions write to the socket directly and the
//! dispatcher's buffers are freed. Knows nothing of channels or sessions.

mod connection;
mod detach;
mod listener;

pub use connection::{Connection, ConnectionIo, Connections};
pub use detach::{Detached, detach};
pub use listener::{ListenError, ListenerOptions, bind, serve};
