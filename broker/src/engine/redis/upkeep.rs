//! What a node does at intervals: it renews its lease, takes the members off those nodes whose lease has run out, tells who has left,
//! and keeps the channels that it uses from being forgotten.
//!
//! A node answers for the channels in which it has members: they stand in a set of its own, for whoever sweeps it. Whoever
//! sweeps takes them over, until nobody's grace time is left.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream;
use widecast_protocol::ChannelName;

use super::Shared;
use super::link::Repeat;
use super::members::Told;
use super::roster_book::MembershipKey;
use super::scripts::call;
use super::settings::milliseconds;
use crate::engine::{ConnectionId, EngineError, with_patience};

/// How many channels or connections are attended to at once.
const AT_ONCE: usize = 64;

/// How long a node that ends waits for the server: who stops the broker does not wait for ever.
const FAREWELL: Duration = Duration::from_secs(1);

/// Does so for as long as the engine is there.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut heartbeat = shared.settings.heartbeats();
    let mut touched = Instant::now();
    let mut is_due = true;
    loop {
        if std::mem::take(&mut is_due) {
            let mut done = shared.beat().await;
            if touched.elapsed() >= shared.settings.idle_grace / 4 && done.is_ok() {
                done = shared.touch().await;
                touched = Instant::now();
            }
            if let Err(error) = done {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "a heartbeat has failed"
                );
            }
        }
        tokio::select! {
            _ = heartbeat.tick() => is_due = true,
            () = shared.book.until_due() => shared.look_at_due(Some(Instant::now())).await,
        }
    }
}

impl Shared {
    /// Renews the lease, and does what follows from it.
    pub(super) async fn beat(&self) -> Result<(), EngineError> {
        let said = self.link.ask(Repeat::Yes, |_| self.agreement()).await;
        let said = said.inspect_err(|_| self.book.note_unrenewed())?;
        if let Err(theirs) = self.agrees(said) {
            tracing::error!(
                "another broker says that the channels are on {theirs:?}, this one says {:?}: they do not hear each other",
                self.servers()
            );
            self.link.leave();
        }
        let process = self.link.process();
        let renewed = self.renew_lease().await;
        let (had_lease, gone) = renewed.inspect_err(|_| self.book.note_unrenewed())?;
        if !had_lease {
            self.deliver.announcements_lost();
            // Others may have to enter anew, too.
            self.doubt_all_members(self.settings.lease);
            self.book.note_loss();
        }
        // A replica that has taken over has the lease, and may lack the newest members.
        let mut done = self.look_for_losses().await;
        if !self.book.is_known_to(process.as_ref()) {
            done = self.enter_anew().await;
            if done.is_ok() {
                self.book.note_known_to(process);
            }
        }
        let owed = self.book.owed().into_iter();
        let told = all(owed.map(|key| self.tell_owed_exit(key))).await;
        // Where the server has lost the lease of this node, or could not renew it, those of others may have run out with it.
        if self.book.has_had_lease_for(self.settings.lease / 2) {
            for node in gone {
                self.sweep(&node).await?;
            }
        }
        // What could not be done holds up nothing else.
        done.and(told)
    }

    /// Says which servers share the channels.
    pub(super) fn agreement(&self) -> redis::Cmd {
        let mut command = call(&self.link.scripts.agree, &[self.keys.servers()]);
        command.arg(self.servers());
        command.arg(milliseconds(self.settings.lease));
        command
    }

    /// Whether other brokers have not said something else; that is the error.
    pub(super) fn agrees(&self, said: String) -> Result<(), String> {
        if said == self.servers() {
            Ok(())
        } else {
            Err(said)
        }
    }

    /// The servers that share the channels. Brokers may have different addresses for a single one.
    pub(super) fn servers(&self) -> &str {
        match &*self.settings.servers {
            "" => "this server alone",
            several => several,
        }
    }

