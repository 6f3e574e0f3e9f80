//! A data message, as far as it has come.

use bytes::Bytes;

use super::decoder::{DecoderLimits, Event};
use super::error::FrameError;
use super::mask::unmask;

/// Whether the bytes of a message have to be UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MessageKind {
    Text,
    Binary,
}

/// The unmasked bytes of one text or binary message, from its first frame on.
#[derive(Debug)]
pub(super) struct PartialMessage {
    kind: MessageKind,
    bytes: Vec<u8>,
    /// How many of `bytes` are known to be whole characters; text only.
    checked: usize,
    fragments: usize,
}

impl PartialMessage {
    /// A message of which nothing has come.
    pub(super) const fn new(kind: MessageKind) -> Self {
        Self {
            kind,
            bytes: Vec::new(),
            checked: 0,
            fragments: 0,
        }
    }

    /// How many bytes have come.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Checks the limits for one more frame, before any of its payload is kept.
    pub(super) fn admit(&mut self, length: u64, limits: DecoderLimits) -> Result<(), FrameError> {
        self.fragments += 1;
        if self.fragments > limits.fragments {
            let limit = limits.fragments;
            return Err(FrameError::TooManyFragments { limit });
        }
        let room = limits.message_bytes.saturating_sub(self.bytes.len());
        if usize::try_from(length).is_ok_and(|length| length <= room) {
            return Ok(());
        }
        Err(FrameError::MessageTooLarge {
            limit: limits.message_bytes,
            actual: length.saturating_add(self.bytes.len() as u64),
        })
    }

    /// Takes in masked bytes, of a frame that has `outstanding` bytes yet to come, these included.
    ///
    /// Text is checked at once, so that a client hears of its mistake before the rest of a long frame has come.
    pub(super) fn push(
        &mut self,
        masked: &[u8],
        key: [u8; 4],
        outstanding: usize,
    ) -> Result<(), FrameError> {
        self.reserve(masked.len(), outstanding);
        let start = self.bytes.len();
        self.bytes.extend_from_slice(masked);
        unmask(&mut self.bytes[start..], key);
        match self.kind {
            MessageKind::Text => self.check(),
            MessageKind::Binary => Ok(()),
        }
    }

    /// The message, all frames of which have come.
    pub(super) fn finish(self) -> Result<Event, FrameError> {
        // Exactly as large as the message: it may stay in the history for long.
        let bytes = Bytes::from(self.bytes.into_boxed_slice());
        match self.kind {
            MessageKind::Binary => Ok(Event::Binary(bytes)),
            MessageKind::Text if self.checked == bytes.len() => Ok(Event::Text(bytes)),
            MessageKind::Text => Err(FrameError::BadUtf8),
        }
    }

    /// Makes room for what has come, never for what is only announced: at most twice as much as was sent.
    fn reserve(&mut self, arrived: usize, outstanding: usize) {
        if self.bytes.capacity() - self.bytes.len() < arrived {
            let wanted = arrived.max(self.bytes.len()).min(outstanding);
            self.bytes.reserve_exact(wanted);
        }
    }

    /// Checks what is new. A character of which only the first bytes have come waits for the others, in this frame or
    /// the next: at most three bytes are looked at again.
    fn check(&mut self) -> Result<(), FrameError> {
        match std::str::from_utf8(&self.bytes[self.checked..]) {
            Ok(text) => self.checked += text.len(),
            Err(error) if error.error_len().is_none() => self.checked += error.valid_up_to(),
            Err(_) => return Err(FrameError::BadUtf8),
        }
        Ok(())
    }
}
