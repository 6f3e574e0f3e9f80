//! Which message is at which place, as the answers to publishers and all subscribers together say; and whether they agree.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::catalog::Record;
use crate::log::Told;
use crate::place::Place;

use super::{Case, Kind, Violation};

/// Which message is at which place.
#[derive(Debug, Default)]
pub(super) struct Truth<'a> {
    records: HashMap<&'a str, &'a Record>,
    channels: BTreeMap<&'a str, Epochs<'a>>,
    /// Per channel and epoch, the senders of messages that may be there although nobody has told their place.
    unplaced: BTreeMap<&'a str, BTreeMap<&'a str, Vec<Option<&'a str>>>>,
}

/// The messages of a channel by epoch and offset.
type Epochs<'a> = BTreeMap<&'a str, BTreeMap<u64, &'a str>>;

/// What is known of the message at a place.
#[derive(Debug, Clone, Copy)]
pub(super) enum AtPlace<'a> {
    Known(&'a Record),
    /// It may be one of the sender's, whose publisher was told no place.
    Unknown {
        perhaps_own: bool,
    },
}

impl<'a> Truth<'a> {
    /// Collects the places, and what contradicts itself on the way.
    pub(super) fn of(case: &'a Case) -> (Self, Vec<Violation>) {
        let records = case.records.iter();
        let mut truth = Self {
            records: records.map(|record| (&*record.id, record)).collect(),
            ..Self::default()
        };
        let mut violations = Vec::new();
        for record in &case.records {
            for ack in &record.outcome.acks {
                let claim = truth.claim(&record.channel, &ack.place, &record.id);
                violations.extend(claim.map(|what| violation(Kind::TwoAtOnePlace, what)));
            }
        }
        for (number, testimony) in case.testimonies.iter().enumerate() {
            for (entry, told) in testimony.entries.iter().enumerate() {
                let Told::Heard(heard) = &told.told else {
                    continue;
                };
                let place = heard.place.as_ref().filter(|_| !heard.at_most);
                let claim = place.and_then(|place| truth.claim(&heard.channel, place, &heard.id));
                violations.extend(claim.map(|what| Violation {
                    shown_by: Some((number, entry)),
                    ..violation(Kind::TwoAtOnePlace, format!("{}: {what}", testimony.name))
                }));
            }
        }
        truth.find_unplaced(case);
        violations.extend(truth.published_twice());
        violations.extend(truth.holes());
        violations.extend(truth.wrong_duplicates(case));
        violations.extend(truth.out_of_order());
        violations.extend(truth.epoch_changes(case));
        (truth, violations)
    }

