//! A client of any stream, that knows what the protocol lets it know and no more, for the tests of what it is told.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use serde_json::Value;
use widecast_protocol::codec::Codec;
use widecast_protocol::framing::{Content, Framing};
use widecast_protocol::{ChannelName, Cursor, CursorVector, Offset, Position};

use super::long_poll::PollAnswer;
use crate::session::{CursorScope, Dialect};

/// The client's own messages, which it is never sent.
pub(super) type OwnMessages = Rc<RefCell<BTreeSet<(ChannelName, Offset)>>>;

/// One client over all its connections.
#[derive(Clone)]
pub(super) struct SimulatedClient {
    pub(super) dialect: Dialect,
    pub(super) channels: Vec<ChannelName>,
    /// The cursor that the client would come back with.
    pub(super) known: BTreeMap<ChannelName, Position>,
    /// Everything up to here has been heard, or told to be lost.
    pub(super) told: BTreeMap<ChannelName, Position>,
    /// The places from which it has joined a channel once more.
    pub(super) asked: Vec<(ChannelName, Position)>,
    /// How many gaps it was told of.
    pub(super) gaps: usize,
    /// A command was refused since it connected.
    pub(super) is_refused: bool,
    own: OwnMessages,
    /// What has come of a unit that is not whole yet.
    partial: Vec<u8>,
}

impl SimulatedClient {
    pub(super) fn new(dialect: Dialect, channels: &[ChannelName], own: &OwnMessages) -> Self {
        Self {
            dialect,
            channels: channels.to_vec(),
            known: BTreeMap::new(),
            told: BTreeMap::new(),
            asked: Vec::new(),
            gaps: 0,
            is_refused: false,
            own: Rc::clone(own),
            partial: Vec::new(),
        }
    }

    /// The client has heard everything up to a place, on another day.
    pub(super) fn knows(mut self, channel: &ChannelName, position: Position) -> Self {
        self.known.insert(channel.clone(), position);
        self.told.insert(channel.clone(), position);
        self
    }

    /// What it resumes with.
    pub(super) fn cursor(&self) -> Option<Cursor> {
        let first = *self.known.values().next()?;
        Some(match self.dialect.scope() {
            CursorScope::OneChannel => Cursor::One(first),
            CursorScope::SeveralChannels => {
                let mut vector = CursorVector::new();
                for (channel, position) in &self.known {
                    vector.set(channel, *position);
                }
                Cursor::Several(vector)
            }
        })
    }

    /// A new connection: what was left of the old one is lost.
    pub(super) fn connects(&mut self) {
        self.partial.clear();
        self.is_refused = false;
        if self.known.is_empty() {
            self.told.clear();
        }
    }

    /// The head of the answer, of a client that can read it.
    pub(super) fn head(&mut self, cursor: &str) {
        if self.dialect.wire().framing() != Framing::Sse {
            self.learn(cursor);
        }
    }

    /// Some bytes of the stream; keeps the client as it is behind each that changes what it knows.
    pub(super) fn read(&mut self, bytes: &[u8], cuts: &mut Vec<Self>) {
        for byte in bytes {
            let known = self.known.clone();
            if self.byte(*byte) && self.known != known {
                cuts.push(self.clone());
            }
        }
    }

    /// The answer to a poll: the messages up to its cursor, or that some before it are lost.
    pub(super) fn answer(&mut self, answer: &PollAnswer) {
        self.gaps += usize::from(!answer.recovered);
        for message in &answer.messages {
            let line: Value = serde_json::from_slice(message).unwrap();
            if !answer.recovered {
                self.lose_before(&line);
            }
            self.line(&line);
        }
        let cursor = Cursor::parse(&answer.cursor).unwrap();
        for channel in self.channels.clone() {
            if !answer.recovered {
                let place = Self::place(&cursor, &channel);
                self.lose_up_to(channel, place);
            }
        }
        self.learn(&answer.cursor);
    }

    /// The place of one of the channels in a cursor.
    fn place(cursor: &Cursor, channel: &ChannelName) -> Position {
        match cursor {
            Cursor::One(position) => *position,
            Cursor::Several(_) => cursor.position(channel).expect("a place in every channel"),
        }
    }

    /// Something may be lost before a message, in its channel and in the others that its cursor covers.
    fn lose_before(&mut self, line: &Value) {
        let of = ChannelName::parse(line["channel"].as_str().unwrap()).unwrap();
        let cursor = Cursor::parse(line["cursor"].as_str().unwrap()).unwrap();
        for channel in self.channels.clone() {
            let mut place = Self::place(&cursor, &channel);
            if channel == of {
                // The cursor may be further: behind messages of the client's own.
                place.offset = Offset(line["offset"].as_u64().unwrap() - 1);
            }
            self.lose_up_to(channel, place);
        }
    }

