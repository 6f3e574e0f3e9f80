//! Announcements: heard by all nodes on a topic of their own, and kept by the server until they end.
//!
//! Whenever a node has subscribed to the topic on a new connection, and when the server has lost the node's lease, whoever hears
//! announcements is told to read all that are kept: nothing that was announced during a cut is missed.

use std::time::{Duration, Instant};

use bytes::Bytes;
use redis::RedisResult;

use super::connection::Server;
use super::link::Repeat;
use super::scripts::call;
use super::server_clock::ServerClock;
use super::settings::milliseconds;
use super::{RedisEngine, Shared};
use crate::engine::{Announcement, Announcements, EngineError, EngineFuture, renew};

/// How many are read or forgotten with one command.
const AT_ONCE: usize = 512;

/// The form of a record, its first byte. Nodes of neighbouring releases leave out what they cannot read.
const FORM: &str = "2";

/// An announcement as the server keeps it: `2 <version> <when it was given> <length of the key> <key><content>`.
fn record(announcement: &Announcement, clock: &ServerClock) -> Vec<u8> {
    let Announcement {
        key,
        version,
        given,
        content,
    } = announcement;
    // The clock was read before anything can be sent.
    let given = clock.at(*given).unwrap_or(u64::MAX);
    let head = format!("{FORM} {version} {given} {} {key}", key.len());
    [head.as_bytes(), content].concat()
}

fn parse(record: &[u8], clock: &ServerClock) -> Option<Announcement> {
    let (form, rest) = word(record)?;
    let (version, rest) = word(rest)?;
    let (given, rest) = word(rest)?;
    let (length, rest) = word(rest)?;
    let (key, content) = rest.split_at_checked(length.parse().ok()?)?;
    let key = String::from_utf8(key.to_vec()).ok()?;
    (form == FORM).then_some(())?;
    Some(Announcement {
        key,
        version: version.parse().ok()?,
        given: clock
            .moment(given.parse().ok()?)
            .unwrap_or_else(Instant::now),
        content: Bytes::copy_from_slice(content),
    })
}

/// The text before the first space, and the bytes behind it.
fn word(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().position(|&byte| byte == b' ')?;
    Some((std::str::from_utf8(&bytes[..end]).ok()?, &bytes[end + 1..]))
}

impl Shared {
    /// Subscribes to the topic on a new connection.
    pub(super) async fn hear_announcements(&self, server: &Server) -> RedisResult<()> {
        let topic = self.keys.announcements_topic().to_owned();
        let mut topics = server.topics()?;
        self.pubsub.subscribe(&mut topics, &[topic]).await?;
        self.deliver.announcements_lost();
        Ok(())
    }

    /// Hands over what was heard on the topic, unless it comes from this node itself.
    pub(super) fn announced(&self, bytes: &[u8]) {
        let heard = word(bytes).map(|(node, record)| (node, parse(record, &self.clock)));
        match heard {
            Some((node, _)) if node == self.node => {}
            Some((_, Some(announcement))) => self.deliver.announced(announcement),
            Some((node, None)) => {
                tracing::debug!(
                    "node {node} has announced something that this release cannot read"
                );
            }
            None => tracing::debug!("something was announced that is no announcement"),
        }
    }

    async fn announce(
        &self,
        announcement: Announcement,
        keep_for: Duration,
    ) -> Result<(), EngineError> {
        let keys = self.keys.announcements();
        let make = |_: &str| {
            let mut command = call(&self.link.scripts.announce, &keys);
            command
                .arg(self.keys.announcements_topic())
                .arg(self.pubsub.publish())
                .arg(&self.node)
                .arg(&announcement.key)
                .arg(announcement.version)
                .arg(milliseconds(keep_for))
                .arg(record(&announcement, &self.clock));
            command
        };
        self.link.ask::<u8>(Repeat::Yes, make).await.map(drop)
    }

    async fn kept_announcements(&self) -> Result<Vec<Announcement>, EngineError> {
        let keys = self.keys.announcements();
        let forget = |_: &str| {
            let mut command = call(&self.link.scripts.forget, &keys);
            command.arg(AT_ONCE);
            command
        };
        while self.link.ask::<usize>(Repeat::Yes, forget).await? == AT_ONCE {
            renew();
        }
        let (mut kept, mut place) = (Vec::new(), "0".to_owned());
        loop {
            let scan = |_: &str| {
                let mut command = redis::cmd("HSCAN");
                command.arg(&keys[0]).arg(&place).arg("COUNT").arg(AT_ONCE);
                command
            };
            // Pairs of a key and a record, one behind the other.
            let answer = self.link.ask(Repeat::Yes, scan).await?;
            let (next, found): (String, Vec<Vec<u8>>) = answer;
            renew();
            let records = found.chunks_exact(2).map(|pair| &pair[1]);
            kept.extend(records.filter_map(|record| parse(record, &self.clock)));
            if next == "0" {
                return Ok(kept);
            }
            place = next;
        }
    }
}

impl Announcements for RedisEngine {
    fn lease(&self) -> Option<Duration> {
        Some(self.shared.settings.lease)
    }

    fn announce(&self, announcement: Announcement, keep_for: Duration) -> EngineFuture<'_, ()> {
        let announced = self.shared.announce(announcement, keep_for);
        self.shared.link.in_time(announced)
    }

    fn announced(&self) -> EngineFuture<'_, Vec<Announcement>> {
        self.shared.link.in_time(self.shared.kept_announcements())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announcement_is_read_as_it_was_written() {
        let announcement = Announcement {
            key: "user:a b".to_owned(),
            version: 1 << 52,
            given: Instant::now(),
            content: Bytes::from_static(b" 1 2 \xff"),
        };
        let clock = ServerClock::default();
        let read = parse(&record(&announcement, &clock), &clock).unwrap();
        assert_eq!(read.key, announcement.key);
        assert_eq!(read.version, announcement.version);
        assert_eq!(read.content, announcement.content);
        for broken in [
            &b"1 1 0 1 a"[..],
            b"2 1 0 2 a",
            b"2 x 0 1 a",
            b"2 1 x 1 a",
            b"2",
            b"",
        ] {
            assert!(parse(broken, &clock).is_none());
        }
    }
}
