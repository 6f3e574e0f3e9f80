//! The directory of the files: one process at a time uses it, and nothing else is in it.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::path::Path;

use super::error::DiskError;

/// The file that whoever uses the directory has locked. The store locks a file, too, but only once it opens its files: what is looked
/// at before must not change, either.
const LOCK: &str = "widecast.lock";

/// The directory is used by this process until this is dropped.
pub(super) struct DirectoryLock(
    #[expect(dead_code, reason = "it is locked while it is open")] File,
);

/// Makes the directory, and locks it.
///
/// # Errors
/// When it cannot be used, saying why.
pub(super) fn take(path: &Path) -> Result<DirectoryLock, DiskError> {
    let in_directory = |source| DiskError::Directory {
        path: path.to_owned(),
        source,
    };
    check(path)?;
    make(path).map_err(in_directory)?;
    let mut options = File::options();
    let file = options.create(true).truncate(false).write(true);
    let file = file.open(path.join(LOCK)).map_err(in_directory)?;
    match file.try_lock() {
        Ok(()) => Ok(DirectoryLock(file)),
        Err(TryLockError::WouldBlock) => Err(DiskError::InUse {
            path: path.to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(in_directory(error)),
    }
}

/// Looks whether the directory can be used, or made. Nothing is made, and a process that uses it is not disturbed.
///
/// # Errors
/// When it cannot, saying why.
pub(super) fn check(path: &Path) -> Result<(), DiskError> {
    let in_directory = |source| DiskError::Directory {
        path: path.to_owned(),
        source,
    };
    let beginning = existing(path).map_err(in_directory)?;
    let is_whole = beginning == path;
    let is_directory = fs::metadata(beginning).map(|found| found.is_dir());
    if !is_directory.map_err(in_directory)? {
        let place = beginning.display();
        let what = format!("{place} is no directory");
        return Err(in_directory(io::Error::new(
            io::ErrorKind::NotADirectory,
            what,
        )));
    }
    if is_whole && is_foreign(path).map_err(in_directory)? {
        return Err(DiskError::Foreign {
            path: path.to_owned(),
        });
    }
    may_write(beginning).map_err(in_directory)
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
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // Something in the middle is no directory.
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::NotFound.into())
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
fn make(path: &Path) -> io::Result<()> {
    let mut directory = DirBuilder::new();
    directory.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut directory, 0o700);
    directory.create(path)
}

/// Whether there are files in a directory that are not the store's.
fn is_foreign(path: &Path) -> io::Result<bool> {
    if path.join("version").try_exists()? {
        return Ok(false);
    }
    for entry in fs::read_dir(path)? {
        // It is there without the store's files when the process ended in between.
        if entry?.file_name() != LOCK {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use widecast_protocol::error::chain;

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
        insta::assert_snapshot!(refusal(root, "file"), @"the directory /file cannot be used: /file is no directory");
        insta::assert_snapshot!(refusal(root, "file/in/it"), @"the directory /file/in/it cannot be used: /file is no directory");
        insta::assert_snapshot!(refusal(root, "foreign"), @"the directory /foreign has files of something else; choose an empty or a new one");
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("nowhere", root.join("link")).unwrap();
            insta::assert_snapshot!(refusal(root, "link"), @"the directory /link cannot be used: No such file or directory (os error 2)");
        }
        // Nothing is made, and it may be in use.
        let good = root.join("new/directory");
        assert!(check(&good).is_ok() && !root.join("new").exists());
        let taken = take(&good).unwrap();
        assert!(check(&good).is_ok());
        drop(taken);
    }
}
