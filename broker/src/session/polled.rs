//! The frames of a session of polls: kept after they were given out, until the next poll says that they arrived.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use actix::prelude::*;
use bytes::Bytes;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use widecast_protocol::Code;

use super::actor::SessionActor;
use super::dialect::Goodbye;
use super::session::Session;
use crate::memory_budget::{self, Part};

/// The frames of a session that polls have taken, and may ask for again.
pub(super) struct PolledFrames {
    /// Given out, but not known to have arrived; the first has the number after `arrived`.
    frames: RefCell<VecDeque<Bytes>>,
    arrived: Cell<u64>,
    bytes: Cell<usize>,
    /// How many polls are waiting.
    waiting: Cell<usize>,
    /// When the last poll was answered.
    answered: Cell<Instant>,
    /// The frames end with a `goodbye`, because the outbox was closed before it had one.
    end_told: Cell<bool>,
    /// A newer poll has come: the one that waits has to give way.
    superseded: Rc<Notify>,
}

impl Default for PolledFrames {
    fn default() -> Self {
        Self {
            frames: RefCell::default(),
            arrived: Cell::new(0),
            bytes: Cell::new(0),
            waiting: Cell::new(0),
            answered: Cell::new(Instant::now()),
            end_told: Cell::new(false),
            superseded: Rc::default(),
        }
    }
}

impl PolledFrames {
    /// For how long nobody has polled; none while a poll waits.
    fn idle_for(&self) -> Option<Duration> {
        (self.waiting.get() == 0).then(|| self.answered.get().elapsed())
    }

    /// For so long polls had to wait until they were heard: that is nobody's silence.
    pub(super) fn excuse(&self, time: Duration) {
        let answered = self.answered.get() + time;
        self.answered.set(answered.min(Instant::now()));
    }

    /// How many bytes are kept because polls may ask for them again.
    pub(super) fn held_bytes(&self) -> usize {
        self.bytes.get()
    }

    fn forget_until(&self, arrived: u64) {
        let mut frames = self.frames.borrow_mut();
        let mut forgotten = 0;
        while self.arrived.get() < arrived
            && let Some(frame) = frames.pop_front()
        {
            forgotten += frame.len();
            self.arrived.set(self.arrived.get() + 1);
        }
        self.count(self.bytes.get() - forgotten);
    }

    fn keep(&self, frames: Vec<Bytes>) {
        let more: usize = frames.iter().map(Bytes::len).sum();
        self.frames.borrow_mut().extend(frames);
        self.count(self.bytes.get() + more);
    }

    /// Forgets all frames, whether or not they have arrived: the session ends.
    pub(super) fn forget(&self) {
        let forgotten = self.frames.take().len() as u64;
        self.arrived.set(self.arrived.get() + forgotten);
        self.count(0);
    }

    fn count(&self, bytes: usize) {
        let signed = |bytes: usize| i64::try_from(bytes).unwrap_or(i64::MAX);
        let before = self.bytes.replace(bytes);
        memory_budget::add(Part::Polled, signed(bytes) - signed(before));
    }

    fn taken(&self) -> TakenFrames {
        let frames: Vec<_> = self.frames.borrow().iter().cloned().collect();
        let cursor = self.arrived.get() + frames.len() as u64;
        TakenFrames { frames, cursor }
    }
}

impl Drop for PolledFrames {
    fn drop(&mut self) {
        self.count(0);
    }
}

/// A poll: give me what is there, or what comes within `wait`; nothing once the session has ended and its client knows.
#[derive(Message)]
#[rtype(result = "Option<TakenFrames>")]
pub struct TakeFrames {
    /// The cursor of the last answer that arrived; frames up to it are forgotten.
    pub arrived: Option<u64>,
    /// How long to wait for the first frame.
    pub wait: Duration,
    /// Resolves when the poll's connection is gone: it waits no longer, and keeps no session alive.
    pub gone: oneshot::Receiver<()>,
}

/// The answer to a poll.
#[derive(Debug)]
pub struct TakenFrames {
    /// The frames, each in the session's wire form.
    pub frames: Vec<Bytes>,
    /// The cursor by which the next poll says that these frames have arrived.
    pub cursor: u64,
}

