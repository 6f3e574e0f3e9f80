//! Which files of the store there have to be: it takes one that is missing for one that it has removed itself, and what was in it is lost
//! without a word.
//!
//! The store writes journals of increasing numbers, and removes the oldest when the tables have all of it. When it does so nobody is told
//! of, so each journal has a second name, which only this removes: first the inventory says that the journal need not be there, then
//! the name goes. Whenever the process ends in between, the next one puts the journal back; the store reads it again, which changes nothing.

use std::collections::BTreeSet;
use std::fs::{self, File, FileType};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::error::DiskError;

/// The file with the inventory.
pub(super) const INVENTORY: &str = "widecast.files";
/// It is written here first.
const DRAFT: &str = "widecast.files.new";
/// The directory of the second names.
const SECOND_NAMES: &str = "journals";

/// What has to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Inventory {
    /// The numbers of the store's keyspaces.
    keyspaces: BTreeSet<u64>,
    /// The number of the oldest journal; `None` where the file system knows no second names, and a journal may go at any time.
    oldest: Option<u64>,
    /// The number of the newest one. The store never removes that; it may begin another.
    newest: u64,
}

impl Inventory {
    /// What has to be there according to the directory; `None` if it does not say, because the store is new, or older than this file.
    ///
    /// # Errors
    /// When the inventory cannot be read.
    pub(super) fn read(directory: &Path) -> Result<Option<Self>, DiskError> {
        let path = directory.join(INVENTORY);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(DiskError::of(&path, error)),
        };
        let text = String::from_utf8(text).ok();
        let found = text.and_then(|text| Self::parse(&text));
        found.map(Some).ok_or(DiskError::Damaged { path })
    }

    fn parse(text: &str) -> Option<Self> {
        let (keyspaces, journals) = text.strip_suffix('\n')?.split_once('\n')?;
        let numbers = |text: &str| -> Option<Vec<u64>> {
            text.split(' ').map(|number| number.parse().ok()).collect()
        };
        let keyspaces = numbers(keyspaces.strip_prefix("keyspaces ")?)?;
        let journals = numbers(journals.strip_prefix("journals ")?)?;
        let (oldest, newest) = match journals[..] {
            [newest] => (None, newest),
            [oldest, newest] if oldest <= newest => (Some(oldest), newest),
            _ => return None,
        };
        Some(Self {
            keyspaces: keyspaces.into_iter().collect(),
            oldest,
            newest,
        })
    }

    fn text(&self) -> String {
        let keyspaces: Vec<_> = self.keyspaces.iter().map(u64::to_string).collect();
        let oldest = self
            .oldest
            .map_or_else(String::new, |one| format!("{one} "));
        let (keyspaces, newest) = (keyspaces.join(" "), self.newest);
        format!("keyspaces {keyspaces}\njournals {oldest}{newest}\n")
    }

    /// The numbers of the keyspaces that have to be there.
    pub(super) fn keyspaces(&self) -> impl Iterator<Item = u64> {
        self.keyspaces.iter().copied()
    }
}

/// Before the store is opened: puts journals back that have their second name alone, and makes sure that none is missing.
///
/// # Errors
/// When one is, or the directory cannot be used.
pub(super) fn restore_journals(
    directory: &Path,
    inventory: Option<&Inventory>,
) -> Result<(), DiskError> {
    let of_directory = |source| DiskError::of(directory, source);
    let mut journals = journals_in(directory).map_err(of_directory)?;
    let names = directory.join(SECOND_NAMES);
    let oldest = inventory.and_then(|inventory| inventory.oldest);
    let linked = journals_in(&names).map_err(|source| DiskError::of(&names, source))?;
    for &number in linked.difference(&journals.clone()) {
        // It was about to lose this name, too.
        if oldest.is_some_and(|oldest| number < oldest) {
            continue;
        }
        let (name, journal) = (file_of(&names, number), file_of(directory, number));
        // A copy of the directory may be on a file system without second names.
        let restored = fs::hard_link(&name, &journal).or_else(|_| copy(&name, &journal));
        restored.map_err(|source| DiskError::of(&journal, source))?;
        journals.insert(number);
    }
    match missing_of(&journals, inventory) {
        Some(number) => Err(DiskError::Missing {
            path: file_of(directory, number),
        }),
        None => Ok(()),
    }
}

