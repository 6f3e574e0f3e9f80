//! One subscriber's testimony, read from its beginning: where it is in each channel, and what it has been told of.

use std::collections::{BTreeMap, HashSet};

use crate::log::{Heard, Told};
use crate::place::{Place, Places};

use super::excuse::{Excuse, GapIn};
use super::truth::{AtPlace, Truth};
use super::{Case, Kind, Testimony, Violation};

/// What the history counts for a message beside its data, and how often its data at the most: once for each form.
const OVERHEAD: u64 = 2048;
const FORMS: u64 = 4;

/// Reads a testimony.
pub(super) struct Hearing<'a> {
    case: &'a Case,
    truth: &'a Truth<'a>,
    testimony: &'a Testimony,
    number: usize,
    entry: usize,
    channels: BTreeMap<&'a str, Reader>,
    violations: Vec<Violation>,
}

/// Where the subscriber is in one channel.
#[derive(Debug, Default)]
struct Reader {
    /// Everything up to here was heard or told of; unknown before the first cursor.
    place: Option<Place>,
    /// Told of a gap whose end the next cursor says.
    excused: Option<Excuse>,
    left: bool,
    /// Was given a cursor that is ahead: what is told next is late, not needless.
    ahead: bool,
    /// What it has heard.
    heard: HashSet<Place>,
}

impl Reader {
    /// A gap was told without its end.
    fn excuse(&mut self, gap_in: GapIn) {
        self.excused = Some(Excuse::of(gap_in, self.excused.take()));
    }

    /// What has been passed over when a cursor stands at `place`.
    fn skipped_upto(&self, place: &Place) -> Vec<(Place, Place)> {
        let between = self.excused.iter().flat_map(Excuse::skipped);
        let last = self.place.iter().map(|at| (at.clone(), place.clone()));
        between.cloned().chain(last).collect()
    }
}

impl<'a> Hearing<'a> {
    /// The promises that were broken to one subscriber.
    pub(super) fn of(case: &'a Case, truth: &'a Truth<'a>, number: usize) -> Vec<Violation> {
        let testimony = &case.testimonies[number];
        let channels = testimony.channels.iter();
        let mut it = Self {
            case,
            truth,
            testimony,
            number,
            entry: 0,
            channels: channels.map(|name| (&**name, Reader::default())).collect(),
            violations: Vec::new(),
        };
        for (entry, told) in testimony.entries.iter().enumerate() {
            it.entry = entry;
            it.told(&told.told);
        }
        it.end();
        it.violations
    }

    fn told(&mut self, told: &Told) {
        match told {
            Told::Asked { from, .. } => self.asked(from.as_ref()),
            Told::Ended(_) => {}
            Told::Heard(heard) => self.heard(heard),
            Told::Given { by, places } => self.given(by, places),
            Told::Gap {
                channel: Some(channel),
                upto,
                on_resume,
            } => self.gap(channel, upto.as_ref(), *on_resume),
            Told::Gap { channel: None, .. } => {
                for reader in self.channels.values_mut() {
                    reader.excuse(GapIn::ThisOrAnother);
                }
            }
            Told::Left(channel) => {
                if let Some(reader) = self.channels.get_mut(&**channel) {
                    reader.left = true;
                }
            }
            Told::Strange(what) => self.violated(Kind::Strange, what),
        }
    }

    /// A client resumes from what it may resume from, which can lie before a gap that it was told.
    fn asked(&mut self, from: Option<&Places>) {
        for (channel, from) in from.into_iter().flatten() {
            let Some(reader) = self.channels.get_mut(&**channel) else {
                continue;
            };
            // What a gap without an end excused is told again.
            reader.excused = None;
            if reader.place.as_ref().is_some_and(|it| !from.reaches(it)) {
                reader.place = Some(from.clone());
            }
        }
    }

