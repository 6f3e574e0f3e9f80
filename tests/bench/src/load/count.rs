//! Counting messages in what a subscriber reads, without decoding them.

use crate::form::{Form, MARK};

/// Counts the messages of one stream, however its bytes are cut.
#[derive(Debug)]
pub enum Counter {
    /// WebSocket: whole data frames.
    Frames(FrameCounter),
    /// WebSocket with several messages in a frame: the marks in data frames.
    MarksInFrames(FrameCounter),
    /// Streams of text: the marks that end the payloads.
    Marks,
}

impl Counter {
    /// The counter for a form.
    pub fn new(form: Form) -> Self {
        match form {
            Form::Centrifugo => Self::MarksInFrames(FrameCounter::default()),
            form if form.is_web_socket() => Self::Frames(FrameCounter::default()),
            _ => Self::Marks,
        }
    }

    /// How many messages end in these bytes, the next of the stream.
    pub fn feed(&mut self, bytes: &[u8]) -> usize {
        match self {
            Self::Frames(frames) => frames.feed(bytes).frames,
            Self::MarksInFrames(frames) => frames.feed(bytes).marks,
            Self::Marks => marks(bytes),
        }
    }

    /// Whether the stream stands between two messages, as far as that can be told.
    pub fn is_between_messages(&self) -> bool {
        match self {
            Self::Frames(frames) | Self::MarksInFrames(frames) => {
                frames.body_left == 0 && frames.header.is_empty()
            }
            Self::Marks => true,
        }
    }

    /// The pong that is owed since a ping came, as a complete frame.
    pub fn take_pong(&mut self) -> Option<Vec<u8>> {
        match self {
            Self::Frames(frames) | Self::MarksInFrames(frames) => frames.pong.take(),
            Self::Marks => None,
        }
    }
}

fn marks(bytes: &[u8]) -> usize {
    // The compiler turns this into vector instructions.
    bytes.iter().map(|&byte| usize::from(byte == MARK)).sum()
}

/// What was in some bytes of a WebSocket.
#[derive(Debug, Default)]
struct Seen {
    /// Data frames that ended.
    frames: usize,
    /// Marks in data frames.
    marks: usize,
}

/// Walks over the frames of a server (RFC 6455, section 5.2).
#[derive(Debug, Default)]
pub struct FrameCounter {
    /// The start of a frame of which the header has not come whole.
    header: Vec<u8>,
    /// How much of the present frame's body has not come.
    body_left: u64,
    opcode: u8,
    /// The body of a ping so far.
    ping: Vec<u8>,
    pong: Option<Vec<u8>>,
}

const PING: u8 = 0x9;
const PONG_FRAME: u8 = 0x8a;

impl FrameCounter {
    fn feed(&mut self, mut bytes: &[u8]) -> Seen {
        let mut seen = Seen::default();
        loop {
            if self.body_left == 0 {
                let Some(rest) = self.read_header(bytes) else {
                    return seen;
                };
                bytes = rest;
            }
            let here =
                usize::try_from(self.body_left).map_or(bytes.len(), |left| left.min(bytes.len()));
            if self.opcode == PING {
                self.ping.extend_from_slice(&bytes[..here]);
            } else {
                seen.marks += marks(&bytes[..here]);
            }
            self.body_left -= here as u64;
            bytes = &bytes[here..];
            if self.body_left > 0 {
                return seen;
            }
            seen.frames += self.end_frame();
        }
    }

    /// Reads a header, part of which may have come before; gives what follows it.
    fn read_header<'a>(&mut self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let before = self.header.len();
        let joined;
        let input = if before == 0 {
            bytes
        } else {
            joined = [&self.header, bytes].concat();
            &joined[..]
        };
        let Some((opcode, length, header_length)) = header(input) else {
            self.header.extend_from_slice(bytes);
            return None;
        };
        self.header.clear();
        self.opcode = opcode;
        self.body_left = length;
        Some(&bytes[header_length - before..])
    }

    /// Ends a frame; one if it was a message.
    fn end_frame(&mut self) -> usize {
        if self.opcode == PING {
            let body = std::mem::take(&mut self.ping);
            self.pong = Some(crate::form::masked_frame(PONG_FRAME, &body));
        }
        usize::from(matches!(self.opcode, 0x1 | 0x2))
    }
}

/// Opcode, length of the body, length of the header.
fn header(input: &[u8]) -> Option<(u8, u64, usize)> {
    let opcode = input.first()? & 0x0f;
    match input.get(1)? & 0x7f {
        126 => {
            let length = input.get(2..4)?.try_into().ok()?;
            Some((opcode, u16::from_be_bytes(length).into(), 4))
        }
        127 => {
            let length = input.get(2..10)?.try_into().ok()?;
            Some((opcode, u64::from_be_bytes(length), 10))
        }
        short => Some((opcode, short.into(), 2)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> Vec<u8> {
        let mut bytes = Form::text_frame(&[b'a'; 3]);
        bytes.extend([0x89, 2, b'h', b'i']);
        bytes.extend(Form::text_frame(&[b'b'; 300]));
        bytes.extend(Form::text_frame(b""));
        bytes.extend(Form::text_frame(&vec![b'c'; 70_000]));
        bytes
    }

    #[test]
    fn frames_are_counted_however_they_are_cut() {
        for size in [1, 2, 3, 5, 7, 1000, 100_000] {
            let mut counter = Counter::new(Form::RawWebSocket);
            let count: usize = stream().chunks(size).map(|chunk| counter.feed(chunk)).sum();
            assert_eq!(count, 4, "cut at {size}");
            assert!(counter.is_between_messages());
        }
    }

    #[test]
    fn messages_that_share_a_frame_are_counted_by_their_marks() {
        // 94 bytes: a mark in the header is none.
        let frame = Form::text_frame(format!("a^\nb^{}", "x".repeat(89)).as_bytes());
        assert_eq!(frame[1], MARK);
        for size in [1, 2, 3, 50, 1000] {
            let mut counter = Counter::new(Form::Centrifugo);
            let count: usize = frame.chunks(size).map(|chunk| counter.feed(chunk)).sum();
            assert_eq!(count, 2, "cut at {size}");
        }
    }

    #[test]
    fn a_ping_is_answered_and_is_no_message() {
        let mut counter = Counter::new(Form::RawWebSocket);
        assert_eq!(counter.feed(&[0x89, 2, b'h', b'i']), 0);
        assert_eq!(
            counter.take_pong(),
            Some(vec![0x8a, 0x82, 0, 0, 0, 0, b'h', b'i'])
        );
        assert_eq!(counter.take_pong(), None);
    }

    #[test]
    fn marks_are_counted() {
        let mut counter = Counter::new(Form::Sse);
        assert_eq!(
            counter.feed(b": heartbeat\n\nid: 1\ndata: xx^\n\nid: 2\ndata: y^"),
            2
        );
    }
}
