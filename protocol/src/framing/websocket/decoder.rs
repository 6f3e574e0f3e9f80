//! Client frames to events, in whatever pieces the bytes come.

use bytes::Bytes;

use super::close;
use super::error::FrameError;
use super::header::{Header, PartialHeader};
use super::mask::{key_after, unmask};
use super::message::{MessageKind, PartialMessage};
use super::opcode::Opcode;

/// The limits for what a client may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecoderLimits {
    /// The bytes of one message, all its fragments together.
    pub message_bytes: usize,
    /// The fragments of one message, at least 1: what is not fragmented is one fragment.
    pub fragments: usize,
}

/// Something that a client has sent whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A text message; known to be UTF-8.
    Text(Bytes),
    /// A binary message.
    Binary(Bytes),
    /// A ping, to be answered by [`pong`](super::pong) with the same payload.
    Ping(Bytes),
    /// A pong.
    Pong(Bytes),
    /// The client's last frame, to be answered by [`close_reply`](super::close_reply) if no close frame was sent.
    Close {
        /// Why, if the client said it.
        code: Option<u16>,
        /// The client's words for it.
        reason: String,
    },
}

/// Decodes the frames of one client.
///
/// It holds no buffer of its own: the owner of the socket reads into a buffer that all connections share, and feeds it.
/// Only a frame or message that is not whole yet is kept, in memory that is given back with its last byte. What a
/// client announces costs nothing until it is sent: lengths are checked at the frame's header.
///
/// ```
/// use widecast_protocol::framing::websocket::{Decoder, DecoderLimits, Event};
///
/// let mut decoder = Decoder::new(DecoderLimits { message_bytes: 1 << 20, fragments: 1024 });
/// let mut input: &[u8] = b"\x81\x82\0\0\0\0hi";
/// while let Some(event) = decoder.feed(&mut input)? {
///     assert_eq!(event, Event::Text("hi".into()));
/// }
/// # Ok::<(), widecast_protocol::framing::websocket::FrameError>(())
/// ```
#[derive(Debug)]
pub struct Decoder {
    limits: DecoderLimits,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Between two messages.
    Idle,
    /// Boxed, because most connections are idle most of the time.
    Busy(Box<PartialInput>),
    /// After a close frame or an error.
    Ended,
}

impl Decoder {
    /// A decoder for a connection that has just been opened.
    pub const fn new(limits: DecoderLimits) -> Self {
        let state = State::Idle;
        Self { limits, state }
    }

    /// Whether the next byte would begin a frame, and a message.
    pub const fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// How many bytes have come of the message that is not whole; none between two messages. For an incomplete header or control
    /// frame it is `Some(0)`.
    pub fn unfinished_bytes(&self) -> Option<usize> {
        match &self.state {
            State::Idle | State::Ended => None,
            State::Busy(unfinished) => {
                Some(unfinished.message.as_ref().map_or(0, PartialMessage::bytes))
            }
        }
    }

    /// Gives the next event of `input`, taking what it has read off its front; none when all of it is read.
    ///
    /// After a close frame and after an error nothing that follows is looked at
    /// ([RFC 6455, sections 1.4 and 7.1.7](https://www.rfc-editor.org/rfc/rfc6455#section-7.1.7)).
    ///
    /// # Errors
    /// When the client breaks the standard or a limit: the connection has to be closed with the error's code.
    pub fn feed(&mut self, input: &mut &[u8]) -> Result<Option<Event>, FrameError> {
        let result = match &mut self.state {
            State::Ended => {
                *input = &[];
                return Ok(None);
            }
            State::Busy(unfinished) => {
                let result = unfinished.advance(input, self.limits);
                if unfinished.is_empty() {
                    self.state = State::Idle;
                }
                result
            }
            State::Idle => {
                let mut unfinished = PartialInput::default();
                let result = unfinished.advance(input, self.limits);
                if !unfinished.is_empty() {
                    self.state = State::Busy(Box::new(unfinished));
                }
                result
            }
        };
        if matches!(result, Err(_) | Ok(Some(Event::Close { .. }))) {
            self.state = State::Ended;
        }
        result
    }
}

