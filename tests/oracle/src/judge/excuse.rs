//! What a gap excuses whose end was not told with it: an answer to a poll says that there is a gap, and its cursor where it ends.

use crate::place::Place;

/// Where a gap is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GapIn {
    /// In this channel.
    This { on_resume: bool },
    /// In this channel or in another one.
    ThisOrAnother,
}

/// A gap whose end is not known yet.
#[derive(Debug)]
pub(super) struct Excuse {
    gap_in: GapIn,
    /// Whether messages were heard since. An answer with a gap has those that came behind the gap, too: with the last of them the
    /// place is past the gap before a cursor tells its end.
    has_heard: bool,
    /// What was passed over between these messages.
    skipped: Vec<(Place, Place)>,
}

impl Excuse {
    /// A gap, perhaps behind one whose end is not known yet, either.
    pub(super) fn of(gap_in: GapIn, before: Option<Self>) -> Self {
        match before {
            Some(before) => Self { gap_in, ..before },
            None => Self {
                gap_in,
                has_heard: false,
                skipped: Vec::new(),
            },
        }
    }

    pub(super) fn gap_in(&self) -> GapIn {
        self.gap_in
    }

    /// A message was heard at `place`, and up to `before` everything had been.
    pub(super) fn hear(&mut self, before: &Place, place: &Place) {
        self.has_heard = true;
        if *place != before.behind(1) {
            let last = Place::new(&place.epoch, place.offset.saturating_sub(1));
            self.skipped.push((before.clone(), last));
        }
    }

    /// What was passed over: each time the place before it, and that of its last message.
    pub(super) fn skipped(&self) -> &[(Place, Place)] {
        &self.skipped
    }

    /// Whether nothing has been heard that could lie behind the gap, which is in this channel for certain.
    pub(super) fn is_open(&self) -> bool {
        self.gap_in != GapIn::ThisOrAnother && !self.has_heard
    }
}
