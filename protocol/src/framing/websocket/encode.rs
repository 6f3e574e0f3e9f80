//! Complete frames of the server: never masked, never fragmented.

use bytes::{BufMut, Bytes, BytesMut};

use super::header::MAX_CONTROL_BYTES;
use super::opcode::Opcode;

/// The first byte's bit for the last frame of a message; ours all are.
const FINAL: u8 = 0x80;

/// A text frame with this payload, which has to be UTF-8.
pub fn text(payload: &[u8]) -> Bytes {
    frame(Opcode::Text, payload)
}

/// A binary frame with this payload.
pub fn binary(payload: &[u8]) -> Bytes {
    frame(Opcode::Binary, payload)
}

/// A ping with this payload, of which a control frame takes no more than the first 125 bytes.
pub fn ping(payload: &[u8]) -> Bytes {
    control(Opcode::Ping, payload)
}

/// The answer to the ping with this payload
/// ([RFC 6455, section 5.5.3](https://www.rfc-editor.org/rfc/rfc6455#section-5.5.3)).
pub fn pong(payload: &[u8]) -> Bytes {
    control(Opcode::Pong, payload)
}

/// A close frame with one of the codes that may be sent, and as much of the reason as fits its 123 bytes.
pub fn close(code: u16, reason: &str) -> Bytes {
    let reason = &reason[..reason.floor_char_boundary(MAX_CONTROL_BYTES - 2)];
    let length = 2 + reason.len();
    let mut bytes = BytesMut::with_capacity(header_bytes(length) + length);
    header(Opcode::Close, length, &mut bytes);
    bytes.put_u16(code);
    bytes.put_slice(reason.as_bytes());
    bytes.freeze()
}

/// The answer to a client's close frame: its own code, or none if it gave none
/// ([RFC 6455, section 5.5.1](https://www.rfc-editor.org/rfc/rfc6455#section-5.5.1)).
pub fn close_reply(code: Option<u16>) -> Bytes {
    code.map_or_else(|| control(Opcode::Close, &[]), |code| close(code, ""))
}

/// Writes the header of a frame whose payload of `length` bytes the caller writes after it.
///
/// For an encoder that knows the length before it makes the payload: with [`header_bytes`], the frame is one allocation
/// and the payload is never copied. Control frames take at most 125 bytes.
pub fn header(opcode: Opcode, length: usize, buffer: &mut impl BufMut) {
    buffer.put_u8(FINAL | opcode as u8);
    // RFC 6455, section 5.2: the shortest of three forms.
    if let Ok(length @ ..=125) = u8::try_from(length) {
        buffer.put_u8(length);
    } else if let Ok(length) = u16::try_from(length) {
        buffer.put_u8(126);
        buffer.put_u16(length);
    } else {
        buffer.put_u8(127);
        buffer.put_u64(length as u64);
    }
}

/// How long the header is that [`header`] writes.
pub const fn header_bytes(length: usize) -> usize {
    match length {
        ..=125 => 2,
        126..=0xFFFF => 4,
        _ => 10,
    }
}

fn control(opcode: Opcode, payload: &[u8]) -> Bytes {
    frame(opcode, &payload[..payload.len().min(MAX_CONTROL_BYTES)])
}

fn frame(opcode: Opcode, payload: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(header_bytes(payload.len()) + payload.len());
    header(opcode, payload.len(), &mut bytes);
    bytes.put_slice(payload);
    bytes.freeze()
}

#[cfg(test)]
mod tests {
    use super::{binary, close, close_reply, header, header_bytes, ping, pong, text};
    use crate::framing::websocket::Opcode;

    #[test]
    fn frames_are_those_of_the_standards_examples() {
        // RFC 6455, section 5.7, less the mask.
        assert_eq!(text(b"Hello"), &b"\x81\x05Hello"[..]);
        assert_eq!(ping(b"Hello"), &b"\x89\x05Hello"[..]);
        assert_eq!(pong(b"Hello"), &b"\x8a\x05Hello"[..]);
        assert_eq!(binary(&[0; 256])[..5], b"\x82\x7e\x01\x00\0"[..]);
        let header = b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00";
        assert_eq!(binary(&vec![0; 65_536])[..10], header[..]);
    }

    #[test]
    fn a_close_frame_has_its_code_first() {
        assert_eq!(close(1001, "bye"), &b"\x88\x05\x03\xe9bye"[..]);
        assert_eq!(close_reply(Some(1000)), &b"\x88\x02\x03\xe8"[..]);
        assert_eq!(close_reply(None), &b"\x88\x00"[..]);
    }

    #[test]
    fn a_control_frame_never_has_more_than_125_bytes() {
        assert_eq!(ping(&[1; 300]).len(), 2 + 125);
        // 41 characters of 3 bytes fill 123; one of them does not fit behind one byte.
        assert_eq!(close(1000, &"€".repeat(60)).len(), 2 + 2 + 123);
        let reason = format!("x{}", "€".repeat(60));
        assert_eq!(close(1000, &reason).len(), 2 + 2 + 1 + 40 * 3);
    }

    #[test]
    fn a_headers_length_is_known_before_it_is_written() {
        for length in [0, 125, 126, 65_535, 65_536] {
            let mut bytes = Vec::new();
            header(Opcode::Binary, length, &mut bytes);
            assert_eq!(bytes.len(), header_bytes(length));
        }
    }
}
