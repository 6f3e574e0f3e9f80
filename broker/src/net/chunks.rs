//! Where a chunked body ends ([RFC 9112, section 7.1](https://www.rfc-editor.org/rfc/rfc9112#section-7.1)).
//!
//! This module only looks for the end, and the HTTP dispatcher decodes. It is at least as strict as the dispatcher, so that
//! both see the same end.

use thiserror::Error;

/// How many bytes the line of a chunk's size may have with its extensions, and how many all trailers together.
const LINE_BYTES: usize = 4096;

/// The body was announced as chunked, but its bytes are not valid chunks. Says what was expected where they are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadChunk {
    /// A chunk does not begin with its size.
    #[error("a chunk has to begin with its size in hexadecimal digits")]
    Size,
    /// The size does not fit into 64 bits, or has too many zeros before it.
    #[error("the size of a chunk may have 16 hexadecimal digits at the most")]
    LargeSize,
    /// What follows the size is neither an extension nor the end of the line.
    #[error(
        "behind its size a chunk may have extensions, each after a `;`, and then has to have CR LF"
    )]
    SizeLine,
    /// The line of the size has too many bytes.
    #[error(
        "the line of a chunk's size may have {LINE_BYTES} bytes at the most, extensions included"
    )]
    LongSizeLine,
    /// The data does not end where the size says.
    #[error("the data of a chunk has to be as long as its size says, and to be followed by CR LF")]
    Data,
    /// What follows the last chunk is no trailer.
    #[error(
        "behind the last chunk may be trailers, each a line of the form `name: value` that ends with CR LF, and then has to be an empty line"
    )]
    Trailer,
    /// The trailers have too many bytes.
    #[error("the trailers may have {LINE_BYTES} bytes at the most")]
    LongTrailers,
}

/// How far a chunked body has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Among the digits of a size; so many of them have come.
    Size {
        digits: u8,
    },
    /// Behind the digits.
    Space,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the start of a trailer line, or of the line that ends the body.
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    End,
}

impl State {
    /// What is wrong when a byte comes that cannot come here.
    fn unexpected(self) -> BadChunk {
        match self {
            Self::Size { digits: 0 } => BadChunk::Size,
            Self::Size { .. } | Self::Space | Self::Extension | Self::SizeLf => BadChunk::SizeLine,
            Self::Data | Self::DataCr | Self::DataLf => BadChunk::Data,
            Self::TrailerStart
            | Self::TrailerName
            | Self::TrailerValue
            | Self::TrailerLf
            | Self::EndLf
            | Self::End => BadChunk::Trailer,
        }
    }

    /// What is wrong when a line goes on for too long.
    fn too_long(self) -> BadChunk {
        match self.unexpected() {
            BadChunk::Trailer => BadChunk::LongTrailers,
            _ => BadChunk::LongSizeLine,
        }
    }
}

/// What values of fields and extensions are made of
/// ([RFC 9110, section 5.5](https://www.rfc-editor.org/rfc/rfc9110#section-5.5)).
fn is_text(byte: u8) -> bool {
    matches!(byte, b'\t' | 0x20..=0x7e | 0x80..)
}

/// What names of fields are made of ([RFC 9110, section 5.6.2](https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2)).
fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Follows a chunked body.
#[derive(Debug)]
pub struct Chunks {
    state: State,
    /// How many bytes of the chunk are still to come.
    left: u64,
    /// How many bytes of the present line have come, or of the trailers.
    line: usize,
}

/// The state at the beginning of a body.
impl Default for Chunks {
    fn default() -> Self {
        Self {
            state: State::Size { digits: 0 },
            left: 0,
            line: 0,
        }
    }
}

impl Chunks {
    /// Whether the body has ended.
    pub fn is_at_end(&self) -> bool {
        self.state == State::End
    }

    /// Reads on, and returns how many of the bytes belong to the body.
    ///
    /// # Errors
    /// When the body is not chunked.
    pub fn scan(&mut self, input: &[u8]) -> Result<usize, BadChunk> {
        let mut at = 0;
        while at < input.len() && !self.is_at_end() {
            if self.state == State::Data {
                let rest = input.len() - at;
                let taken = usize::try_from(self.left).map_or(rest, |left| left.min(rest));
                self.left -= taken as u64;
                at += taken;
                if self.left == 0 {
                    self.state = State::DataCr;
                }
            } else {
                self.state = self.step(input[at])?;
                at += 1;
            }
        }
        Ok(at)
    }

