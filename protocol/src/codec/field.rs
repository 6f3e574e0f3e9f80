//! The fields of frames: read in whatever order they come, understood once all are there.
//!
//! `null` is the same as a field that is not there, for clients that write every field.

use std::borrow::Cow;
use std::collections::HashSet;

use super::DecodeError;
use super::source::{Scalar, Shape, Source};
use crate::cursor::Cursor;
use crate::name::{ChannelName, EventName, IdempotencyKey, MessageId};
use crate::payload::Payload;

/// A field that has one value.
#[derive(Debug, Default)]
pub(super) struct Field<'a>(Option<Scalar<'a>>);

impl<'a> Field<'a> {
    /// Reads the value. Of a repeated field the last counts, as in JavaScript.
    pub(super) fn read<S: Source<'a>>(&mut self, source: &mut S) -> Result<(), DecodeError> {
        self.0 = match source.scalar()? {
            Scalar::Null => None,
            value => Some(value),
        };
        Ok(())
    }

    /// Takes the value, if there is one.
    pub(super) fn value(self) -> Option<Scalar<'a>> {
        self.0
    }

    /// Takes a string, if there is one.
    pub(super) fn optional_text(
        self,
        field: &'static str,
        expected: &'static str,
    ) -> Result<Option<Cow<'a, str>>, DecodeError> {
        match self.0 {
            None => Ok(None),
            Some(Scalar::Text(text)) => Ok(Some(text)),
            Some(_) => Err(DecodeError::WrongKind { field, expected }),
        }
    }

    /// Takes a string.
    pub(super) fn text(
        self,
        field: &'static str,
        expected: &'static str,
    ) -> Result<Cow<'a, str>, DecodeError> {
        self.optional_text(field, expected)?
            .ok_or(DecodeError::Missing { field, expected })
    }

    /// Takes a number of things, if there is one.
    pub(super) fn optional_count(self, field: &'static str) -> Result<Option<u32>, DecodeError> {
        match self.0 {
            None => Ok(None),
            // A count beyond `u32` means the same as the largest count.
            Some(Scalar::Whole(count)) => Ok(Some(u32::try_from(count).unwrap_or(u32::MAX))),
            Some(_) => Err(DecodeError::WrongKind {
                field,
                expected: "a whole number",
            }),
        }
    }

    /// Takes the name of a channel.
    pub(super) fn channel(self) -> Result<ChannelName, DecodeError> {
        let name = self.text("channel", CHANNEL)?;
        ChannelName::parse(&name).map_err(DecodeError::ChannelName)
    }

    /// Takes a cursor, if there is one.
    pub(super) fn optional_cursor(
        self,
        field: &'static str,
    ) -> Result<Option<Cursor>, DecodeError> {
        match self.optional_text(field, "a cursor as a string")? {
            Some(text) => Ok(Some(Cursor::parse(&text)?)),
            None => Ok(None),
        }
    }
}

const CHANNEL: &str = "the name of a channel as a string";
const CHANNELS: &str = "the names of channels as an array of strings";

/// A field that has an array.
#[derive(Debug, Default)]
pub(super) enum List<T> {
    #[default]
    Absent,
    /// It is something else than an array.
    Wrong,
    Items(Vec<T>),
}

impl<T> List<T> {
    /// Reads the value; `read` reads an item.
    pub(super) fn read<'a, S: Source<'a>>(
        &mut self,
        source: &mut S,
        limit: Limit,
        mut read: impl FnMut(&mut S) -> Result<T, DecodeError>,
    ) -> Result<(), DecodeError> {
        if source.shape() != Shape::Array {
            *self = match source.scalar()? {
                Scalar::Null => Self::Absent,
                _ => Self::Wrong,
            };
            return Ok(());
        }
        let mut items = Vec::new();
        source.array(|source| {
            limit.check(items.len())?;
            items.push(read(source)?);
            Ok(())
        })?;
        *self = Self::Items(items);
        Ok(())
    }

    /// Takes the items.
    pub(super) fn items(
        self,
        field: &'static str,
        expected: &'static str,
    ) -> Result<Vec<T>, DecodeError> {
        match self {
            Self::Items(items) => Ok(items),
            Self::Absent => Err(DecodeError::Missing { field, expected }),
            Self::Wrong => Err(DecodeError::WrongKind { field, expected }),
        }
    }
}

