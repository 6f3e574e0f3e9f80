//! What nodes tell each other, and what scripts answer.

use redis::{FromRedisValue, ParsingError, Value};
use widecast_protocol::{ChannelName, Epoch, Member, Message, Offset, Position, record};

use crate::engine::{EngineError, NumberedChange, PresenceChange, Stored};
use crate::log_limit::LogLimit;

/// The place of a message that has none yet.
pub(super) const NOWHERE: Position = Position {
    epoch: Epoch(0),
    offset: Offset(0),
};

/// Something that is heard on a channel's topic.
#[derive(Debug)]
pub(super) enum Heard {
    /// Somebody has published.
    Message(Message),
    /// Somebody has published what is not kept. It has no place yet.
    Ephemeral {
        /// By which its publisher knows it.
        tag: u64,
        /// The message, with the time of its publisher.
        message: Message,
    },
    /// Somebody has come or gone, or shows new data.
    Change(NumberedChange),
}

/// The reason for an answer that was not made by these scripts.
fn corrupt(expected: &'static str) -> EngineError {
    EngineError::Corrupt { expected }
}

impl Heard {
    /// Reads what `publish.lua`, `roster.lua` and those who publish what is not kept tell.
    pub(super) fn parse(bytes: &[u8], channel: &ChannelName) -> Result<Self, EngineError> {
        let unknown = corrupt("a message or a change of members on a topic");
        let (kind, rest) = bytes.split_first().ok_or(unknown.clone())?;
        match kind {
            b'm' => {
                let (epoch, rest) = number(rest)?;
                let (offset, rest) = number(rest)?;
                let (timestamp_ms, record) = number(rest)?;
                let position = Position {
                    epoch: Epoch(epoch),
                    offset: Offset(offset),
                };
                message(record, channel, position, timestamp_ms).map(Self::Message)
            }
            b'e' => {
                let (tag, record) = number(rest)?;
                let message = decode(record, channel, NOWHERE)?;
                Ok(Self::Ephemeral { tag, message })
            }
            b'j' | b'c' | b'l' => {
                let (number_of_change, rest) = number(rest)?;
                let (length, rest) = number(rest)?;
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                let (id, data) = rest.split_at_checked(length).ok_or(unknown)?;
                let member = member(id, data)?;
                Ok(Self::Change(NumberedChange {
                    number: number_of_change,
                    change: match kind {
                        b'j' => PresenceChange::Joined(member),
                        b'c' => PresenceChange::Changed(member),
                        _ => PresenceChange::Left(member),
                    },
                }))
            }
            _ => Err(unknown),
        }
    }
}

/// The generation in which the members of a channel begin anew, if that is what was heard (`roster.lua`).
pub(super) fn generation(bytes: &[u8]) -> Option<String> {
    let rest = bytes.strip_prefix(b"r")?;
    number(rest)
        .ok()
        .map(|(generation, _)| generation.to_string())
}

/// Reads a number and the space behind it.
fn number(bytes: &[u8]) -> Result<(u64, &[u8]), EngineError> {
    let end = bytes.iter().position(|&byte| byte == b' ');
    let text = end.and_then(|end| std::str::from_utf8(&bytes[..end]).ok());
    let number = text.and_then(|text| text.parse().ok());
    match (number, end) {
        (Some(number), Some(end)) => Ok((number, &bytes[end + 1..])),
        _ => Err(corrupt("a number and a space on a topic")),
    }
}

/// Reads a message. The server's clock is the one that counts.
fn message(
    record: &[u8],
    channel: &ChannelName,
    position: Position,
    timestamp_ms: u64,
) -> Result<Message, EngineError> {
    Ok(Message {
        timestamp_ms,
        ..decode(record, channel, position)?
    })
}

fn decode(
    record: &[u8],
    channel: &ChannelName,
    position: Position,
) -> Result<Message, EngineError> {
    let decoded = record::decode(record, channel.clone(), position);
    let (message, _) = decoded.map_err(|error| {
        static LINE: LogLimit = LogLimit::new();
        if let Some(times) = LINE.due() {
            tracing::error!(
                times,
                channel.name = channel.as_str(),
                "a stored message cannot be read: {error}"
            );
        }
        corrupt("messages as brokers of this release or its neighbours store them")
    })?;
    Ok(message)
}

/// Reads a member.
pub(super) fn member(id: &[u8], data: &[u8]) -> Result<Member, EngineError> {
    let id = String::from_utf8(id.to_vec());
    Ok(Member {
        id: id.map_err(|_| corrupt("ids of members in UTF-8"))?,
        data: record::decode_data(data).map_err(|error| {
            static LINE: LogLimit = LogLimit::new();
            if let Some(times) = LINE.due() {
                tracing::error!(times, "the data of a member cannot be read: {error}");
            }
            corrupt("members as brokers of this release or its neighbours store them")
        })?,
    })
}

/// A number that a script gives as text, since Lua's integers end at 2^53.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number(pub(super) u64);

impl FromRedisValue for Number {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let text = String::from_redis_value(value)?;
        text.parse().map(Self).map_err(|_| "not a number".into())
    }
}

/// What `publish.lua` answers: numbers in one text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) position: Position,
    /// It is no repetition.
    pub(super) is_new: bool,
    /// The channel begins with it.
    pub(super) begins: bool,
}

impl FromRedisValue for Placed {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let text = String::from_redis_value(value)?;
        let numbers: Vec<u64> = text.split(' ').flat_map(str::parse).collect();
        let [epoch, offset, is_new, begins] = numbers[..] else {
            return Err("not the place of a message".into());
        };
        Ok(Self {
            position: Position {
                epoch: Epoch(epoch),
                offset: Offset(offset),
            },
            is_new: is_new == 1,
            begins: begins == 1,
        })
    }
}

/// A message of the history: its id, and its record.
type Entry = (String, Vec<u8>);

/// What `read.lua` answers.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) newest: Position,
    pub(super) recovered: bool,
    pub(super) last: Position,
    entries: Vec<Entry>,
}

impl FromRedisValue for Reading {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        type Answer = (Number, Number, u8, Number, Vec<Entry>);
        let (epoch, newest, recovered, last, entries): Answer = redis::from_redis_value(value)?;
        let at = |offset: Number| Position {
            epoch: Epoch(epoch.0),
            offset: Offset(offset.0),
        };
        Ok(Self {
            newest: at(newest),
            recovered: recovered == 1,
            last: at(last),
            entries,
        })
    }
}

impl Reading {
    /// What was read.
    pub(super) fn stored(&self, channel: &ChannelName) -> Result<Vec<Stored>, EngineError> {
        let read = |(id, record): &Entry| {
            let numbers = id.split_once('-');
            let numbers =
                numbers.and_then(|(offset, time)| Some((offset.parse().ok()?, time.parse().ok()?)));
            let (offset, time) =
                numbers.ok_or(corrupt("<offset>-<time> as the id of a message"))?;
            let position = Position {
                offset: Offset(offset),
                ..self.newest
            };
            Ok(Stored::read(record, channel, position, Some(time)))
        };
        self.entries.iter().map(read).collect()
    }
}
