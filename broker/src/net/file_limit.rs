//! How many files the process may have open: each connection takes one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// About how many files are open besides connections of clients: of engines, of the log, of the worker threads, and what the broker
/// itself asks others for.
const OTHERS: u64 = 256;

/// Raises the limit on open files as far as the process may, and says so if that is less than so many connections need.
pub fn raise_file_limit(connections: usize) -> Option<String> {
    let needed = (connections as u64).saturating_add(OTHERS);
    shortage(raised(needed), connections)
}

fn raised(needed: u64) -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // Without a limit, or with a very high one, some systems take no more than they have room for.
    for wanted in [maximum, Some(needed)] {
        let is_more = current.is_some_and(|current| wanted.is_none_or(|wanted| wanted > current));
        let limit = Rlimit {
            current: wanted,
            maximum,
        };
        if is_more && setrlimit(Resource::Nofile, limit).is_ok() {
            break;
        }
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

fn shortage(granted: u64, connections: usize) -> Option<String> {
    let needed = (connections as u64).saturating_add(OTHERS);
    if granted >= needed {
        return None;
    }
    let room = granted.saturating_sub(OTHERS);
    Some(format!(
        "the process may have {granted} files open, which is enough for about {room} connections, and server.max_connections allows {connections}: \
         raise the limit to at least {needed} (LimitNOFILE= in a systemd unit, --ulimit nofile= of docker run, ulimit -n in a shell), \
         or set server.max_connections to what there is room for"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_files_for_the_connections_are_told() {
        assert_eq!(shortage(100_256, 100_000), None);
        assert_eq!(shortage(u64::MAX, usize::MAX), None);
        insta::assert_snapshot!(shortage(1024, 100_000).unwrap(), @"the process may have 1024 files open, which is enough for about 768 connections, and server.max_connections allows 100000: raise the limit to at least 100256 (LimitNOFILE= in a systemd unit, --ulimit nofile= of docker run, ulimit -n in a shell), or set server.max_connections to what there is room for");
        assert!(shortage(100, 1000).unwrap().contains("about 0 connections"));
    }
}
