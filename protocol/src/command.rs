//! The commands of clients: the frames from client to broker.

use std::fmt;

use crate::cursor::Cursor;
use crate::name::{ChannelName, EventName, IdempotencyKey, MessageId};
use crate::payload::Payload;

/// The name that a client gave a command, to tell the answers apart: a whole number, or 1–64 bytes of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandId {
    /// A number.
    Number(u64),
    /// A text.
    Text(String),
}

impl CommandId {
    /// The greatest length of a text, in bytes.
    pub const MAX_BYTES: usize = 64;
}

/// A JWT that has not been checked. Never shown, not even by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Takes the text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// One frame from a client. With an `id` it is answered; without one only a failure is.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// Repeated in the answer.
    pub id: Option<CommandId>,
    /// What to do.
    pub kind: CommandKind,
}

/// What a command does; `type` on the wire is the variant's name in snake case.
#[derive(Debug, Clone, PartialEq)]
pub enum CommandKind {
    /// Proves who the client is, or renews the proof.
    Authenticate {
        /// The proof.
        token: Token,
        /// Where the session begins in the channels that the token names; at their end if there is no cursor.
        cursor: Option<Cursor>,
    },
    /// Joins a channel.
    Subscribe(Subscribe),
    /// Leaves a channel.
    Unsubscribe {
        /// The channel to leave.
        channel: ChannelName,
    },
    /// Publishes a message.
    Publish(Publish),
    /// Asks who is here.
    Presence(PresenceRequest),
    /// Asks for past messages.
    History(HistoryRequest),
    /// Publishes several messages; each has its own answer, in order.
    Batch {
        /// The messages, each either read or refused on its own.
        messages: Vec<Result<Publish, crate::error::DecodeError>>,
    },
    /// Asks for a `pong`.
    Ping,
}

impl CommandKind {
    /// The channel that the command is about, if it is about one.
    pub fn channel(&self) -> Option<&ChannelName> {
        match self {
            Self::Subscribe(subscribe) => Some(&subscribe.channel),
            Self::Unsubscribe { channel } => Some(channel),
            Self::Publish(message) => Some(&message.channel),
            Self::Presence(request) => Some(&request.channel),
            Self::History(request) => Some(&request.channel),
            Self::Authenticate { .. } | Self::Batch { .. } | Self::Ping => None,
        }
    }
}

impl From<CommandKind> for Command {
    /// A command that has no id.
    fn from(kind: CommandKind) -> Self {
        Self { id: None, kind }
    }
}

/// Asks who is here, page by page.
#[derive(Debug, Clone, PartialEq)]
pub struct PresenceRequest {
    /// The channel asked about.
    pub channel: ChannelName,
    /// Only members behind this id: the `next` of the page before.
    pub after: Option<String>,
    /// At most this many.
    pub limit: Option<u32>,
}

/// Joins a channel, at its end or where the cursor is.
#[derive(Debug, Clone, PartialEq)]
pub struct Subscribe {
    /// The channel to join.
    pub channel: ChannelName,
    /// Where to resume; from the end without one.
    pub cursor: Option<Cursor>,
    /// Whether to be listed as a member; without it that stays as it is, or is no for a channel that is joined anew.
    pub presence: Option<Listing>,
    /// Also deliver up to this many of the newest past messages, when there is no cursor.
    pub history: Option<u32>,
    /// A subscription token: gives rights on this channel alone, beside those that the session has.
    pub token: Option<Token>,
}

/// Whether to be listed as a member of a channel.
#[derive(Debug, Clone, PartialEq)]
pub enum Listing {
    /// With this data (`presence: true` gives `null`), and to hear of joins and leaves.
    Listed(Payload),
    /// Not, or no longer.
    Unlisted,
}

/// Publishes a message.
#[derive(Debug, Clone, PartialEq)]
pub struct Publish {
    /// The channel.
    pub channel: ChannelName,
    /// What to publish.
    pub payload: Payload,
    /// The name of the event.
    pub event: Option<EventName>,
    /// Makes a repetition harmless.
    pub idempotency_key: Option<IdempotencyKey>,
    /// The id by which receivers know the message; it serves as idempotency key if there is none.
    pub message_id: Option<MessageId>,
}

/// Asks for past messages, oldest first.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryRequest {
    /// The channel.
    pub channel: ChannelName,
    /// Only what is newer than this; without it, the newest.
    pub since: Option<Cursor>,
    /// At most this many; the broker's limit without it.
    pub limit: Option<u32>,
}
