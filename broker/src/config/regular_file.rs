//! Reading a file that may be read again at any time, such as one with a secret.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// What the file holds.
///
/// # Errors
/// When it cannot be read, or is no regular file.
pub fn read_regular_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut held = Vec::new();
    open_regular_file(path)?.read_to_end(&mut held)?;
    Ok(held)
}

/// Opens a file to be read. A named pipe or a device is refused: whoever opens one may wait for ever, and what it holds can be read
/// once only.
///
/// # Errors
/// When it cannot be opened, or is no regular file.
pub fn open_regular_file(path: &Path) -> io::Result<File> {
    let file = open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() {
        return Ok(file);
    }
    let what = if metadata.is_dir() {
        "it is a directory and no regular file"
    } else {
        "it is a named pipe, a socket or a device, and no regular file"
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, what))
}

/// Opens it without waiting for somebody who writes into it.
#[cfg(unix)]
fn open(path: &Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags};
    let how = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = rustix::fs::open(path, how, Mode::empty())?;
    Ok(File::from(opened))
}

#[cfg(not(unix))]
fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn only_a_regular_file_is_read_and_nothing_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let refusal = |path: &Path| read_regular_file(path).unwrap_err().to_string();
        insta::assert_snapshot!(refusal(directory.path()), @"it is a directory and no regular file");
        let pipe = directory.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        insta::assert_snapshot!(refusal(&pipe), @"it is a named pipe, a socket or a device, and no regular file");
        let file = directory.path().join("file");
        fs::write(&file, "0123456789").unwrap();
        // A secret is often a link to where it is now.
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(read_regular_file(&link).unwrap(), b"0123456789");
    }
}
