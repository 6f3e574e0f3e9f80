//! JSON → MessagePack.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::json::{JsonReader, JsonToken, RawText};
use super::{msgpack, types};
use crate::error::DecodeError;

/// Writes the MessagePack of a JSON text that has been checked.
pub(crate) fn write(out: &mut Vec<u8>, text: &str) -> Result<(), DecodeError> {
    let mut outline = MessagePackOutline::default();
    let mut reader = JsonReader::new(text);
    let token = reader.next()?;
    outline.walk(&mut reader, token)?;
    let mut writer = MessagePackWriter {
        out,
        containers: outline.containers.into_iter(),
    };
    let mut reader = JsonReader::new(text);
    let token = reader.next()?;
    writer.value(&mut reader, token, TagReading::Tagged)
}

/// What a tagged object stands for.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Tag {
    /// A known extension, of this code.
    Typed(i8),
    Binary,
    Number,
    Map,
    Object,
    Opaque,
}

impl Tag {
    fn by_name(name: RawText<'_>) -> Option<Self> {
        match &*name.decode() {
            "binary" => Some(Self::Binary),
            "number" => Some(Self::Number),
            "map" => Some(Self::Map),
            "object" => Some(Self::Object),
            "ext" => Some(Self::Opaque),
            name => types::by_name(name).map(|known| Self::Typed(known.code)),
        }
    }

    /// Whether a `value` of this kind goes with the tag.
    fn takes(self, value: TagKind) -> bool {
        match self {
            Self::Typed(_) => true,
            Self::Binary | Self::Number | Self::Opaque => value == TagKind::Text,
            Self::Map => matches!(
                value,
                TagKind::Array {
                    all_pairs: true,
                    ..
                }
            ),
            Self::Object => value == TagKind::Object,
        }
    }
}

/// The kinds of value that tags tell apart.
#[derive(Debug, Clone, Copy, PartialEq)]
enum TagKind {
    Text,
    Number,
    Object,
    Array { count: usize, all_pairs: bool },
    Other,
}

/// How far the fields of an object are those of a tagged object.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Candidate {
    Start,
    Named(Tag),
    Coded,
    Complete(Tag),
    No,
}

impl Candidate {
    /// The candidate after one more field.
    fn and(self, key: RawText<'_>, token: JsonToken<'_>, value: TagKind) -> Self {
        if matches!(self, Self::No | Self::Complete(_)) {
            return Self::No;
        }
        match (self, &*key.decode()) {
            (Self::Start, "$type") => match token {
                JsonToken::Text(name) => Tag::by_name(name).map_or(Self::No, Self::Named),
                _ => Self::No,
            },
            (Self::Named(Tag::Opaque), "code") if value == TagKind::Number => Self::Coded,
            (Self::Coded, "value") if Tag::Opaque.takes(value) => Self::Complete(Tag::Opaque),
            (Self::Named(tag), "value") if tag != Tag::Opaque && tag.takes(value) => {
                Self::Complete(tag)
            }
            _ => Self::No,
        }
    }
}

/// An array or object, as the first walk found it.
#[derive(Debug, Clone, Copy)]
struct Container {
    /// How many elements or fields it has.
    count: usize,
    /// The value that it stands for, if its fields are those of a tagged object.
    tag: Option<Tag>,
}

/// The first walk: counts, and finds tagged objects; in the order in which the containers begin.
#[derive(Default)]
struct MessagePackOutline {
    containers: Vec<Container>,
}

impl MessagePackOutline {
    fn walk(
        &mut self,
        reader: &mut JsonReader<'_>,
        token: JsonToken<'_>,
    ) -> Result<TagKind, DecodeError> {
        match token {
            JsonToken::Text(_) => Ok(TagKind::Text),
            JsonToken::Number(_) => Ok(TagKind::Number),
            JsonToken::Array => self.array(reader),
            JsonToken::Object => self.object(reader),
            JsonToken::Null | JsonToken::Bool(_) => Ok(TagKind::Other),
        }
    }

    fn array(&mut self, reader: &mut JsonReader<'_>) -> Result<TagKind, DecodeError> {
        let place = self.begin();
        let mut count = 0;
        let mut all_pairs = true;
        let mut open = JsonReader::open(JsonToken::Array);
        while reader.more(&mut open)? {
            let token = reader.next()?;
            let kind = self.walk(reader, token)?;
            all_pairs &= matches!(kind, TagKind::Array { count: 2, .. });
            count += 1;
        }
        self.containers[place].count = count;
        Ok(TagKind::Array { count, all_pairs })
    }

    fn object(&mut self, reader: &mut JsonReader<'_>) -> Result<TagKind, DecodeError> {
        let place = self.begin();
        let mut count = 0;
        let mut candidate = Candidate::Start;
        let mut open = JsonReader::open(JsonToken::Object);
        while reader.more(&mut open)? {
            let key = reader.key()?;
            let token = reader.next()?;
            let value = self.walk(reader, token)?;
            candidate = candidate.and(key, token, value);
            count += 1;
        }
        let tag = match candidate {
            Candidate::Complete(tag) => Some(tag),
            _ => None,
        };
        self.containers[place] = Container { count, tag };
        Ok(TagKind::Object)
    }

    fn begin(&mut self) -> usize {
        self.containers.push(Container {
            count: 0,
            tag: None,
        });
        self.containers.len() - 1
    }
}

/// Whether an object that looks tagged is a tagged object.
#[derive(Debug, Clone, Copy, PartialEq)]
enum TagReading {
    Tagged,
    /// It is the `value` of an `object` tag.
    Literal,
}

/// The second walk.
struct MessagePackWriter<'o> {
    out: &'o mut Vec<u8>,
    containers: std::vec::IntoIter<Container>,
}

