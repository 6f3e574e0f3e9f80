//! What a channel answers to readers: replays for those who resume, pages for those who look back.

use std::sync::Arc;
use std::time::Instant;

use widecast_protocol::{EncodedMessage, Offset, Position};

use super::channel::Channel;
use crate::engine::reading::{HistoryOrder, HistoryPage, HistoryQuery, Portion, Replay};

/// A portion of what comes after `since`, or that it cannot be given.
pub(super) fn replay(channel: &Channel, since: Position, portion: Portion, now: Instant) -> Replay {
    let end = channel.position();
    let missed = known(channel, since)
        .then(|| channel.readable(now).after(since.offset))
        .flatten();
    let Some(missed) = missed else {
        return Replay {
            messages: Vec::new(),
            recovered: false,
            position: end,
            complete: true,
        };
    };
    let mut bytes = 0;
    let fits = |message: &&Arc<EncodedMessage>| {
        let fits = bytes < portion.bytes;
        bytes += message.weight_bytes() as u64;
        fits
    };
    let missed = missed.take(portion.messages).take_while(fits);
    let messages: Vec<_> = missed.cloned().collect();
    let position = messages.last().map_or(since, |last| last.position());
    Replay {
        messages,
        recovered: true,
        position,
        complete: position == end,
    }
}

/// One page of the history.
pub(super) fn page(channel: &Channel, query: HistoryQuery, now: Instant) -> HistoryPage {
    match query.order {
        HistoryOrder::OldestFirst => forward(channel, query, now),
        HistoryOrder::NewestFirst => backward(channel, query, now),
    }
}

/// Whether the channel gave this position, or will have been able to.
fn known(channel: &Channel, since: Position) -> bool {
    let newest = channel.position();
    since.epoch == newest.epoch && since.offset <= newest.offset
}

fn forward(channel: &Channel, query: HistoryQuery, now: Instant) -> HistoryPage {
    let view = channel.readable(now);
    let newest = channel.position().offset.0;
    let (first, recovered) = match query.since {
        None => (view.len().min(query.limit), true),
        Some(since) => match view.missed(since.offset) {
            Some(missed) if known(channel, since) => (missed, true),
            _ => (view.len(), false),
        },
    };
    let messages: Vec<_> = view.newest(first).take(query.limit).cloned().collect();
    let offset = newest - first as u64 + messages.len() as u64;
    HistoryPage {
        messages,
        position: channel.place(Offset(offset)),
        recovered,
    }
}

fn backward(channel: &Channel, query: HistoryQuery, now: Instant) -> HistoryPage {
    let newest = channel.position();
    let since = query.since.filter(|&since| known(channel, since));
    let end = since.map_or(newest.offset.next(), |since| since.offset);
    let view = channel.readable(now);
    let messages: Vec<Arc<EncodedMessage>> = view.before(end, query.limit).rev().cloned().collect();
    let last = messages.last().map(|last| last.message().offset);
    HistoryPage {
        position: last.map_or(since.unwrap_or(newest), |last| channel.place(last)),
        messages,
        recovered: since.is_some() == query.since.is_some(),
    }
}
