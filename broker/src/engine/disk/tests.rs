//! The disk engine: what every engine does, and that all of it is there after the process has ended in whatever way.

use std::fs;
use std::path::Path;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tempfile::TempDir;
use widecast_protocol::{IdempotencyKey, Offset};

use super::channel_record::key;
use super::*;
use crate::config::Durability;
use crate::engine::Announcements;
use crate::engine::conformance::{
    ALL, Heard, IDEMPOTENCY_WINDOW, IDLE_GRACE, PRESENCE_GRACE, Stage, announced, announcement,
    conformance_tests, name, publication, texts,
};
use crate::engine::{ManualClock, MemorySettings};

/// An engine, and the directory of its files.
pub(super) struct DiskStage {
    pub(super) engine: DiskEngine,
    pub(super) heard: Arc<Heard>,
    clock: Arc<ManualClock>,
    directory: TempDir,
}

/// How the engine ends before it is started again.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    /// It is told to.
    Closed,
    /// The process is killed.
    Killed,
}

pub(super) fn settings(path: &Path) -> DiskSettings {
    DiskSettings {
        path: path.to_owned(),
        durability: Durability::Process,
        disk_bytes: u64::MAX,
        free_bytes: 0,
        cache_bytes: 1 << 20,
        waiting_bytes: 64 << 20,
        memory: MemorySettings {
            idle_grace: IDLE_GRACE,
            presence_grace: PRESENCE_GRACE,
            idempotency_window: IDEMPOTENCY_WINDOW,
            ..MemorySettings::default()
        },
    }
}

impl DiskStage {
    pub(super) fn new() -> Self {
        Self::with(|_| ())
    }

    pub(super) fn with(change: impl FnOnce(&mut DiskSettings)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self::open(directory, Arc::new(ManualClock::new()), change)
    }

    fn open(
        directory: TempDir,
        clock: Arc<ManualClock>,
        change: impl FnOnce(&mut DiskSettings),
    ) -> Self {
        let heard = Arc::new(Heard::default());
        let mut settings = settings(directory.path());
        change(&mut settings);
        let engine = DiskEngine::open(settings, clock.clone(), heard.clone()).unwrap();
        Self {
            engine,
            heard,
            clock,
            directory,
        }
    }

    /// Starts the engine again: on the files as they are when it ends so.
    pub(super) async fn again(self, end: End) -> Self {
        self.again_with(end, |_| ()).await
    }

    async fn again_with(self, end: End, change: impl FnOnce(&mut DiskSettings)) -> Self {
        let copy = tempfile::tempdir().unwrap();
        match end {
            End::Closed => {
                self.engine.close().await.unwrap();
                copy_files(self.directory.path(), copy.path());
            }
            // What the operating system has outlives the process.
            End::Killed => copy_files(self.directory.path(), copy.path()),
        }
        Self::open(copy, Arc::clone(&self.clock), change)
    }

    pub(super) async fn publish(&self, channel: &str, text: &str) -> Published {
        let publication = publication(channel, text);
        self.engine.publish(publication).await.unwrap()
    }

    pub(super) async fn position(&self, channel: &str) -> Position {
        let limits = HistoryLimits::default();
        self.engine.position(&name(channel), limits).await.unwrap()
    }

    /// The texts after a position, unless some are gone.
    pub(super) async fn after(&self, channel: &str, since: Position) -> Option<Vec<String>> {
        let replay = self.engine.replay(&name(channel), since, ALL).await;
        let replay = replay.unwrap();
        let texts = texts(&replay.messages).into_iter().map(str::to_owned);
        replay.recovered.then(|| texts.collect())
    }

    async fn upkeep(&self) {
        let (reply, answer) = oneshot::channel();
        self.engine.queue.ask(Request::Upkeep(reply)).unwrap();
        answer.await.unwrap().unwrap();
    }
}

pub(super) fn copy_files(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy_files(&entry.path(), &target);
        } else {
            // Without the room that the store keeps at the end of its journal.
            let mut bytes = fs::read(entry.path()).unwrap();
            while bytes.ends_with(&[0; 4096]) {
                bytes.truncate(bytes.len() - 4096);
            }
            fs::write(target, bytes).unwrap();
        }
    }
}

impl Stage for DiskStage {
    fn engine(&self) -> &dyn Engine {
        &self.engine
    }

    fn heard(&self) -> &Heard {
        &self.heard
    }

    fn pass(&self, time: Duration) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.clock.pass(time);
            self.engine.memory().sweep();
            self.upkeep().await;
        })
    }
}

use crate::engine::Engine;

mod conforms {
    use super::*;

    conformance_tests!(DiskStage::new());
}

/// With so little memory that next to nothing is read from there.
mod conforms_from_the_disk {
    use super::*;

    conformance_tests!(DiskStage::with(|settings| settings.memory.history_bytes = 0));
}

