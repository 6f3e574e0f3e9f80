//! Bytes ↔ frames: commands and batches are read, messages and replies are written, in JSON and in MessagePack.
//!
//! The fields of a frame are listed once, for both codecs: frames are read from a `Source` and written to a `Notation`.

mod batch;
mod command;
mod field;
mod message;
pub(crate) mod notation;
mod page;
mod reply;
mod source;

pub use crate::error::{Codec, DecodeError};
pub use batch::{BatchMessage, decode_batch, decode_batch_line};
pub use command::{COMMANDS_AT_ONCE, RefusedCommand, decode_commands, listing_of};
pub(crate) use message::write_message;
pub use page::{decode_page_text, shows_token};
pub use reply::encode_reply;
pub(crate) use reply::write_reply;
