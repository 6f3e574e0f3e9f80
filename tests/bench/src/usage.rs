//! What a process has used, as the kernel counts it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

/// CPU time and memory of one process at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// What all its threads that still live have run.
    pub cpu: Duration,
    /// Resident memory.
    pub rss_bytes: u64,
}

impl Usage {
    /// Reads the usage of a process.
    ///
    /// CPU time is the scheduler's, in nanoseconds, where `/proc/PID/stat` counts ticks of 10 ms. A thread's counter is
    /// brought up to date when it sleeps, so this is exact for a server that has nothing left to do.
    ///
    /// # Errors
    /// When there is no such process, or the kernel does not keep these counters.
    pub fn of(pid: u32) -> Result<Self> {
        let root = format!("/proc/{pid}");
        let mut cpu = Duration::ZERO;
        let threads = fs::read_dir(format!("{root}/task")).with_context(|| root.clone())?;
        for thread in threads {
            let path = thread?.path().join("schedstat");
            // A thread may end while we look.
            let Ok(text) = fs::read_to_string(&path) else {
                continue;
            };
            cpu += running_time(&text).with_context(|| path.display().to_string())?;
        }
        let rollup = Path::new(&root).join("smaps_rollup");
        let text = fs::read_to_string(&rollup).with_context(|| rollup.display().to_string())?;
        let rss_bytes = resident_bytes(&text).context("no Rss in smaps_rollup")?;
        Ok(Self { cpu, rss_bytes })
    }
}

/// The first field of `schedstat`: nanoseconds on a CPU.
fn running_time(schedstat: &str) -> Option<Duration> {
    let field = schedstat.split_whitespace().next()?;
    field.parse().ok().map(Duration::from_nanos)
}

/// The `Rss:` line of `smaps_rollup`, which is exact; the one in `status` lags behind by a batch for each CPU.
fn resident_bytes(smaps_rollup: &str) -> Option<u64> {
    let line = smaps_rollup
        .lines()
        .find_map(|line| line.strip_prefix("Rss:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_read() {
        assert_eq!(
            running_time("1234567 89 10\n"),
            Some(Duration::from_nanos(1_234_567))
        );
        assert_eq!(running_time(""), None);
        let rollup = "5563-7ffc ---p 0 0:0 0 [rollup]\nRss:                1744 kB\nPss:  388 kB\n";
        assert_eq!(resident_bytes(rollup), Some(1744 * 1024));
        assert_eq!(resident_bytes("Pss: 388 kB\n"), None);
    }

    #[test]
    fn this_process_has_memory() {
        let usage = Usage::of(std::process::id()).unwrap();
        assert!(usage.rss_bytes > 0);
    }
}
