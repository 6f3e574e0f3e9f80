//! The replies of the broker: the frames from broker to client, except `message`, which [`crate::encoded`] makes once for
//! all subscribers.

use crate::codes::Code;
use crate::command::CommandId;
use crate::cursor::Position;
use crate::message::{Epoch, Message, Offset, Origin};
use crate::name::{ChannelName, EventName, MessageId, SessionId};
use crate::payload::Payload;

/// One frame to a client; `type` on the wire is the variant's name in snake case, `id` that of the answered command.
#[derive(Debug, Clone)]
pub enum Reply {
    /// The first frame of a session.
    Welcome {
        /// The session's name, for commands sent by POST and for taking it up again.
        session: SessionId,
        /// How often a heartbeat comes at the least.
        heartbeat_ms: u64,
        /// The limits that the session must keep to.
        limits: Limits,
    },
    /// Credentials are needed, or needed anew.
    AuthRequired {
        /// The channel whose subscription token ends; none for the session's own token.
        channel: Option<ChannelName>,
        /// Why, for people.
        reason: String,
    },
    /// The credentials were accepted.
    Authenticated {
        /// Answers this command.
        id: Option<CommandId>,
        /// Who the client is.
        user: Option<String>,
        /// When the proof ends, in seconds since 1970-01-01 UTC.
        expires_at: Option<u64>,
    },
    /// A channel was joined: every message after `cursor` will be heard.
    Subscribed {
        /// Answers this command.
        id: Option<CommandId>,
        /// The channel.
        channel: ChannelName,
        /// The place from which on the session hears everything.
        cursor: Position,
        /// False when messages were lost between the cursor asked for and this one.
        recovered: bool,
        /// Whether the channel keeps no messages: its cursors are never looked at.
        ephemeral: bool,
        /// The members of the channel, when presence was asked for.
        members: Option<Members>,
    },
    /// A channel was left.
    Unsubscribed {
        /// Answers this command.
        id: Option<CommandId>,
        /// The channel.
        channel: ChannelName,
        /// Why, if the client did not ask for it.
        code: Option<Code>,
    },
    /// A message was accepted.
    Published {
        /// Answers this command.
        id: Option<CommandId>,
        /// The channel.
        channel: ChannelName,
        /// Its place.
        offset: Offset,
        /// The epoch of the place.
        epoch: Epoch,
        /// Whether it had been published before with the same idempotency key.
        duplicate: bool,
    },
    /// The results of a batch, one for each message in order: `published` or `error` frames without `id`.
    Batch {
        /// Answers this command.
        id: Option<CommandId>,
        /// `Published` or `Error`.
        results: Vec<Reply>,
    },
    /// Somebody is here now.
    Join {
        /// The channel.
        channel: ChannelName,
        /// Who.
        member: Member,
    },
    /// Somebody is gone.
    Leave {
        /// The channel.
        channel: ChannelName,
        /// Who.
        member: Member,
    },
    /// Tells who is in a channel.
    Presence {
        /// Answers this command.
        id: Option<CommandId>,
        /// The channel.
        channel: ChannelName,
        /// Everybody, or a page of them.
        members: Members,
    },
    /// Past messages, oldest first.
    History {
        /// Answers this command.
        id: Option<CommandId>,
        /// The channel.
        channel: ChannelName,
        /// The messages.
        messages: Vec<Message>,
        /// The place after the last of them.
        cursor: Position,
    },
    /// A message for the user of the session, in no channel.
    Direct(DirectMessage),
    /// Messages of a channel were lost on the way to this session; it goes on after `cursor`.
    Gap {
        /// The channel.
        channel: ChannelName,
        /// The place from which on the session hears everything again.
        cursor: Position,
    },
    /// Answers a ping.
    Pong {
        /// Answers this command.
        id: Option<CommandId>,
    },
    /// A command failed.
    Error {
        /// Answers this command.
        id: Option<CommandId>,
        /// The code of the error.
        code: Code,
        /// The reason, for people.
        message: String,
        /// After how many milliseconds the same can succeed, if that is known.
        retry_after_ms: Option<u64>,
    },
    /// The broker is about to close the session.
    Goodbye {
        /// Why.
        code: Code,
        /// Why, for people.
        reason: String,
        /// Whether to connect again, and after how many milliseconds.
        reconnect_after_ms: Option<u64>,
    },
}

impl Reply {
    /// The `type` of the frame.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Welcome { .. } => "welcome",
            Self::AuthRequired { .. } => "auth_required",
            Self::Authenticated { .. } => "authenticated",
            Self::Subscribed { .. } => "subscribed",
            Self::Unsubscribed { .. } => "unsubscribed",
            Self::Published { .. } => "published",
            Self::Batch { .. } => "batch",
            Self::Join { .. } => "join",
            Self::Leave { .. } => "leave",
            Self::Presence { .. } => "presence",
            Self::History { .. } => "history",
            Self::Direct { .. } => "direct",
            Self::Gap { .. } => "gap",
            Self::Pong { .. } => "pong",
            Self::Error { .. } => "error",
            Self::Goodbye { .. } => "goodbye",
        }
    }

    /// The command it answers, if it answers one that has an id.
    pub fn id(&self) -> Option<&CommandId> {
        match self {
            Self::Authenticated { id, .. }
            | Self::Subscribed { id, .. }
            | Self::Unsubscribed { id, .. }
            | Self::Published { id, .. }
            | Self::Batch { id, .. }
            | Self::Presence { id, .. }
            | Self::History { id, .. }
            | Self::Pong { id }
            | Self::Error { id, .. } => id.as_ref(),
            _ => None,
        }
    }

    /// The channel it is about, if it is about one.
    pub fn channel(&self) -> Option<&ChannelName> {
        match self {
            Self::Subscribed { channel, .. }
            | Self::Unsubscribed { channel, .. }
            | Self::Published { channel, .. }
            | Self::Join { channel, .. }
            | Self::Leave { channel, .. }
            | Self::Presence { channel, .. }
            | Self::History { channel, .. }
            | Self::Gap { channel, .. } => Some(channel),
            Self::AuthRequired { channel, .. } => channel.as_ref(),
            _ => None,
        }
    }
}

/// A message for one user, in no channel: it has no place, and is not kept.
#[derive(Debug, Clone, PartialEq)]
pub struct DirectMessage {
    /// The data that was sent.
    pub payload: Payload,
    /// The name of the event.
    pub event: Option<EventName>,
    /// The id that the sender gave it.
    pub id: Option<MessageId>,
    /// The origin of the sender.
    pub origin: Origin,
    /// When it was sent, in milliseconds since 1970-01-01 UTC.
    pub timestamp_ms: u64,
}

/// The limits that a session must keep to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest message, in bytes.
    pub message_bytes: u64,
    /// How many channels a session may join.
    pub channels: u64,
}

/// The members of a channel, or a page of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Members {
    /// The members, ordered by id.
    pub members: Vec<Member>,
    /// The last of them, if more follow: `after` for the next page.
    pub next: Option<String>,
}

/// Somebody in a channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// The same for one client across its reconnects; says nothing about its sender key.
    pub id: String,
    /// What the client told about itself.
    pub data: Payload,
}
