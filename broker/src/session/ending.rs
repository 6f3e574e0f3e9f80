//! How a session ends: what its client is told, and what the log and the metrics have.

use bytes::Bytes;
use rand::RngExt;
use widecast_protocol::Code;

use crate::registry::Ended;

use super::dialect::Goodbye;
use super::refusal::Refusal;
use super::session::{Session, millis};

impl Session {
    /// Ends the session at once, without a word.
    pub fn end(&self, ended: Ended) {
        self.outbox().close(ended);
        self.stop_actor();
    }

    /// Ends the session with its last words.
    pub fn say_goodbye(&self, goodbye: &Goodbye) {
        let ended = match goodbye.code {
            Code::HeartbeatTimeout => Ended::HeartbeatTimeout,
            Code::ShuttingDown => Ended::ShuttingDown,
            Code::Kicked => Ended::Kicked,
            code => Ended::Refused(code),
        };
        if self.dialect().is_one_poll() && goodbye.code != Code::ShuttingDown {
            self.note_refusal(Refusal::new(goodbye.code, goodbye.reason.clone()));
        }
        if !self.dialect().is_polled() {
            // No heartbeat will.
            self.outbox().tell_place();
        }
        self.outbox().finish(self.dialect().goodbye(goodbye), ended);
    }

    /// Ends the session because of what its client has sent or may no longer do, or because it cannot be decided now what it may do: then
    /// the client comes back, at a time of its own unless it is known when.
    pub(super) fn fail(&self, refusal: Refusal) {
        let when = || match refusal.retry_after {
            Some(wait) => millis(wait),
            None => self.time_to_come_back(),
        };
        self.say_goodbye(&Goodbye {
            code: refusal.code,
            reconnect_after_ms: refusal.code.retryable().then(when),
            reason: refusal.detail,
        });
    }

    /// A time for this client alone, in milliseconds, so that not all come at once.
    fn time_to_come_back(&self) -> u64 {
        let window = millis(self.services().config.shutdown.reconnect_window);
        rand::rng().random_range(0..=window)
    }

    /// Ends the session because the broker ends, with a time of its own to come back.
    pub fn send_away(&self) {
        let settings = &self.services().config.shutdown;
        if self.dialect().is_page_websocket() && !settings.raw_close_frame.is_on() {
            self.outbox().finish(Bytes::new(), Ended::ShuttingDown);
            return;
        }
        self.say_goodbye(&Goodbye {
            code: Code::ShuttingDown,
            reason: "the broker is shutting down".to_owned(),
            reconnect_after_ms: Some(self.time_to_come_back()),
        });
    }

    /// Ends the session of a client that answers no ping. If everything sent so far has left the outbox, the client may only have
    /// slept, and learns the reason from the close frame. If bytes still wait, the close frame would not arrive either, and the
    /// connection is just cut.
    pub(super) fn give_up(&self) {
        if self.outbox().queued_bytes() > 0 {
            self.end(Ended::HeartbeatTimeout);
            return;
        }
        self.say_goodbye(&Goodbye {
            code: Code::HeartbeatTimeout,
            reason: Code::HeartbeatTimeout.meaning().to_owned(),
            reconnect_after_ms: Some(0),
        });
        self.stop_actor();
    }

    /// How the session has ended, once nobody has it any more.
    pub(super) fn ended(&self) -> Ended {
        self.outbox().ended().unwrap_or(if self.has_begun() {
            // Its actor was stopped with the worker.
            Ended::ShuttingDown
        } else if self.dialect().is_one_poll() {
            Ended::Answered
        } else {
            Ended::NeverBegun
        })
    }
}