    /// The publication of the id.
    pub(super) fn record(&self, id: &str) -> Option<&'a Record> {
        self.records.get(id).copied()
    }

    /// Where the message is in the epoch.
    pub(super) fn place_of(&self, channel: &str, epoch: &str, id: &str) -> Option<Place> {
        let messages = self.channels.get(channel)?.get(epoch)?;
        let (offset, _) = messages.iter().find(|&(_, there)| *there == id)?;
        Some(Place::new(epoch, *offset))
    }

    /// What is at the place, seen by who has the sender key.
    pub(super) fn at(&self, channel: &str, place: &Place, sender: Option<&str>) -> AtPlace<'a> {
        let epoch = self.channels.get(channel);
        let epoch = epoch.and_then(|epochs| epochs.get(&*place.epoch));
        let id = epoch.and_then(|epoch| epoch.get(&place.offset));
        match id.and_then(|id| self.record(id)) {
            Some(record) => AtPlace::Known(record),
            None => AtPlace::Unknown {
                perhaps_own: sender.is_some()
                    && self.unplaced(channel, &place.epoch).contains(&sender),
            },
        }
    }

    /// Enters what is at a place; says what is wrong when something else is there already.
    fn claim(&mut self, channel: &'a str, place: &'a Place, id: &'a str) -> Option<String> {
        let epochs = self.channels.entry(channel).or_default();
        let epoch = epochs.entry(&place.epoch).or_default();
        let there = *epoch.entry(place.offset).or_insert(id);
        (there != id).then(|| format!("{channel} has both {there} and {id} at {place}"))
    }

    /// A message may be anywhere in its channel if one of its attempts was not answered: an answer is lost with the
    /// connection, and what was published in one epoch can be published again in the next one. A broker that repeats does so with
    /// what it answers in the end, too.
    fn find_unplaced(&mut self, case: &Case) {
        let unanswered = self.records.values().filter(|record| {
            let outcome = &record.outcome;
            outcome.attempts.len() > outcome.acks.len() + outcome.refusals
                || case.repeats && record.keyed
        });
        for record in unanswered {
            let Some((channel, epochs)) = self.channels.get_key_value(&*record.channel) else {
                continue;
            };
            for (epoch, messages) in epochs {
                if !messages.values().any(|id| *id == record.id) {
                    let there = self.unplaced.entry(channel).or_default();
                    let there = there.entry(epoch).or_default();
                    there.push(record.sender.as_deref());
                }
            }
        }
    }

    fn unplaced(&self, channel: &str, epoch: &str) -> &[Option<&'a str>] {
        let epochs = self.unplaced.get(channel);
        let unplaced = epochs.and_then(|epochs| epochs.get(epoch));
        unplaced.map_or(&[], Vec::as_slice)
    }

    fn published_twice(&self) -> Vec<Violation> {
        let mut violations = Vec::new();
        for (channel, epochs) in &self.channels {
            for (epoch, messages) in epochs {
                let mut seen = HashMap::new();
                for (offset, id) in messages {
                    if let Some(first) = seen.insert(id, offset) {
                        let what = format!("{channel} has {id} at {epoch}-{first} and -{offset}");
                        violations.push(violation(Kind::PublishedTwice, what));
                    }
                }
            }
        }
        violations
    }

    fn holes(&self) -> Vec<Violation> {
        let mut violations = Vec::new();
        for (channel, epochs) in &self.channels {
            for (epoch, messages) in epochs {
                let last = messages.keys().next_back().copied().unwrap_or_default();
                let missing = (1..=last).filter(|offset| !messages.contains_key(offset));
                let missing: Vec<_> = missing.collect();
                // Whose answer was lost may have been published, and been heard by nobody but its sender.
                if missing.len() > self.unplaced(channel, epoch).len() {
                    let what = format!("{channel} has nothing at {epoch}: {missing:?}");
                    violations.push(violation(Kind::Hole, what));
                }
            }
        }
        violations
    }

    fn wrong_duplicates(&self, case: &Case) -> Vec<Violation> {
        let mut violations = Vec::new();
        for record in self.records.values() {
            let mut epochs = HashSet::new();
            for ack in &record.outcome.acks {
                let first_here = epochs.insert(&ack.place.epoch);
                let known_at_once = ack.attempt == 1 && ack.duplicate;
                if (known_at_once && !case.repeats) || (!first_here && !ack.duplicate) {
                    let what = format!("{}: {:?}", record.id, record.outcome);
                    violations.push(violation(Kind::WrongDuplicate, what));
                }
            }
        }
        violations
    }

    fn out_of_order(&self) -> Vec<Violation> {
        let mut violations = Vec::new();
        for (channel, epochs) in &self.channels {
            for (epoch, messages) in epochs {
                let mut lanes: HashMap<&str, u64> = HashMap::new();
                let mut seen = HashSet::new();
                for (offset, id) in messages {
                    let record = self.record(id).filter(|record| keeps_order(record));
                    let record = record.filter(|record| seen.insert(&record.id));
                    let Some((record, number)) = record.zip(number_of(id)) else {
                        continue;
                    };
                    let last = lanes.entry(&record.outcome.attempts[0]).or_insert(number);
                    if number < *last {
                        let what = format!("{channel} has {id} at {epoch}-{offset} behind {last}");
                        violations.push(violation(Kind::OutOfOrder, what));
                    }
                    *last = number.max(*last);
                }
            }
        }
        violations
    }

    fn epoch_changes(&self, case: &Case) -> Vec<Violation> {
        let mut violations = Vec::new();
        for (channel, epochs) in &self.channels {
            let keeps = case.rules.get(*channel);
            let keeps = keeps.is_some_and(|rules| rules.history_messages > 0);
            if keeps && epochs.len() > case.losses + 1 {
                let epochs: Vec<_> = epochs.keys().collect();
                let what = format!("{channel}: {epochs:?} after {} losses", case.losses);
                violations.push(violation(Kind::EpochChanged, what));
            }
        }
        violations
    }
}

/// Whether its place tells when it was sent: one attempt, either answered or on a connection with others. What may still be on its
/// way to the engine can come later than what was sent after it.
fn keeps_order(record: &Record) -> bool {
    let [lane] = &*record.outcome.attempts else {
        return false;
    };
    if record.outcome.open > 0 {
        return false;
    }
    lane.contains('#') || !record.outcome.acks.is_empty()
}

/// The number in an id such as `p3-17`.
fn number_of(id: &str) -> Option<u64> {
    id.rsplit_once('-')?.1.parse().ok()
}

fn violation(kind: Kind, what: String) -> Violation {
    Violation {
        kind,
        what,
        shown_by: None,
    }
}
