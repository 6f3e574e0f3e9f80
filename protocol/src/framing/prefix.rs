//! Framings that put a length before what it counts: room is left in front, and filled once the length is known, so
//! that a frame is one allocation and its contents are never moved.

use bytes::Bytes;

use super::websocket::{self, Opcode};

/// The longest header of a WebSocket frame from the server.
const WEBSOCKET_ROOM: usize = websocket::header_bytes(usize::MAX);
/// The length before each frame of a MessagePack stream.
pub(super) const STREAM_ROOM: usize = size_of::<u32>();

/// A WebSocket frame around what `write` appends, about `capacity` bytes.
pub(crate) fn websocket(
    opcode: Opcode,
    capacity: usize,
    write: impl FnOnce(&mut Vec<u8>),
) -> Bytes {
    let mut bytes = with_room(WEBSOCKET_ROOM, capacity, write);
    let length = bytes.len() - WEBSOCKET_ROOM;
    let start = WEBSOCKET_ROOM - websocket::header_bytes(length);
    let mut room = &mut bytes[start..WEBSOCKET_ROOM];
    websocket::header(opcode, length, &mut room);
    Bytes::from(bytes).slice(start..)
}

/// A frame of a MessagePack stream: the length as 4 bytes, most significant first, then what `write` appends. A frame of
/// no bytes is a heartbeat.
pub(crate) fn stream(capacity: usize, write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut bytes = with_room(STREAM_ROOM, capacity, write);
    // Far above every limit on messages: no frame is that long.
    let length = u32::try_from(bytes.len() - STREAM_ROOM).unwrap_or(u32::MAX);
    bytes[..STREAM_ROOM].copy_from_slice(&length.to_be_bytes());
    bytes.into()
}

fn with_room(room: usize, capacity: usize, write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(room + capacity);
    bytes.resize(room, 0);
    write(&mut bytes);
    bytes
}
