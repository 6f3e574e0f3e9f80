//! MessagePack → JSON, and the check of a MessagePack value.

use std::fmt;
use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::json;
use super::msgpack::{Extension, MessagePackHead, MessagePackReader, check_depth};
use crate::error::DecodeError;

/// How a map or an extension is shown.
#[derive(Debug, Clone, Copy, PartialEq)]
enum JsonShape {
    /// A map as an object.
    Object,
    /// A map with a `$type` key as a tagged object.
    Literal,
    /// A map with keys that are no strings, as a tagged list of pairs.
    Pairs,
    /// An extension with its name and body.
    Typed(&'static str),
    /// An extension with its code and bytes.
    Opaque,
}

impl JsonShape {
    /// By how much the JSON of a map or extension is deeper than its contents.
    fn depth(self) -> usize {
        match self {
            Self::Object | Self::Typed(_) | Self::Opaque => 1,
            Self::Literal => 2,
            Self::Pairs => 3,
        }
    }
}

/// Checks the value at the reader's place, whose head has been read, and passes over it. Its JSON is at most
/// [`super::MAX_DEPTH`] deep.
pub(crate) fn check<'a>(
    reader: &mut MessagePackReader<'a>,
    head: MessagePackHead<'a>,
) -> Result<(), DecodeError> {
    JsonOutline(Task::Check).walk(reader, head, 1).map(|_| ())
}

/// The length of the JSON of a value that has been checked.
pub(crate) fn length(value: &[u8]) -> Result<usize, DecodeError> {
    let mut reader = MessagePackReader::new(value);
    let head = reader.next()?;
    let mut outline = JsonOutline(Task::Measure(0));
    outline.walk(&mut reader, head, 1)?;
    match outline.0 {
        Task::Measure(length) => Ok(length),
        Task::Check | Task::Remember(_) => Ok(0),
    }
}

/// Writes the JSON of a value that has been checked.
pub(crate) fn write(out: &mut Vec<u8>, value: &[u8]) -> Result<(), DecodeError> {
    let mut reader = MessagePackReader::new(value);
    let head = reader.next()?;
    let mut outline = JsonOutline(Task::Remember(Vec::new()));
    outline.walk(&mut reader, head, 1)?;
    let shapes = match outline.0 {
        Task::Remember(shapes) => shapes,
        Task::Check | Task::Measure(_) => Vec::new(),
    };
    let mut writer = JsonWriter {
        out,
        shapes: shapes.into_iter(),
    };
    writer.value(&mut MessagePackReader::new(value))
}

/// What the first walk does besides the check.
enum Task {
    Check,
    /// Keeps what each map and extension is, in the order in which they begin.
    Remember(Vec<JsonShape>),
    /// Adds up the length of the JSON.
    Measure(usize),
}

/// The first walk: finds out what each map and extension is.
struct JsonOutline(Task);

