//! Asks the system how much memory there is, and how much of it the process takes.

use std::fs;
use std::path::{Path, PathBuf};

const PROCESS: &str = "/proc/self/status";
const MACHINE: &str = "/proc/meminfo";

/// How much memory there is for this process: that of the machine, or what its control group may take if that is less.
pub(super) fn available() -> Option<u64> {
    let machine = fs::read_to_string(MACHINE).ok();
    let machine = machine.and_then(|text| kibibytes(&text, "MemTotal:"));
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    machine
        .into_iter()
        .chain(limits(&groups, Path::new("/sys/fs/cgroup")))
        .min()
}

/// How much memory the process takes now.
pub(super) fn resident() -> Option<u64> {
    kibibytes(&fs::read_to_string(PROCESS).ok()?, "VmRSS:")
}

/// A figure of a file of the kernel's, in bytes.
fn kibibytes(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    let count: u64 = line.split_whitespace().next()?.parse().ok()?;
    count.checked_mul(1024)
}

/// The limits of the control groups that the process is in, with those around them; of either version.
fn limits(groups: &str, root: &Path) -> Vec<u64> {
    let mut limits = Vec::new();
    for group in groups.lines() {
        let mut fields = group.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else {
            continue;
        };
        let (root, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                (root.join("memory"), "memory.limit_in_bytes")
            }
            _ => continue,
        };
        limits.extend(around(&root, path).filter_map(|group| limit(&group.join(file))));
    }
    limits
}

/// A group and those around it. Inside of a container a path may begin outside of what is mounted: the root is looked at in any case.
fn around(root: &Path, path: &str) -> impl Iterator<Item = PathBuf> {
    let path = Path::new(path.trim_start_matches('/'));
    let groups: Vec<_> = path.ancestors().map(|group| root.join(group)).collect();
    groups.into_iter()
}

/// A limit; `max`, and the largest number there is, mean none.
fn limit(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_found_by_its_name() {
        let text = "Name:\twidecast\nVmHWM:\t  20 kB\nVmRSS:\t   12 kB\n";
        assert_eq!(kibibytes(text, "VmRSS:"), Some(12 * 1024));
        assert_eq!(kibibytes(text, "VmSwap:"), None);
        assert_eq!(kibibytes("VmRSS:\tmany kB\n", "VmRSS:"), None);
    }

    #[test]
    fn the_least_limit_of_the_groups_around_holds_in_either_version() {
        let root = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| {
            let file = root.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        write("memory.max", "max\n");
        write("a/memory.max", "300\n");
        write("a/b/memory.max", "400\n");
        write("memory/c/memory.limit_in_bytes", "9223372036854771712\n");
        let least = |groups: &str| limits(groups, root.path()).into_iter().min();
        assert_eq!(least("0::/a/b\n"), Some(300));
        assert_eq!(least("0::/\n"), None);
        assert_eq!(least("0::/elsewhere/b\n"), None);
        assert_eq!(
            least("5:cpu,memory:/c\n4:pids:/a\n"),
            Some(9_223_372_036_854_771_712)
        );
        assert_eq!(least("nothing"), None);
    }

    #[test]
    fn this_machine_has_more_than_this_process_takes() {
        if let (Some(available), Some(resident)) = (available(), resident()) {
            assert!(resident < available, "{resident} of {available}");
        }
    }
}
