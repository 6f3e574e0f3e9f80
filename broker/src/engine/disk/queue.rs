//! What waits to be written, and whose turn it is to write it.
//!
//! One at a time writes, in the order in which publications came. Whoever publishes does it, for all that wait: so a publication costs
//! no way to another thread and back. The thread does it where a worker might have to wait for the disk.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::company::Company;
use super::waiting::{Caller, WaitingPublication, WaitingRoom, too_much};
use super::writer::Writer;
use crate::engine::{EngineError, Publication, Published, WriteFigures};
use crate::metrics::Latency;

/// How many publications may wait to be written.
const WAITING: usize = 16_384;
/// How much is written together.
const BATCH_PUBLICATIONS: usize = 512;
const BATCH_BYTES: usize = 8 << 20;
/// The same when a worker writes, and for how long it goes on when more has come meanwhile.
const WORKER_PUBLICATIONS: usize = 128;
const WORKER_BYTES: usize = 256 << 10;
const WORKER_TIME: Duration = Duration::from_millis(1);
/// When a worker has taken this long, the disk is slow, and the thread writes for so many times as long. So workers wait for the disk for
/// a twentieth of their time at the most.
const SLOW: Duration = Duration::from_millis(10);
const REST: u32 = 20;

/// What the thread is asked for besides writing.
pub(super) enum Request {
    /// To end, once the disk has everything.
    Close(oneshot::Sender<Result<(), EngineError>>),
    /// The same, and nobody waits for it.
    End,
    /// To do all upkeep at once.
    #[cfg(test)]
    Upkeep(oneshot::Sender<Result<(), EngineError>>),
}

/// The publications that wait.
pub(super) struct WriteQueue {
    state: Mutex<State>,
    /// Locked by whose turn it is.
    writer: Mutex<Writer>,
    /// Wakes the thread.
    thread: Condvar,
    room: WaitingRoom,
    /// How long writes take.
    pub(super) latency: Latency,
    /// Whether several publish at a time.
    pub(super) company: Company,
}

struct State {
    waiting: VecDeque<WaitingPublication>,
    requests: VecDeque<Request>,
    is_writing: bool,
    /// The thread will write all that waits, and nobody else does.
    is_thread_called: bool,
    /// Until then the thread writes.
    slow_until: Option<Instant>,
    stage: Stage,
}

/// Whether publications are taken.
#[derive(PartialEq, Eq)]
enum Stage {
    Open,
    Closed,
}

/// The turn to write, until it is dropped.
pub(super) struct Turn<'a> {
    queue: &'a WriteQueue,
    writer: MutexGuard<'a, Writer>,
    /// A worker looks for more by itself afterwards.
    is_of_thread: bool,
}

/// What is next to be done by the thread.
pub(super) enum Next {
    /// To write these.
    Write(Vec<WaitingPublication>),
    /// To do what somebody asks for. After a request to end nothing else comes.
    Do(Request),
    /// To wait.
    Nothing,
}

impl WriteQueue {
    /// For a writer whose publications may take so many bytes while they wait.
    pub(super) fn new(writer: Writer, waiting_bytes: u64) -> Self {
        Self {
            state: Mutex::new(State {
                waiting: VecDeque::new(),
                requests: VecDeque::new(),
                is_writing: false,
                is_thread_called: false,
                slow_until: None,
                stage: Stage::Open,
            }),
            writer: Mutex::new(writer),
            thread: Condvar::new(),
            room: WaitingRoom::new(waiting_bytes),
            latency: Latency::default(),
            company: Company::default(),
        }
    }

    /// Puts a publication behind those that wait. Returns where the answer will come, once somebody writes.
    ///
    /// # Errors
    /// When too much waits, or the engine has been closed.
    pub(super) fn add(
        &self,
        publication: Publication,
    ) -> Result<oneshot::Receiver<Result<Published, EngineError>>, EngineError> {
        let room = self.room.take(&publication)?;
        let (reply, answer) = oneshot::channel();
        let caller = Caller { reply, room };
        let mut state = self.lock();
        if state.stage == Stage::Closed {
            return Err(closed());
        }
        if state.waiting.len() >= WAITING {
            return Err(too_much());
        }
        state.waiting.push_back(WaitingPublication {
            publication,
            caller,
        });
        Ok(answer)
    }

    /// Asks the thread for something.
    ///
    /// # Errors
    /// When the engine has been closed.
    pub(super) fn ask(&self, request: Request) -> Result<(), EngineError> {
        let mut state = self.lock();
        if state.stage == Stage::Closed {
            return Err(closed());
        }
        state.requests.push_back(request);
        self.call(&mut state);
        Ok(())
    }

