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

    /// Ends the session because of what its client has sent or may no longer do.
    pub(super) fn fail(&self, refusal: Refusal) {
        self.say_goodbye(&Goodbye {
            code: refusal.code,
            reason: refusal.detail,
            reconnect_after_ms: None,
        });
    }

    /// Ends the session because the broker ends, with a time of its own to come back.
    pub fn send_away(&self) {
        let settings = &self.services().config.shutdown;
        if self.dialect().is_page_websocket() && !settings.raw_close_frame.is_on() {
            self.outbox().finish(Bytes::new(), Ended::ShuttingDown);
            return;
        }
        let window = millis(settings.reconnect_window);
        self.say_goodbye(&Goodbye {
            code: Code::ShuttingDown,
            reason: "the broker is shutting down".to_owned(),
            reconnect_after_ms: Some(rand::rng().random_range(0..=window)),
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
