//! A reader of [MessagePack](https://github.com/msgpack/msgpack/blob/master/spec.md) that pulls one value's head after the
//! other, and the writers of heads.
//!
//! A length in a header is believed only as far as bytes are there to fulfil it: nothing is ever allocated by a claim.

use rmp::Marker;

use super::{MAX_DEPTH, types};
use crate::codec::error::utf8;
use crate::codec::{Codec, DecodeError};

/// A value, or the start of a container.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Head<'a> {
    /// nil.
    Nil,
    /// true or false.
    Bool(bool),
    /// An integer that is not negative.
    Unsigned(u64),
    /// A negative integer.
    Negative(i64),
    /// A float of either width.
    Float(f64),
    /// A string.
    Text(&'a str),
    /// Bytes.
    Binary(&'a [u8]),
    /// So many values follow.
    Array(usize),
    /// So many pairs of values follow.
    Map(usize),
    /// An application's type.
    Extension(Extension<'a>),
}

/// An application's type, its body not yet read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Extension<'a> {
    pub(crate) code: i8,
    pub(crate) body: &'a [u8],
}

impl Extension<'_> {
    /// The known type it is of, if its body is one MessagePack value.
    pub(crate) fn known(&self) -> Result<Option<&'static types::ExtensionType>, DecodeError> {
        let Some(known) = types::by_code(self.code) else {
            return Ok(None);
        };
        let mut body = MessagePackReader::new(self.body);
        match body.skip().and_then(|()| body.end()) {
            Ok(()) => Ok(Some(known)),
            Err(error @ DecodeError::TooDeep { .. }) => Err(error),
            Err(_) => Ok(None),
        }
    }
}

/// A place in a MessagePack value.
#[derive(Debug, Clone)]
pub(crate) struct MessagePackReader<'a> {
    input: &'a [u8],
    at: usize,
}

impl<'a> MessagePackReader<'a> {
    /// Starts at the beginning.
    pub(crate) fn new(input: &'a [u8]) -> Self {
        Self { input, at: 0 }
    }