/// The number of a journal that has to be there besides these.
fn missing_of(journals: &BTreeSet<u64>, inventory: Option<&Inventory>) -> Option<u64> {
    let Some(&last) = journals.last() else {
        // A store has a journal from the moment at which it has a version.
        return Some(inventory.map_or(0, |inventory| inventory.newest));
    };
    let hole_from = |first: u64| {
        let mut all = journals.range(first..);
        let first = all.next().copied()?;
        (first..=last).find(|number| !journals.contains(number))
    };
    let Some(inventory) = inventory else {
        return hole_from(0);
    };
    let newest = inventory.newest;
    match inventory.oldest {
        // Those after the newest have come since, and may have gone: the first that is left need not be the next one.
        Some(oldest) => (oldest..=newest)
            .find(|number| !journals.contains(number))
            .or_else(|| hole_from(newest + 1)),
        None => hole_from(0).or((last < newest).then_some(newest)),
    }
}

/// Once the store is open, and now and then: remembers what is there, if that has changed since.
///
/// # Errors
/// When it cannot be written. What was remembered before still holds.
pub(super) fn take_stock(directory: &Path, known: &mut Option<Inventory>) -> io::Result<()> {
    let names = directory.join(SECOND_NAMES);
    fs::create_dir_all(&names)?;
    let mut has_second_names = true;
    let mut journals = BTreeSet::new();
    for number in journals_in(directory)? {
        match name_again(&file_of(directory, number), &file_of(&names, number)) {
            Ok(()) => {}
            // The store has removed it meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(_) => has_second_names = false,
        }
        journals.insert(number);
    }
    let (Some(&oldest), Some(&newest)) = (journals.first(), journals.last()) else {
        return Ok(());
    };
    let found = Inventory {
        keyspaces: keyspaces_in(directory)?,
        oldest: has_second_names.then_some(oldest),
        newest,
    };
    if known.as_ref() == Some(&found) {
        return Ok(());
    }
    // After a crash of the machine the names have to be there that the inventory relies on.
    #[cfg(unix)]
    File::open(&names)?.sync_all()?;
    write(directory, &found)?;
    *known = Some(found);
    // From the oldest on: those that are left have no holes, whenever the process ends.
    let gone = journals_in(&names)?;
    for number in gone.into_iter().filter(|&number| number < oldest) {
        fs::remove_file(file_of(&names, number))?;
    }
    Ok(())
}

/// Gives a file a second name, if it does not have that yet. A copy of the directory may have another file of that name.
fn name_again(file: &Path, name: &Path) -> io::Result<()> {
    if is_same(file, name)? {
        return Ok(());
    }
    // The name is never missing in between: the store may remove the file, and the process end, at any moment.
    let draft = name.with_extension("new");
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::hard_link(file, &draft)?;
    fs::rename(&draft, name)
}

/// Copies a file, so that the whole of it is there, or nothing.
fn copy(file: &Path, to: &Path) -> io::Result<()> {
    let draft = to.with_extension("new");
    fs::copy(file, &draft)?;
    File::open(&draft)?.sync_all()?;
    fs::rename(&draft, to)
}

#[cfg(unix)]
fn is_same(file: &Path, name: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;

    let file = fs::metadata(file)?;
    let name = fs::metadata(name);
    Ok(name.is_ok_and(|name| (name.dev(), name.ino()) == (file.dev(), file.ino())))
}

#[cfg(not(unix))]
fn is_same(_: &Path, _: &Path) -> io::Result<bool> {
    Ok(false)
}