#[tokio::test]
async fn everything_but_presence_outlives_the_engine() {
    for end in [End::Closed, End::Killed] {
        let stage = DiskStage::new();
        let start = stage.position("news").await;
        let empty = stage.position("empty").await;
        stage.publish("news", "a").await;
        let keyed = Publication {
            idempotency_key: Some(IdempotencyKey::parse("k").unwrap()),
            ..publication("news", "b")
        };
        let first = stage.engine.publish(keyed.clone()).await.unwrap();

        let stage = stage.again(end).await;
        assert_eq!(stage.position("news").await, first.position, "{end:?}");
        let texts = stage.after("news", start).await.unwrap();
        assert_eq!(texts, ["a", "b"], "{end:?}");
        // Also of a channel without messages nothing was missed.
        assert_eq!(stage.after("empty", empty).await, Some(vec![]), "{end:?}");
        let again = stage.engine.publish(keyed).await.unwrap();
        assert!(again.duplicate, "{end:?}");
        assert_eq!(again.position, first.position, "{end:?}");
        let next = stage.publish("news", "c").await.position;
        assert_eq!(next.offset, Offset(3), "{end:?}");
        assert_eq!(next.epoch, start.epoch, "{end:?}");
        let texts = stage.after("news", start).await.unwrap();
        assert_eq!(texts, ["a", "b", "c"], "{end:?}");
    }
}

