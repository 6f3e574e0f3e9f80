//! What becomes of a batch that could not be written: nobody knows whether the disk has it until the files have been opened anew.

use std::time::Duration;

use fjall::OwnedWriteBatch;
use tokio::time::{sleep, timeout};
use widecast_protocol::{IdempotencyKey, Offset};

use super::tests::{DiskStage, End};
use super::*;
use crate::engine::conformance::{publication, texts};

/// For how long anything is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// How a batch fails.
#[derive(Debug, Clone, Copy)]
pub(super) enum Failure {
    /// The disk has nothing of it.
    NothingWritten,
    /// The disk has all of it.
    AllWritten,
}

impl Failure {
    pub(super) fn befall(self, batch: OwnedWriteBatch) -> Result<(), EngineError> {
        if let Self::AllWritten = self {
            batch.commit().unwrap();
        }
        Err(EngineError::unavailable("the disk does not answer"))
    }
}

fn keyed(text: &str) -> Publication {
    Publication {
        idempotency_key: Some(IdempotencyKey::parse(text).unwrap()),
        ..publication("news", text)
    }
}

/// Publishes as soon as publications are taken again.
async fn publish_in_the_end(stage: &DiskStage, publication: &Publication) -> Published {
    let publishing = async {
        loop {
            match stage.engine.publish(publication.clone()).await {
                Ok(published) => return published,
                Err(EngineError::Unavailable { .. }) => sleep(Duration::from_millis(10)).await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    let published = timeout(PATIENCE, publishing).await;
    published.expect("the files are opened anew")
}

#[tokio::test]
async fn after_a_failed_write_the_files_are_opened_anew_and_what_they_have_is_heard() {
    for (failure, is_written) in [
        (Failure::NothingWritten, false),
        (Failure::AllWritten, true),
    ] {
        let stage = DiskStage::new();
        let start = stage.position("news").await;
        stage.publish("news", "a").await;
        let store = stage.engine.shared.store().unwrap();
        *store.failure.lock().unwrap() = Some(failure);
        drop(store);
        let failed = stage.engine.publish(keyed("b")).await.unwrap_err();
        let code = widecast_protocol::Code::from(failed);
        assert_eq!(code, widecast_protocol::Code::EngineUnavailable);

        // Who tries again is told whether it had been written, and it is published once.
        let again = publish_in_the_end(&stage, &keyed("b")).await;
        assert_eq!(again.duplicate, is_written, "{failure:?}");
        assert_eq!(again.position.offset, Offset(2), "{failure:?}");
        assert_eq!(again.position.epoch, start.epoch, "{failure:?}");
        stage.engine.health().await.unwrap();
        let last = stage.publish("news", "c").await;
        assert_eq!(last.position.offset, Offset(3), "{failure:?}");
        let heard = stage.heard.messages();
        assert_eq!(texts(&heard), ["a", "b", "c"], "{failure:?}");
        let found = stage.after("news", start).await;
        assert_eq!(found.unwrap(), ["a", "b", "c"], "{failure:?}");

        let stage = stage.again(End::Killed).await;
        let found = stage.after("news", start).await;
        assert_eq!(found.unwrap(), ["a", "b", "c"], "{failure:?}");
    }
}

#[tokio::test]
async fn while_the_files_are_closed_publications_are_refused_and_the_memory_is_read() {
    let stage = DiskStage::new();
    let start = stage.position("news").await;
    stage.publish("news", "a").await;
    let store = stage.engine.shared.store().unwrap();
    *store.failure.lock().unwrap() = Some(Failure::NothingWritten);
    let failed = stage.engine.publish(publication("news", "b")).await;
    failed.unwrap_err();
    // As long as somebody has the old files open they are locked, and cannot be opened anew.
    let is_locked = async || match stage.engine.health().await.unwrap_err() {
        EngineError::Unavailable { source } => source.to_string().contains("another process uses"),
        error => panic!("{error}"),
    };
    let tried = async {
        while !is_locked().await {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, tried).await.expect("it is tried");
    let refused = stage.engine.publish(publication("news", "b")).await;
    refused.unwrap_err();
    assert_eq!(stage.after("news", start).await.unwrap(), ["a"]);
    drop(store);
    publish_in_the_end(&stage, &publication("news", "b")).await;
    assert_eq!(stage.after("news", start).await.unwrap(), ["a", "b"]);
}
