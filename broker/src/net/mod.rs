//! The listener and its connections. The listener accepts sockets and hands each to actix's HTTP/1 dispatcher. When a
//! request turns out to be a subscription, the socket is taken back ("detached"), so that the session writes to it directly
//! and the dispatcher's buffers are freed. This module knows nothing of channels or sessions.

mod chunks;
mod connection;
mod connection_io;
mod detach;
mod exchange;
mod file_limit;
mod gate;
mod head;
mod linger;
mod listener;
mod pace;
mod proxy_protocol;
mod refusal;

pub use chunks::{BadChunk, Chunks};
pub use connection::{Connection, Connections};
pub use connection_io::{ConnectionIo, Terms};
pub use detach::{Detached, detach};
pub use file_limit::raise_file_limit;
pub use head::{RequestFraming, RequestHead, TakesUpgrade, inspect};
pub use listener::{ListenError, ListenerOptions, bind, serve};
pub use pace::{Alarm, Pace, Patience};
pub use refusal::RequestRefusal;