    fn heard(&mut self, heard: &Heard) {
        let (id, channel) = (&heard.id, &heard.channel);
        if let Some(differs) = &heard.differs {
            self.violated(Kind::Differs, &format!("{id}: {differs}"));
        }
        if let Some(record) = self.truth.record(id) {
            if self.is_own(record.sender.as_deref()) {
                self.violated(Kind::HeardOwn, &format!("{id} on {channel}"));
            }
            if record.outcome.refusals == record.outcome.attempts.len() {
                self.violated(Kind::HeardRefused, &format!("{id} on {channel}"));
            }
        }
        let Some(reader) = self.channels.get_mut(&**channel) else {
            let what = format!("{id} on {channel}, which was not subscribed to");
            return self.violated(Kind::Strange, &what);
        };
        if reader.left {
            self.violated(Kind::HeardAfterLeaving, &format!("{id} on {channel}"));
        } else if let Some(place) = &heard.place {
            let exact = heard
                .at_most
                .then(|| self.truth.place_of(channel, &place.epoch, id));
            match exact.flatten().filter(|exact| place.reaches(exact)) {
                Some(exact) => self.heard_at(channel, &exact, id),
                None => self.heard_at(channel, place, id),
            }
        }
    }

    fn heard_at(&mut self, channel: &str, place: &Place, id: &str) {
        let Some(reader) = self.channels.get_mut(channel) else {
            return;
        };
        let again = !reader.heard.insert(place.clone());
        let before = reader.place.clone();
        if again {
            self.violated(Kind::Again, &format!("{id} at {place} of {channel}"));
        } else if let Some(before) = before {
            if before.reaches(place) {
                let what = format!("{id} at {place} of {channel}, already at {before}");
                return self.violated(Kind::Again, &what);
            }
            if let Some(excuse) = &mut reader.excused {
                excuse.hear(&before, place);
            } else if let Some(lost) = self.missing(channel, &before, place, id) {
                let what = format!("of {channel} between {before} and {place}: {lost}");
                self.violated(Kind::Lost, &what);
            }
        }
        self.moved(channel, place);
        self.is_ahead(channel, false);
    }

    fn given(&mut self, by: &str, places: &Places) {
        self.judge_vague_gap(places);
        for (channel, place) in places {
            let Some(reader) = self.channels.get_mut(&**channel) else {
                continue;
            };
            if by == "subscribed" {
                reader.left = false;
            }
            let moves = reader.place.as_ref() != Some(place);
            if !moves && reader.excused.as_ref().is_some_and(Excuse::is_open) {
                // The end of the gap is still to come.
                continue;
            }
            let skipped = reader.skipped_upto(place);
            let excuse = reader.excused.take();
            let Some(before) = reader.place.clone() else {
                self.moved(channel, place);
                continue;
            };
            if let Some(GapIn::This { on_resume }) = excuse.as_ref().map(Excuse::gap_in) {
                self.judge_need(channel, &skipped, on_resume);
            }
            if before != *place && before.reaches(place) {
                if let Some(heard) = self.missing(channel, place, &before.behind(1), "") {
                    let what = format!("of {channel} at {place}, already at {before}: {heard}");
                    self.violated(Kind::CursorBehind, &format!("({by}) {what}"));
                }
                continue;
            }
            if excuse.is_none()
                && *place != before
                && let Some(lost) = self.missing(channel, &before, &place.behind(1), "")
            {
                let what = format!("of {channel} at {place}, told only up to {before}: {lost}");
                self.violated(Kind::CursorAhead, &format!("({by}) {what}"));
                self.moved(channel, place);
                self.is_ahead(channel, true);
                continue;
            }
            self.moved(channel, place);
        }
    }

    fn gap(&mut self, channel: &str, upto: Option<&Place>, on_resume: bool) {
        let Some(reader) = self.channels.get_mut(channel) else {
            let what = format!("a gap in {channel}, which was not subscribed to");
            return self.violated(Kind::Strange, &what);
        };
        let before = reader.place.clone();
        let Some(upto) = upto else {
            reader.excuse(GapIn::This { on_resume });
            return;
        };
        if let Some(before) = before {
            if before != *upto && before.reaches(upto) {
                let what = format!("(gap) of {channel} at {upto}, already at {before}");
                return self.violated(Kind::CursorBehind, &what);
            }
            self.judge_need(channel, &[(before, upto.clone())], on_resume);
        }
        self.moved(channel, upto);
    }

    fn end(&mut self) {
        self.entry = self.testimony.entries.len().saturating_sub(1);
        for (channel, end) in &self.case.ends {
            let Some(reader) = self.channels.get(&**channel) else {
                continue;
            };
            let at = reader.place.as_ref();
            if !reader.left && !at.is_some_and(|place| place.reaches(end)) {
                let at = at.map_or_else(|| "nowhere".to_owned(), ToString::to_string);
                let what = format!("{channel} ends at {end}, it is at {at}");
                self.violated(Kind::NotCaughtUp, &what);
            }
        }
    }

