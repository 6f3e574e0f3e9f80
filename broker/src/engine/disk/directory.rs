//! The directory of the files: one process at a time uses it, and nothing else is in it.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::Path;

use super::checkup::VERSION;
use super::error::DiskError;
use super::inventory::INVENTORY;
use super::unfinished::{self, FIRST_JOURNAL, KEYSPACES, STORE_LOCK};

/// The file that whoever uses the directory has locked. The store locks a file, too, but only once it opens its files: what is looked
/// at before must not change, either.
pub(super) const LOCK: &str = "widecast.lock";

/// Where some file systems put what they find when they are repaired: it is in the directory when that is where one is mounted.
pub(super) const FOUND: &str = "lost+found";

/// The directory is used by this process until this is dropped.
pub(super) struct DirectoryLock(
    #[expect(dead_code, reason = "it is locked while it is open")] File,
);

/// Makes the directory, and locks it.
///
/// # Errors
/// When it cannot be used, saying why.
pub(super) fn take(path: &Path) -> Result<DirectoryLock, DiskError> {
    check(path)?;
    make(path)?;
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
    let removed = unfinished::remove(path);
    removed.map_err(|source| DiskError::of(path, source))?;
    Ok(DirectoryLock(file))
}

/// Looks whether the directory can be used, or made. Nothing is made, and a process that uses it is not disturbed.
///
/// # Errors
/// When it cannot, saying why.
pub(super) fn check(path: &Path) -> Result<(), DiskError> {
    let beginning = existing(path).map_err(|source| DiskError::of(path, source))?;
    let of_beginning = |source| DiskError::of(beginning, source);
    let found = fs::metadata(beginning).map_err(of_beginning)?;
    if !found.is_dir() {
        return Err(DiskError::NotADirectory {
            path: beginning.to_owned(),
        });
    }
    if beginning == path {
        let is_store = path.join(VERSION).try_exists().map_err(of_beginning)?;
        if !is_store && is_foreign(path).map_err(of_beginning)? {
            return Err(DiskError::Foreign {
                path: path.to_owned(),
            });
        }
    }
    may_write(beginning).map_err(of_beginning)
}

/// The longest beginning of a path that is there: the path itself, or what it would be made in.
fn existing(path: &Path) -> io::Result<&Path> {
    for beginning in path.ancestors() {
        // The directory in which the process runs.
        let place = if beginning.as_os_str().is_empty() {
            Path::new(".")
        } else {
            beginning
        };
        match place.symlink_metadata() {
            Ok(_) => return Ok(place),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            // Something in the middle is no directory.
            Err(error) if error.kind() == ErrorKind::NotADirectory => {}
            Err(error) => return Err(error),
        }
    }
    Err(ErrorKind::NotFound.into())
}

/// Whether this process may make files in a directory.
#[cfg(unix)]
fn may_write(directory: &Path) -> io::Result<()> {
    use rustix::fs::{Access, access};
    Ok(access(directory, Access::WRITE_OK | Access::EXEC_OK)?)
}

#[cfg(not(unix))]
fn may_write(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Makes the directory, unless it is there, for the broker's own user: the messages of all channels are in its files as they are.
fn make(path: &Path) -> Result<(), DiskError> {
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
            || (name == KEYSPACES && unfinished::is_empty(&entry.path()).map_err(in_directory)?);
        if !is_empty {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use widecast_protocol::error::chain;

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
            ("0.jnl", &[0; 10_000]),
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

    /// What is wrong, with the path of the test's own directory left out. Whoever takes the directory is told the same.
    fn refusal(root: &Path, path: &str) -> String {
        let path = root.join(path);
        let told = |error: DiskError| chain(&error).replace(&root.display().to_string(), "");
        let checked = check(&path).map_err(told).unwrap_err();
        assert_eq!(take(&path).map(drop).map_err(told), Err(checked.clone()));
        checked
    }

    #[test]
    fn a_directory_that_cannot_be_used_is_told_without_touching_it() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::write(root.join("file"), "").unwrap();
        fs::create_dir(root.join("foreign")).unwrap();
        fs::write(root.join("foreign/notes"), "").unwrap();
        insta::assert_snapshot!(refusal(root, "file"), @"expected a directory at /file: there is a file. Name another directory in `path`");
        insta::assert_snapshot!(refusal(root, "file/in/it"), @"expected a directory at /file: there is a file. Name another directory in `path`");
        insta::assert_snapshot!(refusal(root, "foreign"), @"the directory /foreign has files of something else; choose an empty or a new one");
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("nowhere", root.join("link")).unwrap();
            insta::assert_snapshot!(refusal(root, "link"), @"/link cannot be used: No such file or directory (os error 2)");
        }
        // Nothing is made, and it may be in use.
        let good = root.join("new/directory");
        assert!(check(&good).is_ok() && !root.join("new").exists());
        let taken = take(&good).unwrap();
        assert!(check(&good).is_ok());
        drop(taken);
    }
}
