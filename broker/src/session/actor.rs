//! The actor of one session: reads what the client sends, and takes commands and last words from other threads.
//!
//! While a command is being carried out nothing else is read, so that a client's commands take effect in their order and
//! one that sends faster than the broker publishes is slowed down by TCP.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll};

use actix::prelude::*;
use widecast_protocol::Code;

use crate::net::{Connection, Detached};

use super::inbound::{Inbound, Reader};
use super::refusal::Refusal;
use super::session::Session;
use super::unfinished::Unfinished;

/// How many bytes one read takes.
const READ_BYTES: usize = 64 << 10;
/// How many reads a session makes before others have their turn.
const READS_PER_TURN: usize = 8;

thread_local! {
    /// Shared by all connections of a worker: an idle connection needs no buffer.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// What a session reads from.
struct Inlet {
    connection: Rc<Connection>,
    reader: Box<dyn Reader>,
    unfinished: Option<Box<Unfinished>>,
}

/// Of a session that ends because of what it was sent: nothing more of it is kept.
struct Deaf;

impl Reader for Deaf {
    fn read(&mut self, _: &[u8]) -> Vec<Inbound> {
        Vec::new()
    }
}

/// The actor of one session.
pub struct SessionActor {
    session: Rc<Session>,
    inlet: Option<Inlet>,
}

impl SessionActor {
    /// Starts a session on the socket that it has been given.
    pub fn start_connected(
        session: Rc<Session>,
        detached: Detached,
        reader: Box<dyn Reader>,
    ) -> Addr<Self> {
        let Detached { connection, early } = detached;
        session.outbox().attach(Rc::clone(&connection));
        let inlet = Some(Inlet {
            connection,
            reader,
            unfinished: None,
        });
        Self::create(|context| {
            let mut actor = Self { session, inlet };
            actor.received(&early, context);
            actor
        })
    }

    /// Starts a session of polls.
    pub fn start_polled(session: Rc<Session>) -> Addr<Self> {
        Self {
            session,
            inlet: None,
        }
        .start()
    }

    pub(super) fn session(&self) -> &Rc<Session> {
        &self.session
    }

    fn received(&mut self, bytes: &[u8], context: &mut Context<Self>) {
        let Some(inlet) = &mut self.inlet else {
            return;
        };
        if bytes.is_empty() {
            return;
        }
        self.session.heard();
        let inbound = inlet.reader.read(bytes);
        let config = &self.session.services().config;
        let bytes = inlet.reader.unfinished_bytes();
        Unfinished::follow(&mut inlet.unfinished, bytes, config);
        if !inbound.is_empty() {
            self.carry_out(inbound, context);
        }
    }

    fn carry_out(&self, inbound: Vec<Inbound>, context: &mut Context<Self>) {
        let session = Rc::clone(&self.session);
        let carried_out = session.carry_out(inbound).into_actor(self);
        context.wait(carried_out.map(|(), actor, _| {
            let config = &actor.session.services().config;
            let inlet = actor.inlet.as_mut();
            if let Some(unfinished) = inlet.and_then(|inlet| inlet.unfinished.as_mut()) {
                unfinished.excuse(config);
            }
        }));
    }

    /// Ends the session of a client that does not finish its message, when it is time.
    fn give_up(&mut self, context: &mut Context<Self>, task: &mut TaskContext<'_>) {
        let Some(inlet) = &mut self.inlet else {
            return;
        };
        let unfinished = inlet.unfinished.as_mut();
        let given_up = unfinished.map(|unfinished| unfinished.poll_given_up(task));
        if let Some(Poll::Ready(Refusal { code, detail })) = given_up {
            inlet.reader = Box::new(Deaf);
            inlet.unfinished = None;
            self.carry_out(vec![Inbound::Fail { code, detail }], context);
        }
    }
}

impl Actor for SessionActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.session.begin(context.address());
        if let Some(inlet) = &self.inlet {
            let connection = Rc::clone(&inlet.connection);
            context.spawn(Reading { connection });
        }
    }
}

/// Reads the socket until it ends, then stops the actor.
struct Reading {
    connection: Rc<Connection>,
}

impl ActorFuture<SessionActor> for Reading {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        actor: &mut SessionActor,
        context: &mut Context<SessionActor>,
        task: &mut TaskContext<'_>,
    ) -> Poll<()> {
        for _ in 0..READS_PER_TURN {
            match self.connection.poll_readable(task) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => {
                    context.stop();
                    return Poll::Ready(());
                }
                Poll::Pending => {
                    actor.give_up(context, task);
                    return Poll::Pending;
                }
            }
            let ended =
                SCRATCH.with_borrow_mut(|scratch| match self.connection.try_read(scratch) {
                    Ok(0) => true,
                    Ok(count) => {
                        actor.received(&scratch[..count], context);
                        false
                    }
                    Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
                });
            if ended {
                actor.session.outbox().close(Code::ShuttingDown);
                context.stop();
                return Poll::Ready(());
            }
            if context.waiting() {
                return Poll::Pending;
            }
        }
        task.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Commands that came by another way than the session's own connection.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Commands(pub Vec<Inbound>);

impl Handler<Commands> for SessionActor {
    type Result = ();

    fn handle(&mut self, Commands(inbound): Commands, context: &mut Self::Context) {
        self.carry_out(inbound, context);
    }
}

/// The session's outbox is closed: nothing is left to do.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct End;

impl Handler<End> for SessionActor {
    type Result = ();

    fn handle(&mut self, End: End, context: &mut Self::Context) {
        context.stop();
    }
}
