//! The listener and its connections: accepts sockets, hands each to actix's HTTP/1 dispatcher, and takes it back
//! ("detaches" it) when a request turns out to be a subscription, so that sessions write to the socket directly and the
//! dispatcher's buffers are freed. Knows nothing of channels or sessions.

mod chunks;
mod connection;
mod connection_io;
mod detach;
mod exchange;
mod gate;
mod head;
mod intake;
mod linger;
mod listener;
mod pace;
mod refusal;

pub use connection::{Connection, Connections};
pub use connection_io::{ConnectionIo, Terms};
pub use detach::{Detached, detach};
pub use head::TakesUpgrade;
pub use intake::{GIVEN_UP, Intake};
pub use listener::{ListenError, ListenerOptions, bind, serve};
pub use pace::{Alarm, Pace, Patience};
