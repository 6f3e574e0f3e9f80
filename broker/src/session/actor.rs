//! The actor of one session: reads what the client sends, and takes commands and last words from other threads.
//!
//! While a command is being carried out nothing else is read, so that a client's commands take effect in their order and
//! one that sends faster than the broker publishes is slowed down by TCP.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll};

use crate::limits::Queued;
use crate::metrics::Slowness;
use crate::net::{Connection, Detached};
use crate::registry::Ended;
use actix::prelude::*;
use tracing::{Instrument, field};
use widecast_protocol::Code;

use super::inbound::{DiscardInbound, Inbound, InboundDecoder};
use super::refusal::Refusal;
use super::session::Session;
use super::unfinished::UnfinishedMessage;

/// How many bytes one read takes.
const READ_BYTES: usize = 64 << 10;
/// How many reads a session makes before others have their turn.
const READS_PER_TURN: usize = 8;

thread_local! {
    /// Shared by all connections of a worker: an idle connection needs no buffer.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// The connection that a session reads from.
struct Input {
    connection: Rc<Connection>,
    decoder: Box<dyn InboundDecoder>,
    unfinished: Option<Box<UnfinishedMessage>>,
}

/// The actor of one session.
pub struct SessionActor {
    session: Rc<Session>,
    input: Option<Input>,
}

impl SessionActor {
    /// Starts a session on the socket that it has been given.
    pub fn start_connected(
        session: Rc<Session>,
        detached: Detached,
        decoder: Box<dyn InboundDecoder>,
    ) -> Addr<Self> {
        let Detached { connection, early } = detached;
        let span = session.span();
        span.record("client.address", field::display(connection.peer()));
        span.in_scope(|| tracing::debug!("the session has begun"));
        session.outbox().attach(Rc::clone(&connection));
        let input = Some(Input {
            connection,
            decoder,
            unfinished: None,
        });
        Self::create(|context| {
            let mut actor = Self { session, input };
            actor.received(&early, context);
            actor
        })
    }

    /// Starts a session of polls.
    pub fn start_polled(session: Rc<Session>) -> Addr<Self> {
        Self {
            session,
            input: None,
        }
        .start()
    }

    pub(super) fn session(&self) -> &Rc<Session> {
        &self.session
    }

    fn received(&mut self, bytes: &[u8], context: &mut Context<Self>) {
        let Some(input) = &mut self.input else {
            return;
        };
        if bytes.is_empty() {
            return;
        }
        self.session.heard();
        let inbound = input.decoder.read(bytes);
        let config = &self.session.services().config;
        let bytes = input.decoder.unfinished_bytes();
        UnfinishedMessage::follow(&mut input.unfinished, bytes, config);
        if !inbound.is_empty() {
            self.dispatch(inbound, None, context);
        }
    }

    /// Carries out what was sent; until that is done, what has come by a request of its own counts as waiting.
    fn dispatch(&self, inbound: Vec<Inbound>, queued: Option<Queued>, context: &mut Context<Self>) {
        let session = Rc::clone(&self.session);
        let span = session.span().clone();
        let dispatched = async {
            match queued {
                Some(queued) => session.dispatch_queued(queued, inbound).await,
                None => session.dispatch(inbound).await,
            }
        };
        let dispatched = dispatched.instrument(span).into_actor(self);
        context.wait(dispatched.map(|(), actor, _| {
            let config = &actor.session.services().config;
            let input = actor.input.as_mut();
            if let Some(unfinished) = input.and_then(|input| input.unfinished.as_mut()) {
                unfinished.excuse(config);
            }
        }));
    }

    /// Ends the session of a client that does not finish its message, when it is time.
    fn give_up(&mut self, context: &mut Context<Self>, task: &mut TaskContext<'_>) {
        let Some(input) = &mut self.input else {
            return;
        };
        let unfinished = input.unfinished.as_mut();
        let given_up = unfinished.map(|unfinished| unfinished.poll_given_up(task));
        if let Some(Poll::Ready(Refusal { code, detail, .. })) = given_up {
            input.decoder = Box::new(DiscardInbound);
            input.unfinished = None;
            if code == Code::RequestTimeout {
                let metrics = &self.session.services().metrics;
                metrics.connections.gave_up(Slowness::Message);
            }
            let failure = Inbound::Fail {
                code,
                detail,
                limit: None,
            };
            self.dispatch(vec![failure], None, context);
        }
    }
}

impl Actor for SessionActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.session.begin(context.address());
        if let Some(input) = &self.input {
            let connection = Rc::clone(&input.connection);
            context.spawn(ReadSocket { connection });
        }
    }
}

/// Reads the socket until it ends, then stops the actor.
struct ReadSocket {
    connection: Rc<Connection>,
}

impl ActorFuture<SessionActor> for ReadSocket {
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
                    actor.session.outbox().close(Ended::ConnectionFailed);
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
                    Ok(0) => Some(Ended::ClientLeft),
                    Ok(count) => {
                        actor.received(&scratch[..count], context);
                        None
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => None,
                    Err(_) => Some(Ended::ConnectionFailed),
                });
            if let Some(ended) = ended {
                actor.session.outbox().close(ended);
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
pub struct Commands {
    /// The commands.
    pub inbound: Vec<Inbound>,
    /// Counts them until they are carried out.
    pub queued: Queued,
}

impl Handler<Commands> for SessionActor {
    type Result = ();

    fn handle(&mut self, commands: Commands, context: &mut Self::Context) {
        let Commands { inbound, queued } = commands;
        self.dispatch(inbound, Some(queued), context);
    }
}

/// The session's outbox is closed: nothing is left to do.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Stop;

impl Handler<Stop> for SessionActor {
    type Result = ();

    fn handle(&mut self, Stop: Stop, context: &mut Self::Context) {
        context.stop();
    }
}
