//! Widecast's protocol: names, messages, commands, replies, cursors, and their exact bytes on every wire.
//!
//! Sans-io: no sockets, clock, randomness, runtime or logging. Whoever owns a socket feeds bytes in and writes the bytes
//! that come out. The broker, the Rust clients and the tests all build on this crate, so that there is one definition
//! of each wire form.

pub mod codec;
pub mod codes;
pub mod command;
pub mod cursor;
pub mod encoded;
pub mod error;
pub mod framing;
pub mod gzip;
mod held;
pub mod message;
pub mod name;
pub mod payload;
pub mod record;
pub mod reply;
pub mod value;

pub use codes::Code;
pub use command::{Command, CommandId, CommandKind};
pub use cursor::{Cursor, CursorVector, Position};
pub use encoded::{EncodedMessage, Forms};
pub use error::DecodeError;
pub use held::held_form_bytes;
pub use message::{Epoch, Message, Offset, Origin};
pub use name::{ChannelName, EventName, IdempotencyKey, MessageId, SenderKey, SessionId};
pub use payload::{Payload, PayloadKind};
pub use reply::{DirectMessage, Member, Members, Reply};