fn write(directory: &Path, inventory: &Inventory) -> io::Result<()> {
    let draft = directory.join(DRAFT);
    let mut file = File::create(&draft)?;
    file.write_all(inventory.text().as_bytes())?;
    // After a crash of the machine the file must not be there without what is in it.
    file.sync_all()?;
    fs::rename(&draft, directory.join(INVENTORY))?;
    #[cfg(unix)]
    File::open(directory)?.sync_all()?;
    Ok(())
}

/// The numbers of the journals in a directory, if it is there.
fn journals_in(directory: &Path) -> io::Result<BTreeSet<u64>> {
    numbers_in(directory, |name, kind| {
        name.strip_suffix(".jnl").filter(|_| kind.is_file())
    })
}

fn keyspaces_in(directory: &Path) -> io::Result<BTreeSet<u64>> {
    numbers_in(&directory.join("keyspaces"), |name, kind| {
        kind.is_dir().then_some(name)
    })
}

fn numbers_in(
    directory: &Path,
    number: impl Fn(&str, FileType) -> Option<&str>,
) -> io::Result<BTreeSet<u64>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(error) => return Err(error),
    };
    let mut found = BTreeSet::new();
    for entry in entries {
        let entry = entry?;
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        let name = name.to_str().and_then(|name| number(name, kind));
        found.extend(name.and_then(|name| name.parse::<u64>().ok()));
    }
    Ok(found)
}

