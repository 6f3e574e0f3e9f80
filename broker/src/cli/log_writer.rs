//! Writes log lines to standard error without ever stopping whoever logs.
//!
//! Lines go into a bounded buffer, and a thread of its own writes them. Standard error may be a full disk, a pipe whose
//! reader has gone, or one whose reader no longer reads: then lines are lost, and how many is said once it takes
//! lines again.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

/// How many bytes may wait to be written. Further lines are lost until the thread catches up.
const BUFFER_BYTES: usize = 1 << 20;

/// How long the end of the process waits for the last lines: a pipe that nobody reads would hold it for ever.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What waits to be written.
#[derive(Default)]
struct Pending {
    lines: Vec<u8>,
    lost: u64,
    /// The thread is writing what it has taken.
    is_writing: bool,
}

impl Pending {
    fn push(&mut self, line: &[u8]) {
        if self.lines.len() + line.len() > BUFFER_BYTES {
            self.lost += 1;
        } else {
            self.lines.extend_from_slice(line);
        }
    }

    fn is_done(&self) -> bool {
        self.lines.is_empty() && self.lost == 0 && !self.is_writing
    }

    fn take(&mut self) -> Vec<u8> {
        let mut lines = std::mem::take(&mut self.lines);
        if self.lost > 0 {
            let lost = std::mem::take(&mut self.lost);
            lines.extend_from_slice(
                format!(
                    "{lost} lines of the log were lost: they came faster than they were read\n"
                )
                .as_bytes(),
            );
        }
        lines
    }
}

#[derive(Default)]
struct Shared {
    pending: Mutex<Pending>,
    /// Something waits to be written.
    filled: Condvar,
    /// Nothing does any more.
    emptied: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        // The buffer is whole between any two steps, so a panic elsewhere leaves it usable.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes log lines; cheap to clone.
#[derive(Clone, Default)]
pub(super) struct LogWriter(Arc<Shared>);

impl LogWriter {
    /// Starts the thread that writes to `output`.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(output: impl Write + Send + 'static) -> io::Result<Self> {
        let writer = Self::default();
        let shared = Arc::clone(&writer.0);
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write_for_ever(&shared, output))?;
        Ok(writer)
    }
}

fn write_for_ever(shared: &Shared, mut output: impl Write) {
    let mut pending = shared.lock();
    loop {
        if pending.is_done() {
            shared.emptied.notify_all();
            let filled = shared.filled.wait(pending);
            pending = filled.unwrap_or_else(PoisonError::into_inner);
            continue;
        }
        let lines = pending.take();
        pending.is_writing = true;
        drop(pending);
        // Where the log cannot be written there is nobody to tell; the next lines are tried again.
        let _ = output.write_all(&lines).and_then(|()| output.flush());
        pending = shared.lock();
        pending.is_writing = false;
    }
}

/// One line.
impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().push(line);
        self.0.filled.notify_one();
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Waits for the last lines when it is dropped.
#[must_use = "the last lines of the log are waited for when this is dropped"]
pub struct LogEnd(pub(super) LogWriter);

impl Drop for LogEnd {
    fn drop(&mut self) {
        let LogWriter(shared) = &self.0;
        let deadline = Instant::now() + LAST_WORDS;
        let mut pending = shared.lock();
        while !pending.is_done() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = shared.emptied.wait_timeout(pending, left);
            pending = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// Says that it has been given something, and writes it only when it is let.
    struct Gated {
        begun: mpsc::Sender<()>,
        open: mpsc::Receiver<()>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Gated {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Only one test listens.
            let _ = self.begun.send(());
            // After its last permission it writes freely.
            let _ = self.open.recv();
            self.written.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Broken;

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_last_lines_are_waited_for() {
        let (permit, open) = mpsc::channel();
        let written = Arc::default();
        let output = Gated {
            begun: mpsc::channel().0,
            open,
            written: Arc::clone(&written),
        };
        let mut writer = LogWriter::start(output).unwrap();
        writer.write_all(b"one\n").unwrap();
        writer.write_all(b"two\n").unwrap();
        drop(permit);
        drop(LogEnd(writer));
        assert_eq!(*written.lock().unwrap(), b"one\ntwo\n");
    }

    #[test]
    fn an_output_that_takes_nothing_stops_nobody_and_memory_is_bounded() {
        let (permit, open) = mpsc::channel();
        let (begun, has_begun) = mpsc::channel();
        let written = Arc::default();
        let output = Gated {
            begun,
            open,
            written: Arc::clone(&written),
        };
        let mut writer = LogWriter::start(output).unwrap();
        let line = [b'x'; 1 << 10];
        // From here on the thread takes nothing more: were it later, fewer lines might be lost behind those that it takes.
        writer.write_all(&line).unwrap();
        has_begun.recv().unwrap();
        for _ in 0..3 << 10 {
            writer.write_all(&line).unwrap();
        }
        assert!(writer.0.lock().lines.len() <= BUFFER_BYTES);
        drop(permit);
        // On a busy machine this may take longer than the end of a process waits.
        for _ in 0..20 {
            drop(LogEnd(writer.clone()));
        }
        assert!(writer.0.lock().is_done());
        let written = written.lock().unwrap();
        assert!(written.ends_with(b"they came faster than they were read\n"));
        assert!(written.len() <= 3 * BUFFER_BYTES);
    }

    #[test]
    fn a_broken_output_stops_nobody() {
        let mut writer = LogWriter::start(Broken).unwrap();
        for _ in 0..100 {
            writer.write_all(b"lost\n").unwrap();
        }
        drop(LogEnd(writer));
    }
}