    /// Returns whether there was a lease, and the nodes whose leases have run out.
    async fn renew_lease(&self) -> Result<(bool, Vec<String>), EngineError> {
        let make = |_: &str| {
            let keys = [self.keys.nodes(), self.keys.clock()];
            let mut command = call(&self.link.scripts.lease, &keys);
            command
                .arg(&self.node)
                .arg(milliseconds(self.settings.lease));
            command
        };
        let (had, gone): (u8, Vec<String>) = self.link.ask(Repeat::Yes, make).await?;
        Ok((had == 1, gone))
    }

    /// This node ends: the others need not wait until its lease has run out. A server that is away is not waited for.
    pub(super) async fn give_up_lease(&self) -> Result<(), EngineError> {
        self.link.check()?;
        let make = |_: &str| {
            let mut command = redis::cmd("ZADD");
            command
                .arg(self.keys.nodes())
                .arg("XX")
                .arg(0)
                .arg(&self.node);
            command
        };
        let asked = self.link.ask::<u64>(Repeat::Yes, make);
        with_patience(Some(FAREWELL), asked).await.map(drop)
    }

    /// Nobody may be here through a node that nobody would sweep.
    pub(super) async fn have_lease(&self) -> Result<(), EngineError> {
        let make = |_: &str| {
            let mut command = redis::cmd("ZSCORE");
            command.arg(self.keys.nodes()).arg(&self.node);
            command
        };
        let has: Option<String> = self.link.ask(Repeat::Yes, make).await?;
        if has.is_none() {
            self.beat().await?;
        }
        Ok(())
    }

    /// The server has lost members of this node, or others thought that the node was gone.
    async fn enter_anew(&self) -> Result<(), EngineError> {
        let channels = self.book.channels().into_iter();
        all(channels.map(|channel| async move { self.enter_channel_anew(&channel).await })).await?;
        let channels = self.channels_of(&self.node).await?.into_iter();
        all(channels.map(|channel| async move { self.exit_anew(&channel).await })).await
    }

    /// Tells the server of the end of those connections in a channel that it has and this node has no more.
    async fn exit_anew(&self, channel: &ChannelName) -> Result<(), EngineError> {
        let [.., connections] = self.keys.roster(channel, &self.node);
        let make = |_: &str| {
            let mut command = redis::cmd("HKEYS");
            command.arg(&connections);
            command
        };
        let connections: Vec<String> = self.link.ask(Repeat::Yes, make).await?;
        // One of them is none: see `roster.lua`.
        let connections = connections.iter().flat_map(|number| number.parse());
        for connection in connections.map(ConnectionId) {
            if self.book.entry(channel, connection).is_some() {
                continue;
            }
            self.tell_late_exit(channel, connection).await?;
        }
        Ok(())
    }

    /// Tells the server of the end of a connection that it does not know yet. If that fails, it is told later.
    async fn tell_owed_exit(&self, key: MembershipKey) -> Result<(), EngineError> {
        if !self.book.take_owed(&key) {
            return Ok(());
        }
        let (channel, connection) = key;
        let told = self.tell_late_exit(&channel, connection).await;
        if told.is_err() {
            self.book.owe_exit(&channel, connection);
        }
        told
    }

    /// Tells the server of the end of a connection, some time afterwards.
    async fn tell_late_exit(
        &self,
        channel: &ChannelName,
        connection: ConnectionId,
    ) -> Result<(), EngineError> {
        self.tell_exit(channel, connection).await?;
        // It may have come back meanwhile.
        if let Some(entry) = self.book.entry(channel, connection)
            && self.tell_enter(channel, &entry).await?
        {
            self.enter_anew_later(channel, None);
        }
        Ok(())
    }

    /// The channels that a node answers for.
    async fn channels_of(&self, node: &str) -> Result<Vec<ChannelName>, EngineError> {
        let make = |_: &str| {
            let mut command = redis::cmd("SMEMBERS");
            command.arg(self.keys.channels_of_node(node));
            command
        };
        let channels: Vec<String> = self.link.ask(Repeat::Yes, make).await?;
        let channels = channels.iter().flat_map(|name| ChannelName::parse(name));
        Ok(channels.collect())
    }