    /// A gap in some channel, and the cursor behind it: needless when it is so in every channel.
    fn judge_vague_gap(&mut self, places: &Places) {
        let vague = |excuse: &Excuse| excuse.gap_in() == GapIn::ThisOrAnother;
        let mut excuses = self.channels.values().filter_map(|it| it.excused.as_ref());
        if !excuses.any(vague) {
            return;
        }
        let needless = self.channels.iter().all(|(channel, reader)| {
            let (Some(_), Some(upto)) = (&reader.place, places.get(*channel)) else {
                return false;
            };
            !reader.ahead && self.history_had_all(channel, &reader.skipped_upto(upto))
        });
        if needless {
            let what = "in some channel, and the history had everything of each";
            self.violated(Kind::NeedlessGap, what);
        }
    }

    /// A gap that covers what was skipped.
    fn judge_need(&mut self, channel: &str, skipped: &[(Place, Place)], on_resume: bool) {
        let drops = self.case.rules.get(channel).is_none_or(|it| it.drops);
        let ahead = self.channels.get(channel).is_none_or(|it| it.ahead);
        if (on_resume || !drops) && !ahead && self.history_had_all(channel, skipped) {
            let skipped = skipped
                .iter()
                .map(|(from, to)| format!("from {from} to {to}"));
            let skipped = skipped.collect::<Vec<_>>().join(", ");
            let what = format!("{channel} {skipped}: the history had everything");
            self.violated(Kind::NeedlessGap, &what);
        }
    }

    fn history_had_all(&self, channel: &str, skipped: &[(Place, Place)]) -> bool {
        let mut skipped = skipped.iter();
        skipped.all(|(from, to)| self.history_had(channel, from, to))
    }

    /// Whether the history certainly had everything between the places when the channel ended at the later one.
    fn history_had(&self, channel: &str, from: &Place, to: &Place) -> bool {
        let Some(rules) = self.case.rules.get(channel) else {
            return false;
        };
        let messages = to.offset.saturating_sub(from.offset);
        if from.epoch != to.epoch || messages > rules.history_messages || rules.evicted {
            return false;
        }
        let mut bytes = 0;
        for offset in from.offset + 1..=to.offset {
            match self.truth.at(channel, &Place::new(&to.epoch, offset), None) {
                AtPlace::Known(record) => bytes += record.bytes as u64 * FORMS + OVERHEAD,
                AtPlace::Unknown { .. } => return false,
            }
        }
        bytes <= rules.history_bytes
    }

    /// What is between the places, both excluded, that this subscriber should have heard.
    fn missing(&self, channel: &str, from: &Place, to: &Place, id: &str) -> Option<String> {
        if from.epoch != to.epoch {
            return Some(format!("the epoch changed and no gap was told {id}"));
        }
        let sender = self.sender();
        let mut missing = Vec::new();
        for offset in from.offset + 1..to.offset {
            match self
                .truth
                .at(channel, &Place::new(&to.epoch, offset), sender)
            {
                AtPlace::Known(record) if self.is_own(record.sender.as_deref()) => {}
                AtPlace::Known(record) => missing.push(format!("{offset} ({})", record.id)),
                AtPlace::Unknown { perhaps_own: true } => {}
                AtPlace::Unknown { perhaps_own: false } => missing.push(offset.to_string()),
            }
        }
        (!missing.is_empty()).then(|| missing.join(", "))
    }

    fn moved(&mut self, channel: &str, place: &Place) {
        if let Some(reader) = self.channels.get_mut(channel) {
            reader.place = Some(place.clone());
        }
    }

    fn is_ahead(&mut self, channel: &str, ahead: bool) {
        if let Some(reader) = self.channels.get_mut(channel) {
            reader.ahead = ahead;
        }
    }

    /// The key with which it does not hear what is published.
    fn sender(&self) -> Option<&'a str> {
        let key = self.testimony.sender.as_deref();
        key.filter(|_| !self.testimony.echo)
    }

    fn is_own(&self, sender: Option<&str>) -> bool {
        sender.is_some() && sender == self.sender()
    }

    fn violated(&mut self, kind: Kind, what: &str) {
        self.violations.push(Violation {
            kind,
            what: format!("{}: {what}", self.testimony.name),
            shown_by: Some((self.number, self.entry)),
        });
    }
}
