//! A store whose process ended before it was made: it is begun anew.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use super::checkup::VERSION;
use super::directory::{FOUND, LOCK};

/// What the store makes before the file that says its version, in which it has nothing yet.
pub(super) const FIRST_JOURNAL: &str = "0.jnl";
pub(super) const STORE_LOCK: &str = "lock";
pub(super) const KEYSPACES: &str = "keyspaces";

/// Whether a directory has nothing in it.
pub(super) fn is_empty(directory: &Path) -> io::Result<bool> {
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

/// Removes what there is of a store that was not yet made when its process ended.
///
/// # Errors
/// When the directory cannot be read, or its files not be removed.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    if !is_unfinished(path)? {
        return Ok(());
    }
    for name in [FIRST_JOURNAL, STORE_LOCK, VERSION] {
        match fs::remove_file(path.join(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
