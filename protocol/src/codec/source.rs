//! Reading frames, once for both codecs: a [`Source`] gives the values of a frame one after the other.
//!
//! A frame is read in one walk: fields that nobody asks for are checked and skipped, and a user's value is checked and taken as it
//! is. No byte is read twice.

use std::borrow::Cow;

use bytes::Bytes;

use super::DecodeError;
use crate::payload::{JsonValue, MessagePackValue, Payload};
use crate::value::json::{JsonReader, JsonToken};
use crate::value::msgpack::{MessagePackHead, MessagePackReader};

/// A value as far as fields of frames tell values apart.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scalar<'a> {
    Null,
    Bool(bool),
    /// A number without sign and fraction.
    Whole(u64),
    Text(Cow<'a, str>),
    /// Anything else.
    Other,
}

/// What the next value is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Shape {
    Object,
    Array,
    Scalar,
}

/// The values of a frame, in order.
pub(super) trait Source<'a>: Sized {
    /// What the next value is.
    fn shape(&mut self) -> Shape;
    /// Reads a value, whatever it is.
    fn scalar(&mut self) -> Result<Scalar<'a>, DecodeError>;
    /// Reads a value of a user's.
    fn payload(&mut self) -> Result<Payload, DecodeError>;
    /// Reads an object: after each key, `field` has to read the value.
    fn object(
        &mut self,
        field: impl FnMut(&mut Self, &str) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError>;
    /// Reads an array: `element` has to read each element.
    fn array(
        &mut self,
        element: impl FnMut(&mut Self) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError>;
    /// Checks that nothing is left.
    fn end(&mut self) -> Result<(), DecodeError>;
}

/// A frame in JSON.
pub(super) struct JsonSource<'a> {
    reader: JsonReader<'a>,
    whole: &'a Bytes,
}

impl<'a> JsonSource<'a> {
    pub(super) fn new(whole: &'a Bytes) -> Result<Self, DecodeError> {
        let reader = JsonReader::new(crate::error::utf8(whole)?);
        Ok(Self { reader, whole })
    }
}

impl<'a> Source<'a> for JsonSource<'a> {
    fn shape(&mut self) -> Shape {
        match self.reader.peek_value() {
            Some(b'{') => Shape::Object,
            Some(b'[') => Shape::Array,
            _ => Shape::Scalar,
        }
    }

    fn scalar(&mut self) -> Result<Scalar<'a>, DecodeError> {
        let token = self.reader.next()?;
        self.reader.finish(token)?;
        Ok(match token {
            JsonToken::Null => Scalar::Null,
            JsonToken::Bool(value) => Scalar::Bool(value),
            JsonToken::Text(text) => Scalar::Text(text.decode()),
            JsonToken::Number(text) => text.parse().map_or(Scalar::Other, Scalar::Whole),
            JsonToken::Array | JsonToken::Object => Scalar::Other,
        })
    }

    fn payload(&mut self) -> Result<Payload, DecodeError> {
        JsonValue::read(&mut self.reader).map(|value| value.into_payload(self.whole))
    }

    fn object(
        &mut self,
        mut field: impl FnMut(&mut Self, &str) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        let mut open = JsonReader::open(self.reader.next()?);
        while self.reader.more(&mut open)? {
            let key = self.reader.key()?;
            field(self, &key.decode())?;
        }
        Ok(())
    }

    fn array(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        let mut open = JsonReader::open(self.reader.next()?);
        while self.reader.more(&mut open)? {
            element(self)?;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), DecodeError> {
        self.reader.end()
    }
}

/// A frame in MessagePack.
pub(super) struct MessagePackSource<'a> {
    reader: MessagePackReader<'a>,
    whole: &'a Bytes,
}

impl<'a> MessagePackSource<'a> {
    pub(super) fn new(whole: &'a Bytes) -> Self {
        let reader = MessagePackReader::new(whole);
        Self { reader, whole }
    }
}

impl<'a> Source<'a> for MessagePackSource<'a> {
    fn shape(&mut self) -> Shape {
        // A header that lies is reported when it is read.
        match self.reader.clone().next() {
            Ok(MessagePackHead::Map(_)) => Shape::Object,
            Ok(MessagePackHead::Array(_)) => Shape::Array,
            _ => Shape::Scalar,
        }
    }

    fn scalar(&mut self) -> Result<Scalar<'a>, DecodeError> {
        let head = self.reader.next()?;
        self.reader.finish(head)?;
        Ok(match head {
            MessagePackHead::Nil => Scalar::Null,
            MessagePackHead::Bool(value) => Scalar::Bool(value),
            MessagePackHead::Unsigned(number) => Scalar::Whole(number),
            MessagePackHead::Text(text) => Scalar::Text(Cow::Borrowed(text)),
            _ => Scalar::Other,
        })
    }

    fn payload(&mut self) -> Result<Payload, DecodeError> {
        MessagePackValue::read(&mut self.reader).map(|value| value.into_payload(self.whole))
    }

    fn object(
        &mut self,
        mut field: impl FnMut(&mut Self, &str) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        let MessagePackHead::Map(count) = self.reader.next()? else {
            return Ok(());
        };
        for _ in 0..count {
            let key = self.reader.next()?;
            self.reader.finish(key)?;
            // No field has a name that is no string.
            let name = if let MessagePackHead::Text(name) = key {
                name
            } else {
                ""
            };
            field(self, name)?;
        }
        Ok(())
    }

    fn array(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        let MessagePackHead::Array(count) = self.reader.next()? else {
            return Ok(());
        };
        for _ in 0..count {
            element(self)?;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), DecodeError> {
        self.reader.end()
    }
}
