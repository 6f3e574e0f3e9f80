//! The header of a client's frame, checked as soon as it is there.

use super::error::FrameError;
use super::opcode::Opcode;

/// RFC 6455, section 5.5: the longest payload of a control frame, and the longest that the first length field can say.
pub(super) const MAX_CONTROL_BYTES: usize = 125;

/// Two bytes, eight of length and four of masking key.
const MAX_HEADER_BYTES: usize = 14;

/// The header of a frame ([RFC 6455, section 5.2](https://www.rfc-editor.org/rfc/rfc6455#section-5.2)).
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    pub(super) opcode: Opcode,
    /// Whether the frame is the last of its message.
    pub(super) is_final: bool,
    /// The bytes of payload that follow.
    pub(super) length: u64,
    pub(super) key: [u8; 4],
}

impl Header {
    /// Reads the two bytes with which every header begins; the length is still that of the first field.
    fn start(first: u8, second: u8) -> Result<Self, FrameError> {
        if first & 0b0111_0000 != 0 {
            return Err(FrameError::ReservedBits);
        }
        let bits = first & 0x0F;
        let opcode = Opcode::from_bits(bits).ok_or(FrameError::ReservedOpcode(bits))?;
        let is_final = first & 0x80 != 0;
        if opcode.is_control() && !is_final {
            return Err(FrameError::FragmentedControl);
        }
        if second & 0x80 == 0 {
            return Err(FrameError::NotMasked);
        }
        let length = second & 0x7F;
        if opcode.is_control() && usize::from(length) > MAX_CONTROL_BYTES {
            return Err(FrameError::LongControl);
        }
        Ok(Self {
            opcode,
            is_final,
            length: length.into(),
            key: [0; 4],
        })
    }

    /// The bytes of length that follow the two of the start.
    const fn extended_length_bytes(&self) -> usize {
        match self.length {
            126 => 2,
            127 => 8,
            _ => 0,
        }
    }

    /// Takes in the extended length.
    fn extend(&mut self, bytes: &[u8]) -> Result<(), FrameError> {
        if bytes.is_empty() {
            return Ok(());
        }
        let length = bytes.iter().fold(0, |n, &b| n << 8 | u64::from(b));
        let legal = match bytes.len() {
            2 => 126..=0xFFFF,
            _ => 0x1_0000..=i64::MAX.cast_unsigned(),
        };
        if !legal.contains(&length) {
            return Err(FrameError::BadLength(length));
        }
        self.length = length;
        Ok(())
    }
}

/// A header of which perhaps only the first bytes have come.
#[derive(Debug, Default)]
pub(super) struct PartialHeader {
    bytes: [u8; MAX_HEADER_BYTES],
    filled: u8,
}

impl PartialHeader {
    /// Whether nothing of the next header has come.
    pub(super) const fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// Takes what belongs to the header off the front of `input`; gives the header when it is whole.
    pub(super) fn read(&mut self, input: &mut &[u8]) -> Result<Option<Header>, FrameError> {
        if !self.fill(2, input) {
            return Ok(None);
        }
        let mut header = Header::start(self.bytes[0], self.bytes[1])?;
        let key_at = 2 + header.extended_length_bytes();
        if !self.fill(key_at + 4, input) {
            return Ok(None);
        }
        header.extend(&self.bytes[2..key_at])?;
        header.key.copy_from_slice(&self.bytes[key_at..key_at + 4]);
        self.filled = 0;
        Ok(Some(header))
    }

    /// Takes bytes off the front of `input` until `wanted` are there; tells whether they are.
    fn fill(&mut self, wanted: usize, input: &mut &[u8]) -> bool {
        let filled = usize::from(self.filled);
        let missing = wanted.saturating_sub(filled).min(input.len());
        let (taken, rest) = input.split_at(missing);
        self.bytes[filled..filled + missing].copy_from_slice(taken);
        *input = rest;
        self.filled += u8::try_from(missing).expect("a header has at most 14 bytes");
        usize::from(self.filled) >= wanted
    }
}
