//! What a node does when something of its members has vanished from the server.
//!
//! A server that is full may evict one key of many, and somebody may delete one. The scripts notice when what is left of a channel's members
//! does not fit together (`roster.lua`), and have them begin anew in another generation. Each node that hears of that tells again
//! who is here. What no script looks at, because nobody comes or goes, is looked at with every heartbeat.

use std::time::Duration;

use widecast_protocol::ChannelName;

use super::Shared;
use super::link::Repeat;
use super::upkeep::all;
use crate::engine::{EngineError, PresenceEntry};

/// How many channels are looked at with one command.
const CHANNELS_AT_ONCE: usize = 256;

/// Who has begun the new generation by itself hears of it, too, and knows by then that it has.
const ANSWERS_FIRST: Duration = Duration::from_millis(100);

/// It stands among the channels for which a node answers, and is none: if it is not there, all of them have vanished.
const NO_CHANNEL: &str = "";

impl Shared {
    /// The members of a channel have begun anew, in the generation that was heard if one was: the server has to be told who is here.
    pub(super) fn enter_anew_later(&self, channel: &ChannelName, generation: Option<String>) {
        if !self.book.has_any(channel) {
            return;
        }
        let wait = generation
            .as_ref()
            .map_or(Duration::ZERO, |_| ANSWERS_FIRST);
        if self.book.generation(channel).is_some() {
            // The list is not whole before others have told it, too.
            self.doubt_members(channel, self.settings.lease);
        }
        self.book.note_anew(channel, generation);
        self.book.look_after(channel, wait);
    }

    /// The server says that this is the generation of a channel's members.
    pub(super) fn compare_generation(&self, channel: &ChannelName, generation: &str) {
        let known = self.book.generation(channel);
        if known.is_some_and(|known| known != generation) {
            self.enter_anew_later(channel, None);
        }
    }

    /// Tells the server again who is in a channel through this node.
    pub(super) async fn enter_channel_anew(
        &self,
        channel: &ChannelName,
    ) -> Result<(), EngineError> {
        self.book.take_anew(channel);
        let mut entries = self.book.entries(channel).into_iter();
        let Some(first) = entries.next() else {
            return Ok(());
        };
        self.answer_for(channel).await?;
        self.list(channel).await?;
        // With the first of them the generation may be another one; the others follow.
        self.enter_again(channel, first).await?;
        let entering = entries.map(|entry| async move {
            if self.enter_again(channel, entry).await? {
                self.enter_anew_later(channel, None);
            }
            Ok(())
        });
        all(entering).await
    }

    async fn enter_again(
        &self,
        channel: &ChannelName,
        entry: PresenceEntry,
    ) -> Result<bool, EngineError> {
        let connection = entry.connection;
        let entry = self.as_shown(channel, entry);
        let is_another = self.tell_enter(channel, &entry).await?;
        if self.book.entry(channel, connection).is_none() {
            // It has gone meanwhile.
            self.tell_exit(channel, connection).await?;
        }
        Ok(is_another)
    }

    /// Whoever sweeps this node has to look at the channel.
    pub(super) async fn answer_for(&self, channel: &ChannelName) -> Result<(), EngineError> {
        let added = self.add_answers(std::slice::from_ref(channel)).await?;
        if added > 1 {
            self.book.note_answers_lost();
        }
        Ok(())
    }

    /// Returns how many of the channels, and of [`NO_CHANNEL`], were not there.
    async fn add_answers(&self, channels: &[ChannelName]) -> Result<usize, EngineError> {
        let make = |_: &str| {
            let mut command = redis::cmd("SADD");
            command
                .arg(self.keys.channels_of_node(&self.node))
                .arg(NO_CHANNEL);
            for channel in channels {
                command.arg(channel.as_str());
            }
            command
        };
        self.link.ask(Repeat::Yes, make).await
    }

    /// Looks whether what this node has told the server of its members is there.
    pub(super) async fn look_for_losses(&self) -> Result<(), EngineError> {
        let channels = self.book.told_channels();
        if channels.is_empty() {
            return Ok(());
        }
        let began_anew = self.add_answers(&[]).await? > 0;
        if self.book.take_answers_lost() || began_anew {
            for some in self.book.channels().chunks(CHANNELS_AT_ONCE) {
                let added = self.add_answers(some).await;
                added.inspect_err(|_| self.book.note_answers_lost())?;
            }
        }
        for some in channels.chunks(CHANNELS_AT_ONCE) {
            if self.are_there(some).await? {
                continue;
            }
            for channel in some {
                if !self.are_there(std::slice::from_ref(channel)).await? {
                    self.enter_anew_later(channel, None);
                }
            }
        }
        Ok(())
    }

    /// Whether the server has everything that each channel with members of this node has.
    async fn are_there(&self, channels: &[ChannelName]) -> Result<bool, EngineError> {
        let keys = channels.iter().flat_map(|channel| {
            let [_, ids, data, connections, _, of_node] = self.keys.roster(channel, &self.node);
            [ids, data, connections, of_node]
        });
        let keys: Vec<_> = keys.collect();
        let make = |_: &str| {
            let mut command = redis::cmd("EXISTS");
            command.arg(&keys);
            command
        };
        let found: usize = self.link.ask(Repeat::Yes, make).await?;
        Ok(found == keys.len())
    }
}
