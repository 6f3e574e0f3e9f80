//! A strict reader that pulls one token after the other.
//!
//! Our own, because one walk has to do what `serde_json` does in several or not at all: find where a value ends without
//! building it, bound the nesting, refuse half surrogates and numbers out of range, and notice line breaks.

use std::borrow::Cow;

use super::text::{parse_unit, plain_length, unescape};
use crate::error::{Codec, DecodeError};
use crate::value::MAX_DEPTH;

/// The start of a value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum JsonToken<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as it is written.
    Number(&'a str),
    /// A string.
    Text(RawText<'a>),
    /// The `[` of an array.
    Array,
    /// The `{` of an object.
    Object,
}

/// A string between its quotes, checked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct RawText<'a> {
    raw: &'a str,
    has_escapes: bool,
}

impl<'a> RawText<'a> {
    /// The string that is meant.
    pub(crate) fn decode(self) -> Cow<'a, str> {
        if self.has_escapes {
            Cow::Owned(unescape(self.raw))
        } else {
            Cow::Borrowed(self.raw)
        }
    }
}

/// A container that is being read: knows whether a comma is due.
#[derive(Debug)]
pub(crate) struct Open {
    close: u8,
    first: bool,
}

/// A place in a JSON text.
#[derive(Debug, Clone)]
pub(crate) struct JsonReader<'a> {
    text: &'a str,
    at: usize,
    /// Whether a line break stood between tokens.
    pub(crate) line_breaks: bool,
}

