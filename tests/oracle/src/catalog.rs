//! Everything that was published in a run, and what the broker answered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use crate::log::{Heard, Told};
use crate::payload::Shown;
use crate::place::Place;

/// A publication, before and while it is published.
#[derive(Debug)]
pub struct Publication {
    /// Its id, which is in its data.
    pub id: String,
    /// The channel.
    pub channel: String,
    /// The sender key it is published with.
    pub sender: Option<String>,
    /// Whether it has an idempotency key; that is its id.
    pub keyed: bool,
    /// The name of its event.
    pub event: Option<String>,
    /// The data.
    pub data: Value,
    outcome: Mutex<Outcome>,
}

/// What became of the attempts to publish.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Where each attempt was made: attempts on one lane are carried out one after the other.
    pub attempts: Vec<String>,
    /// The answers that accepted it.
    pub acks: Vec<Ack>,
    /// How many attempts the broker has refused, so that they published nothing.
    pub refusals: usize,
    /// How many attempts the broker's engine has not answered, so that nobody knows whether they published it.
    pub open: usize,
}

/// An answer that accepted a publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// Where it is.
    pub place: Place,
    /// Whether the broker knew its idempotency key.
    pub duplicate: bool,
    /// The number of the attempt that was answered, from 1.
    pub attempt: usize,
}

/// What the oracle judges of a publication.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its id.
    pub id: String,
    /// Its channel.
    pub channel: String,
    /// The sender key.
    pub sender: Option<String>,
    /// Whether it has an idempotency key.
    pub keyed: bool,
    /// The length of its data as JSON.
    pub bytes: usize,
    /// What became of it.
    pub outcome: Outcome,
}

/// What is to be published.
#[derive(Debug)]
pub struct Draft {
    /// The id, the channel and the data.
    pub id: String,
    /// The channel.
    pub channel: String,
    /// The data.
    pub data: Value,
    /// The sender key.
    pub sender: Option<String>,
    /// Whether it has an idempotency key.
    pub keyed: bool,
    /// The name of its event.
    pub event: Option<String>,
}

/// All publications of a run.
#[derive(Debug, Default)]
pub struct Catalog {
    publications: Mutex<HashMap<String, Arc<Publication>>>,
    strange: Mutex<Vec<String>>,
}

impl Catalog {
    /// Enters what is about to be published.
    pub fn enter(&self, draft: Draft) -> Arc<Publication> {
        let publication = Arc::new(Publication {
            id: draft.id,
            channel: draft.channel,
            sender: draft.sender,
            keyed: draft.keyed,
            event: draft.event,
            data: draft.data,
            outcome: Mutex::default(),
        });
        let mut publications = self.lock();
        publications.insert(publication.id.clone(), Arc::clone(&publication));
        publication
    }

    /// What a subscriber was told with a message that its transport shows so; `place` gives the place in a channel.
    pub fn heard(
        &self,
        shown: &Shown,
        event: Option<&str>,
        place: impl FnOnce(&str) -> Option<Place>,
    ) -> Told {
        let publication = shown.id().and_then(|id| self.lock().get(&id).cloned());
        let Some(publication) = publication else {
            return Told::Strange(format!("a message that nobody published: {shown:.300?}"));
        };
        let differs = shown.difference(&publication.data).or_else(|| {
            let expected = publication.event.as_deref();
            (event != expected).then(|| format!("its event is {event:?}, not {expected:?}"))
        });
        Told::Heard(Heard {
            place: place(&publication.channel),
            at_most: false,
            id: publication.id.clone(),
            channel: publication.channel.clone(),
            differs,
        })
    }

    /// The event that was published with the data, for transports that do not show it.
    pub fn event_of(&self, shown: &Shown) -> Option<String> {
        let publication = self.lock().get(&shown.id()?).cloned();
        publication?.event.clone()
    }

    /// Writes down an answer to a publisher that the protocol does not have.
    pub fn strange(&self, what: String) {
        let mut strange = self.strange.lock().unwrap_or_else(PoisonError::into_inner);
        strange.push(what);
    }

    /// All such answers.
    pub fn all_strange(&self) -> Vec<String> {
        let strange = self.strange.lock().unwrap_or_else(PoisonError::into_inner);
        strange.clone()
    }

    /// Everything, as the oracle judges it.
    pub fn records(&self) -> Vec<Record> {
        let publications: Vec<_> = self.lock().values().cloned().collect();
        let record = |publication: &Arc<Publication>| Record {
            id: publication.id.clone(),
            channel: publication.channel.clone(),
            sender: publication.sender.clone(),
            keyed: publication.keyed,
            bytes: publication.data.to_string().len(),
            outcome: publication.outcome().clone(),
        };
        publications.iter().map(record).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Publication>>> {
        let locked = self.publications.lock();
        locked.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Publication {
    /// An attempt is made on the lane; gives its number.
    pub fn attempt(&self, lane: &str) -> usize {
        let mut outcome = self.outcome();
        outcome.attempts.push(lane.to_owned());
        outcome.attempts.len()
    }

    /// An attempt was accepted.
    pub fn accepted(&self, attempt: usize, place: Place, duplicate: bool) {
        self.outcome().acks.push(Ack {
            place,
            duplicate,
            attempt,
        });
    }

    /// An attempt was refused with this error: it has published nothing, unless the engine did not answer.
    pub fn refused(&self, error: &Value) {
        if error["code"] == "engine_unavailable" {
            self.outcome().open += 1;
        } else {
            self.outcome().refusals += 1;
        }
    }

    fn outcome(&self) -> std::sync::MutexGuard<'_, Outcome> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
