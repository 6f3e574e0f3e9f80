//! The actor around a [`Shard`]: the thin shell that takes one message per publication from its mailbox, and runs the flush list.

use std::rc::Rc;
use std::sync::Arc;

use actix::prelude::*;
use widecast_protocol::{ChannelName, EncodedMessage};

use crate::engine::NumberedChange;

use super::outbox::flush::Flush;
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
        let flush = Flush(Rc::clone(self.shard.flush_list()));
        context.spawn(flush.into_actor(self));
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
        let mut channels = self.shard.channels.borrow_mut();
        if let Some(fanout) = channels.get_mut(&changed.channel) {
            fanout.presence(&changed.channel, &changed.change);
        }
    }
}
