//! Carries out what a session is sent, one thing after another.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::sleep;
use tracing::field;
use widecast_protocol::{ChannelName, Code, Command, CommandId, CommandKind, Reply};

use crate::memory_budget::{GIVEN_UP, Hold, NO_TURN, Part, Turn};
use crate::offload::offload;
use crate::registry::Ended;

use super::commands;
use super::inbound::Inbound;
use super::refusal::Refusal;
use super::session::Session;

/// The bytes of work that each command is charged to its address, in addition to the work that it asks for. That bounds what many sessions
/// do together, as `limits.commands_per_session_and_second` bounds one.
const COMMAND_WORK_BYTES: usize = 256;

/// How often a session that is not listened to is looked after.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// How many commands of one read are carried out before the worker does something else.
const PER_TURN: usize = 64;

impl Session {
    /// Carries out what was sent, in its order.
    pub async fn dispatch(self: Rc<Self>, inbound: Vec<Inbound>) {
        for (count, one) in inbound.into_iter().enumerate() {
            if count % PER_TURN == PER_TURN - 1 {
                tokio::task::yield_now().await;
            }
            if !self.outbox().is_open() {
                if matches!(one, Inbound::Finish(_)) {
                    // Both ends have said goodbye: the socket is closed here
                    // (RFC 6455, section 7.1.1: the server closes it first).
                    self.end(Ended::ClientLeft);
                }
                return;
            }
            if !matches!(
                one,
                Inbound::Finish(_) | Inbound::Fail { .. } | Inbound::Done(_)
            ) {
                self.wait_for_answers().await;
            }
            match one {
                Inbound::Large(bytes, decode) => {
                    let unheard = self.stop_listening();
                    let Some(mut turn) = self.wait_for_turn(bytes).await else {
                        return;
                    };
                    let inbound = offload(bytes, decode).await;
                    drop(unheard);
                    // What follows waits for the client, too.
                    turn.pass_on();
                    Box::pin(Rc::clone(&self).dispatch(inbound)).await;
                }
                Inbound::Done(turn) => drop(turn),
                Inbound::Command(command) => {
                    let _unheard = self.stop_listening();
                    self.dispatch_command(command).await;
                }
                Inbound::Unreadable(id, error) => {
                    self.refuse(id, None, Refusal::new(error.code(), error.to_string()));
                }
                Inbound::Answer(bytes) => self.outbox().push_pong(bytes),
                Inbound::Finish(bytes) => self.outbox().finish(bytes, Ended::ClientLeft),
                Inbound::Fail { code, detail } => self.fail(Refusal::new(code, detail)),
            }
        }
    }

    /// Waits until a large frame has its turn, for as long as a body does. Where too much waits, the session of the largest ends.
    async fn wait_for_turn(&self, bytes: usize) -> Option<Turn> {
        let services = self.services();
        if let Some(turn) = services.turns.try_take(bytes) {
            return Some(turn);
        }
        let mut intake = Hold::of(Part::Unfinished);
        intake.hold(bytes, services.config.limits.unfinished_bytes.get());
        let detail = tokio::select! {
            biased;
            () = std::future::poll_fn(|context| intake.poll_given_up(context)) => GIVEN_UP,
            turn = services.turns.take(bytes) => return Some(turn),
            () = self.until_closed() => return None,
            () = sleep(services.config.timeouts.body) => NO_TURN,
        };
        self.fail(Refusal::new(Code::Overloaded, detail));
        None
    }

    /// Waits until somebody has closed the session.
    async fn until_closed(&self) {
        while self.outbox().is_open() {
            sleep(LOOK_INTERVAL).await;
        }
    }

    /// Waits until the client has taken most of the answers it has asked for. Polls come behind the commands, so that a
    /// session of polls cannot wait for them.
    async fn wait_for_answers(&self) {
        if !self.dialect().is_polled() {
            std::future::poll_fn(|context| self.outbox().poll_answers(context)).await;
        }
    }

    async fn dispatch_command(self: &Rc<Self>, command: Command) {
        let id = command.id.clone();
        let channel = command.kind.channel().cloned();
        self.share().charge_work(COMMAND_WORK_BYTES);
        if let Err(refusal) = self.admit_command(&command.kind) {
            self.refuse(id, channel.as_ref(), refusal);
            return;
        }
        // All that a command asks of the engine has one deadline.
        let carrying_out = self.services().with_patience(self.carry_out(command));
        if let Err(refusal) = carrying_out.await {
            self.refuse(id, channel.as_ref(), refusal);
        }
    }

