//! Sees to it that the store cuts off no more of its journal than a record that was being written when the process ended.
//!
//! The store takes whatever it cannot read at the end of a journal for such a record, and cuts it off: also when a byte far before
//! the end is damaged, and whole records follow. Messages that were acknowledged would be gone without a word.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The store ends each complete record with these bytes (fjall 3).
const RECORD_END: &[u8] = b"FJL\x03";

/// The store makes journals larger than what is in them; the rest is zeros. They are looked for in pieces of this size.
const PIECE: usize = 4096;

/// The journals as they are before the store is opened.
pub(super) struct JournalGuard(Vec<(PathBuf, Vec<u8>)>);

impl JournalGuard {
    /// Reads the journals of the store at `path`.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(super) fn before_opening(path: &Path) -> io::Result<Self> {
        let mut journals = Vec::new();
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self(journals)),
            Err(error) => return Err(error),
        };
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == "jnl") {
                let bytes = read(&path)?;
                journals.push((path, bytes));
            }
        }
        Ok(Self(journals))
    }

    /// Once the store is open: the journal of which complete records were cut off, if there is one. It is as it was before.
    ///
    /// # Errors
    /// When a journal cannot be read, or written as it was.
    pub(super) fn damaged(self) -> io::Result<Option<PathBuf>> {
        for (path, before) in self.0 {
            let after = match read(&path) {
                Ok(after) => after,
                // All of its messages have been written elsewhere.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let kept = before
                .iter()
                .zip(&after)
                .take_while(|(one, other)| one == other);
            let cut_off = &before[kept.count()..];
            let is_complete = |place: &[u8]| place == RECORD_END;
            if cut_off.windows(RECORD_END.len()).any(is_complete) {
                fs::write(&path, &before)?;
                return Ok(Some(path));
            }
        }
        Ok(None)
    }
}

/// What is in a journal.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = fs::read(path)?;
    while bytes.ends_with(&[0; PIECE]) {
        bytes.truncate(bytes.len() - PIECE);
    }
    Ok(bytes)
}
