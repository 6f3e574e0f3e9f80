//! Taking leave: every client is told when to come back, and none is cut while there is time.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use crate::net::Connections;
use crate::session::{Services, Worker};

/// How many sessions are told before the worker does something else.
const SESSIONS_PER_SLICE: usize = 64;
/// How often it is looked whether everybody has left.
const LOOK: Duration = Duration::from_millis(10);

/// Catches SIGTERM and SIGINT from now on; the future waits for the first of them.
///
/// # Errors
/// When the signals cannot be caught.
///
/// # Cancel safety
/// Safe.
pub fn signal() -> std::io::Result<impl Future<Output = &'static str>> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        Ok(async move {
            tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            }
        })
    }
    #[cfg(not(unix))]
    {
        let mut pressed = tokio::signal::windows::ctrl_c()?;
        Ok(async move {
            pressed.recv().await;
            "Ctrl-C"
        })
    }
}

/// Takes SIGHUP from now on, for as long as the runtime lives: its default is to kill, and service managers and
/// terminals send it to programs that are to read their settings anew.
///
/// # Errors
/// When the signal cannot be caught.
pub fn outlive_hangup() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut hangup = signal(SignalKind::hangup())?;
        actix_rt::spawn(async move {
            while hangup.recv().await.is_some() {
                tracing::info!(
                    "SIGHUP: the settings are read at the start only; going on with them"
                );
            }
        });
    }
    Ok(())
}

/// Sends the sessions of a worker away once the leave-taking has begun, in slices, each with its own time to come back.
pub async fn send_away(worker: Worker) {
    worker.services.leave_begins().await;
    for slice in worker.heartbeat.sessions().chunks(SESSIONS_PER_SLICE) {
        for session in slice {
            session.send_away();
        }
        tokio::task::yield_now().await;
    }
}

/// Takes leave of all clients; returns when the last has gone or the deadline has passed. Who comes meanwhile is told to go elsewhere.
pub async fn take_leave(services: &Arc<Services>, connections: &Connections) {
    let deadline = services.config.shutdown.deadline;
    connections.leave();
    services.drain();
    let gone = async {
        while connections.awaited() > 0 {
            sleep(LOOK).await;
        }
    };
    if timeout_at(Instant::now() + deadline, gone).await.is_err() {
        let left = connections.awaited();
        tracing::warn!(
            connections.open = left,
            "the deadline has passed: cutting the connections that are left"
        );
    }
}
