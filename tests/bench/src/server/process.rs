//! A running server.

use std::net::SocketAddr;
use std::process::Child;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::usage::Usage;

/// How often to look whether a server has come to rest, and how many times.
const REST_INTERVAL: Duration = Duration::from_millis(40);
const REST_TRIES: usize = 100;

/// A running server, which ends with this value.
#[derive(Debug)]
pub struct Server {
    pub(super) process: Child,
    pub(super) address: SocketAddr,
    /// The processes whose work counts: itself, or the worker that it has started.
    pub(super) counted: u32,
    /// What ends it: a master has to end its worker, so it cannot just be killed.
    pub(super) end: Signal,
    /// The lines that each request to it needs beside its own.
    pub(super) headers: String,
    /// Its files, if it needs any; they go with it.
    pub(super) files: Option<TempDir>,
}

impl Server {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The lines that each request to it needs beside its own, as those of credentials.
    pub fn headers(&self) -> &str {
        &self.headers
    }

    /// Waits until the server has nothing left to do, then reads what it has used.
    ///
    /// # Errors
    /// When it is gone.
    pub fn usage_at_rest(&self) -> Result<Usage> {
        let mut usage = Usage::of(self.counted)?;
        for _ in 0..REST_TRIES {
            thread::sleep(REST_INTERVAL);
            let before = std::mem::replace(&mut usage, Usage::of(self.counted)?);
            // A server at rest still has timers.
            if usage.cpu.saturating_sub(before.cpu) < REST_INTERVAL / 100 {
                break;
            }
        }
        Ok(usage)
    }

    /// What it has used up to now.
    ///
    /// # Errors
    /// When it is gone.
    pub fn usage(&self) -> Result<Usage> {
        Usage::of(self.counted)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nothing can be done about a child that cannot be ended.
        let _ = kill_process(Pid::from_child(&self.process), self.end);
        let _ = self.process.wait();
    }
}
