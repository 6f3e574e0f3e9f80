//! The messages of a WebSocket connection, and its end.

use bytes::Bytes;
use widecast_protocol::framing::websocket::{
    Decoder, DecoderLimits, Event, FrameError, close_reply, pong,
};

use crate::config::LimitSettings;
use crate::metrics::Limit;
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
pub struct WebSocketMessages {
    decoder: Decoder,
    /// The setting that bounds a message.
    longest: Limit,
}

impl WebSocketMessages {
    /// The state of a connection that has just been opened, each of whose messages is one to publish.
    pub fn of_one(limits: &LimitSettings) -> Self {
        Self::new(limits, limits.message_bytes.as_usize(), Limit::Message)
    }

    /// The same of a connection whose messages have several messages or commands in them.
    pub fn of_several(limits: &LimitSettings) -> Self {
        Self::new(limits, limits.request_bytes.as_usize(), Limit::Request)
    }

    fn new(limits: &LimitSettings, message_bytes: usize, longest: Limit) -> Self {
        let decoder = Decoder::new(DecoderLimits {
            message_bytes,
            fragments: limits.fragments_per_message,
        });
        Self { decoder, longest }
    }

    /// How many bytes have come of the message that is not whole; none between two messages.
    pub fn unfinished_bytes(&self) -> Option<usize> {
        self.decoder.unfinished_bytes()
    }

    /// Takes bytes apart; `message` turns each message into what the session is to do.
    pub fn read(
        &mut self,
        mut bytes: &[u8],
        mut message: impl FnMut(WebSocketMessage, &mut Vec<Inbound>),
    ) -> Vec<Inbound> {
        let mut inbound = Vec::new();
        while let Some(event) = self.decoder.feed(&mut bytes).transpose() {
            match event {
                Ok(Event::Text(text)) => message(WebSocketMessage::Text(text), &mut inbound),
                Ok(Event::Binary(binary)) => {
                    message(WebSocketMessage::Binary(binary), &mut inbound);
                }
                Ok(Event::Ping(payload)) => inbound.push(Inbound::Answer(pong(&payload))),
                Ok(Event::Pong(_)) => {}
                Ok(Event::Close { code, .. }) => inbound.push(Inbound::Finish(close_reply(code))),
                Err(error) => inbound.push(self.failure(error)),
            }
        }
        inbound
    }

    fn failure(&self, error: FrameError) -> Inbound {
        let limit = match error {
            FrameError::MessageTooLarge { .. } => Some(self.longest),
            FrameError::TooManyFragments { .. } => Some(Limit::Fragments),
            _ => None,
        };
        let detail = match limit {
            Some(limit) => format!("{error}: {} allows no more", limit.setting()),
            None => error.to_string(),
        };
        Inbound::Fail {
            code: error.code(),
            detail,
            limit,
        }
    }
}
