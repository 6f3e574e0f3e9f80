//! What the figures were taken on: without it they mean nothing elsewhere.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

/// The machine, the kernel and the compiler.
#[derive(Debug, Clone)]
pub struct Machine {
    cores: usize,
    cpu: String,
    kernel: String,
    rustc: String,
    profile: &'static str,
    open_files: u64,
    /// How much of it others used during the run.
    others: f64,
}

impl Machine {
    /// Looks around.
    pub fn describe(open_files: u64) -> Self {
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            cpu: first_value(&read("/proc/cpuinfo"), "model name"),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            rustc: compiler(),
            profile: if cfg!(debug_assertions) {
                "debug"
            } else {
                "release"
            },
            open_files,
            others: 0.0,
        }
    }

    /// The same after a run, during which others used this much of it, from 0 to 1.
    #[must_use]
    pub fn shared_with(self, others: f64) -> Self {
        Self { others, ..self }
    }

    /// One line for people.
    pub fn line(&self) -> String {
        format!(
            "{} × {}, Linux {}, {}, {} profile, {} open files, loopback; other processes used {:.0} % of the machine",
            self.cores,
            self.cpu,
            self.kernel,
            self.rustc,
            self.profile,
            self.open_files,
            self.others * 100.0
        )
    }

    /// The same for programs.
    pub fn json(&self) -> Value {
        json!({
            "cores": self.cores,
            "cpu": self.cpu,
            "kernel": self.kernel,
            "rustc": self.rustc,
            "profile": self.profile,
            "open_files": self.open_files,
            "others_share": self.others,
        })
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The value of the first `key : value` line.
fn first_value(text: &str, key: &str) -> String {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.trim() == key)
        .map_or_else(
            || "unknown CPU".to_owned(),
            |(_, value)| value.trim().to_owned(),
        )
}

/// The compiler on the path, which is the one that built this unless somebody went out of their way.
fn compiler() -> String {
    Command::new("rustc")
        .arg("--version")
        .output()
        .ok()
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .and_then(|text| text.split(" (").next().map(|name| name.trim().to_owned()))
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "unknown rustc".to_owned())
}

#[cfg(test)]
mod tests {
    use super::first_value;

    #[test]
    fn the_first_cpu_names_them_all() {
        let cpuinfo =
            "processor\t: 0\nmodel name\t: AMD EPYC\nprocessor\t: 1\nmodel name\t: other\n";
        assert_eq!(first_value(cpuinfo, "model name"), "AMD EPYC");
        assert_eq!(first_value(cpuinfo, "bogomips"), "unknown CPU");
    }
}
