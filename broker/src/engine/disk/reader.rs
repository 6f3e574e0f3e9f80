//! What is read from the disk, because the memory does not reach back so far.

use std::ops::RangeInclusive;
use widecast_protocol::{ChannelName, Offset, Position};

use super::channel_record::ChannelRecord;
use super::shared::{Settled, Shared};
use super::upkeep::first_readable;
use super::view::{Direction, StoreView};
use crate::engine::{
    ChannelInfo, ChannelQuery, EngineError, HistoryOrder, HistoryPage, HistoryQuery, Portion,
    Replay, Stored,
};

/// How many channels are read at once.
const PAGE: usize = 1024;

/// A channel whose messages are read, at a moment at which all of them had been handed over.
struct Messages<'a> {
    view: StoreView,
    name: &'a ChannelName,
    end: Position,
    first: Offset,
}

impl<'a> Messages<'a> {
    fn of(shared: &Shared, name: &'a ChannelName) -> Result<Self, EngineError> {
        let Settled { view, record, end } = shared.settled(name)?;
        let record = record.filter(|record| record.epoch == end.epoch);
        let first = match record {
            Some(record) => first_readable(&view, name, &record, shared.clock.wall_ms())?,
            None => end.offset.next(),
        };
        Ok(Self {
            view,
            name,
            end,
            first,
        })
    }

    /// How many messages can be read.
    fn len(&self) -> u64 {
        (self.end.offset.0 + 1).saturating_sub(self.first.0)
    }

    /// Reads messages for as long as `fits` says so.
    fn read(
        &self,
        offsets: RangeInclusive<Offset>,
        direction: Direction,
        mut fits: impl FnMut(&[Stored]) -> bool,
    ) -> Result<Vec<Stored>, EngineError> {
        let mut stored = Vec::new();
        if !fits(&stored) {
            return Ok(stored);
        }
        self.view
            .messages(self.name, offsets, direction, |offset, record| {
                let position = self.place(offset);
                stored.push(Stored::read(record, self.name, position, None));
                Ok(fits(&stored))
            })?;
        Ok(stored)
    }

    fn place(&self, offset: Offset) -> Position {
        Position { offset, ..self.end }
    }
}

/// A portion of what comes after `since`, or that it cannot be given.
pub(super) fn replay(
    shared: &Shared,
    name: &ChannelName,
    since: Position,
    portion: Portion,
) -> Result<Replay, EngineError> {
    let found = Messages::of(shared, name)?;
    let (end, first) = (found.end, since.offset.next());
    let nothing = |recovered: bool, position: Position| Replay {
        messages: Vec::new(),
        recovered,
        position,
        complete: position == end,
    };
    if since.epoch != end.epoch || since.offset > end.offset || first < found.first {
        return Ok(nothing(false, end));
    }
    if !portion.asks_for_messages() {
        return Ok(nothing(true, since));
    }
    let mut bytes = 0;
    let stored = found.read(first..=end.offset, Direction::Forward, |read| {
        let last = read.last().and_then(Stored::message);
        bytes += last.map_or(0, |last| last.weight_bytes() as u64);
        read.len() < portion.messages && bytes < portion.bytes
    })?;
    Ok(Replay::of_stored(since, stored, end))
}

/// One page of the history of a channel.
pub(super) fn page(
    shared: &Shared,
    name: &ChannelName,
    query: HistoryQuery,
) -> Result<HistoryPage, EngineError> {
    let found = Messages::of(shared, name)?;
    let end = found.end;
    let known = |since: &Position| since.epoch == end.epoch && since.offset <= end.offset;
    let since = query.since.filter(known);
    match query.order {
        HistoryOrder::OldestFirst => forward(&found, query, since),
        HistoryOrder::NewestFirst => backward(&found, query, since),
    }
}

fn forward(
    found: &Messages<'_>,
    query: HistoryQuery,
    since: Option<Position>,
) -> Result<HistoryPage, EngineError> {
    let after = since.map(|since| since.offset.next());
    let reaches_back = after.filter(|&after| after >= found.first);
    let (first, recovered) = match (query.since, reaches_back) {
        (None, _) => {
            let newest = found.len().min(query.limit as u64);
            (Offset(found.end.offset.0 + 1 - newest), true)
        }
        (Some(_), Some(after)) => (after, true),
        (Some(_), None) => (found.first, false),
    };
    let stored = found.read(first..=found.end.offset, Direction::Forward, |read| {
        read.len() < query.limit
    })?;
    let before = found.place(Offset(first.0.saturating_sub(1)));
    Ok(HistoryPage::of_stored(stored, recovered, before))
}

fn backward(
    found: &Messages<'_>,
    query: HistoryQuery,
    since: Option<Position>,
) -> Result<HistoryPage, EngineError> {
    let last = since.map_or(found.end.offset, |since| {
        Offset(since.offset.0.saturating_sub(1))
    });
    let stored = found.read(found.first..=last, Direction::Backward, |read| {
        read.len() < query.limit
    })?;
    let recovered = since.is_some() == query.since.is_some();
    Ok(HistoryPage::of_stored(
        stored,
        recovered,
        since.unwrap_or(found.end),
    ))
}

/// The channels on the disk that have messages and that the query asks for.
pub(super) fn channels(
    shared: &Shared,
    query: &ChannelQuery,
) -> Result<Vec<ChannelName>, EngineError> {
    let store = shared.store()?;
    let mut found = Vec::new();
    let mut after = query.after.clone();
    while found.len() < query.limit {
        let page = store.channels_from(&query.prefix, after.as_ref(), PAGE)?;
        let is_last = page.len() < PAGE;
        after = page.last().map(|(name, _)| name.clone());
        let goes_beyond = after
            .as_ref()
            .is_some_and(|name| !name.as_str().starts_with(&query.prefix));
        let asked_for = |(name, record): &(ChannelName, ChannelRecord)| {
            name.as_str().starts_with(&query.prefix) && record.messages() > 0
        };
        found.extend(page.into_iter().filter(asked_for).map(|(name, _)| name));
        if is_last || goes_beyond {
            break;
        }
    }
    found.truncate(query.limit);
    Ok(found)
}

/// What is held of a channel, of which the memory holds this.
pub(super) fn info(
    shared: &Shared,
    name: &ChannelName,
    held: Option<ChannelInfo>,
) -> Result<Option<ChannelInfo>, EngineError> {
    let view = shared.store()?.view();
    let Some(record) = view.channel(name)? else {
        return Ok(held);
    };
    let first = first_readable(&view, name, &record, shared.clock.wall_ms())?;
    let info = ChannelInfo {
        position: record.position(),
        history_messages: (record.newest.0 + 1).saturating_sub(first.0),
        history_bytes: record.bytes,
        members: 0,
    };
    Ok(Some(match held {
        None => info,
        Some(held) => ChannelInfo {
            history_messages: info.history_messages.max(held.history_messages),
            history_bytes: info.history_bytes.max(held.history_bytes),
            ..held
        },
    }))
}
