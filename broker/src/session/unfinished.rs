//! A message of a client that is not whole: how long it may take, and that it counts while it is held.

use std::task::{Context, Poll};

use tokio::time::Instant;
use widecast_protocol::Code;

use super::refusal::Refusal;
use crate::config::Config;
use crate::memory_budget::{GIVEN_UP, Hold, Part};
use crate::net::{Alarm, Pace, Patience};

/// The part of a message that is held, and for how long.
#[derive(Debug)]
pub(super) struct UnfinishedMessage {
    bytes: usize,
    pace: Pace,
    alarm: Alarm,
    intake: Hold,
}

impl UnfinishedMessage {
    fn begin(config: &Config) -> Self {
        Self {
            bytes: 0,
            pace: Pace::begin(Instant::now(), Patience::message(&config.timeouts)),
            alarm: Alarm::default(),
            intake: Hold::of(Part::Unfinished),
        }
    }

    /// Updates `unfinished`: `bytes` of an incomplete message have come, or no message is incomplete.
    pub(super) fn follow(
        unfinished: &mut Option<Box<Self>>,
        bytes: Option<usize>,
        config: &Config,
    ) {
        let Some(bytes) = bytes else {
            *unfinished = None;
            return;
        };
        if unfinished.as_ref().is_some_and(|known| bytes < known.bytes) {
            // Another message: the one before is whole.
            *unfinished = None;
        }
        let known = unfinished.get_or_insert_with(|| Box::new(Self::begin(config)));
        known.pace.progress(Instant::now(), bytes - known.bytes);
        known.bytes = bytes;
        let limit = config.limits.unfinished_bytes.get();
        known.intake.hold(bytes, limit);
    }

    /// Restarts the clock, because the broker itself has read nothing for a while.
    pub(super) fn excuse(&mut self, config: &Config) {
        self.pace = Pace::begin(Instant::now(), Patience::message(&config.timeouts));
    }

    /// Ready when the message is given up, with the reason.
    pub(super) fn poll_given_up(&mut self, context: &mut Context<'_>) -> Poll<Refusal> {
        if self.intake.poll_given_up(context).is_ready() {
            return Poll::Ready(Refusal::new(Code::Overloaded, GIVEN_UP));
        }
        self.alarm.poll(self.pace.deadline(), context).map(|()| {
            let detail = "a message came more slowly than timeouts.message_ms and timeouts.least_bytes_per_second allow";
            Refusal::new(Code::RequestTimeout, detail)
        })
    }
}
