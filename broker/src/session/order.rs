//! Orders of an operator for sessions, whichever worker they are on: an order goes to every worker, which carries it out for its
//! own sessions.

use std::rc::Rc;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use actix::prelude::*;
use bytes::Bytes;
use futures_util::future::join_all;
use widecast_protocol::framing::Wire;
use widecast_protocol::{ChannelName, Code, Reply};

use super::dialect::Goodbye;
use super::index::Selection;
use super::session::Session;
use super::worker::Worker;

/// How many sessions are dealt with before the worker does something else.
const SESSIONS_PER_SLICE: usize = 64;

/// What is done to sessions.
#[derive(Debug, Clone)]
pub enum Action {
    /// The sessions check whether their tokens are still valid.
    CheckTokens,
    /// They end.
    Disconnect {
        /// Why, for people.
        reason: String,
    },
    /// The sessions leave a channel. A session that cannot join another channel (a raw stream) ends.
    Unsubscribe {
        /// The channel.
        channel: ChannelName,
        /// Why, for people.
        reason: String,
    },
    /// They are sent a frame, as far as they have frames.
    Tell(Arc<Reply>),
}

/// An action, and the sessions that are meant. Sessions that are opened after it was given are not, nor are those that come to the user or
/// the channel afterwards.
#[derive(Debug, Clone, Message)]
#[rtype(result = "OrderOutcome")]
pub struct Order {
    /// Which sessions.
    pub selection: Selection,
    /// When it was given.
    pub given: Instant,
    /// What is done to them.
    pub action: Action,
}

impl Order {
    /// The order, which is given now.
    pub fn now(selection: Selection, action: Action) -> Self {
        Self {
            selection,
            given: Instant::now(),
            action,
        }
    }
}

/// What became of an order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, MessageResponse)]
pub struct OrderOutcome {
    /// The sessions for which it was carried out.
    pub done: usize,
    /// The sessions that were meant, and for which it is not possible.
    pub impossible: usize,
}

/// Takes the orders for the sessions of one worker.
pub struct OrderActor {
    worker: Worker,
}

impl OrderActor {
    /// Takes orders from now on, on the worker's thread.
    pub fn start(worker: &Worker) {
        let worker = worker.clone();
        let services = Arc::clone(&worker.services);
        let address = Actor::start(Self { worker });
        services.workers.add(address);
    }
}

impl Actor for OrderActor {
    type Context = Context<Self>;
}

impl Handler<Order> for OrderActor {
    type Result = ResponseFuture<OrderOutcome>;

    fn handle(&mut self, order: Order, _: &mut Self::Context) -> Self::Result {
        let worker = self.worker.clone();
        Box::pin(async move { carry_out(&worker, &order).await })
    }
}

/// Every worker, for orders.
#[derive(Default)]
pub struct Workers(RwLock<Vec<Addr<OrderActor>>>);

impl Workers {
    fn add(&self, address: Addr<OrderActor>) {
        let mut workers = self.0.write().unwrap_or_else(PoisonError::into_inner);
        workers.push(address);
    }

    /// Has an order carried out by all workers at once, and waits until they have done it.
    pub async fn carry_out(&self, order: &Order) -> OrderOutcome {
        let workers = {
            let workers = self.0.read().unwrap_or_else(PoisonError::into_inner);
            workers.clone()
        };
        let orders = workers.iter().map(|worker| worker.send(order.clone()));
        // A worker that has stopped has no sessions any more.
        let outcomes = join_all(orders).await.into_iter().flatten();
        outcomes.fold(OrderOutcome::default(), |sum, outcome| OrderOutcome {
            done: sum.done + outcome.done,
            impossible: sum.impossible + outcome.impossible,
        })
    }
}

pub(super) async fn carry_out(worker: &Worker, order: &Order) -> OrderOutcome {
    let mut outcome = OrderOutcome::default();
    let mut frames = Frames::default();
    let till = match order.action {
        // Who has not been checked in time is checked now.
        Action::CheckTokens => None,
        _ => Some(order.given),
    };
    let sessions = worker.sessions.find(&order.selection, till, &worker.shard);
    let obeying = async {
        for slice in sessions.chunks(SESSIONS_PER_SLICE) {
            for session in slice {
                if session.obey(&order.action, &mut frames).await {
                    outcome.done += 1;
                } else {
                    outcome.impossible += 1;
                }
            }
            tokio::task::yield_now().await;
        }
    };
    // The operator does not wait for each session when the engine does not answer.
    worker.services.with_patience(obeying).await;
    outcome
}

/// The bytes of one frame, made once for each wire.
#[derive(Default)]
struct Frames(Vec<(Wire, Bytes)>);

impl Frames {
    fn bytes(&mut self, wire: Wire, reply: &Reply) -> Bytes {
        if let Some((_, bytes)) = self.0.iter().find(|(known, _)| *known == wire) {
            return bytes.clone();
        }
        let bytes = wire.encode(reply);
        self.0.push((wire, bytes.clone()));
        bytes
    }
}

impl Session {
    /// Returns whether it was possible.
    async fn obey(self: &Rc<Self>, action: &Action, frames: &mut Frames) -> bool {
        match action {
            Action::CheckTokens => self.check_tokens().await,
            Action::Disconnect { reason } => self.kick(reason).await,
            Action::Unsubscribe { channel, reason } => self.kick_from(channel, reason).await,
            Action::Tell(reply) => {
                let Some(wire) = self.dialect().frames() else {
                    return false;
                };
                self.outbox().push_frame(frames.bytes(wire, reply));
            }
        }
        true
    }

    async fn kick(&self, reason: &str) {
        self.say_goodbye(&Goodbye {
            code: Code::Kicked,
            reason: reason.to_owned(),
            reconnect_after_ms: None,
        });
        // The client may take a while to receive its last frame; until then it must no longer be listed as a member.
        for channel in self.joined_channels() {
            self.leave(&channel);
            self.disappear(&channel).await;
        }
    }

    async fn kick_from(&self, channel: &ChannelName, reason: &str) {
        let dialect = self.dialect();
        if dialect.frames().is_none() || dialect.is_page_websocket() {
            // It has no other channel, and no way to join one.
            self.kick(reason).await;
            return;
        }
        let is_about_to_join = self.call_off_joins(channel);
        if self.channels.borrow().handle(channel).is_some() {
            self.put_out(channel, Code::Kicked).await;
        } else if is_about_to_join {
            self.disappear(channel).await;
            self.tell_left(channel, Code::Kicked);
        }
    }
}