    /// Takes over what a node that is gone answered for.
    async fn sweep(&self, node: &str) -> Result<(), EngineError> {
        let channels = self.channels_of(node).await?;
        tracing::info!(
            "node {node} has not been heard of: its members leave {} channels",
            channels.len()
        );
        let sweeping = channels.into_iter().map(|channel| async move {
            self.answer_for(&channel).await?;
            self.look_at(&channel, Some(node)).await
        });
        all(sweeping).await?;
        let keys = [self.keys.nodes(), self.keys.channels_of_node(node)];
        let make = |_: &str| {
            let mut command = call(&self.link.scripts.bury, &keys);
            command.arg(node);
            command
        };
        self.link.ask::<()>(Repeat::Yes, make).await
    }

    /// Looks at the members of those channels whose time has come; of all that are waiting, without a time.
    pub(super) async fn look_at_due(&self, till: Option<Instant>) {
        let due = self.book.take_due(till).into_iter();
        let looking = due.map(|channel| async move {
            let looked = async {
                if self.book.take_anew(&channel) {
                    let entered = self.enter_channel_anew(&channel).await;
                    entered.inspect_err(|_| self.book.note_anew(&channel, None))?;
                    // The list is not whole before others have told it, too.
                    self.doubt_members(&channel, self.settings.lease);
                }
                self.look_at(&channel, None).await?;
                self.look_again(&channel).await
            };
            if looked.await.is_err() {
                self.book.look_after(&channel, Duration::from_secs(1));
            }
            Ok(())
        });
        // Each has dealt with its error.
        let _ = all(looking).await;
    }

    /// Tells who has left a channel; with a node, its connections are gone.
    pub(super) async fn look_at(
        &self,
        channel: &ChannelName,
        gone: Option<&str>,
    ) -> Result<(), EngineError> {
        let mut keys = self.keys.roster(channel, gone.unwrap_or_default()).to_vec();
        match gone {
            Some(_) => keys.push(self.keys.nodes()),
            None => keys.truncate(5),
        }
        let make = |_: &str| {
            let mut command = self.roster_call(&self.link.scripts.sweep, &keys, channel);
            command.arg(gone.unwrap_or_default());
            command
        };
        let told: Told = self.link.ask(Repeat::Yes, make).await?;
        self.compare_generation(channel, &told.2);
        if told.1 < 0 && !self.book.has_any(channel) {
            let make = |_: &str| {
                let mut command = redis::cmd("SREM");
                command.arg(self.keys.channels_of_node(&self.node));
                command.arg(channel.as_str());
                command
            };
            self.link.ask::<u64>(Repeat::Yes, make).await?;
            self.book.forget_generation(channel);
            if self.book.has_any(channel) {
                self.answer_for(channel).await?;
            }
            return Ok(());
        }
        self.told(channel, told).await;
        Ok(())
    }

    /// Keeps the channels that this node uses from being forgotten.
    pub(super) async fn touch(&self) -> Result<(), EngineError> {
        let mut channels = self.listening.channels();
        channels.extend(self.book.channels());
        channels.sort_unstable();
        channels.dedup();
        let touching = channels.into_iter().map(|channel| async move {
            let keys = self.keys.roster(&channel, &self.node);
            let make = |_: &str| {
                let mut command = call(&self.link.scripts.touch, &keys);
                command.arg(milliseconds(self.settings.idle_grace));
                command
            };
            self.link.ask::<()>(Repeat::Yes, make).await?;
            self.list(&channel).await
        });
        all(touching).await
    }
}

/// Does all of it, a bounded number at once; returns the first error.
pub(super) async fn all(
    work: impl Iterator<Item = impl Future<Output = Result<(), EngineError>>>,
) -> Result<(), EngineError> {
    let done: Vec<_> = stream::iter(work).buffer_unordered(AT_ONCE).collect().await;
    done.into_iter().collect()
}