    /// What the answer does not show up to this place may be lost: it does not say in which channel, or where.
    fn lose_up_to(&mut self, channel: ChannelName, place: Position) {
        let told = self.told.get(&channel);
        if told.is_none_or(|told| told.epoch != place.epoch || told.offset < place.offset) {
            self.told.insert(channel, place);
        }
    }

    /// One byte of the stream; says whether it ended something.
    fn byte(&mut self, byte: u8) -> bool {
        self.partial.push(byte);
        let unit = match self.dialect.wire().framing() {
            Framing::Sse => ending(&self.partial, b"\n\n"),
            Framing::Lines => ending(&self.partial, b"\n"),
            Framing::Prefixed => prefixed(&self.partial),
            Framing::WebSocket => websocket(&self.partial),
        };
        let Some(unit) = unit.map(<[u8]>::to_vec) else {
            return false;
        };
        self.partial.clear();
        if !unit.is_empty() {
            self.unit(&unit);
        }
        true
    }

    fn unit(&mut self, unit: &[u8]) {
        let wire = self.dialect.wire();
        match (wire.content(), wire.framing()) {
            (Content::Data | Content::Object, Framing::Sse) => {
                self.event(std::str::from_utf8(unit).unwrap());
            }
            (Content::Object, _) => self.line(&serde_json::from_slice(unit).unwrap()),
            (Content::Data, _) => self.data(unit),
            (Content::Value, _) => self.value(&serde_json::from_slice(unit).unwrap()),
            (Content::Frame(Codec::MessagePack), _) => {
                self.frame(&rmp_serde::from_slice(unit).unwrap());
            }
            (Content::Frame(Codec::Json), Framing::Sse) => {
                let json = unit.strip_prefix(b"data: ").unwrap();
                self.frame(&serde_json::from_slice(json).unwrap());
            }
            (Content::Frame(Codec::Json), _) => self.frame(&serde_json::from_slice(unit).unwrap()),
        }
    }

    /// A block of an event stream: the id counts when the block ends, and only then.
    fn event(&mut self, block: &str) {
        let field = |name| block.lines().find_map(|line: &str| line.strip_prefix(name));
        let (id, data) = (field("id: "), field("data: "));
        match (field("event: "), data) {
            (Some("widecast.gap"), Some(data)) => {
                let gap: Value = serde_json::from_str(data).unwrap();
                assert_eq!(gap["cursor"].as_str(), id, "in {block}");
                self.gap(&gap);
            }
            (None, Some(object)) if self.dialect.wire().content() == Content::Object => {
                let object: Value = serde_json::from_str(object).unwrap();
                assert_eq!(object["cursor"].as_str(), id, "in {block}");
                self.line(&object);
            }
            (Some("widecast.goodbye"), Some(_)) => {}
            (_, Some(data)) => self.hear(data),
            _ => {}
        }
        if let Some(id) = id {
            self.learn(id);
        }
    }

    fn line(&mut self, line: &Value) {
        match line["type"].as_str() {
            Some("gap") => self.gap(line),
            // What is lost before it is told behind it.
            Some("subscribed" | "cursor") => {}
            Some("goodbye") => return,
            Some(other) => panic!("a line of type {other}"),
            None => self.hear(line["data"].as_str().unwrap()),
        }
        self.learn(line["cursor"].as_str().unwrap());
    }

    /// Bare data: the client counts.
    fn data(&mut self, data: &[u8]) {
        if data == CLOSE {
            // With 4410: the client begins anew.
            self.known.clear();
            return;
        }
        self.count(std::str::from_utf8(data).unwrap());
    }

    /// A value beside frames.
    fn value(&mut self, value: &Value) {
        if value["type"] == "gap" {
            self.frame(value);
        } else {
            self.count(value.as_str().unwrap());
        }
    }

    fn count(&mut self, data: &str) {
        self.hear(data);
        let (channel, position) = self.known.pop_first().unwrap();
        let next = Offset(position.offset.0 + 1);
        self.learn_one(
            channel,
            Position {
                offset: next,
                ..position
            },
        );
    }

