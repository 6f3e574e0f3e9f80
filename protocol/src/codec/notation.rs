//! Writing frames, once for both codecs: what a frame consists of is told to a [`Notation`], which writes it down.
//!
//! Nothing is built up in memory: every call appends to the frame's bytes.

use std::fmt::Display;
use std::io::Write;
use std::marker::PhantomData;

use crate::payload::Payload;
use crate::value::{json, msgpack, to_json};

/// A way to write values one after the other.
pub(crate) trait Notation {
    /// Begins an object of at most 15 fields.
    fn begin_object(out: &mut Vec<u8>);
    /// Writes the name of the next field, `index` counting from 0; its value has to follow.
    fn key(out: &mut Vec<u8>, index: u8, key: &str);
    /// Ends the object that began at `start` and has got `fields` fields.
    fn end_object(out: &mut Vec<u8>, start: usize, fields: u8);
    /// Begins an array of `count` elements.
    fn begin_array(out: &mut Vec<u8>, count: usize);
    /// Goes to the next element, `index` counting from 0; its value has to follow.
    fn element(out: &mut Vec<u8>, index: usize);
    /// Ends an array.
    fn end_array(out: &mut Vec<u8>);
    /// Writes true or false.
    fn boolean(out: &mut Vec<u8>, value: bool);
    /// Writes a whole number.
    fn number(out: &mut Vec<u8>, number: u64);
    /// Writes a string.
    fn text(out: &mut Vec<u8>, text: &str);
    /// Writes a string that is known by how it is shown and needs no escapes.
    fn shown(out: &mut Vec<u8>, value: impl Display);
    /// Writes a value of a user's.
    fn payload(out: &mut Vec<u8>, payload: &Payload);
}

/// JSON, without white space.
pub(crate) enum Json {}

impl Notation for Json {
    fn begin_object(out: &mut Vec<u8>) {
        out.push(b'{');
    }

    fn key(out: &mut Vec<u8>, index: u8, key: &str) {
        if index > 0 {
            out.push(b',');
        }
        // The names of fields are ours: none needs an escape.
        out.push(b'"');
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(b"\":");
    }

    fn end_object(out: &mut Vec<u8>, _start: usize, _fields: u8) {
        out.push(b'}');
    }

    fn begin_array(out: &mut Vec<u8>, _count: usize) {
        out.push(b'[');
    }

    fn element(out: &mut Vec<u8>, index: usize) {
        if index > 0 {
            out.push(b',');
        }
    }

    fn end_array(out: &mut Vec<u8>) {
        out.push(b']');
    }

    fn boolean(out: &mut Vec<u8>, value: bool) {
        out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    fn number(out: &mut Vec<u8>, number: u64) {
        to_json::write_number(out, number);
    }

    fn text(out: &mut Vec<u8>, text: &str) {
        json::write_text(out, text.as_bytes());
    }

    fn shown(out: &mut Vec<u8>, value: impl Display) {
        write!(out, "\"{value}\"").expect("writing to memory does not fail");
    }

    fn payload(out: &mut Vec<u8>, payload: &Payload) {
        payload.write_json(out);
    }
}

/// MessagePack, in its shortest forms.
pub(crate) enum MessagePack {}

impl Notation for MessagePack {
    fn begin_object(out: &mut Vec<u8>) {
        // A map of up to 15 entries has its count in one byte, which `end_object` sets.
        msgpack::write_map(out, 0);
    }

    fn key(out: &mut Vec<u8>, _index: u8, key: &str) {
        msgpack::write_text(out, key.as_bytes());
    }

    fn end_object(out: &mut Vec<u8>, start: usize, fields: u8) {
        debug_assert!(
            fields <= 15,
            "no frame has more fields than one byte counts"
        );
        out[start] |= fields;
    }

    fn begin_array(out: &mut Vec<u8>, count: usize) {
        msgpack::write_array(out, count);
    }

    fn element(_out: &mut Vec<u8>, _index: usize) {}

    fn end_array(_out: &mut Vec<u8>) {}

    fn boolean(out: &mut Vec<u8>, value: bool) {
        msgpack::write_bool(out, value);
    }

    fn number(out: &mut Vec<u8>, number: u64) {
        msgpack::write_unsigned(out, number);
    }

    fn text(out: &mut Vec<u8>, text: &str) {
        msgpack::write_text(out, text.as_bytes());
    }

    fn shown(out: &mut Vec<u8>, value: impl Display) {
        let start = out.len();
        write!(out, "{value}").expect("writing to memory does not fail");
        msgpack::wrap_text(out, start);
    }

    fn payload(out: &mut Vec<u8>, payload: &Payload) {
        payload.write_msgpack(out);
    }
}

/// An object that is being written. It is complete once [`Object::end`] was called.
pub(crate) struct Object<'o, N> {
    out: &'o mut Vec<u8>,
    start: usize,
    fields: u8,
    notation: PhantomData<N>,
}

impl<'o, N: Notation> Object<'o, N> {
    /// Begins an object.
    pub(crate) fn begin(out: &'o mut Vec<u8>) -> Self {
        let start = out.len();
        N::begin_object(out);
        Self {
            out,
            start,
            fields: 0,
            notation: PhantomData,
        }
    }

    /// Begins a frame of this type.
    pub(crate) fn frame(out: &'o mut Vec<u8>, kind: &str) -> Self {
        Self::begin(out).text("type", kind)
    }

    /// Adds a field whose value `write` writes.
    pub(crate) fn field(mut self, key: &str, write: impl FnOnce(&mut Vec<u8>)) -> Self {
        N::key(self.out, self.fields, key);
        self.fields += 1;
        write(self.out);
        self
    }

    /// Adds a string.
    pub(crate) fn text(self, key: &str, text: &str) -> Self {
        self.field(key, |out| N::text(out, text))
    }

    /// Adds a short text in one of our own forms: letters, digits and marks that need no escape.
    pub(crate) fn shown(self, key: &str, value: impl Display) -> Self {
        self.field(key, |out| N::shown(out, value))
    }

    /// Adds a whole number.
    pub(crate) fn number(self, key: &str, number: u64) -> Self {
        self.field(key, |out| N::number(out, number))
    }

    /// Adds true or false.
    pub(crate) fn boolean(self, key: &str, value: bool) -> Self {
        self.field(key, |out| N::boolean(out, value))
    }

    /// Adds fields for a value that is there.
    pub(crate) fn optional<T>(self, value: Option<T>, add: impl FnOnce(Self, T) -> Self) -> Self {
        match value {
            Some(value) => add(self, value),
            None => self,
        }
    }

    /// Adds an array with an element for each item.
    pub(crate) fn array<T>(
        self,
        key: &str,
        items: &[T],
        mut write: impl FnMut(&mut Vec<u8>, &T),
    ) -> Self {
        self.field(key, |out| {
            N::begin_array(out, items.len());
            for (index, item) in items.iter().enumerate() {
                N::element(out, index);
                write(out, item);
            }
            N::end_array(out);
        })
    }

    /// Completes the object.
    pub(crate) fn end(self) {
        N::end_object(self.out, self.start, self.fields);
    }
}