impl Handler<TakeFrames> for SessionActor {
    type Result = ResponseFuture<Option<TakenFrames>>;

    fn handle(&mut self, take: TakeFrames, _: &mut Self::Context) -> Self::Result {
        Box::pin(Rc::clone(self.session()).take(take))
    }
}

impl Session {
    /// For how long nobody has polled it; none if it is no session of polls, while a poll waits, and while what its client has asked
    /// for is carried out: polls are heard after that.
    pub(super) fn idle_for(&self) -> Option<Duration> {
        let polled = self.polled.as_ref()?;
        self.liveness.listens().then(|| polled.idle_for())?
    }

    async fn take(self: Rc<Self>, take: TakeFrames) -> Option<TakenFrames> {
        let polled = self.polled.as_ref()?;
        polled.forget_until(take.arrived.unwrap_or(0));
        polled.superseded.notify_waiters();
        polled.waiting.set(polled.waiting.get() + 1);
        if polled.frames.borrow().is_empty() {
            let superseded = Rc::clone(&polled.superseded);
            let frames = std::future::poll_fn(|context| self.outbox().poll_take(context));
            tokio::select! {
                // The frames last: asking for them takes the place of the newer poll that waits for them.
                biased;
                () = superseded.notified() => {}
                _ = take.gone => {}
                frames = frames => polled.keep(frames),
                () = tokio::time::sleep(take.wait) => {}
            }
        }
        polled.waiting.set(polled.waiting.get() - 1);
        polled.answered.set(Instant::now());
        self.tell_loss(polled);
        if self.has_taken_leave(polled) {
            // Without an end here, a client that polls on after the goodbye would do so without a pause.
            self.end(self.ended());
            return None;
        }
        Some(polled.taken())
    }

    /// Has the polls of a session that was ended without a word told why.
    fn tell_loss(&self, polled: &PolledFrames) {
        let Some(ended) = self.outbox().closed() else {
            return;
        };
        if polled.end_told.replace(true) {
            return;
        }
        let code = ended.code().unwrap_or(Code::ShuttingDown);
        let goodbye = self.dialect().goodbye(&Goodbye {
            code,
            reason: code.meaning().to_owned(),
            reconnect_after_ms: code.retryable().then_some(0),
        });
        polled.keep(vec![goodbye]);
    }

    /// Whether the session ends, and all its frames have arrived, of which a `goodbye` is the last.
    fn has_taken_leave(&self, polled: &PolledFrames) -> bool {
        !self.outbox().is_open()
            && self.outbox().queued_bytes() == 0
            && polled.frames.borrow().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Step {
        /// So many frames come.
        Keep(usize),
        /// A poll says that the frames up to this one have arrived.
        Arrived(u64),
        /// The session lets go of all.
        Forget,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0..4_usize).prop_map(Step::Keep),
            3 => (0..12_u64).prop_map(Step::Arrived),
            1 => Just(Step::Forget),
        ]
    }

    /// The frame of a number: as many bytes as that.
    fn frame(number: u64) -> Bytes {
        b"x".repeat(usize::try_from(number).unwrap()).into()
    }

    proptest! {
        /// Also a cursor that is old, or of frames that were never sent, takes nothing from anybody.
        #[test]
        fn each_frame_is_given_again_until_it_has_arrived(
            steps in prop::collection::vec(step(), 0..30),
        ) {
            let polled = PolledFrames::default();
            // The numbers of the first frame that has not arrived, and of the next that will come.
            let (mut first, mut next) = (1, 1);
            for step in steps {
                match step {
                    Step::Keep(count) => {
                        polled.keep((next..next + count as u64).map(frame).collect());
                        next += count as u64;
                    }
                    Step::Arrived(arrived) => {
                        polled.forget_until(arrived);
                        first = first.max(arrived + 1).min(next);
                    }
                    Step::Forget => {
                        polled.forget();
                        first = next;
                    }
                }
                for _ in 0..2 {
                    let taken = polled.taken();
                    prop_assert_eq!(taken.frames, (first..next).map(frame).collect::<Vec<_>>());
                    prop_assert_eq!(taken.cursor, next - 1);
                }
                prop_assert_eq!(polled.held_bytes() as u64, (first..next).sum::<u64>());
            }
        }
    }
}