/// The parts that have come of frames and messages that are not whole.
#[derive(Debug, Default)]
struct PartialInput {
    /// Of the frame that comes next, if none is open.
    header: PartialHeader,
    /// The open frame; its length and key are those of the payload that has not come.
    frame: Option<Header>,
    /// The payload of a control frame; it may come between the fragments of `message`.
    control: Vec<u8>,
    message: Option<PartialMessage>,
}

impl PartialInput {
    /// Whether there is nothing to keep.
    const fn is_empty(&self) -> bool {
        self.header.is_empty() && self.frame.is_none() && self.message.is_none()
    }

    /// Reads frames until one makes an event or `input` is empty.
    fn advance(
        &mut self,
        input: &mut &[u8],
        limits: DecoderLimits,
    ) -> Result<Option<Event>, FrameError> {
        loop {
            let mut frame = match self.frame.take() {
                Some(frame) => frame,
                None => match self.header.read(input)? {
                    Some(header) => self.begin(header, limits)?,
                    None => return Ok(None),
                },
            };
            self.take_payload(&mut frame, input)?;
            if frame.length > 0 {
                self.frame = Some(frame);
                return Ok(None);
            }
            if let Some(event) = self.finish(frame)? {
                return Ok(Some(event));
            }
        }
    }

    /// Checks a header against the frames before it
    /// ([RFC 6455, section 5.4](https://www.rfc-editor.org/rfc/rfc6455#section-5.4)) and against the limits.
    fn begin(&mut self, header: Header, limits: DecoderLimits) -> Result<Header, FrameError> {
        let message = match (header.opcode, &mut self.message) {
            (Opcode::Close | Opcode::Ping | Opcode::Pong, _) => return Ok(header),
            (Opcode::Continuation, None) => return Err(FrameError::NothingToContinue),
            (Opcode::Continuation, Some(message)) => message,
            (Opcode::Text | Opcode::Binary, Some(_)) => return Err(FrameError::MessageUnfinished),
            (Opcode::Text, none) => none.insert(PartialMessage::new(MessageKind::Text)),
            (Opcode::Binary, none) => none.insert(PartialMessage::new(MessageKind::Binary)),
        };
        message.admit(header.length, limits)?;
        Ok(header)
    }

    /// Takes what belongs to the open frame off the front of `input`.
    fn take_payload(&mut self, frame: &mut Header, input: &mut &[u8]) -> Result<(), FrameError> {
        let outstanding = usize::try_from(frame.length).unwrap_or(usize::MAX);
        let (masked, rest) = input.split_at(outstanding.min(input.len()));
        *input = rest;
        match &mut self.message {
            Some(message) if !frame.opcode.is_control() => {
                message.push(masked, frame.key, outstanding)?;
            }
            _ => {
                let start = self.control.len();
                self.control.extend_from_slice(masked);
                unmask(&mut self.control[start..], frame.key);
            }
        }
        frame.length -= masked.len() as u64;
        frame.key = key_after(frame.key, masked.len());
        Ok(())
    }

    /// Makes an event of a frame that is whole, unless more of its message has to come.
    fn finish(&mut self, frame: Header) -> Result<Option<Event>, FrameError> {
        if !frame.is_final {
            return Ok(None);
        }
        Ok(Some(match frame.opcode {
            Opcode::Ping => Event::Ping(self.take_control().into()),
            Opcode::Pong => Event::Pong(self.take_control().into()),
            Opcode::Close => close::parse(&self.take_control())?,
            Opcode::Continuation | Opcode::Text | Opcode::Binary => {
                return self.message.take().map(PartialMessage::finish).transpose();
            }
        }))
    }

    /// The payload of the control frame that is whole.
    fn take_control(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.control)
    }
}
