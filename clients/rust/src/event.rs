//! The events of a subscription.

use std::time::Duration;

use crate::error::Error;
use crate::message::{DirectMessage, Member, Message};

/// One event of a subscription or session, in its order.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A message was published.
    Message(Message),
    /// A backend has sent a message to the user of the session, in no channel.
    Direct(DirectMessage),
    /// Messages were lost.
    Gap(Gap),
    /// A member came or went.
    Presence(Presence),
    /// A channel is heard no longer. The other channels are.
    Unsubscribed(Unsubscribed),
    /// The token of a session is about to end, or has ended.
    TokenRequired(TokenRequired),
    /// The connection was lost. The client connects again by itself, and loses nothing that the broker still has.
    Disconnected(Disconnected),
    /// The client is connected again, and has resumed.
    Reconnected,
}

/// Messages that will not be heard, because the broker no longer has them. Listening goes on behind them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gap {
    /// The channel. Polls of several channels do not tell it.
    pub channel: Option<String>,
    /// The place behind the gap, where listening goes on.
    pub cursor: String,
}

/// A member came or went.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Presence {
    /// The channel.
    pub channel: String,
    /// What happened.
    pub change: PresenceChange,
}

/// What happened to the members of a channel.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum PresenceChange {
    /// These are all members, the client itself among them. This comes when a subscription begins, and whenever the client has
    /// connected anew. For a channel that a session joins, [`Subscribed`](crate::Subscribed) has them.
    Members(Vec<Member>),
    /// This member came, or shows other data of itself.
    Joined(Member),
    /// This member went.
    Left(Member),
}

/// A channel is heard no longer.
#[derive(Debug)]
#[non_exhaustive]
pub struct Unsubscribed {
    /// The channel.
    pub channel: String,
    /// The place up to which it was heard, from which it can be taken up again.
    pub cursor: Option<String>,
    /// Why, if nobody asked for it.
    pub error: Option<Error>,
}

/// The broker wants a new token, which [`Session::authenticate`](crate::Session::authenticate) shows it, or for a single channel
/// [`JoinChannel::token`](crate::JoinChannel::token). Until then the session goes on with what it may do without one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenRequired {
    /// Why, for people.
    pub reason: String,
    /// The channel whose subscription token ends; none for the token of the session.
    pub channel: Option<String>,
}

/// The connection was lost.
#[derive(Debug)]
#[non_exhaustive]
pub struct Disconnected {
    /// What happened.
    pub error: Error,
    /// When the client tries again: as the broker has asked, or else later each time, up to ten seconds; but not before a refusal says
    /// that the same can succeed.
    pub again_in: Duration,
}