impl JsonOutline {
    /// Returns how deep the value's JSON is.
    fn walk<'a>(
        &mut self,
        reader: &mut MessagePackReader<'a>,
        head: MessagePackHead<'a>,
        depth: usize,
    ) -> Result<usize, DecodeError> {
        let height = match head {
            MessagePackHead::Array(count) => {
                check_depth(depth)?;
                self.add(|| 2 + count.saturating_sub(1));
                1 + self.children(reader, count, depth)?
            }
            MessagePackHead::Map(count) => self.map(reader, count, depth)?,
            MessagePackHead::Extension(extension) => self.extension(extension, depth)?,
            leaf => {
                self.add(|| leaf_length(leaf));
                usize::from(match leaf {
                    MessagePackHead::Binary(_) => true,
                    MessagePackHead::Float(number) => !number.is_finite(),
                    _ => false,
                })
            }
        };
        check_depth(height)?;
        Ok(height)
    }

    fn children(
        &mut self,
        reader: &mut MessagePackReader<'_>,
        count: usize,
        depth: usize,
    ) -> Result<usize, DecodeError> {
        let mut height = 0;
        for _ in 0..count {
            let head = reader.next()?;
            height = height.max(self.walk(reader, head, depth + 1)?);
        }
        Ok(height)
    }

    fn map(
        &mut self,
        reader: &mut MessagePackReader<'_>,
        count: usize,
        depth: usize,
    ) -> Result<usize, DecodeError> {
        check_depth(depth)?;
        let place = self.begin(JsonShape::Object);
        let mut shape = JsonShape::Object;
        let mut height = 0;
        for _ in 0..count {
            let key = reader.next()?;
            if let MessagePackHead::Text(text) = key {
                if text == "$type" && shape == JsonShape::Object {
                    shape = JsonShape::Literal;
                }
                self.add(|| leaf_length(key));
            } else {
                shape = JsonShape::Pairs;
                height = height.max(self.walk(reader, key, depth + 1)?);
            }
            let value = reader.next()?;
            height = height.max(self.walk(reader, value, depth + 1)?);
        }
        self.set(place, shape);
        self.add(|| {
            let (start, between, end) = map_text(shape);
            let entry: usize = between.iter().map(|text| text.len()).sum();
            start.len() + count * entry + count.saturating_sub(1) + end.len()
        });
        Ok(shape.depth() + height)
    }

    fn extension(&mut self, extension: Extension<'_>, depth: usize) -> Result<usize, DecodeError> {
        check_depth(depth)?;
        let Some(known) = extension.known()? else {
            self.begin(JsonShape::Opaque);
            self.add(|| {
                let code = shown_length(format_args!("{}", extension.code));
                let body = base64_length(extension.body.len());
                OPAQUE_START.len() + code + OPAQUE_BETWEEN.len() + body + OPAQUE_END.len()
            });
            return Ok(JsonShape::Opaque.depth());
        };
        let shape = JsonShape::Typed(known.name);
        self.begin(shape);
        self.add(|| TAG_START.len() + known.name.len() + TAG_BETWEEN.len() + TAG_END.len());
        let mut body = MessagePackReader::new(extension.body);
        Ok(shape.depth() + self.children(&mut body, 1, depth)?)
    }

    fn begin(&mut self, shape: JsonShape) -> usize {
        let Task::Remember(shapes) = &mut self.0 else {
            return 0;
        };
        shapes.push(shape);
        shapes.len() - 1
    }

    fn set(&mut self, place: usize, shape: JsonShape) {
        if let Task::Remember(shapes) = &mut self.0 {
            shapes[place] = shape;
        }
    }

    fn add(&mut self, length: impl FnOnce() -> usize) {
        if let Task::Measure(total) = &mut self.0 {
            *total = total.saturating_add(length());
        }
    }
}

/// The length of the JSON of a value that contains no others.
fn leaf_length(head: MessagePackHead<'_>) -> usize {
    match head {
        MessagePackHead::Nil | MessagePackHead::Bool(true) => 4,
        MessagePackHead::Bool(false) => 5,
        MessagePackHead::Unsigned(number) => {
            number.checked_ilog10().map_or(1, |log| log as usize + 1)
        }
        MessagePackHead::Negative(number) => shown_length(format_args!("{number}")),
        MessagePackHead::Float(number) if number.is_finite() => {
            shown_length(format_args!("{number:?}"))
        }
        MessagePackHead::Float(number) => {
            NUMBER_START.len() + number_name(number).len() + NUMBER_END.len()
        }
        MessagePackHead::Text(text) => json::text_length(text.as_bytes()),
        MessagePackHead::Binary(bytes) => binary_length(bytes.len()),
        MessagePackHead::Array(_) | MessagePackHead::Map(_) | MessagePackHead::Extension(_) => 0,
    }
}

/// The length of the text that formatting makes.
fn shown_length(shown: fmt::Arguments<'_>) -> usize {
    struct Length(usize);
    impl fmt::Write for Length {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0 += text.len();
            Ok(())
        }
    }
    let mut length = Length(0);
    fmt::Write::write_fmt(&mut length, shown).expect("counting does not fail");
    length.0
}

/// The text before, between and behind the entries of a map.
const fn map_text(shape: JsonShape) -> (&'static str, [&'static str; 3], &'static str) {
    match shape {
        JsonShape::Pairs => (r#"{"$type":"map","value":["#, ["[", ",", "]"], "]}"),
        JsonShape::Literal => (r#"{"$type":"object","value":{"#, ["", ":", ""], "}}"),
        JsonShape::Object | JsonShape::Typed(_) | JsonShape::Opaque => ("{", ["", ":", ""], "}"),
    }
}

const TAG_START: &str = r#"{"$type":""#;
const TAG_BETWEEN: &str = r#"","value":"#;
const TAG_END: &str = "}";
const OPAQUE_START: &str = r#"{"$type":"ext","code":"#;
const OPAQUE_BETWEEN: &str = r#","value":""#;
const OPAQUE_END: &str = "\"}";
const NUMBER_START: &str = r#"{"$type":"number","value":""#;
const NUMBER_END: &str = "\"}";
const BINARY_START: &str = r#"{"$type":"binary","value":""#;
const BINARY_END: &str = "\"}";

/// The second walk.
struct JsonWriter<'o> {
    out: &'o mut Vec<u8>,
    shapes: std::vec::IntoIter<JsonShape>,
}

