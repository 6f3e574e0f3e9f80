//! Writing values, each in its shortest form.

use rmp::Marker;

/// The markers of a kind of value for lengths of 1, 2 and 4 bytes; arrays and maps have none for 1.
struct Markers(Option<Marker>, Marker, Marker);

/// Writes a marker and a length. No form of MessagePack goes beyond 32 bits, and no payload comes near.
fn write_length(out: &mut Vec<u8>, markers: &Markers, length: usize) {
    if let (Some(marker), Ok(length)) = (markers.0, u8::try_from(length)) {
        out.extend_from_slice(&[marker.to_u8(), length]);
    } else if let Ok(length) = u16::try_from(length) {
        out.push(markers.1.to_u8());
        out.extend_from_slice(&length.to_be_bytes());
    } else {
        out.push(markers.2.to_u8());
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        out.extend_from_slice(&length.to_be_bytes());
    }
}

/// A length that fits in the marker's own byte.
fn small(length: usize, limit: u8) -> Option<u8> {
    u8::try_from(length).ok().filter(|&length| length < limit)
}

/// Writes a string; the bytes are UTF-8.
pub(crate) fn write_text(out: &mut Vec<u8>, text: &[u8]) {
    write_text_head(out, text.len());
    out.extend_from_slice(text);
}

fn write_text_head(out: &mut Vec<u8>, length: usize) {
    let markers = Markers(Some(Marker::Str8), Marker::Str16, Marker::Str32);
    match small(length, 32) {
        Some(length) => out.push(Marker::FixStr(length).to_u8()),
        None => write_length(out, &markers, length),
    }
}

/// Makes everything after `start` a string; it is UTF-8.
pub(crate) fn wrap_text(out: &mut Vec<u8>, start: usize) {
    let end = out.len();
    write_text_head(out, end - start);
    // The head was written behind the text: change their order.
    let head_bytes = out.len() - end;
    out[start..].rotate_right(head_bytes);
}

/// Writes bytes.
pub(crate) fn write_binary(out: &mut Vec<u8>, bytes: &[u8]) {
    let markers = Markers(Some(Marker::Bin8), Marker::Bin16, Marker::Bin32);
    write_length(out, &markers, bytes.len());
    out.extend_from_slice(bytes);
}

/// Writes the head of an array.
pub(crate) fn write_array(out: &mut Vec<u8>, count: usize) {
    match small(count, 16) {
        Some(count) => out.push(Marker::FixArray(count).to_u8()),
        None => write_length(out, &Markers(None, Marker::Array16, Marker::Array32), count),
    }
}

/// Writes the head of a map.
pub(crate) fn write_map(out: &mut Vec<u8>, count: usize) {
    match small(count, 16) {
        Some(count) => out.push(Marker::FixMap(count).to_u8()),
        None => write_length(out, &Markers(None, Marker::Map16, Marker::Map32), count),
    }
}

/// Writes an extension.
pub(crate) fn write_extension(out: &mut Vec<u8>, code: i8, body: &[u8]) {
    write_extension_head(out, code, body.len());
    out.extend_from_slice(body);
}

fn write_extension_head(out: &mut Vec<u8>, code: i8, length: usize) {
    let markers = Markers(Some(Marker::Ext8), Marker::Ext16, Marker::Ext32);
    match length {
        1 => out.push(Marker::FixExt1.to_u8()),
        2 => out.push(Marker::FixExt2.to_u8()),
        4 => out.push(Marker::FixExt4.to_u8()),
        8 => out.push(Marker::FixExt8.to_u8()),
        16 => out.push(Marker::FixExt16.to_u8()),
        _ => write_length(out, &markers, length),
    }
    out.extend_from_slice(&code.to_be_bytes());
}

/// The longest head of an extension.
const EXTENSION_ROOM: usize = 6;

/// Leaves room for the head of an extension whose body is to be appended.
pub(crate) fn begin_extension(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.resize(start + EXTENSION_ROOM, 0);
    start
}

/// Writes the head of the extension that began at `start` and whose body is complete.
pub(crate) fn end_extension(out: &mut Vec<u8>, start: usize, code: i8) {
    let body_start = start + EXTENSION_ROOM;
    let mut head = Vec::with_capacity(EXTENSION_ROOM);
    write_extension_head(&mut head, code, out.len() - body_start);
    let gap_end = body_start - head.len();
    out[gap_end..body_start].copy_from_slice(&head);
    // A body above 64 KiB has the longest head: only short bodies are moved, however they are nested.
    out.drain(start..gap_end);
}

/// Writes an integer that is not negative, in the shortest form.
pub(crate) fn write_unsigned(out: &mut Vec<u8>, number: u64) {
    if let Ok(number) = u8::try_from(number) {
        if number >= 0x80 {
            out.push(Marker::U8.to_u8());
        }
        out.push(number);
    } else if let Ok(number) = u16::try_from(number) {
        out.push(Marker::U16.to_u8());
        out.extend_from_slice(&number.to_be_bytes());
    } else if let Ok(number) = u32::try_from(number) {
        out.push(Marker::U32.to_u8());
        out.extend_from_slice(&number.to_be_bytes());
    } else {
        out.push(Marker::U64.to_u8());
        out.extend_from_slice(&number.to_be_bytes());
    }
}

/// Writes an integer, in the shortest form.
pub(crate) fn write_integer(out: &mut Vec<u8>, number: i64) {
    if let Ok(number) = u64::try_from(number) {
        write_unsigned(out, number);
    } else if let Ok(number) = i8::try_from(number) {
        if number < -32 {
            out.push(Marker::I8.to_u8());
        }
        out.extend_from_slice(&number.to_be_bytes());
    } else if let Ok(number) = i16::try_from(number) {
        out.push(Marker::I16.to_u8());
        out.extend_from_slice(&number.to_be_bytes());
    } else if let Ok(number) = i32::try_from(number) {
        out.push(Marker::I32.to_u8());
        out.extend_from_slice(&number.to_be_bytes());
    } else {
        out.push(Marker::I64.to_u8());
        out.extend_from_slice(&number.to_be_bytes());
    }
}

/// Writes a float.
pub(crate) fn write_float(out: &mut Vec<u8>, number: f64) {
    out.push(Marker::F64.to_u8());
    out.extend_from_slice(&number.to_be_bytes());
}

/// Writes nil.
pub(crate) fn write_nil(out: &mut Vec<u8>) {
    out.push(Marker::Null.to_u8());
}

/// Writes true or false.
pub(crate) fn write_bool(out: &mut Vec<u8>, value: bool) {
    let marker = if value { Marker::True } else { Marker::False };
    out.push(marker.to_u8());
}
