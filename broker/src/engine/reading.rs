//! What can be asked of an engine, and its answers.

use std::sync::Arc;

use widecast_protocol::{ChannelName, EncodedMessage, Offset, Position, record};

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

    /// Whether any message fits.
    pub(super) const fn asks_for_messages(self) -> bool {
        self.messages > 0 && self.bytes > 0
    }
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

/// What a store keeps at one place of a channel.
#[derive(Debug)]
pub(super) struct Stored {
    offset: Offset,
    /// Nothing when the record cannot be read: it is damaged, or of a release that writes others.
    message: Option<Arc<EncodedMessage>>,
}

impl Stored {
    /// Reads a record. Where the store has given the message its time, that one counts.
    pub(super) fn read(
        record: &[u8],
        channel: &ChannelName,
        position: Position,
        timestamp_ms: Option<u64>,
    ) -> Self {
        let message = match record::decode(record, channel.clone(), position) {
            Ok((mut message, _)) => {
                message.timestamp_ms = timestamp_ms.unwrap_or(message.timestamp_ms);
                Some(Arc::new(EncodedMessage::new(message)))
            }
            Err(error) => {
                tracing::error!(
                    channel.name = channel.as_str(),
                    offset = position.offset.0,
                    "a stored message cannot be read, and who needs it is told of a gap: {error}"
                );
                None
            }
        };
        Self {
            offset: position.offset,
            message,
        }
    }

    /// The message, if its record could be read.
    pub(super) fn message(&self) -> Option<&Arc<EncodedMessage>> {
        self.message.as_ref()
    }
}

impl Replay {
    /// The portion of what comes after `since` in a channel that ends at `end`, as a store has given it: in order, and not empty while there is more. A message
    /// that is missing or cannot be read is lost: the portion ends in front of it, or if it would be the first, readers go on behind it.
    pub(super) fn of_stored(since: Position, stored: Vec<Stored>, end: Position) -> Self {
        let mut messages = Vec::with_capacity(stored.len());
        let mut lost_upto = stored.is_empty().then_some(end.offset);
        let mut next = since.offset.next();
        for Stored { offset, message } in stored {
            match message {
                Some(message) if offset == next && lost_upto.is_none() => messages.push(message),
                _ if !messages.is_empty() => break,
                None => lost_upto = Some(offset),
                // Those in front of it are missing.
                Some(_) => {
                    lost_upto = Some(Offset(offset.0.saturating_sub(1)));
                    break;
                }
            }
            next = offset.next();
        }
        let newest = messages.last().map(|newest| newest.position().offset);
        let lost_upto = lost_upto.filter(|&upto| upto > since.offset);
        let position = Position {
            offset: newest.or(lost_upto).unwrap_or(since.offset),
            ..end
        };
        Self {
            messages,
            recovered: lost_upto.is_none(),
            position,
            complete: position == end,
        }
    }
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
    /// page are no longer held. The page then starts with the oldest held; newest first, with the newest. False, too, when
    /// messages of the page cannot be read: it is without them.
    pub recovered: bool,
}

impl HistoryPage {
    /// A page as a store has given it, in the order asked for; `recovered` unless messages in front of it are lost, and `position` when
    /// it is empty.
    pub(super) fn of_stored(stored: Vec<Stored>, recovered: bool, position: Position) -> Self {
        let all = stored.len();
        let last = stored.last().map(|last| Position {
            offset: last.offset,
            ..position
        });
        let messages: Vec<_> = stored
            .into_iter()
            .filter_map(|stored| stored.message)
            .collect();
        Self {
            recovered: recovered && messages.len() == all,
            messages,
            position: last.unwrap_or(position),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use widecast_protocol::{Epoch, Message, Origin, Payload};

    fn at(offset: u64) -> Position {
        Position {
            epoch: Epoch(1),
            offset: Offset(offset),
        }
    }

    fn channel() -> ChannelName {
        ChannelName::parse("news").unwrap()
    }

    /// What has become of a message.
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Fate {
        Readable,
        Unreadable,
        Missing,
    }

    /// What a store gives of these messages, the first of which is at 1.
    fn portion(fates: &[Fate], since: u64, most: usize) -> Vec<Stored> {
        let fates = (1..).zip(fates).skip(usize::try_from(since).unwrap());
        let kept = fates.filter(|(_, fate)| **fate != Fate::Missing);
        let read = kept.take(most).map(|(offset, fate)| {
            let message = Message {
                channel: channel(),
                offset: Offset(offset),
                epoch: Epoch(1),
                timestamp_ms: 1,
                payload: Payload::text("hello"),
                event: None,
                id: None,
                origin: Origin::unknown(),
                sender: None,
            };
            let mut record = record::encode(&message, None);
            if *fate == Fate::Unreadable {
                record[0] += 1;
            }
            Stored::read(&record, &channel(), at(offset), Some(2))
        });
        read.collect()
    }

    proptest! {
        /// A reader is given every message that can be read, once and in order, and is told of a gap exactly where some are lost.
        #[test]
        fn what_cannot_be_read_is_a_gap_and_hides_nothing_else(
            fates in prop::collection::vec(
                prop_oneof![Just(Fate::Readable), Just(Fate::Unreadable), Just(Fate::Missing)], 1..20),
            most in 1_usize..5,
        ) {
            let end = at(fates.len() as u64);
            let (mut place, mut told) = (at(0), Vec::new());
            loop {
                let stored = portion(&fates, place.offset.0, most);
                let replay = Replay::of_stored(place, stored, end);
                prop_assert!(replay.position.offset > place.offset, "{replay:?} does not go on");
                prop_assert!(replay.recovered || replay.messages.is_empty());
                if replay.recovered {
                    prop_assert!(replay.messages.iter().all(|message| message.message().timestamp_ms == 2));
                    let offsets = replay.messages.iter().map(|message| message.position().offset.0);
                    told.extend(offsets.map(|offset| (offset, Fate::Readable)));
                } else {
                    let lost = place.offset.0 + 1..=replay.position.offset.0;
                    told.extend(lost.map(|offset| (offset, Fate::Missing)));
                }
                place = replay.position;
                if replay.complete {
                    break;
                }
            }
            let expected = (1..).zip(&fates).map(|(offset, fate)| match fate {
                Fate::Readable => (offset, Fate::Readable),
                _ => (offset, Fate::Missing),
            });
            prop_assert_eq!(told, expected.collect::<Vec<_>>());
        }

        #[test]
        fn a_page_says_that_some_of_it_cannot_be_read(
            fates in prop::collection::vec(prop_oneof![Just(Fate::Readable), Just(Fate::Unreadable)], 1..20),
        ) {
            let stored = portion(&fates, 0, fates.len());
            let page = HistoryPage::of_stored(stored, true, at(0));
            let readable = fates.iter().filter(|fate| **fate == Fate::Readable).count();
            prop_assert_eq!(page.messages.len(), readable);
            prop_assert_eq!(page.recovered, readable == fates.len());
            prop_assert_eq!(page.position, at(fates.len() as u64));
        }
    }
}