#[tokio::test]
async fn a_history_larger_than_the_memory_is_read_from_the_disk() {
    let stage = DiskStage::with(|settings| settings.memory.history_bytes = 4096);
    let start = stage.position("news").await;
    let all: Vec<_> = (0..200).map(|number| format!("message {number}")).collect();
    for text in &all {
        stage.publish("news", text).await;
    }
    assert!(stage.engine.figures().history_bytes <= 8192);
    assert_eq!(stage.engine.figures().history_messages, 200);
    assert_eq!(stage.after("news", start).await.as_ref(), Some(&all));
    let query = HistoryQuery {
        since: None,
        limit: 200,
        order: HistoryOrder::NewestFirst,
    };
    let page = stage.engine.history(&name("news"), query).await.unwrap();
    let mut found = texts(&page.messages);
    found.reverse();
    assert_eq!(found, all);
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_lost_and_those_behind_it_are_not() {
    let stage = DiskStage::new();
    let start = stage.position("news").await;
    for text in ["a", "b", "c"] {
        stage.publish("news", text).await;
    }
    let at = |offset| Position {
        offset: Offset(offset),
        ..start
    };
    // A release that is not known here would write such a one.
    let store = stage.engine.shared.store().unwrap();
    store
        .messages
        .insert(key(&name("news"), Offset(2)), [2])
        .unwrap();
    let stage = stage.again(End::Killed).await;
    let replay = async |since| {
        let replay = stage.engine.replay(&name("news"), since, ALL).await;
        replay.unwrap()
    };
    let before = replay(start).await;
    assert!(before.recovered && !before.complete);
    assert_eq!(texts(&before.messages), ["a"]);
    let gap = replay(before.position).await;
    assert!(!gap.recovered && gap.messages.is_empty() && !gap.complete);
    assert_eq!(gap.position, at(2));
    let behind = replay(gap.position).await;
    assert!(behind.recovered && behind.complete);
    assert_eq!(texts(&behind.messages), ["c"]);
    // It expires with those behind it.
    stage.pass(HistoryLimits::default().age).await;
    assert_eq!(stage.engine.figures().history_messages, 0);
}

#[tokio::test]
async fn what_is_beyond_the_limits_is_gone_from_the_disk_too() {
    let stage = DiskStage::new();
    let start = stage.position("news").await;
    let limits = HistoryLimits {
        messages: 10,
        ..HistoryLimits::default()
    };
    for number in 0..3000 {
        let publication = Publication {
            history: limits,
            ..publication("news", &number.to_string())
        };
        stage.engine.publish(publication).await.unwrap();
    }
    assert_eq!(stage.engine.figures().history_messages, 10);
    let stage = stage.again(End::Killed).await;
    assert_eq!(stage.engine.figures().history_messages, 10);
    assert_eq!(stage.after("news", start).await, None);
    let held = Position {
        offset: Offset(2990),
        ..start
    };
    assert_eq!(stage.after("news", held).await.unwrap().len(), 10);
    // After the age of the history nothing is left, of the channel either.
    stage.pass(limits.age + IDLE_GRACE).await;
    stage.pass(limits.age + IDLE_GRACE).await;
    let figures = stage.engine.figures();
    assert_eq!((figures.history_messages, figures.disk_bytes), (0, 0));
    assert_ne!(stage.position("news").await.epoch, start.epoch);
}

#[tokio::test]
async fn what_upkeep_has_removed_is_not_counted_by_the_next_publication() {
    let stage = DiskStage::new();
    for text in ["a", "b", "c"] {
        stage.publish("news", text).await;
    }
    let age = HistoryLimits::default().age;
    stage.pass(age / 2).await;
    stage.publish("news", "d").await;
    stage.pass(age / 2).await;
    let start = stage.publish("news", "e").await.position;
    assert_eq!(stage.engine.figures().history_messages, 2);
    let bytes = stage.engine.figures().disk_bytes;
    let stage = stage.again(End::Killed).await;
    let figures = stage.engine.figures();
    assert_eq!((figures.history_messages, figures.disk_bytes), (2, bytes));
    stage.publish("news", "f").await;
    assert_eq!(stage.after("news", start).await.unwrap(), ["f"]);
}

#[tokio::test]
async fn a_channel_that_begins_anew_is_counted_by_its_new_messages() {
    let stage = DiskStage::new();
    let limits = HistoryLimits {
        messages: 2,
        ..HistoryLimits::default()
    };
    let publish = async |text: &str| {
        let publication = Publication {
            history: limits,
            ..publication("news", text)
        };
        stage.engine.publish(publication).await.unwrap()
    };
    publish(&"x".repeat(1000)).await;
    publish(&"x".repeat(1000)).await;
    let begun = stage.position("news").await;
    stage.pass(limits.age + IDLE_GRACE).await;
    assert_ne!(stage.position("news").await.epoch, begun.epoch);
    for _ in 0..10 {
        publish("a").await;
    }
    let bytes = stage.engine.figures().disk_bytes;
    let again = stage.again(End::Killed).await;
    assert_eq!(again.engine.figures().history_messages, 2);
    let other = DiskStage::new();
    for _ in 0..2 {
        other.publish("news", "a").await;
    }
    assert_eq!(bytes, other.engine.figures().disk_bytes);
}

#[tokio::test]
async fn all_channels_together_keep_to_the_bound_of_the_disk() {
    let stage = DiskStage::with(|settings| settings.disk_bytes = 20_000);
    let newest = async |channel: &str| {
        let mut newest = None;
        for _ in 0..20 {
            newest = Some(stage.publish(channel, &"x".repeat(100)).await.position);
        }
        newest.unwrap()
    };
    for number in 0..20 {
        newest(&format!("room:{number}")).await;
    }
    for _ in 0..20 {
        stage.upkeep().await;
    }
    let figures = stage.engine.figures();
    assert!(figures.disk_bytes <= 20_000, "{figures:?}");
    assert!(figures.disk_bytes > 10_000, "{figures:?}");
}

#[tokio::test]
async fn a_record_that_was_being_written_when_the_process_ended_is_cut_off() {
    let stage = DiskStage::new();
    let start = stage.position("news").await;
    for text in ["a", "b", "c"] {
        stage.publish("news", text).await;
    }
    let copy = tempfile::tempdir().unwrap();
    copy_files(stage.directory.path(), copy.path());
    let journal = copy.path().join("0.jnl");
    let mut bytes = fs::read(&journal).unwrap();
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    bytes.truncate(bytes.len() - 3);
    fs::write(&journal, bytes).unwrap();
    let stage = DiskStage::open(copy, Arc::clone(&stage.clock), |_| ());
    assert_eq!(stage.after("news", start).await.unwrap(), ["a", "b"]);
    stage.publish("news", "d").await;
    assert_eq!(stage.after("news", start).await.unwrap(), ["a", "b", "d"]);
}

#[tokio::test]
async fn a_damaged_journal_is_an_error_that_names_its_directory_or_loses_nothing() {
    let stage = DiskStage::new();
    let start = stage.position("news").await;
    for number in 0..50 {
        stage.publish("news", &number.to_string()).await;
    }
    let all = stage.after("news", start).await;
    let origin = tempfile::tempdir().unwrap();
    copy_files(stage.directory.path(), origin.path());
    let whole = fs::read(origin.path().join("0.jnl")).unwrap();
    let end = whole.iter().rposition(|&byte| byte != 0).unwrap();
    let mut refused = 0;
    // Bytes all over the journal, and those of the last records but one.
    for place in (0..end - 400)
        .step_by(397)
        .chain((end - 400..end - 250).step_by(3))
    {
        let copy = tempfile::tempdir().unwrap();
        copy_files(origin.path(), copy.path());
        let mut damaged = whole.clone();
        damaged[place] ^= 0x55;
        fs::write(copy.path().join("0.jnl"), &damaged).unwrap();
        let (clock, heard) = (stage.clock.clone(), Arc::clone(&stage.heard));
        let path = copy.path().to_str().unwrap().to_owned();
        match DiskEngine::open(settings(copy.path()), clock, heard) {
            Err(error) => {
                assert!(error.to_string().contains(&path), "{error}");
                refused += 1;
            }
            Ok(engine) => {
                let replay = engine.replay(&name("news"), start, ALL).await.unwrap();
                let texts = texts(&replay.messages).into_iter().map(str::to_owned);
                let found = replay.recovered.then(|| texts.collect::<Vec<_>>());
                assert_eq!(found, all, "damaged at {place} of {end}");
            }
        }
    }
    assert!(refused > 30, "{refused}");
}

#[tokio::test]
async fn an_older_copy_of_the_files_gives_offsets_out_a_second_time() {
    let stage = DiskStage::new();
    stage.publish("news", "a").await;
    let copy = tempfile::tempdir().unwrap();
    copy_files(stage.directory.path(), copy.path());
    let heard = stage.publish("news", "b").await.position;
    let stage = DiskStage::open(copy, Arc::clone(&stage.clock), |_| ());
    // Who has heard the later message is ahead, and is told so until another one is in its place.
    assert_eq!(stage.after("news", heard).await, None);
    assert_eq!(stage.publish("news", "c").await.position, heard);
    assert_eq!(stage.after("news", heard).await, Some(vec![]));
}

#[cfg(unix)]
#[tokio::test]
async fn a_directory_that_the_engine_makes_is_for_its_own_user() {
    use std::os::unix::fs::PermissionsExt;

    let stage = DiskStage::new();
    let path = stage.directory.path().join("of").join("its-own");
    DiskEngine::open(settings(&path), stage.clock.clone(), stage.heard.clone()).unwrap();
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "{mode:o}");
}