/// How many items there may be: each costs more memory than the few bytes it takes to send it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    pub(super) what: &'static str,
    pub(super) items: usize,
}

impl Limit {
    /// Checks that there may be one more.
    pub(super) fn check(self, items: usize) -> Result<(), DecodeError> {
        self.check_total(items + 1)
    }

    /// Checks that there may be so many.
    pub(super) fn check_total(self, items: usize) -> Result<(), DecodeError> {
        if items <= self.items {
            return Ok(());
        }
        Err(DecodeError::TooMany {
            what: self.what,
            limit: self.items,
        })
    }
}

const CHANNELS_LIMIT: Limit = Limit {
    what: "channels for one message",
    items: 1024,
};

/// The fields of a message to publish.
#[derive(Debug, Default)]
pub(super) struct PublishFields<'a> {
    pub(super) channel: Field<'a>,
    channels: List<Scalar<'a>>,
    data: Option<Payload>,
    event: Field<'a>,
    idempotency_key: Field<'a>,
    message_id: Field<'a>,
}

/// What a message to publish has besides its channels.
pub(super) struct PublishContent {
    pub(super) payload: Payload,
    pub(super) event: Option<EventName>,
    pub(super) idempotency_key: Option<IdempotencyKey>,
    pub(super) message_id: Option<MessageId>,
}

impl<'a> PublishFields<'a> {
    /// Reads the value of a field, or passes over it if there is none of that name.
    pub(super) fn read<S: Source<'a>>(
        &mut self,
        source: &mut S,
        key: &str,
    ) -> Result<(), DecodeError> {
        match key {
            "channel" => self.channel.read(source),
            "channels" => self.channels.read(source, CHANNELS_LIMIT, S::scalar),
            "data" => {
                self.data = Some(source.payload()?);
                Ok(())
            }
            "event" => self.event.read(source),
            "idempotency_key" => self.idempotency_key.read(source),
            "message_id" => self.message_id.read(source),
            _ => source.scalar().map(|_| ()),
        }
    }

    /// How many channels are named, good or bad.
    pub(super) fn channel_count(&self) -> usize {
        match &self.channels {
            List::Items(names) => names.len(),
            List::Absent | List::Wrong => 1,
        }
    }

    /// Takes the channels, of which there may be several, each once.
    pub(super) fn take_channels(&mut self) -> Result<Vec<ChannelName>, DecodeError> {
        let channels = std::mem::take(&mut self.channels);
        if let List::Absent = channels {
            return Ok(vec![std::mem::take(&mut self.channel).channel()?]);
        }
        let names = channels.items("channels", CHANNELS)?;
        if names.is_empty() {
            return Err(DecodeError::Missing {
                field: "channels",
                expected: "one channel at least",
            });
        }
        let parse = |name| match name {
            Scalar::Text(name) => ChannelName::parse(&name).map_err(DecodeError::ChannelName),
            _ => Err(DecodeError::WrongKind {
                field: "channels",
                expected: CHANNELS,
            }),
        };
        let mut seen = HashSet::new();
        let mut channels = Vec::with_capacity(names.len());
        for name in names {
            let channel = parse(name)?;
            if seen.insert(channel.clone()) {
                channels.push(channel);
            }
        }
        Ok(channels)
    }

    /// Takes the rest.
    pub(super) fn content(self) -> Result<PublishContent, DecodeError> {
        let event = self.event.optional_text("event", "a string")?;
        let key = self
            .idempotency_key
            .optional_text("idempotency_key", "a string")?;
        let id = self.message_id.optional_text("message_id", "a string")?;
        Ok(PublishContent {
            payload: self.data.ok_or(DecodeError::Missing {
                field: "data",
                expected: "the value to publish",
            })?,
            event: event
                .map(|text| EventName::parse(&text).map_err(DecodeError::EventName))
                .transpose()?,
            idempotency_key: key
                .map(|text| IdempotencyKey::parse(&text).map_err(DecodeError::IdempotencyKey))
                .transpose()?,
            message_id: id
                .map(|text| MessageId::parse(&text).map_err(DecodeError::MessageId))
                .transpose()?,
        })
    }
}
