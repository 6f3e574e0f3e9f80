//! MessagePack → JSON, and the check of a MessagePack value.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::json;
use super::msgpack::{Extension, Head, MessagePackReader, check_depth};
use crate::codec::DecodeError;

/// How a map or an extension is shown.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Shape {
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

impl Shape {
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
    head: Head<'a>,
) -> Result<(), DecodeError> {
    let mut outline = Outline { shapes: None };
    outline.walk(reader, head, 1).map(|_| ())
}

/// Writes the JSON of a value that has been checked.
pub(crate) fn write(out: &mut Vec<u8>, value: &[u8]) -> Result<(), DecodeError> {
    let mut reader = MessagePackReader::new(value);
    let head = reader.next()?;
    let mut outline = Outline {
        shapes: Some(Vec::new()),
    };
    outline.walk(&mut reader, head, 1)?;
    let mut writer = Writer {
        out,
        shapes: outline.shapes.unwrap_or_default().into_iter(),
    };
    writer.value(&mut MessagePackReader::new(value))
}

/// The first walk: finds out what each map and extension is, in the order in which they begin.
struct Outline {
    /// Not kept when the walk is a check only.
    shapes: Option<Vec<Shape>>,
}

impl Outline {
    /// Returns how deep the value's JSON is.
    fn walk<'a>(
        &mut self,
        reader: &mut MessagePackReader<'a>,
        head: Head<'a>,
        depth: usize,
    ) -> Result<usize, DecodeError> {
        let height = match head {
            Head::Binary(_) => 1,
            Head::Float(number) if !number.is_finite() => 1,
            Head::Array(count) => {
                check_depth(depth)?;
                1 + self.children(reader, count, depth)?
            }
            Head::Map(count) => self.map(reader, count, depth)?,
            Head::Extension(extension) => self.extension(extension, depth)?,
            _ => 0,
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
        let place = self.begin(Shape::Object);
        let mut shape = Shape::Object;
        let mut height = 0;
        for _ in 0..count {
            let key = reader.next()?;
            match key {
                Head::Text("$type") if shape == Shape::Object => shape = Shape::Literal,
                Head::Text(_) => {}
                _ => {
                    shape = Shape::Pairs;
                    height = height.max(self.walk(reader, key, depth + 1)?);
                }
            }
            let value = reader.next()?;
            height = height.max(self.walk(reader, value, depth + 1)?);
        }
        self.set(place, shape);
        Ok(shape.depth() + height)
    }

    fn extension(&mut self, extension: Extension<'_>, depth: usize) -> Result<usize, DecodeError> {
        check_depth(depth)?;
        let Some(known) = extension.known()? else {
            self.begin(Shape::Opaque);
            return Ok(Shape::Opaque.depth());
        };
        let shape = Shape::Typed(known.name);
        self.begin(shape);
        let mut body = MessagePackReader::new(extension.body);
        Ok(shape.depth() + self.children(&mut body, 1, depth)?)
    }

    fn begin(&mut self, shape: Shape) -> usize {
        let Some(shapes) = &mut self.shapes else {
            return 0;
        };
        shapes.push(shape);
        shapes.len() - 1
    }

    fn set(&mut self, place: usize, shape: Shape) {
        if let Some(shapes) = &mut self.shapes {
            shapes[place] = shape;
        }
    }
}

/// The second walk.
struct Writer<'o> {
    out: &'o mut Vec<u8>,
    shapes: std::vec::IntoIter<Shape>,
}

impl Writer<'_> {
    fn value(&mut self, reader: &mut MessagePackReader<'_>) -> Result<(), DecodeError> {
        match reader.next()? {
            Head::Nil => self.put("null"),
            Head::Bool(true) => self.put("true"),
            Head::Bool(false) => self.put("false"),
            Head::Unsigned(number) => write_number(self.out, number),
            Head::Negative(number) => write_number(self.out, number),
            Head::Float(number) => write_float(self.out, number),
            Head::Text(text) => json::write_text(self.out, text.as_bytes()),
            Head::Binary(bytes) => write_binary(self.out, bytes),
            Head::Array(count) => self.array(reader, count)?,
            Head::Map(count) => self.map(reader, count)?,
            Head::Extension(extension) => self.extension(extension)?,
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
        let (start, between, end) = match self.shapes.next() {
            Some(Shape::Pairs) => (r#"{"$type":"map","value":["#, ["[", ",", "]"], "]}"),
            Some(Shape::Literal) => (r#"{"$type":"object","value":{"#, ["", ":", ""], "}}"),
            _ => ("{", ["", ":", ""], "}"),
        };
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
        if let Some(Shape::Typed(name)) = self.shapes.next() {
            self.put(r#"{"$type":""#);
            self.put(name);
            self.put(r#"","value":"#);
            self.value(&mut MessagePackReader::new(extension.body))?;
            self.put("}");
        } else {
            self.put(r#"{"$type":"ext","code":"#);
            write_number(self.out, extension.code);
            self.put(r#","value":""#);
            write_base64(self.out, extension.body);
            self.put("\"}");
        }
        Ok(())
    }
}

/// Writes bytes as a tagged object.
pub(crate) fn write_binary(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(br#"{"$type":"binary","value":""#);
    write_base64(out, bytes);
    out.extend_from_slice(b"\"}");
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
    let name = if number.is_nan() {
        "NaN"
    } else if number > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    };
    write!(out, r#"{{"$type":"number","value":"{name}"}}"#)
        .expect("writing to memory does not fail");
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
pub(crate) fn base64_length(bytes: usize) -> usize {
    bytes.div_ceil(3) * 4
}
