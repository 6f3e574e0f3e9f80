//! Connections that were given up because nothing was heard on them.
//!
//! What was sent on them may still be under way, and arrive after what was sent on the next one: an `exit` of somebody who has come back
//! meanwhile, for example. So the server ends them before anything else is done on the next one.

use std::sync::{Mutex, MutexGuard, PoisonError};

use redis::aio::MultiplexedConnection;
use redis::{RedisError, RedisResult};

/// The connections for commands that one server process has, or had.
#[derive(Debug, Default)]
pub(super) struct GivenUp(Mutex<Connections>);

#[derive(Debug, Default)]
struct Connections {
    /// The server process. Another one has begun without all of them.
    process: String,
    ids: Vec<u64>,
}

impl GivenUp {
    fn connections(&self) -> MutexGuard<'_, Connections> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the server end all connections before this one. One that does not say which process it is may have begun anew and given their
    /// numbers to others: it ends none.
    pub(super) async fn end_all_before(
        &self,
        process: Option<&str>,
        commands: &mut MultiplexedConnection,
    ) -> RedisResult<()> {
        let Some(process) = process else {
            return Ok(());
        };
        let mut ask = redis::cmd("CLIENT");
        let own: u64 = ask.arg("ID").query_async(commands).await?;
        let mut ending = redis::pipe();
        {
            let mut connections = self.connections();
            if connections.process != process {
                *connections = Connections {
                    process: process.to_owned(),
                    ids: Vec::new(),
                };
            }
            for id in &connections.ids {
                ending.cmd("CLIENT").arg("KILL").arg("ID").arg(id);
            }
            connections.ids.push(own);
        }
        if !ending.is_empty() {
            match ending.query_async::<Vec<u64>>(commands).await {
                Ok(_) => {}
                Err(error) if is_refused(&error) => tracing::warn!(
                    "the Redis server does not end connections that were given up: what was sent on them may be done late ({error})"
                ),
                Err(error) => return Err(error),
            }
        }
        self.connections().ids.retain(|id| *id == own);
        Ok(())
    }
}

/// Whether the server answers, and does not do it: some that are rented do not let anybody.
fn is_refused(error: &RedisError) -> bool {
    error.code().is_some()
}
