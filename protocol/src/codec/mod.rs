//! Bytes ↔ frames: commands and batches are read, messages and replies are written, in JSON and in MessagePack.
//!
//! What a frame consists of is said once, for both codecs: reading goes over a `Source`, writing over a `Notation`.

mod batch;
mod command;
pub(crate) mod error;
mod field;
mod message;
pub(crate) mod notation;
mod page;
mod reply;
mod source;

pub use batch::{BatchMessage, decode_batch, decode_batch_line};
pub use command::{Refused, decode_commands, listing_of};
pub use error::{Codec, DecodeError};
pub(crate) use message::write_message;
pub use page::{authenticates, decode_page_text};
pub use reply::encode_reply;
pub(crate) use reply::write_reply;
