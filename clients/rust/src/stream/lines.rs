//! Cuts a stream of bytes into lines, whatever pieces it comes in. Sans-io.

use bytes::{Buf, Bytes, BytesMut};

/// The longest line that is taken: more than the largest message a broker can be set to.
const MAX_LINE_BYTES: usize = 1 << 30;

/// A line that never ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLong;

/// The byte that ends a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineEnd {
    /// LF, as in NDJSON.
    Lf,
    /// LF, CR or CRLF, as in an event stream.
    Any,
}

/// The bytes that have come and are not a whole line yet.
#[derive(Debug)]
pub(crate) struct Lines {
    end: LineEnd,
    waiting: BytesMut,
    /// How much of `waiting` is known to have no end of line.
    searched: usize,
    /// The last line ended with CR: an LF that follows belongs to it.
    after_cr: bool,
}

impl Lines {
    /// Nothing has come yet.
    pub(crate) fn new(end: LineEnd) -> Self {
        Self {
            end,
            waiting: BytesMut::new(),
            searched: 0,
            after_cr: false,
        }
    }

    /// Takes the next piece.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Result<(), TooLong> {
        if self.waiting.len() + piece.len() > MAX_LINE_BYTES {
            return Err(TooLong);
        }
        self.waiting.extend_from_slice(piece);
        Ok(())
    }

    /// Gives the next whole line, without its end.
    pub(crate) fn next_line(&mut self) -> Option<Bytes> {
        if self.after_cr && !self.waiting.is_empty() {
            self.after_cr = false;
            if self.waiting[0] == b'\n' {
                self.waiting.advance(1);
            }
        }
        let any = self.end == LineEnd::Any;
        let is_end = |&byte: &u8| byte == b'\n' || (any && byte == b'\r');
        let unsearched = &self.waiting[self.searched..];
        let Some(length) = unsearched.iter().position(is_end) else {
            self.searched = self.waiting.len();
            return None;
        };
        let mut line = self.waiting.split_to(self.searched + length + 1);
        self.searched = 0;
        self.after_cr = line.ends_with(b"\r");
        line.truncate(line.len() - 1);
        Some(line.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(end: LineEnd, pieces: &[&[u8]]) -> Vec<Bytes> {
        let mut lines = Lines::new(end);
        let mut found = Vec::new();
        for piece in pieces {
            lines.push(piece).unwrap();
            found.extend(std::iter::from_fn(|| lines.next_line()));
        }
        found
    }

    #[test]
    fn an_event_stream_has_three_ends_of_line() {
        let found = lines(LineEnd::Any, &[b"a\rb\r\nc\n\rd\r", b"\n", b"e\r", b"f\n"]);
        assert_eq!(found, ["a", "b", "c", "", "d", "e", "f"]);
    }

    #[test]
    fn ndjson_has_one() {
        assert_eq!(lines(LineEnd::Lf, &[b"a\rb\n\nc"]), ["a\rb", ""]);
    }

    proptest! {
        #[test]
        fn the_result_does_not_depend_on_where_the_pieces_are_cut(text in "[ab\r\n]{0,30}", at in 0_usize..30) {
            let (head, tail) = text.as_bytes().split_at(at.min(text.len()));
            for end in [LineEnd::Lf, LineEnd::Any] {
                prop_assert_eq!(lines(end, &[head, tail]), lines(end, &[text.as_bytes()]));
            }
        }
    }
}
