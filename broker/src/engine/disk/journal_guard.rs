//! Sees to it that the store cuts off no more of its journal than a record that was being written when the process ended.
//!
//! The store takes whatever it cannot read at the end of a journal for such a record, and cuts it off: also when a byte far before
//! the end is damaged, and whole records follow. Messages that were acknowledged would be gone without a word.

use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};

/// The store ends each complete record with these bytes (fjall 3).
const RECORD_END: &[u8] = b"FJL\x03";

/// The store makes journals larger than what is in them; the rest is zeros. They are looked for in pieces of this size.
const PIECE: usize = 4096;

/// The journals as they are before the store is opened.
pub(super) struct JournalGuard(Vec<Journal>);

struct Journal {
    path: PathBuf,
    /// Shows what the store has cut off also once it has removed the journal, because what is left of it is written elsewhere.
    file: File,
    before: Vec<u8>,
}

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
                let mut file = File::open(&path)?;
                let before = read(&mut file)?;
                journals.push(Journal { path, file, before });
            }
        }
        Ok(Self(journals))
    }

    /// Once the store is open: the journal of which complete records were cut off, if there is one. It is as it was before.
    ///
    /// # Errors
    /// When a journal cannot be read, or written as it was.
    pub(super) fn damaged(self) -> io::Result<Option<PathBuf>> {
        for mut journal in self.0 {
            let after = read(&mut journal.file)?;
            let Journal { path, before, .. } = journal;
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
fn read(file: &mut File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    while bytes.ends_with(&[0; PIECE]) {
        bytes.truncate(bytes.len() - PIECE);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the guard says when the store cuts a journal off behind so many bytes, and perhaps removes it.
    fn cut(whole: &[u8], kept: u64, is_removed: bool) -> (Option<PathBuf>, Option<Vec<u8>>) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("0.jnl");
        fs::write(&path, whole).unwrap();
        let guard = JournalGuard::before_opening(directory.path()).unwrap();
        let journal = File::options().write(true).open(&path).unwrap();
        journal.set_len(kept).unwrap();
        if is_removed {
            fs::remove_file(&path).unwrap();
        }
        (guard.damaged().unwrap(), fs::read(&path).ok())
    }

    #[test]
    fn complete_records_that_are_cut_off_are_noticed_and_put_back() {
        let whole = [b"one", RECORD_END, b"two", RECORD_END].concat();
        for is_removed in [false, true] {
            let (damaged, found) = cut(&whole, 7, is_removed);
            assert!(damaged.is_some(), "{is_removed}");
            assert_eq!(found.as_ref(), Some(&whole), "{is_removed}");
        }
    }

    #[test]
    fn a_record_that_was_being_written_is_cut_off_and_a_journal_that_is_written_elsewhere_removed()
    {
        let torn = [b"one", RECORD_END, b"tw"].concat();
        assert_eq!(cut(&torn, 7, false), (None, Some(torn[..7].to_vec())));
        let whole = [b"one", RECORD_END].concat();
        assert_eq!(cut(&whole, 7, true), (None, None));
    }
}
