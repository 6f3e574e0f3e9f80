//! The members of each channel, of all nodes.

use std::time::Duration;

use redis::Cmd;
use widecast_protocol::{ChannelName, Members, record};

use super::link::Repeat;
use super::scripts::call;
use super::settings::milliseconds;
use super::wire::{Number, member};
use super::{RedisEngine, Shared};
use crate::engine::{
    ConnectionId, EngineError, EngineFuture, MemberList, MemberQuery, MemberStore, PresenceEntry,
};

/// No page has more, whatever is asked for.
const MOST_MEMBERS: usize = 10_000;
const MOST_BYTES: usize = 1 << 30;

/// The number of the newest change; in how many milliseconds a member will leave, negative for none; and the generation of the members.
pub(super) type Told = (Number, i64, String);

impl Shared {
    /// The call of a script of `roster.lua` for a channel; its own arguments are still to be added.
    pub(super) fn roster_call(
        &self,
        script: &redis::Script,
        keys: &[String],
        channel: &ChannelName,
    ) -> Cmd {
        let mut command = call(script, keys);
        command
            .arg(self.keys.topic(channel))
            .arg(self.pubsub.publish());
        command.arg(milliseconds(self.settings.presence_grace));
        command.arg(milliseconds(self.settings.idle_grace));
        command.arg(self.book.generation(channel).unwrap_or_default());
        command.arg(self.listening.highest_change(channel));
        command
    }

    /// Tells the server that a connection is here. Returns whether it has to be told of the others of this node, too.
    pub(super) async fn tell_enter(
        &self,
        channel: &ChannelName,
        entry: &PresenceEntry,
    ) -> Result<bool, EngineError> {
        let keys = self.keys.roster(channel, &self.node);
        let data = record::encode_data(&entry.member.data);
        let make = |_: &str| {
            let mut command = self.roster_call(&self.link.scripts.enter, &keys, channel);
            command
                .arg(entry.connection.0)
                .arg(&entry.member.id)
                .arg(&data);
            command
        };
        let told: Told = self.link.ask(Repeat::Yes, make).await?;
        let is_another = self.book.note_generation(channel, &told.2);
        self.told(channel, told).await;
        Ok(is_another)
    }

    /// Tells the server that a connection is gone.
    pub(super) async fn tell_exit(
        &self,
        channel: &ChannelName,
        connection: ConnectionId,
    ) -> Result<(), EngineError> {
        let keys = self.keys.roster(channel, &self.node);
        let make = |_: &str| {
            let mut command = self.roster_call(&self.link.scripts.exit, &keys, channel);
            command.arg(connection.0);
            command
        };
        let told: Told = self.link.ask(Repeat::Yes, make).await?;
        self.compare_generation(channel, &told.2);
        self.told(channel, told).await;
        Ok(())
    }

    /// Waits until this node has heard what the others have been told, too; and remembers when to look again.
    pub(super) async fn told(&self, channel: &ChannelName, (change, next, _): Told) {
        match u64::try_from(next) {
            Ok(next) => self.book.look_after(channel, Duration::from_millis(next)),
            // Nobody will leave; but the channel may have no member of this node any more.
            Err(_) if !self.book.has_any(channel) => {
                self.book.look_after(channel, self.settings.presence_grace);
            }
            Err(_) => {}
        }
        if change.0 > 0 {
            let heard = self.listening.until_change(channel, change.0);
            let _ = self.link.within_deadline(heard).await;
        }
    }

    async fn enter(&self, channel: &ChannelName, entry: PresenceEntry) -> Result<(), EngineError> {
        let is_first = self.book.enter(channel, &entry);
        let entered = async {
            self.have_lease().await?;
            if is_first {
                self.begin_watching(channel);
            }
            // Not only the first: its own attempt may fail.
            if !self.book.answers_for(channel) {
                self.answer_for(channel).await?;
                self.list(channel).await?;
                self.book.note_answer(channel);
            }
            if self.tell_enter(channel, &entry).await? {
                self.enter_anew_later(channel, None);
            }
            Ok(())
        };
        let entered = entered.await;
        if entered.is_err() {
            // Nobody knows whether the server has it.
            self.not_here(channel, entry.connection);
            self.book.owe_exit(channel, entry.connection);
        }
        entered
    }

    async fn exit(
        &self,
        channel: &ChannelName,
        connection: ConnectionId,
    ) -> Result<(), EngineError> {
        self.not_here(channel, connection);
        let exited = self.tell_exit(channel, connection).await;
        if exited.is_err() {
            self.book.owe_exit(channel, connection);
        }
        exited
    }

    fn not_here(&self, channel: &ChannelName, connection: ConnectionId) {
        self.book.exit(channel, connection);
        if !self.book.has_any(channel) {
            self.stop_watching(channel);
        }
    }

    /// The members as the server knows them.
    pub(super) async fn members(
        &self,
        channel: &ChannelName,
        query: &MemberQuery,
    ) -> Result<MemberList, EngineError> {
        let [keys @ .., _] = self.keys.roster(channel, "");
        let make = |_: &str| {
            let mut command = call(&self.link.scripts.members, &keys);
            command.arg(query.after.as_deref().unwrap_or_default());
            command.arg(query.limit.min(MOST_MEMBERS));
            command.arg(query.bytes.min(MOST_BYTES));
            command
        };
        let answer = self.link.ask(Repeat::Yes, make).await?;
        let (changes, has_more, page, is_whole): (Number, u8, Vec<Vec<u8>>, u8) = answer;
        if is_whole == 0 {
            // Whoever looks at them has all nodes tell again who is here.
            self.book.look_after(channel, Duration::ZERO);
        }
        let pairs = page.chunks_exact(2).map(|pair| member(&pair[0], &pair[1]));
        let members = pairs.collect::<Result<Vec<_>, _>>()?;
        let last = members.last().map(|last| last.id.clone());
        Ok(MemberList {
            list: Members {
                next: last.filter(|_| has_more == 1),
                members,
            },
            changes: changes.0,
        })
    }
}

impl MemberStore for RedisEngine {
    fn enter<'a>(&'a self, channel: &'a ChannelName, entry: PresenceEntry) -> EngineFuture<'a, ()> {
        self.shared.link.in_time(self.shared.enter(channel, entry))
    }

    fn exit<'a>(
        &'a self,
        channel: &'a ChannelName,
        connection: ConnectionId,
    ) -> EngineFuture<'a, ()> {
        self.shared
            .link
            .in_time(self.shared.exit(channel, connection))
    }

    fn members<'a>(
        &'a self,
        channel: &'a ChannelName,
        query: &'a MemberQuery,
    ) -> EngineFuture<'a, MemberList> {
        Box::pin(async move {
            let found = self.shared.members(channel, query).await?;
            Ok(self.shared.shown(channel, query, found))
        })
    }
}
