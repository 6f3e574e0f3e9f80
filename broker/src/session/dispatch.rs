//! Carries out what a session is sent, one thing after another.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::sleep;
use widecast_protocol::codec::RefusedCommand;
use widecast_protocol::{ChannelName, Code, Command, CommandId, CommandKind, Reply};

use crate::limits::Queued;
use crate::memory_budget::{GIVEN_UP, Hold, NO_TURN, Part, Turn};
use crate::offload::offload;
use crate::registry::Ended;

use super::commands;
use super::inbound::Inbound;
use super::publisher::note_refused;
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
    /// Carries out what came by a request of its own. Where too much is unfinished, and what waits for this session is the largest, it ends.
    pub(super) async fn dispatch_queued(self: Rc<Self>, queued: Queued, inbound: Vec<Inbound>) {
        let given_up = std::future::poll_fn(|context| queued.poll_given_up(context));
        self.dispatch_unless(given_up, inbound).await;
    }

    /// Carries out what has come in a large frame, as fast as the client takes the answers. It counts with what is unfinished; where that is
    /// too much, the session of the largest ends.
    async fn dispatch_large(self: Rc<Self>, turn: Turn, inbound: Vec<Inbound>) {
        let kept = turn.into_hold(self.services().config.limits.unfinished_bytes.get());
        let given_up = std::future::poll_fn(|context| kept.poll_given_up(context));
        self.dispatch_unless(given_up, inbound).await;
    }

    async fn dispatch_unless(
        self: Rc<Self>,
        given_up: impl Future<Output = ()>,
        inbound: Vec<Inbound>,
    ) {
        tokio::select! {
            biased;
            () = given_up => self.fail(Refusal::new(Code::Overloaded, GIVEN_UP)),
            () = Box::pin(Rc::clone(&self).dispatch(inbound)) => {}
        }
    }

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
                Inbound::Large(..) | Inbound::Finish(_) | Inbound::Fail { .. }
            ) {
                self.wait_for_answers().await;
            }
            match one {
                Inbound::Large(bytes, decode) => {
                    let Some(turn) = self.wait_for_turn(bytes).await else {
                        return;
                    };
                    let unheard = self.stop_listening();
                    let inbound = offload(bytes, decode).await;
                    drop(unheard);
                    Rc::clone(&self).dispatch_large(turn, inbound).await;
                }
                Inbound::Command(command) => {
                    let _unheard = self.stop_listening();
                    self.dispatch_command(command).await;
                }
                Inbound::Unreadable(RefusedCommand {
                    id,
                    error,
                    is_message,
                }) => {
                    let refusal = Refusal::new(error.code(), error.to_string());
                    if is_message {
                        self.note_refused_message(None, &refusal);
                    }
                    self.refuse(id, None, refusal);
                }
                Inbound::Answer(bytes) => self.outbox().push_pong(bytes),
                Inbound::Finish(bytes) => self.outbox().finish(bytes, Ended::ClientLeft),
                Inbound::Fail { code, detail } => self.fail(Refusal::new(code, detail)),
            }
        }
    }

    /// Waits until a large frame has its turn. It counts with what is unfinished meanwhile; where that is too much, the session of the largest
    /// ends.
    async fn wait_for_turn(&self, bytes: usize) -> Option<Turn> {
        let mut intake = Hold::of(Part::Unfinished);
        intake.hold(bytes, self.services().config.limits.unfinished_bytes.get());
        let turn = tokio::select! {
            biased;
            () = std::future::poll_fn(|context| intake.poll_given_up(context)) => Err(GIVEN_UP),
            turn = self.turn_behind_answers(bytes) => turn,
        };
        turn.unwrap_or_else(|detail| {
            self.fail(Refusal::new(Code::Overloaded, detail));
            None
        })
    }

    /// The turn of a large frame, once the client has taken most of its answers. It is waited for as long as that of a body.
    async fn turn_behind_answers(&self, bytes: usize) -> Result<Option<Turn>, &'static str> {
        self.wait_for_answers().await;
        let services = self.services();
        if let Some(turn) = services.turns.try_take(bytes) {
            return Ok(Some(turn));
        }
        let _unheard = self.stop_listening();
        tokio::select! {
            biased;
            turn = services.turns.take(bytes) => Ok(Some(turn)),
            () = self.until_closed() => Ok(None),
            () = sleep(services.config.timeouts.body) => Err(NO_TURN),
        }
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
            self.note_messages_of(&command.kind, &refusal);
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

    /// Counts the messages of a command that is refused as a whole.
    fn note_messages_of(&self, command: &CommandKind, refusal: &Refusal) {
        match command {
            CommandKind::Publish(message) => {
                self.note_refused_message(Some(&message.channel), refusal);
            }
            CommandKind::Batch { messages } => {
                for message in messages {
                    let channel = message.as_ref().ok().map(|message| &message.channel);
                    self.note_refused_message(channel, refusal);
                }
            }
            _ => {}
        }
    }

    /// Counts a message of the session's that was refused before it could be published.
    pub(super) fn note_refused_message(&self, channel: Option<&ChannelName>, refusal: &Refusal) {
        note_refused(self.services(), &self.principal(), channel, refusal.code);
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
            channel.name = channel.map(ChannelName::as_str),
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
    use std::sync::Arc;
    use std::time::Duration;

    use bytes::Bytes;
    use tokio::time::{Instant, sleep};
    use widecast_protocol::codec::{Codec, decode_commands};

    use super::*;
    use crate::limits::Backlog;
    use crate::metrics::{Exposition, render};
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

    fn refused_messages(trial: &Trial, code: &str) -> u64 {
        let text = render(&trial.worker.services.metrics, Exposition::Prometheus).unwrap();
        let name = format!("widecast_messages_refused_total{{code=\"{code}\"}} ");
        let count = text.lines().find_map(|line| line.strip_prefix(&name));
        count.unwrap().parse().unwrap()
    }

    #[actix_web::test]
    async fn each_message_that_is_refused_counts_whatever_is_wrong_with_it() {
        let trial = Trial::new();
        let session = trial.session();
        let carry_out = async |frame: &'static str| {
            let decoded = decode_commands(Codec::Json, &Bytes::from_static(frame.as_bytes()));
            let inbound = decoded.unwrap().into_iter().map(|one| match one {
                Ok(command) => Inbound::Command(command),
                Err(refused) => Inbound::Unreadable(refused),
            });
            Rc::clone(&session).dispatch(inbound.collect()).await;
        };
        // It cannot be read, alone and in a batch; and another command is no message.
        carry_out(r#"{"type":"publish","channel":"a","data":1,"event":""}"#).await;
        carry_out(r#"{"type":"batch","messages":[{"channel":"a","data":1,"event":""}]}"#).await;
        carry_out(r#"{"type":"history","channel":"a","limit":"x"}"#).await;
        assert_eq!(refused_messages(&trial, "bad_event_name"), 2);
        assert_eq!(refused_messages(&trial, "invalid_request"), 0);
        // It can be read, and the session has asked for too much.
        let refusal = Refusal::new(Code::ShareExceeded, "too much");
        let frames = br#"[{"type":"publish","channel":"a","data":1},
            {"type":"batch","messages":[{"channel":"a","data":1},{"channel":"b","data":1}]},
            {"type":"ping"}]"#;
        let commands = decode_commands(Codec::Json, &Bytes::from_static(frames));
        for command in commands.unwrap() {
            session.note_messages_of(&command.unwrap().kind, &refusal);
        }
        assert_eq!(refused_messages(&trial, "share_exceeded"), 3);
    }

    /// More than all that is unfinished may have.
    fn too_much(session: &Session) -> usize {
        let limit = session.services().config.limits.unfinished_bytes;
        limit.as_usize() + 1
    }

    /// A session that has yet to take an answer, so that it carries out nothing more.
    fn owing(trial: &Trial) -> Rc<Session> {
        let session = trial.session();
        let large = vec![0; session.outbox().limit_bytes()];
        session.outbox().push_frame(large.into());
        session
    }

    #[actix_web::test]
    async fn a_large_frame_that_waits_for_the_client_counts_and_may_be_given_up() {
        let trial = Trial::new();
        let session = owing(&trial);
        let held = Arc::new(());
        let decode = {
            let held = Arc::clone(&held);
            move || {
                drop(held);
                Vec::new()
            }
        };
        let frame = Inbound::Large(too_much(&session), Box::new(decode));
        Rc::clone(&session).dispatch(vec![frame]).await;
        assert!(!session.outbox().is_open());
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[actix_web::test]
    async fn what_came_by_a_request_and_waits_for_the_client_may_be_given_up() {
        let trial = Trial::new();
        let session = owing(&trial);
        let quotas = &trial.worker.services.quotas;
        let queued = quotas.queue(&Backlog::default(), too_much(&session));
        let pong = Inbound::Answer(Bytes::from_static(b"pong"));
        let inbound = vec![pong];
        Rc::clone(&session)
            .dispatch_queued(queued.unwrap(), inbound)
            .await;
        assert!(!session.outbox().is_open());
    }

    #[actix_web::test]
    async fn what_came_in_a_large_frame_and_waits_for_the_client_may_be_given_up() {
        let trial = Trial::new();
        let session = owing(&trial);
        let turns = &trial.worker.services.turns;
        let turn = turns.try_take(too_much(&session)).unwrap();
        let pong = Inbound::Answer(Bytes::from_static(b"pong"));
        Rc::clone(&session).dispatch_large(turn, vec![pong]).await;
        assert!(!session.outbox().is_open());
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
