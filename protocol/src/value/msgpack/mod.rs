//! [MessagePack](https://github.com/msgpack/msgpack/blob/master/spec.md), read and written value by value.

mod reader;
mod write;

pub(crate) use reader::{Extension, MessagePackHead, MessagePackReader, check_depth};
pub(crate) use write::{
    begin_extension, end_extension, wrap_text, write_array, write_binary, write_bool,
    write_extension, write_float, write_integer, write_map, write_nil, write_text, write_unsigned,
};