    fn step(&mut self, byte: u8) -> Result<State, BadChunk> {
        self.line += 1;
        if self.line > LINE_BYTES {
            return Err(self.state.too_long());
        }
        match (self.state, byte) {
            (State::Size { digits }, byte) if byte.is_ascii_hexdigit() => {
                self.add_digit(digits, byte)
            }
            (State::Size { digits: 1.. } | State::Space, b' ' | b'\t') => Ok(State::Space),
            (State::Size { digits: 1.. } | State::Space | State::Extension, b'\r') => {
                Ok(State::SizeLf)
            }
            (State::Size { digits: 1.. } | State::Space, b';') => Ok(State::Extension),
            (State::Extension, byte) if is_text(byte) => Ok(State::Extension),
            (State::SizeLf, b'\n') => {
                self.line = 0;
                Ok(if self.left == 0 {
                    State::TrailerStart
                } else {
                    State::Data
                })
            }
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => {
                self.line = 0;
                Ok(State::Size { digits: 0 })
            }
            (State::TrailerStart, b'\r') => Ok(State::EndLf),
            (State::TrailerStart | State::TrailerName, byte) if is_of_name(byte) => {
                Ok(State::TrailerName)
            }
            (State::TrailerName, b':') => Ok(State::TrailerValue),
            (State::TrailerValue, byte) if is_text(byte) => Ok(State::TrailerValue),
            (State::TrailerValue, b'\r') => Ok(State::TrailerLf),
            (State::TrailerLf, b'\n') => Ok(State::TrailerStart),
            (State::EndLf, b'\n') => Ok(State::End),
            (state, _) => Err(state.unexpected()),
        }
    }

