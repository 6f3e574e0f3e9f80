//! What an operator is told when the files cannot be used: which one, why, and what to do.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use widecast_protocol::error::chain;

use super::tests::{DiskStage, copy_files, settings};
use super::*;
use crate::engine::ManualClock;
use crate::engine::conformance::{ALL, Heard, name, texts};

fn open(path: &Path) -> Result<DiskEngine, String> {
    let (clock, heard) = (Arc::new(ManualClock::new()), Arc::new(Heard::default()));
    DiskEngine::open(settings(path), clock, heard).map_err(|error| chain(&error))
}

/// All files of the store below a directory, but the second names of journals.
fn files_below(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && name != "journals" {
            files_below(&path, found);
        } else if path.is_file() && !name.ends_with("lock") {
            found.push(path);
        }
    }
}

/// A store that has tables in each keyspace, and later messages in its journal alone.
async fn store() -> (TempDir, Position, Vec<String>) {
    let stage = DiskStage::new();
    let start = stage.position("news").await;
    stage.publish("news", "in a table").await;
    let store = stage.engine.shared.store().unwrap();
    store.write_tables();
    drop(store);
    stage.publish("news", "in the journal").await;
    let all = stage.after("news", start).await.unwrap();
    let copy = tempfile::tempdir().unwrap();
    copy_files(stage.engine.shared.settings.path.as_path(), copy.path());
    (copy, start, all)
}

/// What is done to a file.
#[derive(Debug, Clone, Copy)]
enum Harm {
    /// A byte is another one, so far behind the beginning, in thousandths of the length.
    Flip(usize),
    /// The second half is missing.
    Cut,
    /// It is missing.
    Remove,
}

impl Harm {
    const ALL: [Self; 5] = [
        Self::Flip(0),
        Self::Flip(500),
        Self::Flip(999),
        Self::Cut,
        Self::Remove,
    ];

    fn befall(self, path: &Path) {
        let mut bytes = fs::read(path).unwrap();
        match self {
            Self::Flip(place) => {
                let place = bytes.len() * place / 1000;
                bytes[place] ^= 0x55;
            }
            Self::Cut => bytes.truncate(bytes.len() / 2),
            Self::Remove => return fs::remove_file(path).unwrap(),
        }
        fs::write(path, bytes).unwrap();
    }
}

#[tokio::test]
async fn a_file_of_each_kind_that_is_damaged_or_missing_is_named_or_nothing_is_lost() {
    let (origin, start, all) = store().await;
    let mut files = Vec::new();
    files_below(origin.path(), &mut files);
    let mut named = 0;
    for file in files {
        let file = file.strip_prefix(origin.path()).unwrap();
        let is_journal = file.extension().is_some_and(|ending| ending == "jnl");
        for harm in Harm::ALL {
            // What is cut off of the newest journal looks like a record that was being written.
            if is_journal && matches!(harm, Harm::Cut | Harm::Flip(999)) {
                continue;
            }
            let copy = tempfile::tempdir().unwrap();
            copy_files(origin.path(), copy.path());
            harm.befall(&copy.path().join(file));
            if is_journal {
                fs::remove_dir_all(copy.path().join("journals")).unwrap();
            }
            let what = format!("{harm:?} of {}", file.display());
            match open(copy.path()) {
                Err(error) => {
                    // A list of tables and the checksum of it are in two files.
                    let place = match file
                        .parent()
                        .filter(|parent| parent.starts_with("keyspaces"))
                    {
                        Some(parent) => copy.path().join(parent),
                        None => copy.path().join(file),
                    };
                    let place = place.to_str().unwrap();
                    assert!(error.contains(place), "{what}: {error}");
                    assert!(
                        error.contains("from a copy") || error.contains("version"),
                        "{what}: {error}"
                    );
                    named += 1;
                }
                Ok(engine) => {
                    let replay = engine.replay(&name("news"), start, ALL).await;
                    if let Ok(replay) = replay {
                        assert!(replay.recovered, "{what}");
                        assert_eq!(texts(&replay.messages), all, "{what}");
                    }
                }
            }
        }
    }
    assert!(named > 40, "{named}");
}

#[tokio::test]
async fn a_journal_that_has_its_second_name_alone_is_put_back() {
    let (copy, start, all) = store().await;
    fs::remove_file(copy.path().join("0.jnl")).unwrap();
    let engine = open(copy.path()).unwrap();
    let replay = engine.replay(&name("news"), start, ALL).await.unwrap();
    assert_eq!(texts(&replay.messages), all);
}

#[tokio::test]
async fn files_of_a_later_version_are_not_called_damaged() {
    let (copy, ..) = store().await;
    fs::write(copy.path().join("version"), b"FJL\x04").unwrap();
    let error = open(copy.path()).unwrap_err();
    assert!(error.contains("format 4, this one reads 3"), "{error}");
    assert!(!error.contains("move"), "{error}");
}

#[test]
fn a_file_where_a_directory_should_be_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "text").unwrap();
    for path in [file.clone(), file.join("below")] {
        let error = open(&path).unwrap_err();
        assert!(error.contains("expected a directory"), "{error}");
        assert!(error.contains(file.to_str().unwrap()), "{error}");
    }
}

#[test]
fn what_the_system_refuses_is_told_with_its_own_advice() {
    let path = Path::new("/data/0.jnl");
    for (kind, advice) in [
        (ErrorKind::PermissionDenied, "chown"),
        (ErrorKind::ReadOnlyFilesystem, "Mount it for writing"),
        (ErrorKind::StorageFull, "make room on it"),
        (ErrorKind::QuotaExceeded, "make room on it"),
        (ErrorKind::NotADirectory, "Name another directory"),
        (ErrorKind::Other, "cannot be used"),
    ] {
        let error = DiskError::of(path, io::Error::from(kind)).to_string();
        assert!(error.contains(advice), "{error}");
        assert!(error.contains("/data/0.jnl"), "{error}");
        assert!(!error.contains("without its messages"), "{error}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_the_user_may_not_use_is_named_with_what_to_do() {
    use std::os::unix::fs::PermissionsExt;

    // The superuser may use everything.
    if rustix::process::geteuid().is_root() {
        return;
    }
    let (origin, ..) = store().await;
    let mut files = Vec::new();
    files_below(origin.path(), &mut files);
    files.push(origin.path().join("widecast.lock"));
    for file in files {
        let file = file.strip_prefix(origin.path()).unwrap();
        let copy = tempfile::tempdir().unwrap();
        copy_files(origin.path(), copy.path());
        let denied = copy.path().join(file);
        fs::set_permissions(&denied, fs::Permissions::from_mode(0o000)).unwrap();
        let Err(error) = open(copy.path()) else {
            let is_left_over = !denied.exists();
            assert!(is_left_over, "{}", file.display());
            continue;
        };
        assert!(error.contains(denied.to_str().unwrap()), "{error}");
        assert!(error.contains("chown"), "{error}");
        assert!(!error.contains("without its messages"), "{error}");
    }
    let closed = tempfile::tempdir().unwrap();
    fs::set_permissions(closed.path(), fs::Permissions::from_mode(0o500)).unwrap();
    let error = open(&closed.path().join("data")).unwrap_err();
    assert!(error.contains("chown"), "{error}");
}
