//! Structured-clone values as JSON and as MessagePack, and the way from one to the other.
//!
//! A type that JavaScript's structured clone knows and JSON does not is a MessagePack extension, whose body is one
//! MessagePack value ([`types`]). JSON shows it as an object of exactly two keys, in this order:
//!
//! | value | MessagePack | JSON |
//! | --- | --- | --- |
//! | a type of the table | extension of its code | `{"$type":"<name>","value":<body>}` |
//! | bytes (`Uint8Array`) | bin | `{"$type":"binary","value":"<base64>"}` |
//! | NaN, Infinity, -Infinity | float | `{"$type":"number","value":"NaN"}` … |
//! | a map with a key that is no string | map | `{"$type":"map","value":[[key,value],…]}` |
//! | an object that has a `$type` key of its own | map | `{"$type":"object","value":{…}}` |
//! | any other extension | extension | `{"$type":"ext","code":7,"value":"<base64 of the body>"}` |
//!
//! An object that only looks like one of these (unknown name, other keys, a `value` of the wrong kind) is an ordinary
//! object, never an error. Integers stay integers and floats stay floats (`1` and `1.0`), `-0.0` keeps its sign; an
//! integer outside of 64 bits becomes the nearest float, as in JavaScript. Duplicate keys are kept, as they came.
//!
//! Both directions take time in proportion to the size, whatever the nesting: a first walk finds out what each container
//! is (`to_msgpack` needs counts before contents, `to_json` has to know the keys of a map before the first), a
//! second one writes.

pub(crate) mod blob;
pub mod form;
pub(crate) mod json;
pub(crate) mod msgpack;
pub(crate) mod to_json;
pub(crate) mod to_msgpack;
pub mod types;

#[cfg(test)]
mod tests;

/// How deep arrays, objects and tagged objects may be inside each other.
pub const MAX_DEPTH: usize = 128;