#[tokio::test]
async fn two_engines_cannot_use_one_directory() {
    let stage = DiskStage::new();
    let path = stage.directory.path();
    let second = DiskEngine::open(settings(path), stage.clock.clone(), stage.heard.clone());
    assert!(matches!(second, Err(DiskError::InUse { .. })), "{second:?}");
    let other = tempfile::tempdir().unwrap();
    fs::write(other.path().join("letter.txt"), "dear").unwrap();
    let foreign = settings(other.path());
    let foreign = DiskEngine::open(foreign, stage.clock.clone(), stage.heard.clone());
    assert!(
        matches!(foreign, Err(DiskError::Foreign { .. })),
        "{foreign:?}"
    );
}

#[tokio::test]
async fn after_a_crash_of_the_machine_a_channel_begins_a_new_epoch_unless_the_disk_was_waited_for()
{
    for (durability, end, is_new) in [
        (Durability::Process, End::Killed, true),
        (Durability::Process, End::Closed, false),
        (Durability::Power, End::Killed, false),
    ] {
        let stage = DiskStage::with(|settings| settings.durability = durability);
        let before = stage.publish("news", "a").await.position;
        let stage = stage
            .again_with(end, |settings| boot::pretend_another(&settings.path))
            .await;
        let after = stage.position("news").await;
        assert_eq!(
            after.epoch != before.epoch,
            is_new,
            "{durability:?} {end:?}"
        );
        assert_eq!(after.offset, Offset(1));
        // The history is there in any case.
        let query = HistoryQuery {
            since: None,
            limit: 10,
            order: HistoryOrder::OldestFirst,
        };
        let page = stage.engine.history(&name("news"), query).await.unwrap();
        assert_eq!(texts(&page.messages), ["a"]);
    }
}

#[tokio::test]
async fn without_room_on_the_disk_publications_are_refused_and_everything_else_goes_on() {
    let stage = DiskStage::new();
    let start = stage.position("news").await;
    stage.publish("news", "a").await;
    let stage = stage
        .again_with(End::Killed, |settings| settings.free_bytes = u64::MAX)
        .await;
    let refused = stage.engine.publish(publication("news", "b")).await;
    let refused = refused.unwrap_err();
    let code = widecast_protocol::Code::from(refused);
    assert_eq!(code, widecast_protocol::Code::EngineUnavailable);
    assert_eq!(stage.after("news", start).await.unwrap(), ["a"]);
    stage.engine.interested(&name("news")).await.unwrap();
}

#[tokio::test]
async fn announcements_outlive_the_engine_however_it_ends() {
    for end in [End::Closed, End::Killed] {
        let stage = DiskStage::new();
        for key in ["a", "b"] {
            let one = announcement(key, 1, "x");
            let hour = Duration::from_hours(1);
            stage.engine.announce(one, hour).await.unwrap();
        }
        let gone = announcement("a", 2, "");
        stage.engine.announce(gone, Duration::ZERO).await.unwrap();
        let stage = stage.again(end).await;
        assert_eq!(announced(&stage.engine).await, "b=x", "{end:?}");
        stage.pass(Duration::from_hours(1)).await;
        let store = stage.engine.shared.store().unwrap();
        assert!(store.announcements_after("", 1).unwrap().is_empty());
    }
}
