//! The wire forms under test: how a subscriber asks for one, and what the floor writes for it.

/// What a subscriber reads: a transport, raw or in envelopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Form {
    /// `/channels/{channel}/ws`: the data and nothing else.
    RawWebSocket,
    /// `/v1/ws` with JSON frames.
    JsonWebSocket,
    /// `/channels/{channel}/sse`.
    Sse,
    /// `/channels/{channel}/stream`.
    Ndjson,
    /// `/connection/websocket` of Centrifugo, with JSON commands.
    Centrifugo,
}

/// The byte that ends every payload and stands nowhere else on a wire of text: subscribers of the line forms count it.
pub const MARK: u8 = b'^';

/// A cursor of usual length: the floor's streams carry as many bytes as the broker's.
const CURSOR: &str = "3w5e11264sgsf-1000";

impl Form {
    /// Every form of the broker.
    pub const ALL: [Self; 4] = [
        Self::RawWebSocket,
        Self::JsonWebSocket,
        Self::Sse,
        Self::Ndjson,
    ];

    /// What tables call it.
    pub fn label(self) -> &'static str {
        match self {
            Self::RawWebSocket => "WebSocket raw",
            Self::JsonWebSocket => "WebSocket JSON",
            Self::Sse => "SSE",
            Self::Ndjson => "NDJSON stream",
            Self::Centrifugo => "Centrifugo JSON",
        }
    }

    /// Whether it travels in WebSocket frames; else in a stream of text that ends with the connection.
    pub fn is_web_socket(self) -> bool {
        !matches!(self, Self::Sse | Self::Ndjson)
    }

    /// The request that opens it. Names of channels here need no percent-encoding.
    pub fn open(self, channel: &str) -> String {
        match self {
            Self::RawWebSocket => upgrade(&format!("/channels/{channel}/ws"), ""),
            Self::JsonWebSocket => {
                upgrade("/v1/ws", "Sec-WebSocket-Protocol: widecast.v1.json\r\n")
            }
            Self::Sse => get(
                &format!("/channels/{channel}/sse"),
                "Accept: text/event-stream\r\n",
            ),
            Self::Ndjson => get(&format!("/channels/{channel}/stream"), ""),
            Self::Centrifugo => upgrade("/connection/websocket", ""),
        }
    }

    /// The frame that joins a channel once the connection is open, for the forms that need one.
    pub fn join(self, channel: &str) -> Option<Vec<u8>> {
        match self {
            Self::JsonWebSocket => {
                let command = format!(r#"{{"type":"subscribe","channel":"{channel}","id":1}}"#);
                Some(masked_frame(0x81, command.as_bytes()))
            }
            Self::Centrifugo => {
                let subscribe = format!(r#"{{"id":2,"subscribe":{{"channel":"{channel}"}}}}"#);
                let commands = format!("{{\"id\":1,\"connect\":{{}}}}\n{subscribe}");
                Some(masked_frame(0x81, commands.as_bytes()))
            }
            Self::RawWebSocket | Self::Sse | Self::Ndjson => None,
        }
    }

    /// What the answer to [`Self::join`] has in it, and no error has.
    pub fn joined(self) -> &'static [u8] {
        match self {
            Self::Centrifugo => br#""subscribe":{"#,
            _ => br#""subscribed""#,
        }
    }

    /// The request that publishes a text, which needs no escaping, for all who read this form.
    pub fn publication(self, channel: &str, text: &str) -> String {
        match self {
            Self::Centrifugo => {
                let body = format!(r#"{{"channel":"{channel}","data":"{text}"}}"#);
                post("/api/publish", "application/json", &body)
            }
            _ => post(&format!("/channels/{channel}/messages"), "text/plain", text),
        }
    }

    /// A text frame as a server sends it.
    pub fn text_frame(text: &[u8]) -> Vec<u8> {
        frame(0x81, &[text])
    }

    /// The form that a request asks the floor for, and its channel; none for a request that opens no stream. An envelope
    /// names its channel later, in the frame that joins it.
    pub fn of_target(target: &[u8]) -> Option<(Self, &[u8])> {
        if target == b"/v1/ws" {
            return Some((Self::JsonWebSocket, b""));
        }
        let rest = target.strip_prefix(b"/channels/")?;
        let slash = rest.iter().position(|&b| b == b'/')?;
        let form = match &rest[slash + 1..] {
            b"ws" => Self::RawWebSocket,
            b"sse" => Self::Sse,
            b"stream" => Self::Ndjson,
            _ => return None,
        };
        Some((form, &rest[..slash]))
    }

    /// Everything the floor writes to one subscriber for one message: as many bytes as the broker would.
    pub fn delivery(self, channel: &[u8], data: &[u8]) -> Vec<u8> {
        let channel = String::from_utf8_lossy(channel);
        match self {
            Self::RawWebSocket => frame(0x81, &[data]),
            Self::JsonWebSocket => {
                let head = format!(r#"{{"type":"message","channel":"{channel}","data":""#);
                let tail = r#"","origin":"","offset":1000,"epoch":"3w5e11264sgsf","timestamp":1700000000000}"#;
                frame(0x81, &[head.as_bytes(), data, tail.as_bytes()])
            }
            Self::Sse => [b"id: ", CURSOR.as_bytes(), b"\ndata: ", data, b"\n\n"].concat(),
            Self::Ndjson => {
                let head = format!(
                    r#"{{"cursor":"{CURSOR}","channel":"{channel}","offset":1000,"origin":"","timestamp":1700000000000,"data":""#
                );
                [head.as_bytes(), data, b"\"}\n"].concat()
            }
            Self::Centrifugo => {
                let head = format!(r#"{{"push":{{"channel":"{channel}","pub":{{"data":""#);
                frame(0x81, &[head.as_bytes(), data, br#"","offset":1000}}}"#])
            }
        }
    }
}

/// A request without a body.
pub fn get(target: &str, headers: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n")
}

fn post(target: &str, content_type: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

fn upgrade(target: &str, headers: &str) -> String {
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    get(target, &format!("{upgrade}{headers}"))
}

/// A frame as a server sends it (RFC 6455, section 5.2).
fn frame(first: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut bytes = vec![first];
    push_length(&mut bytes, length, 0);
    bytes.extend(parts.iter().copied().flatten());
    bytes
}

/// A frame as a client sends it. The mask is zero: the server has the same work with it, and it need not be secret here.
pub fn masked_frame(first: u8, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    push_length(&mut bytes, data.len(), 0x80);
    bytes.extend([0; 4]);
    bytes.extend(data);
    bytes
}

/// In place of a length: it follows in 16 or 64 bits.
const MEDIUM: u8 = 0x7e;
const LONG: u8 = 0x7f;

fn push_length(bytes: &mut Vec<u8>, length: usize, mask_bit: u8) {
    if let Some(short) = u8::try_from(length).ok().filter(|&length| length < MEDIUM) {
        bytes.push(mask_bit | short);
    } else if let Ok(medium) = u16::try_from(length) {
        bytes.push(mask_bit | MEDIUM);
        bytes.extend(medium.to_be_bytes());
    } else {
        bytes.push(mask_bit | LONG);
        bytes.extend((length as u64).to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_of_128_bytes_is_a_frame_of_132() {
        let frame = Form::RawWebSocket.delivery(b"bench", &[b'x'; 128]);
        assert_eq!(frame.len(), 132);
        assert_eq!(frame[..4], [0x81, 126, 0, 128]);
    }

    #[test]
    fn the_floor_understands_what_subscribers_ask() {
        for form in [Form::RawWebSocket, Form::Sse, Form::Ndjson] {
            let request = form.open("bench");
            let target = request.split(' ').nth(1).unwrap();
            let asked = Form::of_target(target.as_bytes());
            assert_eq!(asked, Some((form, &b"bench"[..])));
        }
        assert_eq!(Form::of_target(b"/channels/bench/messages"), None);
        assert_eq!(Form::of_target(b"/"), None);
    }

    #[test]
    fn text_forms_carry_the_mark_once() {
        for form in [Form::Sse, Form::Ndjson] {
            let bytes = form.delivery(b"bench", b"data^");
            assert_eq!(bytes.split(|&b| b == MARK).count(), 2, "{form:?}");
        }
    }

    #[test]
    fn lengths_are_minimal() {
        for (length, header) in [(125, 2), (126, 4), (65535, 4), (65536, 10)] {
            assert_eq!(frame(0x82, &[&vec![0; length]]).len(), header + length);
        }
    }
}