    fn add_digit(&mut self, digits: u8, byte: u8) -> Result<State, BadChunk> {
        // Sixteen digits fill 64 bits; leading zeros count, so that the dispatcher cannot see more of them than this does.
        if digits == 16 {
            return Err(BadChunk::LargeSize);
        }
        let value = (byte as char).to_digit(16).ok_or(BadChunk::Size)?;
        self.left = self.left << 4 | u64::from(value);
        Ok(State::Size { digits: digits + 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scan(input: &[u8]) -> Result<(usize, bool), BadChunk> {
        let mut chunks = Chunks::default();
        let taken = chunks.scan(input)?;
        Ok((taken, chunks.is_at_end()))
    }

    const BODIES: [&[u8]; 5] = [
        b"0\r\n\r\n",
        b"5\r\nhello\r\n0\r\n\r\n",
        b"00a;x=y; z\r\n0123456789\r\n1 \t\r\n!\r\n0\r\n\r\n",
        b"3\r\n\r\n\r\r\n0\r\nTrailer: x\r\nOther:\r\nX_1:\ty: z \xff\r\n\r\n",
        b"F\r\n0\r\n\r\nGET / HTTP\r\n0;last\r\n\r\n",
    ];

    #[test]
    fn the_end_is_found_wherever_the_pieces_are_cut() {
        for body in BODIES {
            let followed = [body, b"GET / HTTP/1.1\r\n"].concat();
            assert_eq!(scan(&followed), Ok((body.len(), true)));
            for cut in 0..body.len() {
                let mut chunks = Chunks::default();
                assert_eq!(chunks.scan(&followed[..cut]), Ok(cut));
                assert!(!chunks.is_at_end());
                assert_eq!(chunks.scan(&followed[cut..]), Ok(body.len() - cut));
                assert!(chunks.is_at_end());
            }
        }
    }

    #[test]
    fn a_body_that_is_not_chunked_is_refused_and_said_why() {
        let long = [&b"1;"[..], &[b'x'; LINE_BYTES]].concat();
        let trailers = [&b"0\r\n"[..], &b"a: b\r\n".repeat(LINE_BYTES / 6 + 1)].concat();
        for (bad, why) in [
            (&b"\r\n"[..], BadChunk::Size),
            (b"x\r\n", BadChunk::Size),
            (b"-1\r\n", BadChunk::Size),
            (b" 1\r\n", BadChunk::Size),
            (b";x\r\n", BadChunk::Size),
            (b"1\r\nx\r\n\r\n", BadChunk::Size),
            (b"0x1\r\n", BadChunk::SizeLine),
            (b"1\nx\r\n0\r\n\r\n", BadChunk::SizeLine),
            (b"1\rx", BadChunk::SizeLine),
            (b"1 2\r\n", BadChunk::SizeLine),
            (b"1;\0\r\n", BadChunk::SizeLine),
            (b"1;\n", BadChunk::SizeLine),
            (b"11112222333344445\r\n", BadChunk::LargeSize),
            (b"00000000000000001\r\n", BadChunk::LargeSize),
            (b"1\r\nxy\r\n0\r\n\r\n", BadChunk::Data),
            (b"1\r\nx\n0\r\n\r\n", BadChunk::Data),
            (b"1\r\nx\rx", BadChunk::Data),
            (b"0\r\nx\r\n\r\n", BadChunk::Trailer),
            (b"0\r\n: x\r\n\r\n", BadChunk::Trailer),
            (b"0\r\na : b\r\n\r\n", BadChunk::Trailer),
            (b"0\r\na: b\r\n c\r\n\r\n", BadChunk::Trailer),
            (b"0\r\na: b\0\r\n\r\n", BadChunk::Trailer),
            (b"0\r\na: b\n\r\n", BadChunk::Trailer),
            (b"0\r\n\n", BadChunk::Trailer),
            (b"0\r\n\rx", BadChunk::Trailer),
            (&long, BadChunk::LongSizeLine),
            (&trailers, BadChunk::LongTrailers),
        ] {
            assert_eq!(scan(bad), Err(why), "{}", String::from_utf8_lossy(bad));
        }
    }

    /// A chunked body, and what it is like: chunks with extensions, and trailers.
    fn body() -> impl Strategy<Value = Vec<u8>> {
        let extension = prop_oneof![Just(""), Just(" "), Just(";a"), Just("; a=\"b\"")];
        let chunk = (
            prop::collection::vec(any::<u8>(), 1..40),
            0..4_usize,
            extension,
        );
        let trailers = prop::collection::vec("[a-z]{1,5}: [ -~]{0,9}", 0..3);
        (prop::collection::vec(chunk, 0..5), trailers).prop_map(|(chunks, trailers)| {
            let mut body = Vec::new();
            for (data, zeros, extension) in chunks {
                let size = format!("{}{:x}{extension}\r\n", "0".repeat(zeros), data.len());
                body.extend([size.as_bytes(), &data, b"\r\n"].concat());
            }
            body.extend(b"0\r\n");
            for trailer in trailers {
                body.extend(format!("{trailer}\r\n").into_bytes());
            }
            body.extend(b"\r\n");
            body
        })
    }

    /// How many bytes belong to the body when they come in pieces that end at the cuts.
    fn scan_pieces(input: &[u8], cuts: &[prop::sample::Index]) -> Result<(usize, bool), BadChunk> {
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
        ends.sort_unstable();
        ends.push(input.len());
        let mut chunks = Chunks::default();
        let mut taken = 0;
        let mut begin = 0;
        for end in ends {
            let count = chunks.scan(&input[begin..end])?;
            taken += count;
            if count < end - begin {
                break;
            }
            begin = end;
        }
        Ok((taken, chunks.is_at_end()))
    }

    proptest! {
        #[test]
        fn a_body_ends_at_the_same_byte_however_it_is_split(
            body in body(),
            rest in prop::collection::vec(any::<u8>(), 0..20),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let input = [&body[..], &rest].concat();
            prop_assert_eq!(scan_pieces(&input, &cuts), Ok((body.len(), true)));
        }

        /// Bodies of which some bytes are others, and garbage.
        #[test]
        fn a_body_is_taken_or_refused_alike_however_it_is_split(
            body in body(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            garbage in prop::collection::vec(any::<u8>(), 0..60),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let mut changed = body;
            for (at, byte) in changes {
                let at = at.index(changed.len());
                changed[at] = byte;
            }
            for input in [changed, garbage] {
                let whole = scan(&input);
                prop_assert_eq!(scan_pieces(&input, &cuts), whole);
                if let Ok((taken, is_at_end)) = whole {
                    prop_assert!(taken == input.len() || is_at_end);
                }
            }
        }
    }
}
