//! What every engine has to do, whatever it keeps its state in. An engine's tests run all of it with
//! [`conformance_tests`], on a [`Stage`] of their own.

mod announcements;
mod history;
mod log;
mod members;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use widecast_protocol::{ChannelName, EncodedMessage, Offset, Origin, Payload, Position};

use super::{
    Deliver, Engine, HistoryLimits, NumberedChange, Portion, PresenceChange, Publication, Replay,
};

/// More than any test publishes.
pub(super) const ALL: Portion = Portion {
    messages: usize::MAX,
    bytes: u64::MAX,
};

/// The grace time of members and the idempotency window on a stage, and how long an unused channel is remembered.
pub(super) const PRESENCE_GRACE: Duration = Duration::from_secs(5);
pub(super) const IDEMPOTENCY_WINDOW: Duration = Duration::from_mins(5);
pub(super) const IDLE_GRACE: Duration = Duration::from_mins(5);

/// An engine with everything around it.
pub(super) trait Stage {
    /// The engine, new.
    fn engine(&self) -> &dyn Engine;
    /// What it has delivered.
    fn heard(&self) -> &Heard;
    /// Time passes, and the engine does what was due.
    fn pass(&self, time: Duration) -> BoxFuture<'_, ()>;
    /// What is on its way arrives, and what was lost there is told.
    fn settle(&self) {}
}

/// One thing that a node was told of a channel.
#[derive(Debug, Clone)]
pub(super) enum Told {
    Message(Arc<EncodedMessage>),
    Lost(ChannelName),
}

impl Told {
    fn channel(&self) -> &ChannelName {
        match self {
            Self::Message(message) => &message.message().channel,
            Self::Lost(channel) => channel,
        }
    }
}

/// Remembers what was delivered.
#[derive(Debug, Default)]
pub(super) struct Heard {
    told: Mutex<Vec<Told>>,
    changes: Mutex<Vec<NumberedChange>>,
}

impl Heard {
    pub(super) fn messages(&self) -> Vec<Arc<EncodedMessage>> {
        let told = self.told.lock().unwrap();
        let messages = told.iter().filter_map(|told| match told {
            Told::Message(message) => Some(Arc::clone(message)),
            Told::Lost(_) => None,
        });
        messages.collect()
    }

    /// What was told of a channel.
    fn told_of(&self, channel: &ChannelName) -> Vec<Told> {
        let told = self.told.lock().unwrap();
        let of_it = told.iter().filter(|told| told.channel() == channel);
        of_it.cloned().collect()
    }

    /// The changes of members since the last call.
    fn take_changes(&self) -> Vec<PresenceChange> {
        let numbered = std::mem::take(&mut *self.changes.lock().unwrap());
        numbered.into_iter().map(|one| one.change).collect()
    }

    /// The number of the newest change since the last call of [`Heard::take_changes`].
    fn newest_change(&self) -> Option<u64> {
        let changes = self.changes.lock().unwrap();
        changes.last().map(|newest| newest.number)
    }
}

impl Deliver for Heard {
    fn deliver(&self, message: Arc<EncodedMessage>) -> u64 {
        self.told.lock().unwrap().push(Told::Message(message));
        1
    }

    fn presence(&self, _: &ChannelName, change: NumberedChange) {
        self.changes.lock().unwrap().push(change);
    }

    fn lost(&self, channel: &ChannelName) {
        self.told.lock().unwrap().push(Told::Lost(channel.clone()));
    }
}

pub(super) fn name(text: &str) -> ChannelName {
    ChannelName::parse(text).unwrap()
}

pub(super) fn publication(channel: &str, text: &str) -> Publication {
    Publication {
        channel: name(channel),
        payload: Payload::text(text),
        event: None,
        origin: Origin::unknown(),
        sender: None,
        idempotency_key: None,
        id: None,
        history: HistoryLimits::default(),
    }
}

/// An engine of several nodes delivers here only what somebody here hears.
async fn listen(stage: &dyn Stage, channel: &str) {
    let channel = name(channel);
    stage.engine().interested(&channel).await.unwrap();
}

async fn publish(stage: &dyn Stage, channel: &str, texts: &[&str]) {
    for text in texts {
        let publication = publication(channel, text);
        stage.engine().publish(publication).await.unwrap();
    }
}

async fn position(stage: &dyn Stage, channel: &str) -> Position {
    let (channel, limits) = (name(channel), HistoryLimits::default());
    let position = stage.engine().position(&channel, limits).await;
    position.unwrap()
}

pub(super) fn texts(messages: &[Arc<EncodedMessage>]) -> Vec<&str> {
    let texts = messages.iter().map(|message| {
        let bytes = message.message().payload.bytes();
        std::str::from_utf8(bytes).unwrap()
    });
    texts.collect()
}