impl JsonWriter<'_> {
    fn value(&mut self, reader: &mut MessagePackReader<'_>) -> Result<(), DecodeError> {
        match reader.next()? {
            MessagePackHead::Nil => self.put("null"),
            MessagePackHead::Bool(true) => self.put("true"),
            MessagePackHead::Bool(false) => self.put("false"),
            MessagePackHead::Unsigned(number) => write_number(self.out, number),
            MessagePackHead::Negative(number) => write_number(self.out, number),
            MessagePackHead::Float(number) => write_float(self.out, number),
            MessagePackHead::Text(text) => json::write_text(self.out, text.as_bytes()),
            MessagePackHead::Binary(bytes) => write_binary(self.out, bytes),
            MessagePackHead::Array(count) => self.array(reader, count)?,
            MessagePackHead::Map(count) => self.map(reader, count)?,
            MessagePackHead::Extension(extension) => self.extension(extension)?,
        }
        Ok(())
    }

    fn put(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn comma(&mut self, index: usize) {
        if index > 0 {
            self.out.push(b',');
        }
    }

    fn array(
        &mut self,
        reader: &mut MessagePackReader<'_>,
        count: usize,
    ) -> Result<(), DecodeError> {
        self.put("[");
        for index in 0..count {
            self.comma(index);
            self.value(reader)?;
        }
        self.put("]");
        Ok(())
    }

    fn map(&mut self, reader: &mut MessagePackReader<'_>, count: usize) -> Result<(), DecodeError> {
        let shape = self.shapes.next().unwrap_or(JsonShape::Object);
        let (start, between, end) = map_text(shape);
        self.put(start);
        for index in 0..count {
            self.comma(index);
            self.put(between[0]);
            self.value(reader)?;
            self.put(between[1]);
            self.value(reader)?;
            self.put(between[2]);
        }
        self.put(end);
        Ok(())
    }

    fn extension(&mut self, extension: Extension<'_>) -> Result<(), DecodeError> {
        if let Some(JsonShape::Typed(name)) = self.shapes.next() {
            self.put(TAG_START);
            self.put(name);
            self.put(TAG_BETWEEN);
            self.value(&mut MessagePackReader::new(extension.body))?;
            self.put(TAG_END);
        } else {
            self.put(OPAQUE_START);
            write_number(self.out, extension.code);
            self.put(OPAQUE_BETWEEN);
            write_base64(self.out, extension.body);
            self.put(OPAQUE_END);
        }
        Ok(())
    }
}

/// Writes bytes as a tagged object.
pub(crate) fn write_binary(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(BINARY_START.as_bytes());
    write_base64(out, bytes);
    out.extend_from_slice(BINARY_END.as_bytes());
}

/// The length of the tagged object that stands for bytes.
pub(crate) fn binary_length(bytes: usize) -> usize {
    BINARY_START.len() + base64_length(bytes) + BINARY_END.len()
}

/// Writes an integer.
pub(crate) fn write_number(out: &mut Vec<u8>, number: impl std::fmt::Display) {
    write!(out, "{number}").expect("writing to memory does not fail");
}

/// Writes the shortest text that reads back as the same float, always with a point or an exponent.
fn write_float(out: &mut Vec<u8>, number: f64) {
    if number.is_finite() {
        write!(out, "{number:?}").expect("writing to memory does not fail");
        return;
    }
    for text in [NUMBER_START, number_name(number), NUMBER_END] {
        out.extend_from_slice(text.as_bytes());
    }
}

/// The name of a float that is no number of JSON.
fn number_name(number: f64) -> &'static str {
    if number.is_nan() {
        "NaN"
    } else if number > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}

fn write_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len();
    let length = base64_length(bytes.len());
    out.resize(start + length, 0);
    STANDARD
        .encode_slice(bytes, &mut out[start..])
        .expect("there is room for the length that base64 takes");
}

/// How many characters bytes take in padded base64.
fn base64_length(bytes: usize) -> usize {
    bytes.div_ceil(3) * 4
}
