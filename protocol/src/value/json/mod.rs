//! JSON ([RFC 8259](https://www.rfc-editor.org/rfc/rfc8259)), read token by token; strings are written here, all else is a
//! few bytes wherever it is written.

mod reader;
mod text;

pub(crate) use reader::{JsonReader, JsonToken, RawText};
pub(crate) use text::{text_length, write_text};
