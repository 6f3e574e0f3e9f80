//! What all nodes are told.

use std::time::{Duration, Instant};

use super::Stage;
use crate::engine::{Announcement, Engine};

pub(in crate::engine) fn announcement(
    key: &str,
    version: u64,
    content: &'static str,
) -> Announcement {
    Announcement {
        key: key.to_owned(),
        version,
        given: Instant::now(),
        content: content.into(),
    }
}

/// What is announced, as `key=content`, in the order of the keys.
pub(in crate::engine) async fn announced(engine: &dyn Engine) -> String {
    let all = engine.announced().await.unwrap();
    let shown = all.iter().map(|one| {
        let content = std::str::from_utf8(&one.content).unwrap();
        format!("{}={content}", one.key)
    });
    let mut shown: Vec<_> = shown.collect();
    shown.sort_unstable();
    shown.join(" ")
}

pub(in crate::engine) async fn announcements_are_kept_until_their_time(stage: &dyn Stage) {
    let engine = stage.engine();
    let (short, long) = (Duration::from_secs(10), Duration::from_hours(1));
    for (key, keep_for) in [("a", long), ("b", short), ("c", Duration::ZERO)] {
        let one = announcement(key, 1, "x");
        engine.announce(one, keep_for).await.unwrap();
    }
    assert_eq!(announced(engine).await, "a=x b=x");
    stage.pass(short).await;
    assert_eq!(announced(engine).await, "a=x");
    // One that is over is no obstacle to an older version.
    let older = announcement("b", 0, "y");
    engine.announce(older, short).await.unwrap();
    assert_eq!(announced(engine).await, "a=x b=y");
    stage.pass(long).await;
    assert_eq!(announced(engine).await, "");
}

pub(in crate::engine) async fn the_newest_announcement_of_a_key_counts(stage: &dyn Stage) {
    let engine = stage.engine();
    let hour = Duration::from_hours(1);
    for (version, content, expected) in [
        (5, "first", "a=first"),
        (5, "the same version", "a=the same version"),
        (4, "older", "a=the same version"),
        (6, "newer", "a=newer"),
    ] {
        let one = announcement("a", version, content);
        engine.announce(one, hour).await.unwrap();
        assert_eq!(announced(engine).await, expected);
    }
    let older = announcement("a", 5, "");
    engine.announce(older, Duration::ZERO).await.unwrap();
    assert_eq!(announced(engine).await, "a=newer");
    let gone = announcement("a", 7, "");
    engine.announce(gone, Duration::ZERO).await.unwrap();
    assert_eq!(announced(engine).await, "");
}

pub(in crate::engine) async fn many_announcements_are_all_read(stage: &dyn Stage) {
    let engine = stage.engine();
    for number in 0..1500 {
        let one = announcement(&format!("key {number}"), 1, "x");
        engine.announce(one, Duration::from_hours(1)).await.unwrap();
    }
    assert_eq!(engine.announced().await.unwrap().len(), 1500);
    stage.pass(Duration::from_hours(1)).await;
    assert_eq!(announced(engine).await, "");
}