    async fn carry_out(self: &Rc<Self>, command: Command) -> Result<(), Refusal> {
        let id = command.id;
        match command.kind {
            CommandKind::Subscribe(subscribe) => commands::subscribe(self, id, subscribe).await,
            CommandKind::Unsubscribe { channel } => commands::unsubscribe(self, id, channel).await,
            CommandKind::Publish(message) => commands::publish(self, id, message).await,
            CommandKind::Batch { messages } => commands::batch(self, id, messages).await,
            CommandKind::Presence(request) => commands::presence(self, id, request).await,
            CommandKind::History(request) => commands::history(self, id, request).await,
            CommandKind::Authenticate { token, cursor } => {
                self.authenticate(id, &token, cursor.as_ref()).await
            }
            CommandKind::Ping => {
                self.reply(&Reply::Pong { id });
                Ok(())
            }
        }
    }

    /// Whether the session may be served now. What costs nothing, or gives something back, is never refused.
    fn admit_command(&self, command: &CommandKind) -> Result<(), Refusal> {
        match command {
            CommandKind::Unsubscribe { .. } | CommandKind::Ping => return Ok(()),
            // What others do must not take its rights from a session.
            CommandKind::Authenticate { .. } => {}
            _ => self.may_make_work()?,
        }
        Ok(self.services().quotas.take_command(&self.commands)?)
    }

    fn may_make_work(&self) -> Result<(), Refusal> {
        Refusal::while_full()?;
        self.share().check_work()?;
        Ok(())
    }

    /// Tells the client that a command failed. A session that has no frames to be told in ends.
    fn refuse(&self, id: Option<CommandId>, channel: Option<&ChannelName>, refusal: Refusal) {
        tracing::debug!(
            channel.name = channel.map(field::display),
            code = refusal.code.as_str(),
            "a command was refused"
        );
        if self.dialect().frames().is_none() {
            self.fail(refusal);
            return;
        }
        self.reply(&refusal.into_reply(id));
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::time::Duration;

    use tokio::time::{Instant, sleep};

    use super::*;
    use crate::session::liveness::{LivenessAction, Transfer};
    use crate::session::trial::Trial;

    const LARGE: usize = 1 << 20;

    /// A session whose large frame waits for its turn, and the turn that is in its way.
    fn waiting() -> (Trial, Rc<Session>, Turn) {
        let trial = Trial::new();
        let services = &trial.worker.services;
        let room = usize::try_from(services.bounds.requests).unwrap();
        let other = services.turns.try_take(room).unwrap();
        let session = trial.session();
        let frame = Inbound::Large(LARGE, Box::new(Vec::new));
        actix_rt::spawn(Rc::clone(&session).dispatch(vec![frame]));
        (trial, session, other)
    }

    #[actix_web::test]
    async fn a_large_frame_has_its_turn_and_gives_it_back() {
        let (trial, session, other) = waiting();
        let turns = &trial.worker.services.turns;
        tokio::task::yield_now().await;
        drop(other);
        let room = usize::try_from(trial.worker.services.bounds.requests).unwrap();
        while turns.try_take(room).is_none() {
            tokio::task::yield_now().await;
        }
        assert!(session.outbox().is_open());
    }

    #[actix_web::test]
    async fn who_waits_for_a_turn_is_not_taken_for_dead_and_does_not_wait_for_ever() {
        let (trial, session, _other) = waiting();
        tokio::time::pause();
        let transfer = Transfer {
            written_bytes: 0,
            waiting_bytes: 0,
        };
        let began = Instant::now();
        while session.outbox().is_open() {
            let action = session.liveness.check(transfer);
            assert_ne!(action, LivenessAction::GiveUp, "{:?}", began.elapsed());
            sleep(Duration::from_secs(1)).await;
        }
        let most = trial.worker.services.config.timeouts.body;
        assert!((most..most * 2).contains(&began.elapsed()));
    }

    #[actix_web::test]
    async fn who_is_put_out_waits_for_no_turn() {
        let (_trial, session, _other) = waiting();
        tokio::time::pause();
        let weak = Rc::downgrade(&session);
        tokio::task::yield_now().await;
        session.end(Ended::Kicked);
        drop(session);
        let began = Instant::now();
        while weak.upgrade().is_some() {
            sleep(LOOK_INTERVAL / 2).await;
        }
        assert!(began.elapsed() <= LOOK_INTERVAL * 2);
    }
}