    /// Has the thread write what waits.
    pub(super) fn call_thread(&self) {
        self.call(&mut self.lock());
    }

    fn call(&self, state: &mut State) {
        if !state.is_thread_called {
            state.is_thread_called = true;
            self.thread.notify_one();
        }
    }

    /// Writes what waits, unless somebody is about it, or the disk would be waited for: then the thread does.
    pub(super) fn write_here(&self) {
        let began = Instant::now();
        let mut now = began;
        while let Some((mut turn, batch)) = self.turn_of_worker(began, now) {
            turn.publish(batch);
            // Also what says whether the worker goes on: the clock is read once for each write.
            let written = Instant::now();
            self.latency.observe(written.saturating_duration_since(now));
            now = written;
        }
    }

    /// The next batch of a worker that began to write then, and looks for more now.
    fn turn_of_worker(
        &self,
        began: Instant,
        now: Instant,
    ) -> Option<(Turn<'_>, Vec<WaitingPublication>)> {
        let mut state = self.lock();
        let time = now.saturating_duration_since(began);
        if time > SLOW {
            state.slow_until = Some(now + time * REST);
        }
        if state.waiting.is_empty() || state.is_thread_called || state.is_writing {
            // Whoever writes looks again when they are done.
            return None;
        }
        let is_slow = state.slow_until.is_some_and(|until| now < until);
        if is_slow || time > WORKER_TIME {
            self.call(&mut state);
            return None;
        }
        let mut writer = self.writer();
        if writer.would_wait() {
            self.call(&mut state);
            return None;
        }
        state.is_writing = true;
        let batch = state.batch(WORKER_PUBLICATIONS, WORKER_BYTES);
        self.company.note(batch.len());
        let turn = Turn {
            queue: self,
            writer,
            is_of_thread: false,
        };
        Some((turn, batch))
    }

    /// Waits until the thread has to write, or this time is over, and until nobody else writes. Nothing when nobody can any more.
    pub(super) fn turn_of_thread(&self, interval: Duration) -> Option<Turn<'_>> {
        let state = self.lock();
        let waited = self
            .thread
            .wait_timeout_while(state, interval, |state| !state.is_thread_called);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.is_thread_called = true;
        let waited = self.thread.wait_while(state, |state| state.is_writing);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        if state.stage == Stage::Closed {
            return None;
        }
        state.is_writing = true;
        Some(Turn {
            queue: self,
            writer: self.writer(),
            is_of_thread: true,
        })
    }

    /// How it is with writing.
    pub(super) fn figures(&self) -> WriteFigures {
        WriteFigures {
            latency: self.latency.counts(),
            waiting: self.room.publications() as u64,
            waiting_bytes: self.room.taken_bytes() as u64,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes what came first: one publication at least, if any waits.
    fn batch(&mut self, publications: usize, bytes: usize) -> Vec<WaitingPublication> {
        let (mut count, mut taken) = (0, 0);
        for waiting in self.waiting.iter().take(publications) {
            if count > 0 && taken >= bytes {
                break;
            }
            taken += waiting.publication.payload.size_bytes();
            count += 1;
        }
        self.waiting.drain(..count).collect()
    }
}

impl Turn<'_> {
    /// What the thread does next in this turn.
    pub(super) fn next(&self) -> Next {
        let mut state = self.queue.lock();
        if !state.waiting.is_empty() {
            return Next::Write(state.batch(BATCH_PUBLICATIONS, BATCH_BYTES));
        }
        let Some(request) = state.requests.pop_front() else {
            return Next::Nothing;
        };
        if matches!(request, Request::Close(_) | Request::End) {
            state.stage = Stage::Closed;
        }
        Next::Do(request)
    }
}

impl Deref for Turn<'_> {
    type Target = Writer;

    fn deref(&self) -> &Writer {
        &self.writer
    }
}

impl DerefMut for Turn<'_> {
    fn deref_mut(&mut self) -> &mut Writer {
        &mut self.writer
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.is_writing = false;
        if self.is_of_thread {
            // Something may have come since the last look.
            state.is_thread_called = !state.waiting.is_empty() || !state.requests.is_empty();
        }
        if thread::panicking() {
            // Nobody knows what has been written.
            state.stage = Stage::Closed;
        }
        if state.stage == Stage::Closed {
            state.waiting.clear();
            state.requests.clear();
        }
        if state.is_thread_called || state.stage == Stage::Closed {
            self.queue.thread.notify_one();
        }
    }
}

fn closed() -> EngineError {
    EngineError::unavailable("the engine has been closed")
}