    /// The place in bytes.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// What has been read since an earlier place.
    pub(crate) fn since(&self, start: usize) -> &'a [u8] {
        &self.input[start..self.at]
    }

    /// Reads a value, of a container its head.
    pub(crate) fn next(&mut self) -> Result<Head<'a>, DecodeError> {
        let marker = Marker::from_u8(self.take(1)?[0]);
        let head = match marker {
            Marker::Null => Head::Nil,
            Marker::True => Head::Bool(true),
            Marker::False => Head::Bool(false),
            Marker::FixPos(number) => Head::Unsigned(number.into()),
            Marker::FixNeg(number) => Head::Negative(number.into()),
            Marker::U8 => Head::Unsigned(self.unsigned(1)?),
            Marker::U16 => Head::Unsigned(self.unsigned(2)?),
            Marker::U32 => Head::Unsigned(self.unsigned(4)?),
            Marker::U64 => Head::Unsigned(self.unsigned(8)?),
            Marker::I8 => integer(i8::from_be_bytes(self.fixed()?).into()),
            Marker::I16 => integer(i16::from_be_bytes(self.fixed()?).into()),
            Marker::I32 => integer(i32::from_be_bytes(self.fixed()?).into()),
            Marker::I64 => integer(i64::from_be_bytes(self.fixed()?)),
            Marker::F32 => Head::Float(f32::from_be_bytes(self.fixed()?).into()),
            Marker::F64 => Head::Float(f64::from_be_bytes(self.fixed()?)),
            Marker::FixStr(length) => self.text(length.into())?,
            Marker::Str8 => self.sized_text(1)?,
            Marker::Str16 => self.sized_text(2)?,
            Marker::Str32 => self.sized_text(4)?,
            Marker::Bin8 => self.binary(1)?,
            Marker::Bin16 => self.binary(2)?,
            Marker::Bin32 => self.binary(4)?,
            Marker::FixArray(count) => self.array(count.into())?,
            Marker::Array16 => self.sized_array(2)?,
            Marker::Array32 => self.sized_array(4)?,
            Marker::FixMap(count) => self.map(count.into())?,
            Marker::Map16 => self.sized_map(2)?,
            Marker::Map32 => self.sized_map(4)?,
            Marker::FixExt1 => self.extension(1)?,
            Marker::FixExt2 => self.extension(2)?,
            Marker::FixExt4 => self.extension(4)?,
            Marker::FixExt8 => self.extension(8)?,
            Marker::FixExt16 => self.extension(16)?,
            Marker::Ext8 => self.sized_extension(1)?,
            Marker::Ext16 => self.sized_extension(2)?,
            Marker::Ext32 => self.sized_extension(4)?,
            Marker::Reserved => {
                self.at -= 1;
                return Err(self.expected("a value, not the reserved byte 0xC1"));
            }
        };
        Ok(head)
    }

    /// Passes over a value without looking into extensions.
    pub(crate) fn skip(&mut self) -> Result<(), DecodeError> {
        let head = self.next()?;
        self.finish(head)
    }

    /// Passes over the rest of a value whose head [`Self::next`] gave.
    pub(crate) fn finish(&mut self, head: Head<'a>) -> Result<(), DecodeError> {
        self.finish_at(head, 1)
    }

    fn finish_at(&mut self, head: Head<'a>, depth: usize) -> Result<(), DecodeError> {
        let children = match head {
            Head::Array(count) => count,
            // `map` has checked that there are bytes enough, so twice the count fits.
            Head::Map(count) => 2 * count,
            _ => return Ok(()),
        };
        check_depth(depth)?;
        for _ in 0..children {
            let child = self.next()?;
            self.finish_at(child, depth + 1)?;
        }
        Ok(())
    }

    /// Checks that nothing is left.
    pub(crate) fn end(&self) -> Result<(), DecodeError> {
        if self.at == self.input.len() {
            Ok(())
        } else {
            Err(self.expected("the end"))
        }
    }

    fn expected(&self, expected: &'static str) -> DecodeError {
        DecodeError::Syntax {
            codec: Codec::MessagePack,
            expected,
            at: self.at,
        }
    }

    fn left(&self) -> usize {
        self.input.len() - self.at
    }

    fn take(&mut self, bytes: usize) -> Result<&'a [u8], DecodeError> {
        if bytes > self.left() {
            return Err(self.expected("more bytes"));
        }
        let start = self.at;
        self.at += bytes;
        Ok(&self.input[start..self.at])
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N)?);
        Ok(bytes)
    }

    fn unsigned(&mut self, bytes: usize) -> Result<u64, DecodeError> {
        let digits = self.take(bytes)?;
        Ok(digits
            .iter()
            .fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    /// Reads a length of 1, 2 or 4 bytes.
    fn length(&mut self, bytes: usize) -> Result<usize, DecodeError> {
        let length = self.unsigned(bytes)?;
        // Where it does not fit, neither do the bytes: `take` refuses.
        Ok(usize::try_from(length).unwrap_or(usize::MAX))
    }

    fn text(&mut self, length: usize) -> Result<Head<'a>, DecodeError> {
        let start = self.at;
        utf8(self.take(length)?)
            .map(Head::Text)
            .map_err(|error| match error {
                DecodeError::Utf8 { at } => DecodeError::Utf8 { at: start + at },
                other => other,
            })
    }

    fn sized_text(&mut self, length_bytes: usize) -> Result<Head<'a>, DecodeError> {
        let length = self.length(length_bytes)?;
        self.text(length)
    }

    fn binary(&mut self, length_bytes: usize) -> Result<Head<'a>, DecodeError> {
        let length = self.length(length_bytes)?;
        self.take(length).map(Head::Binary)
    }

    fn array(&mut self, count: usize) -> Result<Head<'a>, DecodeError> {
        // Each element takes a byte at the least.
        if count > self.left() {
            return Err(self.expected("as many elements as the array's header says"));
        }
        Ok(Head::Array(count))
    }

    fn sized_array(&mut self, length_bytes: usize) -> Result<Head<'a>, DecodeError> {
        let count = self.length(length_bytes)?;
        self.array(count)
    }

    fn map(&mut self, count: usize) -> Result<Head<'a>, DecodeError> {
        if count > self.left() / 2 {
            return Err(self.expected("as many entries as the map's header says"));
        }
        Ok(Head::Map(count))
    }

    fn sized_map(&mut self, length_bytes: usize) -> Result<Head<'a>, DecodeError> {
        let count = self.length(length_bytes)?;
        self.map(count)
    }

    fn extension(&mut self, length: usize) -> Result<Head<'a>, DecodeError> {
        let code = i8::from_be_bytes(self.fixed()?);
        let body = self.take(length)?;
        Ok(Head::Extension(Extension { code, body }))
    }

    fn sized_extension(&mut self, length_bytes: usize) -> Result<Head<'a>, DecodeError> {
        let length = self.length(length_bytes)?;
        self.extension(length)
    }
}

/// A signed integer, which may well be positive.
fn integer<'a>(number: i64) -> Head<'a> {
    match u64::try_from(number) {
        Ok(number) => Head::Unsigned(number),
        Err(_) => Head::Negative(number),
    }
}

pub(super) fn check_depth(depth: usize) -> Result<(), DecodeError> {
    if depth > MAX_DEPTH {
        return Err(DecodeError::TooDeep {
            codec: Codec::MessagePack,
            limit: MAX_DEPTH,
        });
    }
    Ok(())
}

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
