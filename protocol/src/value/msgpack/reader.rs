//! A reader that pulls one value's head after the other.
//!
//! A length in a header is believed only as far as bytes are there to fulfil it: nothing is ever allocated by a claim.

use rmp::Marker;

use crate::error::utf8;
use crate::error::{Codec, DecodeError};
use crate::value::{MAX_DEPTH, types};

/// A value, or the start of a container.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum MessagePackHead<'a> {
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

    /// The bytes that have been read since an earlier place.
    pub(crate) fn since(&self, start: usize) -> &'a [u8] {
        &self.input[start..self.at]
    }

    /// Reads a value; of a container, only its head.
    pub(crate) fn next(&mut self) -> Result<MessagePackHead<'a>, DecodeError> {
        let marker = Marker::from_u8(self.take(1)?[0]);
        let head = match marker {
            Marker::Null => MessagePackHead::Nil,
            Marker::True => MessagePackHead::Bool(true),
            Marker::False => MessagePackHead::Bool(false),
            Marker::FixPos(number) => MessagePackHead::Unsigned(number.into()),
            Marker::FixNeg(number) => MessagePackHead::Negative(number.into()),
            Marker::U8 => MessagePackHead::Unsigned(self.unsigned(1)?),
            Marker::U16 => MessagePackHead::Unsigned(self.unsigned(2)?),
            Marker::U32 => MessagePackHead::Unsigned(self.unsigned(4)?),
            Marker::U64 => MessagePackHead::Unsigned(self.unsigned(8)?),
            Marker::I8 => integer(i8::from_be_bytes(self.fixed()?).into()),
            Marker::I16 => integer(i16::from_be_bytes(self.fixed()?).into()),
            Marker::I32 => integer(i32::from_be_bytes(self.fixed()?).into()),
            Marker::I64 => integer(i64::from_be_bytes(self.fixed()?)),
            Marker::F32 => MessagePackHead::Float(f32::from_be_bytes(self.fixed()?).into()),
            Marker::F64 => MessagePackHead::Float(f64::from_be_bytes(self.fixed()?)),
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
    pub(crate) fn finish(&mut self, head: MessagePackHead<'a>) -> Result<(), DecodeError> {
        self.finish_at(head, 1)
    }

    fn finish_at(&mut self, head: MessagePackHead<'a>, depth: usize) -> Result<(), DecodeError> {
        let children = match head {
            MessagePackHead::Array(count) => count,
            // `map` has checked that there are bytes enough, so twice the count fits.
            MessagePackHead::Map(count) => 2 * count,
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

    fn text(&mut self, length: usize) -> Result<MessagePackHead<'a>, DecodeError> {
        let start = self.at;
        utf8(self.take(length)?)
            .map(MessagePackHead::Text)
            .map_err(|error| match error {
                DecodeError::Utf8 { at } => DecodeError::Utf8 { at: start + at },
                other => other,
            })
    }

    fn sized_text(&mut self, length_bytes: usize) -> Result<MessagePackHead<'a>, DecodeError> {
        let length = self.length(length_bytes)?;
        self.text(length)
    }

    fn binary(&mut self, length_bytes: usize) -> Result<MessagePackHead<'a>, DecodeError> {
        let length = self.length(length_bytes)?;
        self.take(length).map(MessagePackHead::Binary)
    }

    fn array(&mut self, count: usize) -> Result<MessagePackHead<'a>, DecodeError> {
        // Each element takes a byte at the least.
        if count > self.left() {
            return Err(self.expected("as many elements as the array's header says"));
        }
        Ok(MessagePackHead::Array(count))
    }

    fn sized_array(&mut self, length_bytes: usize) -> Result<MessagePackHead<'a>, DecodeError> {
        let count = self.length(length_bytes)?;
        self.array(count)
    }

    fn map(&mut self, count: usize) -> Result<MessagePackHead<'a>, DecodeError> {
        if count > self.left() / 2 {
            return Err(self.expected("as many entries as the map's header says"));
        }
        Ok(MessagePackHead::Map(count))
    }

    fn sized_map(&mut self, length_bytes: usize) -> Result<MessagePackHead<'a>, DecodeError> {
        let count = self.length(length_bytes)?;
        self.map(count)
    }

    fn extension(&mut self, length: usize) -> Result<MessagePackHead<'a>, DecodeError> {
        let code = i8::from_be_bytes(self.fixed()?);
        let body = self.take(length)?;
        Ok(MessagePackHead::Extension(Extension { code, body }))
    }

    fn sized_extension(&mut self, length_bytes: usize) -> Result<MessagePackHead<'a>, DecodeError> {
        let length = self.length(length_bytes)?;
        self.extension(length)
    }
}

/// A signed integer, which may well be positive.
fn integer<'a>(number: i64) -> MessagePackHead<'a> {
    match u64::try_from(number) {
        Ok(number) => MessagePackHead::Unsigned(number),
        Err(_) => MessagePackHead::Negative(number),
    }
}

pub(crate) fn check_depth(depth: usize) -> Result<(), DecodeError> {
    if depth > MAX_DEPTH {
        return Err(DecodeError::TooDeep {
            codec: Codec::MessagePack,
            limit: MAX_DEPTH,
        });
    }
    Ok(())
}
