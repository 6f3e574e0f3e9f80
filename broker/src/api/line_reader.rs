//! Splits a body that streams in into lines, holding no more than one.

use bytes::{Buf, Bytes, BytesMut};

/// A line without its line break.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    /// A line.
    Whole(Bytes),
    /// A line beyond the limit; its bytes are gone.
    TooLong,
}

/// Turns chunks into lines. Lines of white space only are skipped: they keep a connection alive.
#[derive(Debug)]
pub(super) struct LineReader {
    limit: usize,
    held: BytesMut,
    /// How much of `held` is known to have no line break.
    searched: usize,
    /// The rest of the present line is thrown away.
    skipping: bool,
    /// How many lines have ended, blank ones included.
    ended: u64,
}

/// A line that has come in part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PartialLine {
    /// How many lines have ended before it.
    pub(super) number: u64,
    /// How many bytes of it are held: none if it is too long.
    pub(super) held: usize,
}

impl LineReader {
    /// A reader of lines of at most `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            held: BytesMut::new(),
            searched: 0,
            skipping: false,
            ended: 0,
        }
    }

    /// The line of which only a part has come, when every complete line is taken.
    pub(super) fn partial(&self) -> Option<PartialLine> {
        (self.skipping || !self.held.is_empty()).then_some(PartialLine {
            number: self.ended,
            held: self.held.len(),
        })
    }

    /// Takes the next part of the body. Every complete line has to be taken with [`Self::next`] before.
    pub(super) fn push(&mut self, chunk: &[u8]) {
        self.held.extend_from_slice(chunk);
    }

    /// The next complete line.
    pub(super) fn next(&mut self) -> Option<Line> {
        loop {
            let found = self.held[self.searched..].iter().position(|&b| b == b'\n');
            let Some(length) = found.map(|at| self.searched + at) else {
                self.hold_partial_line();
                return None;
            };
            let line = self.held.split_to(length).freeze();
            self.held.advance(1);
            self.searched = 0;
            self.ended += 1;
            if let Some(line) = self.finish_line(line) {
                return Some(line);
            }
        }
    }

    /// The bytes after the last line break, once the body has ended.
    pub(super) fn last(&mut self) -> Option<Line> {
        let line = self.held.split().freeze();
        self.searched = 0;
        self.finish_line(line)
    }

    fn hold_partial_line(&mut self) {
        if self.skipping || self.held.len() > self.limit {
            self.skipping = true;
            self.held = BytesMut::new();
        } else if self.searched == 0 {
            // A line that begins must not keep the room of those before it.
            self.held = BytesMut::from(&self.held[..]);
        }
        self.searched = self.held.len();
    }

    fn finish_line(&mut self, line: Bytes) -> Option<Line> {
        if std::mem::take(&mut self.skipping) || line.len() > self.limit {
            return Some(Line::TooLong);
        }
        (!line.trim_ascii().is_empty()).then_some(Line::Whole(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(limit: usize, chunks: &[&[u8]]) -> Vec<Line> {
        let mut reader = LineReader::new(limit);
        let mut lines = Vec::new();
        for chunk in chunks {
            reader.push(chunk);
            while let Some(line) = reader.next() {
                lines.push(line);
            }
            assert!(reader.held.len() <= limit, "more than a line is held");
        }
        lines.extend(reader.last());
        lines
    }

    fn whole(text: &'static str) -> Line {
        Line::Whole(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn the_last_line_needs_no_line_break_and_blank_lines_do_not_count() {
        let lines = read(100, &[b"{}\n\r\n  \n[1]\r\n\"x\""]);
        assert_eq!(lines, [whole("{}"), whole("[1]\r"), whole("\"x\"")]);
        assert_eq!(read(100, &[b""]), []);
    }

    #[test]
    fn a_line_beyond_the_limit_is_one_error_and_the_next_is_read() {
        let lines = read(4, &[b"12345", b"6789", b"0\n1234\n12345\n", b"x"]);
        assert_eq!(
            lines,
            [Line::TooLong, whole("1234"), Line::TooLong, whole("x")]
        );
        assert_eq!(read(4, &[b"123", b"456"]), [Line::TooLong]);
    }

    #[test]
    fn a_line_that_has_come_in_part_is_told_from_the_one_before_and_keeps_only_its_own_room() {
        let mut reader = LineReader::new(1 << 20);
        let partial = |number, held| Some(PartialLine { number, held });
        reader.push(&[b'x'; 1000]);
        assert_eq!(reader.next(), None);
        assert_eq!(reader.partial(), partial(0, 1000));
        reader.push(b"\n\n yz");
        assert!(reader.next().is_some());
        assert_eq!(reader.next(), None);
        assert_eq!(reader.partial(), partial(2, 3));
        assert!(reader.held.capacity() < 1000);
        reader.push(b"\n");
        assert!(reader.next().is_some());
        assert_eq!((reader.next(), reader.partial()), (None, None));
        let mut reader = LineReader::new(4);
        reader.push(b"12345");
        assert_eq!(reader.next(), None);
        assert_eq!(
            reader.partial(),
            partial(0, 0),
            "thrown away, and not ended"
        );
    }

    proptest! {
        #[test]
        fn where_the_chunks_end_makes_no_difference(
            text in "[ab\n]{0,40}",
            cuts in proptest::collection::vec(0..40_usize, 0..5),
        ) {
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.sort_unstable();
            let mut chunks = Vec::new();
            let mut start = 0;
            for cut in cuts.into_iter().chain([text.len()]) {
                chunks.push(&text.as_bytes()[start..cut]);
                start = cut;
            }
            prop_assert_eq!(read(5, &chunks), read(5, &[text.as_bytes()]));
        }
    }
}
