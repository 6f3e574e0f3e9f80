//! The messages of a WebSocket connection, and its end.

use bytes::Bytes;
use widecast_protocol::framing::websocket::{Decoder, DecoderLimits, Event, close_reply, pong};

use crate::session::Inbound;

/// A whole message of a client.
#[derive(Debug)]
pub enum WebSocketMessage {
    /// Text; known to be UTF-8.
    Text(Bytes),
    /// Anything.
    Binary(Bytes),
}

/// Takes the bytes of a client apart: it answers pings and closes as RFC 6455 wants, and leaves the messages to its owner.
#[derive(Debug)]
pub struct WebSocketMessages(Decoder);

impl WebSocketMessages {
    /// The state of a connection that has just been opened.
    pub const fn new(limits: DecoderLimits) -> Self {
        Self(Decoder::new(limits))
    }

    /// How many bytes have come of the message that is not whole; none between two messages.
    pub fn unfinished_bytes(&self) -> Option<usize> {
        self.0.unfinished_bytes()
    }

    /// Takes bytes apart; `message` turns each message into what the session is to do.
    pub fn read(
        &mut self,
        mut bytes: &[u8],
        mut message: impl FnMut(WebSocketMessage, &mut Vec<Inbound>),
    ) -> Vec<Inbound> {
        let mut inbound = Vec::new();
        while let Some(event) = self.0.feed(&mut bytes).transpose() {
            match event {
                Ok(Event::Text(text)) => message(WebSocketMessage::Text(text), &mut inbound),
                Ok(Event::Binary(binary)) => {
                    message(WebSocketMessage::Binary(binary), &mut inbound);
                }
                Ok(Event::Ping(payload)) => inbound.push(Inbound::Answer(pong(&payload))),
                Ok(Event::Pong(_)) => {}
                Ok(Event::Close { code, .. }) => inbound.push(Inbound::Finish(close_reply(code))),
                Err(error) => inbound.push(Inbound::Fail {
                    code: error.code(),
                    detail: error.to_string(),
                }),
            }
        }
        inbound
    }
}
