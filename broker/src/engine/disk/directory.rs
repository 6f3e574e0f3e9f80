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
    make(path).map_err(in_directory)?;
    if is_foreign(path).map_err(in_directory)? {
        return Err(DiskError::Foreign {
            path: path.to_owned(),
        });
    }
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
