//! What can be asked of an engine, and its answers.

use std::sync::Arc;

use widecast_protocol::{ChannelName, EncodedMessage, Position};

/// How much of what a reader has missed is asked for at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Portion {
    /// At most this many messages.
    pub messages: usize,
    /// No message after the one with which this many bytes are reached, by the engine's estimate. So one message, however
    /// large, always fits.
    pub bytes: u64,
}

impl Portion {
    /// No messages: only whether they could be had.
    pub const NONE: Self = Self {
        messages: 0,
        bytes: 0,
    };
}

/// What a reader has missed, or the first portion of it.
#[derive(Debug, Clone)]
pub struct Replay {
    /// Every message after the position asked for up to `position`, oldest first. Empty unless `recovered`.
    pub messages: Vec<Arc<EncodedMessage>>,
    /// False when messages were lost: the reader has to go on from `position` and be told of the gap.
    pub recovered: bool,
    /// The place after `messages`: where the next portion begins.
    pub position: Position,
    /// Whether `position` is the channel's present end: nothing follows.
    pub complete: bool,
}

/// Which part of the history is asked for, and in which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Oldest first: only what is newer than this. Newest first: only what is older. Without it: the newest.
    pub since: Option<Position>,
    /// At most this many messages.
    pub limit: usize,
    /// The order of the messages.
    pub order: HistoryOrder,
}

/// The order of the messages of a page, and so the direction in which the next page lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistoryOrder {
    /// Forward in time.
    OldestFirst,
    /// Back in time.
    NewestFirst,
}

/// A part of the history.
#[derive(Debug, Clone)]
pub struct HistoryPage {
    /// The messages, in the order asked for. Without `since` they are the newest, also when the oldest come first.
    pub messages: Vec<Arc<EncodedMessage>>,
    /// The place of the last of `messages`: `since` for the next page in the same order. Oldest first it is also a place
    /// to resume from. With no messages: the channel's present end, or `since` itself when going back in time.
    pub position: Position,
    /// False when `since` is of another epoch or not reached yet, or when messages that would have come first in this
    /// page are no longer held. The page then starts with the oldest held; newest first, with the newest.
    pub recovered: bool,
}

/// Which channels are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelQuery {
    /// Only names that begin so; empty for all.
    pub prefix: String,
    /// Only names after this one: the last of the page before.
    pub after: Option<ChannelName>,
    /// At most this many.
    pub limit: usize,
}

/// What an engine holds of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelInfo {
    /// The channel's present end.
    pub position: Position,
    /// How many messages the history holds.
    pub history_messages: u64,
    /// About how much memory they take, in bytes.
    pub history_bytes: u64,
    /// How many members are here.
    pub members: u64,
}
