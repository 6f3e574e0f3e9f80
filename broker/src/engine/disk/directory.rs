//! The directory of the files: one process at a time uses it, and nothing else is in it.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use super::checkup::VERSION;
use super::error::DiskError;
use super::inventory::INVENTORY;

/// The file that whoever uses the directory has locked. The store locks a file, too, but only once it opens its files: what is looked
/// at before must not change, either.
const LOCK: &str = "widecast.lock";

/// Where some file systems put what they find when they are repaired: it is in the directory when that is where one is mounted.
const FOUND: &str = "lost+found";

/// What the store makes before the file that says its version, in which it has nothing yet.
const FIRST_JOURNAL: &str = "0.jnl";
const STORE_LOCK: &str = "lock";
const KEYSPACES: &str = "keyspaces";

/// The directory is used by this process until this is dropped.
pub(super) struct DirectoryLock(
    #[expect(dead_code, reason = "it is locked while it is open")] File,
);

/// Makes the directory, and locks it.
///
/// # Errors
/// When it cannot be used, saying why.
pub(super) fn take(path: &Path) -> Result<DirectoryLock, DiskError> {
    let in_directory = |source| DiskError::of(path, source);
    make(path)?;
    let is_store = path.join(VERSION).try_exists().map_err(in_directory)?;
    if !is_store && is_foreign(path).map_err(in_directory)? {
        return Err(DiskError::Foreign {
            path: path.to_owned(),
        });
    }
    let of_lock = |source| DiskError::of(&path.join(LOCK), source);
    let mut options = File::options();
    let file = options.create(true).truncate(false).write(true);
    let file = file.open(path.join(LOCK)).map_err(of_lock)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(DiskError::InUse {
                path: path.to_owned(),
            });
        }
        Err(TryLockError::Error(error)) => return Err(of_lock(error)),
    }
    if is_unfinished(path).map_err(in_directory)? {
        remove_unfinished(path).map_err(in_directory)?;
    }
    Ok(DirectoryLock(file))
}

/// Makes the directory, unless it is there, for the broker's own user: the messages of all channels are in its files as they are.
fn make(path: &Path) -> Result<(), DiskError> {
    if fs::metadata(path).is_ok_and(|found| !found.is_dir()) {
        return Err(DiskError::NotADirectory {
            path: path.to_owned(),
        });
    }
    let mut directory = DirBuilder::new();
    directory.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut directory, 0o700);
    let made = directory.create(path);
    made.map_err(|source| DiskError::of(path, source))
}

/// Whether there are files in a directory without a version that are not the engine's. Those of a store that has lost its version are.
fn is_foreign(path: &Path) -> io::Result<bool> {
    let mut is_foreign = false;
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name();
        if name == INVENTORY || name == KEYSPACES || name == FIRST_JOURNAL {
            return Ok(false);
        }
        // The lock is there without the store's files when the process ended in between.
        is_foreign |= name != LOCK && name != STORE_LOCK && name != FOUND;
    }
    Ok(is_foreign)
}

/// Whether something of a store is in the directory.
///
/// # Errors
/// When the directory cannot be read.
pub(super) fn has_store(path: &Path) -> Result<bool, DiskError> {
    let in_directory = |source| DiskError::of(path, source);
    for entry in fs::read_dir(path).map_err(in_directory)? {
        let entry = entry.map_err(in_directory)?;
        let name = entry.file_name();
        let is_empty = name == LOCK
            || name == FOUND
            || (name == KEYSPACES && is_empty(&entry.path()).map_err(in_directory)?);
        if !is_empty {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_empty(directory: &Path) -> io::Result<bool> {
    Ok(fs::read_dir(directory)?.next().is_none())
}

/// Whether the process that made the store ended before it was made. Nothing was written to it, and the store does not go on with it.
fn is_unfinished(path: &Path) -> io::Result<bool> {
    let version = match fs::metadata(path.join(VERSION)) {
        Ok(found) => Some(found.len()),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    if version.is_some_and(|length| length > 3) {
        return Ok(false);
    }
    let mut has_begun = version.is_some();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == LOCK || name == FOUND || name == VERSION {
            continue;
        }
        let is_empty = match name.to_str() {
            Some(STORE_LOCK) => true,
            Some(KEYSPACES) => is_empty(&entry.path())?,
            Some(FIRST_JOURNAL) => is_zero(&entry.path())?,
            _ => false,
        };
        if !is_empty {
            return Ok(false);
        }
        has_begun = true;
    }
    Ok(has_begun)
}

fn is_zero(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let mut piece = vec![0; 1 << 16];
    loop {
        let length = file.read(&mut piece)?;
        if length == 0 {
            return Ok(true);
        }
        if piece[..length].iter().any(|&byte| byte != 0) {
            return Ok(false);
        }
    }
}

fn remove_unfinished(path: &Path) -> io::Result<()> {
    for name in [FIRST_JOURNAL, STORE_LOCK, VERSION] {
        match fs::remove_file(path.join(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a directory with these files.
    fn taken(files: &[(&str, &[u8])]) -> (Result<DirectoryLock, DiskError>, Vec<String>) {
        let directory = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = directory.path().join(name);
            match name.strip_suffix('/') {
                Some(_) => fs::create_dir_all(path).unwrap(),
                None => fs::write(path, content).unwrap(),
            }
        }
        let outcome = take(directory.path());
        let left = fs::read_dir(directory.path()).unwrap();
        let left = left.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut left: Vec<_> = left.filter(|name| name != LOCK).collect();
        left.sort();
        (outcome, left)
    }

    #[test]
    fn where_a_file_system_is_mounted_its_own_directory_is_no_obstacle() {
        let (outcome, left) = taken(&[("lost+found/", b"")]);
        assert!(outcome.is_ok());
        assert_eq!(left, ["lost+found"]);
    }

    #[test]
    fn files_of_something_else_are_left_alone() {
        let (outcome, left) = taken(&[("lock", b""), ("letter.txt", b"dear")]);
        assert!(matches!(outcome, Err(DiskError::Foreign { .. })));
        assert_eq!(left, ["letter.txt", "lock"]);
    }

    #[test]
    fn a_store_that_was_not_yet_made_is_begun_anew_at_whatever_step_its_process_ended() {
        let steps: [(&str, &[u8]); 5] = [
            ("lock", b""),
            ("keyspaces/", b""),
            ("0.jnl", b""),
            ("0.jnl", &[0; 100_000]),
            ("version", b"FJ"),
        ];
        for made in 0..=steps.len() {
            let (outcome, left) = taken(&steps[..made]);
            assert!(outcome.is_ok(), "{made}");
            assert!(
                left.iter().all(|name| name == KEYSPACES),
                "{made}: {left:?}"
            );
        }
    }

    #[test]
    fn a_store_in_which_something_was_written_is_left_as_it_is() {
        let journal: (&str, &[u8]) = ("0.jnl", b"\x01record");
        for files in [
            vec![journal],
            vec![journal, ("version", b"")],
            vec![
                ("0.jnl", &[0; 9]),
                (INVENTORY, b"keyspaces 0\njournals 0 0\n"),
            ],
        ] {
            let (outcome, left) = taken(&files);
            assert!(outcome.is_ok());
            assert_eq!(left.len(), files.len(), "{left:?}");
        }
    }
}
