//! Sees to it that the store cuts off no more of its journal than a record that was being written when the process ended.
//!
//! The store takes whatever it cannot read at the end of a journal for such a record, and cuts it off: also when a byte far before
//! the end is damaged, and whole records follow. Messages that were acknowledged would be gone without a word.

use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};

use super::error::DiskError;

/// The store ends each complete record with these bytes (fjall 3).
const RECORD_END: &[u8] = b"FJL\x03";

/// The store makes journals larger than what is in them; the rest is zeros. They are looked for in pieces of this size.
const PIECE: usize = 4096;

/// The journals as they are before the store is opened.
pub(super) struct JournalGuard(Vec<Journal>);

struct Journal {
    number: u64,
    path: PathBuf,
    /// Shows what the store has cut off also once it has removed the journal, because what is left of it is written elsewhere.
    file: File,
    before: Vec<u8>,
}

impl JournalGuard {
    /// Reads the journals of the store at `path`.
    ///
    /// # Errors
    /// When one cannot be read.
    pub(super) fn before_opening(path: &Path) -> Result<Self, DiskError> {
        let in_directory = |source| DiskError::of(path, source);
        let mut journals = Vec::new();
        for entry in fs::read_dir(path).map_err(in_directory)? {
            let path = entry.map_err(in_directory)?.path();
            if path.extension().is_none_or(|ending| ending != "jnl") {
                continue;
            }
            let opened = File::open(&path).and_then(|mut file| {
                let before = read(&mut file)?;
                Ok((file, before))
            });
            let (file, before) = opened.map_err(|source| DiskError::of(&path, source))?;
            let number = path
                .file_stem()
                .and_then(|stem| stem.to_str()?.parse().ok());
            journals.push(Journal {
                number: number.unwrap_or(u64::MAX),
                path,
                file,
                before,
            });
        }
        Ok(Self(journals))
    }

    /// Once the store is open, makes sure that no complete records were cut off of a journal, and nothing at all of one behind which
    /// there is another: that was complete when the next one was begun. A damaged one is as it was before.
    ///
    /// # Errors
    /// When it was, or a journal cannot be read, or written as it was.
    pub(super) fn check(self) -> Result<(), DiskError> {
        let newest = self.0.iter().map(|journal| journal.number).max();
        for mut journal in self.0 {
            let after = read(&mut journal.file);
            let Journal {
                path,
                before,
                number,
                ..
            } = journal;
            let after = after.map_err(|source| DiskError::of(&path, source))?;
            let kept = before
                .iter()
                .zip(&after)
                .take_while(|(one, other)| one == other);
            let cut_off = &before[kept.count()..];
            let is_complete = |place: &[u8]| place == RECORD_END;
            let is_sealed = Some(number) != newest;
            if cut_off.windows(RECORD_END.len()).any(is_complete)
                || (is_sealed && cut_off.iter().any(|&byte| byte != 0))
            {
                fs::write(&path, &before).map_err(|source| DiskError::of(&path, source))?;
                return Err(DiskError::Damaged { path });
            }
        }
        Ok(())
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
        let damaged = match guard.check() {
            Ok(()) => None,
            Err(DiskError::Damaged { path }) => Some(path),
            Err(error) => panic!("{error}"),
        };
        (damaged, fs::read(&path).ok())
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

    #[test]
    fn of_a_journal_behind_which_there_is_another_nothing_is_cut_off_but_zeros() {
        for (rest, is_damaged) in [(&b"tw"[..], true), (&[0; 9], false)] {
            let directory = tempfile::tempdir().unwrap();
            let [older, newest] = ["9.jnl", "10.jnl"].map(|name| directory.path().join(name));
            let whole = [b"one", RECORD_END, rest].concat();
            fs::write(&older, &whole).unwrap();
            fs::write(&newest, &whole).unwrap();
            let guard = JournalGuard::before_opening(directory.path()).unwrap();
            for path in [&older, &newest] {
                let journal = File::options().write(true).open(path).unwrap();
                journal.set_len(7).unwrap();
            }
            match guard.check() {
                Ok(()) => assert!(!is_damaged),
                Err(DiskError::Damaged { path }) => assert!(is_damaged && path == older),
                Err(error) => panic!("{error}"),
            }
        }
    }
}