fn at(position: Position, offset: u64) -> Position {
    let offset = Offset(offset);
    Position { offset, ..position }
}

async fn assert_replay(stage: &dyn Stage, since: Position, expected: Option<&[&str]>) {
    let replay = all(stage, since).await;
    let found = replay.recovered.then(|| texts(&replay.messages));
    assert_eq!(found.as_deref(), expected);
    assert!(replay.recovered || replay.messages.is_empty());
    assert!(replay.complete);
    assert_eq!(replay.position, position(stage, "news").await);
}
/// Everything after a position, in one portion.
async fn all(stage: &dyn Stage, since: Position) -> Replay {
    let news = name("news");
    stage.engine().replay(&news, since, ALL).await.unwrap()
}

pub(super) use announcements::{
    announced, announcement, announcements_are_kept_until_their_time,
    many_announcements_are_all_read, the_newest_announcement_of_a_key_counts,
};
pub(super) use history::{
    a_page_with_a_gap_starts_with_what_is_held, history_is_read_in_pages_in_both_directions,
};
pub(super) use log::{
    a_channel_with_subscribers_keeps_its_epoch, a_repetition_within_the_window_is_published_once,
    a_replay_beyond_the_history_is_a_gap, a_replay_is_everything_after_the_position,
    a_replay_is_read_in_portions, an_unused_channel_is_remembered_for_the_grace_time,
    each_channel_has_its_own_offsets_and_epoch, everything_is_delivered_or_told_as_lost,
    expired_messages_are_gone, offsets_count_from_one_without_holes,
    several_messages_of_a_channel_are_published_in_their_order, what_cannot_be_replayed_is_told,
    what_was_published_is_what_is_delivered_and_replayed,
    without_history_only_the_present_can_be_resumed,
};
pub(super) use members::{
    EVERYBODY, changed_data_is_told, channels_in_use_are_listed_in_pages,
    members_join_once_and_leave_after_the_grace_time, what_is_held_of_a_channel_can_be_asked,
};

/// Runs the whole of this module on the stages that `$stage` makes: each check as a test of its own, or with `together` one after the
/// other, where a test has something that stages share. With `lossy` it leaves out the three checks that expect each message to be
/// delivered at once and once, which an engine owes nobody whose messages are lost on their way; what it does owe is still checked.
macro_rules! conformance_tests {
    (apart; $stage:expr; $($name:ident),+ $(,)?) => {
        $(
            #[tokio::test]
            async fn $name() {
                crate::engine::conformance::$name(&$stage).await;
            }
        )+
    };
    (together; $stage:expr; $($name:ident),+ $(,)?) => {
        $(
            // Shown when it fails.
            println!("{}", stringify!($name));
            crate::engine::conformance::$name(&$stage).await;
        )+
    };
    ($stage:expr) => {
        crate::engine::conformance::conformance_tests!(apart; $stage);
    };
    (lossy; $stage:expr) => {
        crate::engine::conformance::conformance_tests!(whatever is delivered, apart; $stage);
    };
    ($how:ident; $stage:expr) => {
        crate::engine::conformance::conformance_tests! {
            $how; $stage;
            offsets_count_from_one_without_holes,
            what_was_published_is_what_is_delivered_and_replayed,
            a_repetition_within_the_window_is_published_once,
        }
        crate::engine::conformance::conformance_tests!(whatever is delivered, $how; $stage);
    };
    (whatever is delivered, $how:ident; $stage:expr) => {
        crate::engine::conformance::conformance_tests! {
            $how; $stage;
            everything_is_delivered_or_told_as_lost,
            several_messages_of_a_channel_are_published_in_their_order,
            each_channel_has_its_own_offsets_and_epoch,
            a_replay_is_everything_after_the_position,
            a_replay_is_read_in_portions,
            what_cannot_be_replayed_is_told,
            a_replay_beyond_the_history_is_a_gap,
            without_history_only_the_present_can_be_resumed,
            expired_messages_are_gone,
            an_unused_channel_is_remembered_for_the_grace_time,
            a_channel_with_subscribers_keeps_its_epoch,
            history_is_read_in_pages_in_both_directions,
            a_page_with_a_gap_starts_with_what_is_held,
            members_join_once_and_leave_after_the_grace_time,
            changed_data_is_told,
            channels_in_use_are_listed_in_pages,
            what_is_held_of_a_channel_can_be_asked,
            announcements_are_kept_until_their_time,
            the_newest_announcement_of_a_key_counts,
            many_announcements_are_all_read,
        }
    };
}
pub(super) use conformance_tests;
