//! Whether the other end of a WebSocket is alive: when to ping it, and when to give it up. Decides only; [`super::heartbeat`]
//! acts.

use std::cell::Cell;

/// The state of the other end, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Known {
    /// No ping is out.
    #[default]
    Quiet,
    /// A ping is out, and nothing has been heard since.
    Asked,
    /// A ping is out, and something has been heard since.
    Heard,
}

/// The thing to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LivenessAction {
    /// Send a ping, and look again when it should have been answered.
    Ping,
    /// The other end has answered: look again when the next ping is due.
    Wait,
    /// The other end has not answered.
    GiveUp,
}

/// How much of what was sent is with the other end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Transfer {
    /// How many bytes were written, in the life of the session.
    pub(super) written_bytes: u64,
    /// How many bytes wait to be written.
    pub(super) waiting_bytes: usize,
}

/// Whether the other end is alive.
#[derive(Debug, Default)]
pub(super) struct Liveness {
    known: Cell<Known>,
    /// How much had been written at the last check, if more was waiting then.
    written: Cell<Option<u64>>,
    /// Whether the other end is not listened to at the moment, because what it has asked for is being carried out.
    is_unheard: Cell<bool>,
}

impl Liveness {
    /// The other end has given a sign of life.
    pub(super) fn heard(&self) {
        if self.known.get() == Known::Asked {
            self.known.set(Known::Heard);
        }
    }

    /// The other end is not listened to from now on: its silence means nothing.
    pub(super) fn stop_listening(&self) {
        self.is_unheard.set(true);
    }

    /// The other end is listened to again. What it has said meanwhile is yet to be read.
    pub(super) fn listen_again(&self) {
        self.is_unheard.set(false);
        self.heard();
    }

    /// Whether the other end is listened to.
    pub(super) fn listens(&self) -> bool {
        !self.is_unheard.get()
    }

    /// Looks after the other end, and says what to do.
    pub(super) fn check(&self, transfer: Transfer) -> LivenessAction {
        if self.has_taken_bytes(transfer) || self.is_unheard.get() {
            // The ping may still be queued behind the bytes that the client is receiving, or its answer has not been read.
            self.heard();
        }
        let (known, action) = match self.known.get() {
            Known::Quiet => (Known::Asked, LivenessAction::Ping),
            Known::Heard => (Known::Quiet, LivenessAction::Wait),
            Known::Asked => (Known::Asked, LivenessAction::GiveUp),
        };
        self.known.set(known);
        action
    }

    /// Whether the other end has taken some of what was waiting at the last check: what the kernel takes while it is full, the
    /// other end has received.
    fn has_taken_bytes(&self, transfer: Transfer) -> bool {
        let Transfer {
            written_bytes,
            waiting_bytes,
        } = transfer;
        let before = self
            .written
            .replace((waiting_bytes > 0).then_some(written_bytes));
        before.is_some_and(|before| written_bytes > before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing waits, and nothing was written.
    const IDLE: Transfer = transfer(0, 0);

    const fn transfer(written_bytes: u64, waiting_bytes: usize) -> Transfer {
        Transfer {
            written_bytes,
            waiting_bytes,
        }
    }

    #[test]
    fn a_client_that_answers_is_pinged_once_an_interval() {
        let liveness = Liveness::default();
        for _ in 0..3 {
            assert_eq!(liveness.check(IDLE), LivenessAction::Ping);
            liveness.heard();
            liveness.heard();
            assert_eq!(liveness.check(IDLE), LivenessAction::Wait);
        }
    }

    #[test]
    fn a_sign_of_life_before_the_ping_is_no_answer() {
        let liveness = Liveness::default();
        liveness.heard();
        assert_eq!(liveness.check(IDLE), LivenessAction::Ping);
        assert_eq!(liveness.check(IDLE), LivenessAction::GiveUp);
    }

    #[test]
    fn a_client_that_is_not_listened_to_is_alive_and_then_has_time_to_answer() {
        let liveness = Liveness::default();
        assert_eq!(liveness.check(IDLE), LivenessAction::Ping);
        liveness.stop_listening();
        assert_eq!(liveness.check(IDLE), LivenessAction::Wait);
        assert_eq!(liveness.check(IDLE), LivenessAction::Ping);
        liveness.listen_again();
        assert_eq!(liveness.check(IDLE), LivenessAction::Wait);
        assert_eq!(liveness.check(IDLE), LivenessAction::Ping);
        assert_eq!(liveness.check(IDLE), LivenessAction::GiveUp);
    }

    #[test]
    fn a_client_that_takes_bytes_that_wait_before_the_ping_is_alive() {
        let liveness = Liveness::default();
        assert_eq!(liveness.check(transfer(10, 90)), LivenessAction::Ping);
        assert_eq!(liveness.check(transfer(11, 89)), LivenessAction::Wait);
        assert_eq!(liveness.check(transfer(11, 89)), LivenessAction::Ping);
        assert_eq!(liveness.check(transfer(11, 89)), LivenessAction::GiveUp);
    }

    #[test]
    fn bytes_that_the_kernel_takes_while_nothing_waits_are_no_sign_of_life() {
        let liveness = Liveness::default();
        assert_eq!(liveness.check(transfer(10, 0)), LivenessAction::Ping);
        assert_eq!(liveness.check(transfer(20, 0)), LivenessAction::GiveUp);
    }
}
