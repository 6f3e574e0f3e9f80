//! The actor around a [`Shard`]: the thin shell that takes one message per publication from its mailbox, and runs the flush list.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use actix::prelude::*;
use widecast_protocol::{ChannelName, EncodedMessage};

use crate::engine::NumberedChange;

use super::shard::Shard;

/// A message for the shard's subscribers.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Arrived(pub(super) Arc<EncodedMessage>);

/// Look whether something could not be handed over.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Wake;

/// Messages of a channel were lost on the way to this node.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct SuspectGap(pub(super) ChannelName);

/// Somebody came or went.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct PresenceChanged {
    pub(super) channel: ChannelName,
    pub(super) change: NumberedChange,
}

/// The shard's mailbox.
pub struct ShardActor {
    pub(super) shard: Rc<Shard>,
}

impl Actor for ShardActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let writing = Writing(Rc::clone(&self.shard));
        context.spawn(writing.into_actor(self));
    }
}

impl Handler<Arrived> for ShardActor {
    type Result = ();

    fn handle(&mut self, Arrived(message): Arrived, _: &mut Self::Context) {
        self.shard.arrived(&message);
    }
}

impl Handler<Wake> for ShardActor {
    type Result = ();

    fn handle(&mut self, Wake: Wake, _: &mut Self::Context) {
        self.shard.look_for_overrun();
    }
}

impl Handler<SuspectGap> for ShardActor {
    type Result = ();

    fn handle(&mut self, SuspectGap(channel): SuspectGap, _: &mut Self::Context) {
        self.shard.look_for_overrun();
        self.shard.suspect_gap(&channel);
    }
}

impl Handler<PresenceChanged> for ShardActor {
    type Result = ();

    fn handle(&mut self, changed: PresenceChanged, _: &mut Self::Context) {
        self.shard.look_for_overrun();
        self.shard.presence(changed.channel, changed.change);
    }
}

/// What a shard does whenever it has looked at its mailbox, for as long as it lives: it writes a slice of what waits, and then tells
/// who came and went, which is written in the next.
struct Writing(Rc<Shard>);

impl Future for Writing {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<()> {
        self.0.flush_list().write_slice(context);
        self.0.tell_news();
        Poll::Pending
    }
}
