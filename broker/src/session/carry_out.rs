//! What a session does with what it is sent, one thing after another.

use std::rc::Rc;

use widecast_protocol::{Code, Command, CommandId, CommandKind, Reply};

use super::commands;
use super::dialect::Farewell;
use super::inbound::Inbound;
use super::refusal::Refusal;
use super::session::Session;

/// How many commands of one read are carried out before the worker does something else.
const PER_TURN: usize = 64;

impl Session {
    /// Carries out what was sent, in its order.
    pub async fn carry_out(self: Rc<Self>, inbound: Vec<Inbound>) {
        for (count, one) in inbound.into_iter().enumerate() {
            if count % PER_TURN == PER_TURN - 1 {
                tokio::task::yield_now().await;
            }
            if !self.outbox().is_open() {
                if matches!(one, Inbound::Finish(_)) {
                    // Both ends have said goodbye: the socket is closed here
                    // (RFC 6455, section 7.1.1: the server closes it first).
                    self.end(Code::ShuttingDown);
                }
                return;
            }
            if !matches!(one, Inbound::Finish(_) | Inbound::Fail { .. }) {
                self.wait_for_answers().await;
            }
            match one {
                Inbound::Command(command) => self.command(command).await,
                Inbound::Unreadable(id, error) => {
                    self.refuse(id, Refusal::new(error.code(), error.to_string()));
                }
                Inbound::Answer(bytes) => self.outbox().push_pong(bytes),
                Inbound::Finish(bytes) => self.outbox().finish(bytes),
                Inbound::Fail { code, detail } => self.fail(Refusal::new(code, detail)),
            }
        }
    }

    /// Waits until the client has taken most of the answers it has asked for. Polls come behind the commands, so that a
    /// session of polls cannot wait for them.
    async fn wait_for_answers(&self) {
        if !self.dialect().is_polled() {
            std::future::poll_fn(|context| self.outbox().poll_answers(context)).await;
        }
    }

    async fn command(self: &Rc<Self>, command: Command) {
        let id = command.id.clone();
        let done = match command.kind {
            CommandKind::Subscribe(subscribe) => {
                commands::subscribe(self, command.id, subscribe).await
            }
            CommandKind::Unsubscribe { channel } => {
                commands::unsubscribe(self, command.id, channel).await
            }
            CommandKind::Publish(message) => commands::publish(self, command.id, message).await,
            CommandKind::Batch { messages } => commands::batch(self, command.id, messages).await,
            CommandKind::Presence { channel } => {
                commands::presence(self, command.id, channel).await
            }
            CommandKind::History(request) => commands::history(self, command.id, request).await,
            CommandKind::Authenticate { .. } => Err(commands::authentication_is_off()),
            CommandKind::Ping => {
                self.reply(&Reply::Pong { id: command.id });
                Ok(())
            }
        };
        if let Err(refusal) = done {
            self.refuse(id, refusal);
        }
    }

    /// Tells the client that a command failed. A session that has no frames to be told in ends.
    fn refuse(&self, id: Option<CommandId>, refusal: Refusal) {
        if self.dialect().frames().is_none() {
            self.fail(refusal);
            return;
        }
        self.reply(&Reply::Error {
            id,
            code: refusal.code,
            message: refusal.detail,
        });
    }

    fn fail(&self, refusal: Refusal) {
        self.say_farewell(&Farewell {
            code: refusal.code,
            reason: refusal.detail,
            reconnect_after_ms: None,
        });
    }
}