impl MessagePackWriter<'_> {
    fn value(
        &mut self,
        reader: &mut JsonReader<'_>,
        token: JsonToken<'_>,
        reading: TagReading,
    ) -> Result<(), DecodeError> {
        match token {
            JsonToken::Null => msgpack::write_nil(self.out),
            JsonToken::Bool(value) => msgpack::write_bool(self.out, value),
            JsonToken::Number(text) => write_number(self.out, text),
            JsonToken::Text(text) => msgpack::write_text(self.out, text.decode().as_bytes()),
            JsonToken::Array => return self.array(reader),
            JsonToken::Object => return self.object(reader, reading),
        }
        Ok(())
    }

    /// What the first walk found out about the container that begins.
    fn begun(&mut self) -> Container {
        self.containers
            .next()
            .expect("the first walk has seen the same containers")
    }

    fn array(&mut self, reader: &mut JsonReader<'_>) -> Result<(), DecodeError> {
        let count = self.begun().count;
        msgpack::write_array(self.out, count);
        let mut open = JsonReader::open(JsonToken::Array);
        while reader.more(&mut open)? {
            let token = reader.next()?;
            self.value(reader, token, TagReading::Tagged)?;
        }
        Ok(())
    }

    fn object(
        &mut self,
        reader: &mut JsonReader<'_>,
        reading: TagReading,
    ) -> Result<(), DecodeError> {
        let container = self.begun();
        if reading == TagReading::Tagged
            && let Some(tag) = container.tag
            && self.tagged(&mut *reader, tag)?
        {
            return Ok(());
        }
        msgpack::write_map(self.out, container.count);
        let mut open = JsonReader::open(JsonToken::Object);
        while reader.more(&mut open)? {
            let key = reader.key()?;
            msgpack::write_text(self.out, key.decode().as_bytes());
            let token = reader.next()?;
            self.value(reader, token, TagReading::Tagged)?;
        }
        Ok(())
    }

    /// Writes what a tagged object stands for and passes over it, or does neither if its `value` makes no sense.
    fn tagged(&mut self, reader: &mut JsonReader<'_>, tag: Tag) -> Result<bool, DecodeError> {
        let before = reader.clone();
        let mut open = JsonReader::open(JsonToken::Object);
        let mut code = None;
        let mut token = JsonToken::Null;
        // The first walk has seen that the fields are `$type`, perhaps `code`, and last `value`.
        let fields = if tag == Tag::Opaque { 3 } else { 2 };
        for _ in 0..fields {
            code = Some(token);
            reader.more(&mut open)?;
            reader.key()?;
            token = reader.next()?;
        }
        let written = match (tag, token) {
            (Tag::Typed(code), _) => {
                let start = msgpack::begin_extension(self.out);
                self.value(reader, token, TagReading::Tagged)?;
                msgpack::end_extension(self.out, start, code);
                true
            }
            (Tag::Object, _) => {
                self.value(reader, token, TagReading::Literal)?;
                true
            }
            (Tag::Map, _) => {
                self.pairs(reader)?;
                true
            }
            (Tag::Binary, JsonToken::Text(text)) => self.binary(text),
            (Tag::Number, JsonToken::Text(text)) => self.number(text),
            (Tag::Opaque, JsonToken::Text(text)) => self.opaque(code, text),
            _ => false,
        };
        if written {
            reader.more(&mut open)?;
        } else {
            *reader = before;
        }
        Ok(written)
    }

    fn pairs(&mut self, reader: &mut JsonReader<'_>) -> Result<(), DecodeError> {
        let count = self.begun().count;
        msgpack::write_map(self.out, count);
        let mut pairs = JsonReader::open(JsonToken::Array);
        while reader.more(&mut pairs)? {
            reader.next()?;
            self.begun();
            let mut pair = JsonReader::open(JsonToken::Array);
            while reader.more(&mut pair)? {
                let token = reader.next()?;
                self.value(reader, token, TagReading::Tagged)?;
            }
        }
        Ok(())
    }

    fn binary(&mut self, text: RawText<'_>) -> bool {
        let bytes = decode_base64(text);
        if let Some(bytes) = &bytes {
            msgpack::write_binary(self.out, bytes);
        }
        bytes.is_some()
    }

    fn number(&mut self, text: RawText<'_>) -> bool {
        let number = match &*text.decode() {
            "NaN" => f64::NAN,
            "Infinity" => f64::INFINITY,
            "-Infinity" => f64::NEG_INFINITY,
            _ => return false,
        };
        msgpack::write_float(self.out, number);
        true
    }

    fn opaque(&mut self, code: Option<JsonToken<'_>>, text: RawText<'_>) -> bool {
        let code = match code {
            Some(JsonToken::Number(code)) => code.parse().ok(),
            _ => None,
        };
        let (Some(code), Some(body)) = (code, decode_base64(text)) else {
            return false;
        };
        msgpack::write_extension(self.out, code, &body);
        true
    }
}

/// The bytes of a `binary` or `ext` tag; base64 has to be padded and canonical.
pub(crate) fn decode_base64(text: RawText<'_>) -> Option<Vec<u8>> {
    STANDARD.decode(&*text.decode()).ok()
}

fn write_number(out: &mut Vec<u8>, text: &str) {
    // "-0" is no integer of MessagePack: as a float it keeps its sign.
    let integer = text != "-0" && !text.contains(['.', 'e', 'E']);
    if integer && let Ok(number) = text.parse::<u64>() {
        msgpack::write_unsigned(out, number);
    } else if integer && let Ok(number) = text.parse::<i64>() {
        msgpack::write_integer(out, number);
    } else {
        let number = text.parse::<f64>();
        msgpack::write_float(
            out,
            number.expect("each JSON number is one of Rust's floats"),
        );
    }
}
