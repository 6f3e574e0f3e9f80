//! The payload of a close frame.

use super::decoder::Event;
use super::error::FrameError;

/// Reads the payload of a close frame
/// ([RFC 6455, section 5.5.1](https://www.rfc-editor.org/rfc/rfc6455#section-5.5.1)).
pub(super) fn parse(payload: &[u8]) -> Result<Event, FrameError> {
    if payload.is_empty() {
        let (code, reason) = (None, String::new());
        return Ok(Event::Close { code, reason });
    }
    let (code, reason) = payload
        .split_first_chunk::<2>()
        .ok_or(FrameError::ShortClose)?;
    let code = u16::from_be_bytes(*code);
    if !may_be_sent(code) {
        return Err(FrameError::BadCloseCode(code));
    }
    let reason = std::str::from_utf8(reason).map_err(|_| FrameError::BadUtf8)?;
    Ok(Event::Close {
        code: Some(code),
        reason: reason.to_owned(),
    })
}

/// Whether the code may stand in a frame
/// ([RFC 6455, section 7.4](https://www.rfc-editor.org/rfc/rfc6455#section-7.4); 1012 to 1014 were registered later).
const fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}