impl<'a> JsonReader<'a> {
    /// Starts at the beginning.
    pub(crate) fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            line_breaks: false,
        }
    }

    /// The place in bytes.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The bytes that have been read since an earlier place.
    pub(crate) fn since(&self, start: usize) -> &'a str {
        &self.text[start..self.at]
    }

    /// Reads the start of a value. Of a container, [`Self::more`] has to read the rest.
    pub(crate) fn next(&mut self) -> Result<JsonToken<'a>, DecodeError> {
        self.skip_space();
        match self.peek() {
            Some(b'"') => self.text().map(JsonToken::Text),
            Some(b'{') => Ok(self.advance(1, JsonToken::Object)),
            Some(b'[') => Ok(self.advance(1, JsonToken::Array)),
            Some(b'-' | b'0'..=b'9') => self.number().map(JsonToken::Number),
            Some(b't') => self.word("true", JsonToken::Bool(true)),
            Some(b'f') => self.word("false", JsonToken::Bool(false)),
            Some(b'n') => self.word("null", JsonToken::Null),
            _ => Err(self.expected("a value")),
        }
    }

    /// What [`Self::more`] needs to read a container that [`Self::next`] has begun.
    pub(crate) fn open(token: JsonToken<'_>) -> Open {
        let close = if token == JsonToken::Object {
            b'}'
        } else {
            b']'
        };
        Open { close, first: true }
    }

    /// Whether another element or field follows; if not, the container has been closed.
    pub(crate) fn more(&mut self, open: &mut Open) -> Result<bool, DecodeError> {
        self.skip_space();
        let first = std::mem::replace(&mut open.first, false);
        match self.peek() {
            Some(byte) if byte == open.close => Ok(self.advance(1, false)),
            Some(b',') if !first => Ok(self.advance(1, true)),
            Some(_) if first => Ok(true),
            _ if open.close == b'}' => Err(self.expected("`,` or `}`")),
            _ => Err(self.expected("`,` or `]`")),
        }
    }

    /// Reads the name of a field and its colon.
    pub(crate) fn key(&mut self) -> Result<RawText<'a>, DecodeError> {
        self.skip_space();
        if self.peek() != Some(b'"') {
            return Err(self.expected("a field name in quotes"));
        }
        let key = self.text()?;
        self.skip_space();
        if self.peek() != Some(b':') {
            return Err(self.expected("`:`"));
        }
        Ok(self.advance(1, key))
    }

    /// Reads and checks the rest of a value whose start [`Self::next`] gave.
    pub(crate) fn finish(&mut self, token: JsonToken<'a>) -> Result<(), DecodeError> {
        self.finish_at(token, 1)
    }

    fn finish_at(&mut self, token: JsonToken<'a>, depth: usize) -> Result<(), DecodeError> {
        if !matches!(token, JsonToken::Array | JsonToken::Object) {
            return Ok(());
        }
        check_depth(depth)?;
        let mut open = Self::open(token);
        while self.more(&mut open)? {
            if token == JsonToken::Object {
                self.key()?;
            }
            let child = self.next()?;
            self.finish_at(child, depth + 1)?;
        }
        Ok(())
    }

    /// Checks that nothing but white space is left.
    pub(crate) fn end(&mut self) -> Result<(), DecodeError> {
        self.skip_space();
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.expected("the end")),
        }
    }

    /// The first byte of the next value.
    pub(crate) fn peek_value(&mut self) -> Option<u8> {
        self.skip_space();
        self.peek()
    }

    /// Goes to the next token.
    pub(crate) fn skip_space(&mut self) {
        while let Some(byte @ (b' ' | b'\t' | b'\n' | b'\r')) = self.peek() {
            self.line_breaks |= matches!(byte, b'\n' | b'\r');
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn advance<T>(&mut self, bytes: usize, result: T) -> T {
        self.at += bytes;
        result
    }

    fn expected(&self, expected: &'static str) -> DecodeError {
        DecodeError::Syntax {
            codec: Codec::Json,
            expected,
            at: self.at,
        }
    }

    fn word(
        &mut self,
        word: &'static str,
        token: JsonToken<'a>,
    ) -> Result<JsonToken<'a>, DecodeError> {
        if self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            Ok(self.advance(word.len(), token))
        } else {
            Err(self.expected("a value"))
        }
    }

    fn number(&mut self) -> Result<&'a str, DecodeError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        let mut has_exponent = false;
        if let Some(b'e' | b'E') = self.peek() {
            has_exponent = true;
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        let text = &self.text[start..self.at];
        // Without an exponent, the largest float has 309 digits.
        let may_overflow = has_exponent || text.len() > 300;
        if may_overflow && !text.parse::<f64>().is_ok_and(f64::is_finite) {
            return Err(DecodeError::NumberRange { at: start });
        }
        Ok(text)
    }

    fn digits(&mut self) -> Result<(), DecodeError> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start {
            return Err(self.expected("a digit"));
        }
        Ok(())
    }

    /// Reads a string; the place is at its opening quote.
    fn text(&mut self) -> Result<RawText<'a>, DecodeError> {
        self.at += 1;
        let start = self.at;
        let mut has_escapes = false;
        loop {
            self.at += plain_length(&self.text.as_bytes()[self.at..]);
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    has_escapes = true;
                    self.escape()?;
                }
                Some(_) => return Err(self.expected("an escape for a control character")),
                None => return Err(self.expected("the closing quote of a string")),
            }
        }
        let raw = &self.text[start..self.at];
        Ok(self.advance(1, RawText { raw, has_escapes }))
    }

    fn escape(&mut self) -> Result<(), DecodeError> {
        let start = self.at;
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 1;
                return Ok(());
            }
            Some(b'u') => {}
            _ => return Err(self.expected("one of \"\\/bfnrtu after a backslash")),
        }
        let lone = DecodeError::LoneSurrogate { at: start };
        match self.unit()? {
            0xD800..0xDC00 => {}
            0xDC00..0xE000 => return Err(lone),
            _ => return Ok(()),
        }
        if !self.text.as_bytes()[self.at..].starts_with(b"\\u") {
            return Err(lone);
        }
        self.at += 1;
        match self.unit()? {
            0xDC00..0xE000 => Ok(()),
            _ => Err(lone),
        }
    }

    /// Reads `uXXXX`.
    fn unit(&mut self) -> Result<u16, DecodeError> {
        let digits = self.text.as_bytes().get(self.at + 1..self.at + 5);
        match digits.and_then(parse_unit) {
            Some(unit) => Ok(self.advance(5, unit)),
            None => Err(self.expected("four hexadecimal digits after \\u")),
        }
    }
}

fn check_depth(depth: usize) -> Result<(), DecodeError> {
    if depth > MAX_DEPTH {
        return Err(DecodeError::TooDeep {
            codec: Codec::Json,
            limit: MAX_DEPTH,
        });
    }
    Ok(())
}
