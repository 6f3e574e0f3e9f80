//! Secrets and keys that are in files, read again when a file changes, so that they can be exchanged without a restart.

use std::error::Error;
use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::config::FilePath;

/// How often the broker looks whether the files have changed.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A value that is read from files, as they are now.
pub struct Reread<T, E> {
    /// The value's name in the log.
    name: &'static str,
    files: Vec<FilePath>,
    read: Box<dyn Fn() -> Result<T, E> + Send + Sync>,
    known: Mutex<Known<T>>,
}

struct Known<T> {
    value: Arc<T>,
    /// When each file was last changed.
    changed: Vec<Option<SystemTime>>,
    looked: SystemTime,
}

impl<T, E: Error + 'static> Reread<T, E> {
    /// Reads the value from its files.
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn new(
        name: &'static str,
        files: Vec<FilePath>,
        read: impl Fn() -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<Self, E> {
        Ok(Self {
            name,
            known: Mutex::new(Known {
                // Before the files are read: a change meanwhile is noticed at the next look.
                changed: changes(&files),
                value: Arc::new(read()?),
                looked: SystemTime::now(),
            }),
            files,
            read: Box::new(read),
        })
    }

    /// The value as the files have it now. Files that cannot be used any more leave it as it was: a deployment that is just writing them
    /// locks nobody out.
    pub fn get(&self, now: SystemTime) -> Arc<T> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back does not tell when the last look was.
        let since = now.duration_since(known.looked);
        if since.map_or(true, |since| since >= LOOK_EVERY) {
            known.looked = now;
            self.look(&mut known);
        }
        Arc::clone(&known.value)
    }

    fn look(&self, known: &mut Known<T>) {
        let changed = changes(&self.files);
        if changed == known.changed {
            return;
        }
        let name = self.name;
        match (self.read)() {
            Ok(value) => {
                tracing::info!("{name}: read anew, because a file has changed");
                known.value = Arc::new(value);
                known.changed = changed;
            }
            Err(error) => tracing::warn!(
                error = &error as &dyn Error,
                "{name}: a file has changed and cannot be used, so that the old ones still count: mend the file"
            ),
        }
    }
}

fn changes(files: &[FilePath]) -> Vec<Option<SystemTime>> {
    let changed = |file: &FilePath| fs::metadata(file.path()).and_then(|it| it.modified()).ok();
    files.iter().map(changed).collect()
}