fn file_of(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number}.jnl"))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    /// A directory whose journals come and go.
    struct Stage {
        directory: TempDir,
        known: Option<Inventory>,
    }

    impl Stage {
        fn new() -> Self {
            let stage = Self {
                directory: tempfile::tempdir().unwrap(),
                known: None,
            };
            fs::create_dir_all(stage.path().join("keyspaces").join("0")).unwrap();
            stage.begin(0);
            stage
        }

        fn path(&self) -> &Path {
            self.directory.path()
        }

        fn begin(&self, number: u64) {
            fs::write(file_of(self.path(), number), number.to_string()).unwrap();
        }

        fn remove(&self, number: u64) {
            fs::remove_file(file_of(self.path(), number)).unwrap();
        }

        fn take_stock(&mut self) {
            take_stock(self.directory.path(), &mut self.known).unwrap();
        }

        /// What the next process finds missing, or the journals that it has.
        fn next(&self) -> Result<Vec<u64>, PathBuf> {
            let known = Inventory::read(self.path()).unwrap();
            match restore_journals(self.path(), known.as_ref()) {
                Ok(()) => Ok(journals_in(self.path()).unwrap().into_iter().collect()),
                Err(DiskError::Missing { path }) => Err(path),
                Err(error) => panic!("{error}"),
            }
        }

        /// Loses a journal altogether, as a copy does that lacks it.
        fn lose(&self, number: u64) {
            self.remove(number);
            fs::remove_file(file_of(&self.path().join(SECOND_NAMES), number)).unwrap();
        }
    }

    #[test]
    fn an_inventory_is_read_as_it_was_written() {
        for (oldest, text) in [
            (Some(3), "keyspaces 0 1 5\njournals 3 4\n"),
            (None, "keyspaces 0 1 5\njournals 4\n"),
        ] {
            let inventory = Inventory {
                keyspaces: [0, 1, 5].into(),
                oldest,
                newest: 4,
            };
            assert_eq!(inventory.text(), text);
            assert_eq!(Inventory::parse(text), Some(inventory));
            for length in 0..text.len() {
                assert_eq!(Inventory::parse(&text[..length]), None, "{length}");
            }
        }
    }

    #[test]
    fn journals_that_the_store_removes_are_no_loss_at_whatever_step_the_process_ends() {
        let mut stage = Stage::new();
        stage.take_stock();
        for round in 0..4 {
            let (oldest, newest) = (2 * round, 2 * round + 2);
            assert!(stage.next().is_ok());
            // The store goes ahead, and nobody has noticed.
            for number in [newest - 1, newest] {
                stage.begin(number);
                assert!(stage.next().is_ok(), "begun {number}");
            }
            if round % 2 == 0 {
                stage.take_stock();
                assert!(stage.next().is_ok(), "round {round}");
            }
            for number in [oldest, oldest + 1] {
                stage.remove(number);
                let found = stage.next();
                assert!(found.is_ok(), "removed {number}: {found:?}");
                // The next process has read what was put back, and removes it again.
                for number in found.unwrap().into_iter().filter(|&one| one <= number) {
                    stage.remove(number);
                }
            }
            stage.take_stock();
            assert_eq!(stage.next(), Ok(vec![newest]), "round {round}");
            let left = journals_in(&stage.path().join(SECOND_NAMES)).unwrap();
            assert_eq!(left, [newest].into(), "the disk has the room again");
        }
    }

    #[test]
    fn a_process_that_ends_while_second_names_are_removed_leaves_no_holes() {
        let mut stage = Stage::new();
        for number in 1..4 {
            stage.begin(number);
        }
        stage.take_stock();
        // All that `take_stock` has done by then is to say so.
        for number in 0..3 {
            stage.remove(number);
        }
        let said = Inventory {
            oldest: Some(3),
            ..stage.known.clone().unwrap()
        };
        write(stage.path(), &said).unwrap();
        let name = |number| file_of(&stage.path().join(SECOND_NAMES), number);
        for number in 0..3 {
            assert_eq!(stage.next(), Ok(vec![3]));
            fs::remove_file(name(number)).unwrap();
        }
        assert_eq!(stage.next(), Ok(vec![3]));
    }

    #[test]
    fn a_journal_without_its_first_name_is_put_back() {
        for number in 0..3 {
            let mut stage = Stage::new();
            stage.begin(1);
            stage.begin(2);
            stage.take_stock();
            stage.remove(number);
            assert_eq!(stage.next(), Ok(vec![0, 1, 2]));
            let found = fs::read_to_string(file_of(stage.path(), number));
            assert_eq!(found.unwrap(), number.to_string());
        }
    }

    #[test]
    fn a_journal_that_is_missing_is_named() {
        for number in 0..3 {
            let mut stage = Stage::new();
            stage.begin(1);
            stage.begin(2);
            stage.take_stock();
            stage.lose(number);
            assert_eq!(stage.next(), Err(file_of(stage.path(), number)));
        }
        let mut stage = Stage::new();
        stage.take_stock();
        stage.lose(0);
        assert_eq!(stage.next(), Err(file_of(stage.path(), 0)));
    }

    #[test]
    fn without_an_inventory_a_hole_is_noticed_all_the_same() {
        let stage = Stage::new();
        stage.begin(1);
        stage.begin(2);
        assert_eq!(stage.next(), Ok(vec![0, 1, 2]));
        stage.remove(1);
        assert_eq!(stage.next(), Err(file_of(stage.path(), 1)));
    }

    #[test]
    fn without_second_names_the_newest_journal_has_to_be_there_or_a_newer_one() {
        let stage = Stage::new();
        for number in 1..4 {
            stage.begin(number);
        }
        let inventory = Inventory {
            keyspaces: [0].into(),
            oldest: None,
            newest: 2,
        };
        write(stage.path(), &inventory).unwrap();
        for number in 0..3 {
            assert!(stage.next().is_ok());
            stage.remove(number);
        }
        assert!(stage.next().is_ok());
        stage.remove(3);
        assert_eq!(stage.next(), Err(file_of(stage.path(), 2)));
    }

    #[test]
    fn a_copy_that_made_two_files_of_one_is_put_in_order() {
        let mut stage = Stage::new();
        stage.take_stock();
        let name = file_of(&stage.path().join(SECOND_NAMES), 0);
        fs::remove_file(&name).unwrap();
        fs::write(&name, "older").unwrap();
        stage.take_stock();
        assert_eq!(fs::read_to_string(&name).unwrap(), "0");
    }
}
