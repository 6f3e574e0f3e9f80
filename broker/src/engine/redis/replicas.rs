//! Waiting until replicas have what the primary has acknowledged.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::RedisResult;
use redis::aio::MultiplexedConnection;
use tokio::sync::Mutex;

/// What replicas have.
///
/// `WAIT` holds up its connection, so it has one of its own; and since a write of this connection comes after all that the
/// primary has answered before, one `WAIT` is enough for all publications that were answered until it began.
pub(super) struct Replicas {
    connection: MultiplexedConnection,
    key: String,
    count: usize,
    timeout: Duration,
    /// How many rounds have begun.
    begun: AtomicU64,
    last: Mutex<Round>,
}

/// A round that has ended.
#[derive(Debug, Clone, Copy, Default)]
struct Round {
    number: u64,
    replicas: usize,
}

impl Replicas {
    /// So many replicas have to have everything, within this time.
    pub(super) fn new(
        connection: MultiplexedConnection,
        key: String,
        count: usize,
        timeout: Duration,
    ) -> Self {
        Self {
            connection,
            key,
            count,
            timeout,
            begun: AtomicU64::new(0),
            last: Mutex::default(),
        }
    }

    /// Whether enough replicas have everything that the primary has answered until now.
    pub(super) async fn have_all(&self) -> RedisResult<bool> {
        let begun = self.begun.load(Ordering::SeqCst);
        let mut last = self.last.lock().await;
        // A round that had begun already may have begun too early.
        if last.number <= begun {
            let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
            let replicas = self.round().await?;
            *last = Round { number, replicas };
        }
        Ok(last.replicas >= self.count)
    }

    /// Whether the user may ask this; it waits for nothing.
    pub(super) async fn try_once(&self) -> RedisResult<()> {
        let mut wait = redis::cmd("WAIT");
        let wait = wait.arg(0).arg(1);
        wait.query_async(&mut self.connection.clone()).await
    }

    async fn round(&self) -> RedisResult<usize> {
        let timeout = u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX);
        let mut commands = redis::pipe();
        commands
            .cmd("SET")
            .arg(&self.key)
            .arg(1)
            .arg("EX")
            .arg(60)
            .ignore();
        commands.cmd("WAIT").arg(self.count).arg(timeout);
        let (replicas,) = commands.query_async(&mut self.connection.clone()).await?;
        Ok(replicas)
    }
}