    fn frame(&mut self, frame: &Value) {
        let channel = || ChannelName::parse(frame["channel"].as_str().unwrap()).unwrap();
        let cursor = || Position::parse(frame["cursor"].as_str().unwrap()).unwrap();
        match frame["type"].as_str().unwrap() {
            "message" => {
                self.hear(frame["data"].as_str().unwrap());
                let (epoch, offset) = (&frame["epoch"], &frame["offset"]);
                let cursor = format!("{}-{offset}", epoch.as_str().unwrap());
                self.learn_one(channel(), Position::parse(&cursor).unwrap());
            }
            "gap" => {
                self.gap(frame);
                self.learn_one(channel(), cursor());
            }
            "subscribed" => {
                let lost = frame["recovered"] == false;
                let again = frame["id"] == AGAIN;
                if lost || again {
                    self.gaps += usize::from(lost);
                    let place = (channel(), cursor());
                    assert!(
                        lost || self.asked.contains(&place),
                        "{frame} was not asked for"
                    );
                    // From here on everything is told, perhaps once more.
                    self.told.insert(channel(), cursor());
                }
                self.learn_one(channel(), cursor());
            }
            "welcome" | "pong" => {}
            // It comes before the error when the session had joined the channel.
            "error" | "unsubscribed" => {
                assert_eq!(frame["code"], "engine_unavailable", "{frame}");
                self.is_refused = true;
            }
            other => panic!("a frame of type {other}: {frame}"),
        }
    }

    /// A message: nothing between it and the last may be missing without a word.
    fn hear(&mut self, data: &str) {
        let mut parts = data.split('|');
        let channel = ChannelName::parse(parts.next().unwrap()).unwrap();
        let offset = Offset(parts.next().unwrap().parse().unwrap());
        let told = self
            .told
            .get_mut(&channel)
            .expect("a place before the first message");
        assert!(
            offset > told.offset,
            "{channel} {offset} comes twice, after {told}"
        );
        for missing in told.offset.0 + 1..offset.0 {
            let missing = (channel.clone(), Offset(missing));
            assert!(
                self.own.borrow().contains(&missing),
                "{missing:?} is missing unsaid"
            );
        }
        told.offset = offset;
    }

    /// A gap: everything up to its cursor is lost, and the client knows it.
    fn gap(&mut self, gap: &Value) {
        self.gaps += 1;
        let channel = ChannelName::parse(gap["channel"].as_str().unwrap()).unwrap();
        let cursor = Cursor::parse(gap["cursor"].as_str().unwrap()).unwrap();
        let position = cursor.position(&channel).unwrap();
        let told = self.told.insert(channel.clone(), position);
        let goes_on =
            told.is_none_or(|told| told.epoch != position.epoch || told.offset < position.offset);
        assert!(
            goes_on,
            "a gap of {channel} that covers nothing: {told:?}, {position}"
        );
    }

    /// The client is given a cursor, which must not be ahead of what it was told.
    fn learn(&mut self, cursor: &str) {
        match Cursor::parse(cursor).unwrap() {
            Cursor::One(position) => {
                let channel = self.channels[0].clone();
                self.learn_one(channel, position);
            }
            cursor @ Cursor::Several(_) => {
                for channel in self.channels.clone() {
                    let position = cursor.position(&channel).expect("a place in every channel");
                    self.learn_one(channel, position);
                }
            }
        }
    }

    fn learn_one(&mut self, channel: ChannelName, position: Position) {
        self.check(&channel, position);
        self.known.insert(channel, position);
    }

    fn check(&mut self, channel: &ChannelName, position: Position) {
        // Whoever has no place yet begins at the first it is given.
        let told = *self.told.entry(channel.clone()).or_insert(position);
        assert_eq!(
            told.epoch, position.epoch,
            "another epoch of {channel} unsaid"
        );
        for ahead in told.offset.0 + 1..=position.offset.0 {
            let ahead = (channel.clone(), Offset(ahead));
            assert!(
                self.own.borrow().contains(&ahead),
                "{position} is ahead of {told}, by {ahead:?}"
            );
        }
    }
}

/// The id of a command that joins a channel once more, from the place that the client knows.
pub(super) const AGAIN: u64 = 7;

fn ending<'a>(bytes: &'a [u8], end: &[u8]) -> Option<&'a [u8]> {
    let unit = bytes.strip_suffix(end)?;
    // A comment alone is a heartbeat.
    Some(if unit == b":" { b"" } else { unit })
}

fn prefixed(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    (rest.len() == u32::from_be_bytes(*length) as usize).then_some(rest)
}

/// The payload of a frame of the broker's; nothing of a ping.
fn websocket(bytes: &[u8]) -> Option<&[u8]> {
    let (&[first, length], rest) = bytes.split_first_chunk::<2>()?;
    let (length, rest) = match length {
        126 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        length => (usize::from(length), rest),
    };
    (rest.len() == length).then_some(match first {
        0x88 => CLOSE,
        0x89 => &[],
        _ => rest,
    })
}

/// Stands for a close frame.
const CLOSE: &[u8] = b"\xff";
