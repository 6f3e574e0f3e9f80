//! Why the files of a disk engine cannot be used, and what to do about it.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::engine::EngineError;

/// Why the files cannot be used.
#[derive(Debug, Error)]
pub enum DiskError {
    /// The user of the broker may not use a file or a directory.
    #[error(
        "the broker's user may not read and write {}: give it and all in it to the user that the broker runs as (chown -R, chmod -R u+rwX)",
        path.display()
    )]
    Denied {
        /// What it may not use.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file system is mounted for reading alone.
    #[error(
        "{} cannot be written: its file system is read-only. Mount it for writing, or name a directory of another one in `path`",
        path.display()
    )]
    ReadOnly {
        /// What cannot be written.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The disk is full, or the user has no more room on it.
    #[error("the disk of {} is full: make room on it, or name a directory of another one in `path`", path.display())]
    Full {
        /// What cannot be written.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There is a file where a directory should be.
    #[error("expected a directory at {}: there is a file. Name another directory in `path`", path.display())]
    NotADirectory {
        /// The file.
        path: PathBuf,
    },
    /// A file or a directory cannot be used for another reason.
    #[error("{} cannot be used", path.display())]
    Unusable {
        /// What cannot be used.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There are files in the directory that this engine has not written.
    #[error("the directory {} has files of something else; choose an empty or a new one", path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
    },
    /// Another process uses the files, or another engine.
    #[error("another process uses {}, or another engine of this one does; each needs a directory of its own", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// A file is not there.
    #[error(
        "the file {} is missing, and messages with it. Put it back, or restore the whole directory of the engine from a copy; to start without its \
         messages, move the directory away", path.display()
    )]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A file is damaged.
    #[error(
        "the file {} is damaged. Restore the whole directory of the engine from a copy; to start without its messages, move the directory away",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The files are those of another version of the store.
    #[error(
        "the file {} says that the files are of another version (format {found}, this one reads {known}): use the version of widecast that wrote \
         them, or name another directory in `path`", path.display()
    )]
    OtherVersion {
        /// The file that says so.
        path: PathBuf,
        /// What it says.
        found: u8,
        /// What can be read.
        known: u8,
    },
    /// A record in the files is none that this engine writes.
    #[error(
        "the files in {} have records that this version cannot read: another version has written them, or they are damaged. Use the version that \
         wrote them, or restore the directory from a copy; to start without its messages, move it away", path.display()
    )]
    Content {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: EngineError,
    },
    /// The store cannot read its files.
    #[error(
        "the files in {} cannot be read. Restore the directory from a copy; to start without its messages, move it away", path.display()
    )]
    Store {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: fjall::Error,
    },
}

impl DiskError {
    /// What it means that the system refuses to open, make or write this file or directory.
    pub(super) fn of(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            ErrorKind::PermissionDenied => Self::Denied { path, source },
            ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path, source },
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::Full { path, source },
            ErrorKind::NotADirectory => Self::NotADirectory { path },
            _ => Self::Unusable { path, source },
        }
    }

    /// Whether the system's error says by itself what to do, whichever file it is about.
    pub(super) fn is_plain(kind: ErrorKind) -> bool {
        matches!(
            kind,
            ErrorKind::ReadOnlyFilesystem | ErrorKind::StorageFull | ErrorKind::QuotaExceeded
        )
    }

    /// The same for a file that has to be there.
    pub(super) fn of_needed(path: &Path, source: io::Error) -> Self {
        match source.kind() {
            ErrorKind::NotFound => Self::Missing {
                path: path.to_owned(),
            },
            _ => Self::of(path, source),
        }
    }
}
