//! The commands by which messages are published and heard.
//!
//! On a cluster they are those of sharded pub/sub (Redis 7): what is published stays with the node that has the topic's slot, and is
//! not passed on to all others.

use redis::aio::MultiplexedConnection;
use redis::{Cmd, RedisResult};

/// Which commands these are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PubSub {
    /// On a server that has all topics.
    Plain,
    /// On the node of a cluster that has the slot of these topics.
    Sharded,
}

impl PubSub {
    /// The command that publishes.
    pub(super) fn publish(self) -> &'static str {
        match self {
            Self::Plain => "PUBLISH",
            Self::Sharded => "SPUBLISH",
        }
    }

    /// Asks how many connections hear a topic.
    pub(super) fn count(self, topic: &str) -> Cmd {
        let mut command = redis::cmd("PUBSUB");
        command.arg(match self {
            Self::Plain => "NUMSUB",
            Self::Sharded => "SHARDNUMSUB",
        });
        command.arg(topic);
        command
    }

    /// Subscribes to topics.
    pub(super) async fn subscribe(
        self,
        connection: &mut MultiplexedConnection,
        topics: &[String],
    ) -> RedisResult<()> {
        match self {
            Self::Plain => connection.subscribe(topics).await,
            Self::Sharded => one_by_one(connection, "SSUBSCRIBE", topics).await,
        }
    }

    /// Unsubscribes from topics.
    pub(super) async fn unsubscribe(
        self,
        connection: &mut MultiplexedConnection,
        topics: &[String],
    ) -> RedisResult<()> {
        match self {
            Self::Plain => connection.unsubscribe(topics).await,
            Self::Sharded => one_by_one(connection, "SUNSUBSCRIBE", topics).await,
        }
    }
}

/// The client crate expects one answer to a command that it does not know as one of pub/sub, and the server gives one for each topic.
async fn one_by_one(
    connection: &mut MultiplexedConnection,
    command: &str,
    topics: &[String],
) -> RedisResult<()> {
    let mut commands = redis::pipe();
    for topic in topics {
        commands.cmd(command).arg(topic).ignore();
    }
    commands.query_async(connection).await
}
