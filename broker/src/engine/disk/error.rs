//! Why the files of a disk engine cannot be used.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::engine::EngineError;

/// Why the files cannot be used.
#[derive(Debug, Error)]
pub enum DiskError {
    /// The directory cannot be made or read.
    #[error("the directory {} cannot be used", path.display())]
    Directory {
        /// The directory.
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
    /// A file is damaged.
    #[error(
        "the file {} is damaged: complete records are behind bytes that cannot be read. Restore it from a copy, or move the directory away to \
         start without its messages", path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// A record in the files is none that this engine writes.
    #[error(
        "the files in {} have records that this version cannot read. Use the version that wrote them, or move the directory away to start \
         without its messages", path.display()
    )]
    Content {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: EngineError,
    },
    /// The store cannot read its files.
    #[error(
        "the files in {} cannot be read. Restore them from a copy, or move the directory away to start without its messages", path.display()
    )]
    Store {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: fjall::Error,
    },
}
