//! The messages that a session has published in a channel, which it does not hear.

use widecast_protocol::{Epoch, Offset, Position};

/// The newest of the session's own messages that follow one another without others between them. Older ones need not be kept: the message
/// of somebody else that comes behind them has a place of its own.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct OwnMessages(Option<Run>);

/// Offsets without holes.
#[derive(Debug, Clone, Copy)]
struct Run {
    epoch: Epoch,
    first: Offset,
    last: Offset,
}

impl OwnMessages {
    /// The broker has given the newest message its place.
    pub(super) fn add(&mut self, position: Position) {
        let Position { epoch, offset } = position;
        let first = match self.0 {
            Some(run) if run.epoch == epoch && run.last.0.checked_add(1) == Some(offset.0) => {
                run.first
            }
            _ => offset,
        };
        self.0 = Some(Run {
            epoch,
            first,
            last: offset,
        });
    }

    /// The place behind them of a session that has heard everything up to `place`, if only they follow it.
    pub(super) fn behind(&self, place: Position) -> Option<Position> {
        let run = self.0.filter(|run| run.epoch == place.epoch)?;
        let follow = place.offset < run.last && run.first.0 <= place.offset.0.saturating_add(1);
        follow.then_some(Position {
            offset: run.last,
            ..place
        })
    }
}
