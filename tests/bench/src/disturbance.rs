//! Whether somebody else used the machine during a run: then the figures are not worth keeping.

use std::fs;

use anyhow::{Context, Result};

use crate::report::float;

/// The clocks of the machine and of this process, in ticks of 10 ms, at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clocks {
    /// All cores, at work or not.
    total: u64,
    /// All cores at work, or taken away by the hypervisor.
    busy: u64,
    /// This process and the servers that it has started and ended.
    own: u64,
}

impl Clocks {
    /// Reads them.
    ///
    /// # Errors
    /// When the kernel does not show them.
    pub fn now() -> Result<Self> {
        let machine = fs::read_to_string("/proc/stat").context("/proc/stat")?;
        let process = fs::read_to_string("/proc/self/stat").context("/proc/self/stat")?;
        let (total, busy) = machine_ticks(&machine).context("no cpu line in /proc/stat")?;
        let own = process_ticks(&process).context("no times in /proc/self/stat")?;
        Ok(Self { total, busy, own })
    }

    /// How much of the machine others have used since `before`, from 0 to 1.
    pub fn others_share(&self, before: &Self) -> f64 {
        let total = self.total.saturating_sub(before.total).max(1);
        let busy = self.busy.saturating_sub(before.busy);
        let own = self.own.saturating_sub(before.own);
        float(busy.saturating_sub(own)) / float(total)
    }
}

/// Total and busy ticks: user, nice, system, idle, iowait, irq, softirq, steal.
fn machine_ticks(stat: &str) -> Option<(u64, u64)> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let fields: Vec<u64> = line
        .split_whitespace()
        .take(8)
        .map(|field| field.parse().ok())
        .collect::<Option<_>>()?;
    let total = fields.iter().sum();
    let idle: u64 = fields.get(3..5)?.iter().sum();
    Some((total, total - idle))
}

/// `utime`, `stime`, `cutime` and `cstime`: fields 14 to 17, counted behind the name, which may hold anything.
fn process_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let times = fields.split_whitespace().skip(11).take(4);
    times.map(|field| field.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_read() {
        let stat = "cpu  10 1 20 100 5 2 3 4 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
        assert_eq!(machine_ticks(stat), Some((145, 40)));
        assert_eq!(machine_ticks("intr 1\n"), None);
        let stat = "42 (a) b) S 1 2 3 4 5 6 7 8 9 10 100 20 3 4 20 0";
        assert_eq!(process_ticks(stat), Some(127));
        assert!(Clocks::now().is_ok());
    }

    #[test]
    fn what_others_do_is_what_is_left() {
        let before = Clocks {
            total: 1000,
            busy: 500,
            own: 100,
        };
        let after = Clocks {
            total: 1200,
            busy: 650,
            own: 200,
        };
        let share = after.others_share(&before);
        assert!((share - 0.25).abs() < 1e-9, "{share}");
    }
}
