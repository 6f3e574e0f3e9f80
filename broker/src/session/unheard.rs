//! While what a client has asked for is carried out, nothing is read from its connection, and its polls wait: its silence is the
//! broker's doing.

use tokio::time::Instant;

use super::session::Session;

/// The client of a session is not listened to, for as long as there is this. None of that time counts as its silence.
pub(super) struct Unheard<'a> {
    session: &'a Session,
    since: Instant,
}

impl Session {
    /// The client is not listened to from now on, until the value is dropped.
    pub(super) fn stop_listening(&self) -> Unheard<'_> {
        self.liveness.stop_listening();
        Unheard {
            session: self,
            since: Instant::now(),
        }
    }
}

impl Drop for Unheard<'_> {
    fn drop(&mut self) {
        self.session.liveness.listen_again();
        if let Some(polled) = &self.session.polled {
            polled.excuse(self.since.elapsed());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::time::Duration;

    use bytes::Bytes;
    use tokio::time::sleep;
    use widecast_protocol::codec::{Codec, decode_commands};

    use super::*;
    use crate::engine::flaky::Fault;
    use crate::session::Inbound;
    use crate::session::liveness::{LivenessAction, Transfer};
    use crate::session::trial::Trial;

    const PUBLISH: &str = r#"{"type":"publish","channel":"a","data":1}"#;
    const NOTHING_WAITS: Transfer = Transfer {
        written_bytes: 0,
        waiting_bytes: 0,
    };

    /// Has a session carry out a command that the engine does not answer until it is told to go on.
    async fn begin(trial: &Trial, session: &Rc<Session>) -> actix_rt::task::JoinHandle<()> {
        trial.engine.set_faults(|_| Some(Fault::WaitsBefore));
        let command = decode_commands(Codec::Json, &Bytes::from_static(PUBLISH.as_bytes()));
        let command = command.unwrap().remove(0).unwrap();
        let session = Rc::clone(session);
        let carrying_out = actix_rt::spawn(session.dispatch(vec![Inbound::Command(command)]));
        trial.engine.reached.notified().await;
        carrying_out
    }

    #[actix_web::test]
    async fn who_waits_for_a_command_is_not_taken_for_dead() {
        let trial = Trial::new();
        let session = trial.session();
        let carrying_out = begin(&trial, &session).await;
        for _ in 0..10 {
            let action = session.liveness.check(NOTHING_WAITS);
            assert_ne!(action, LivenessAction::GiveUp);
        }
        // A ping is out: its answer can be read only now.
        while session.liveness.check(NOTHING_WAITS) != LivenessAction::Ping {}
        trial.engine.go_on.notify_one();
        carrying_out.await.unwrap();
        assert_eq!(session.liveness.check(NOTHING_WAITS), LivenessAction::Wait);
    }

    #[actix_web::test]
    async fn who_cannot_poll_meanwhile_is_not_idle() {
        let trial = Trial::new();
        let session = trial.polled_session();
        let most = Duration::from_secs(1);
        let carrying_out = begin(&trial, &session).await;
        tokio::time::pause();
        sleep(Duration::from_mins(10)).await;
        assert_eq!(session.idle_for(), None);
        trial.engine.go_on.notify_one();
        carrying_out.await.unwrap();
        assert!(session.idle_for().unwrap() < most);
        // Commands are no polls.
        sleep(most).await;
        assert!(session.idle_for().unwrap() >= most);
    }
}
