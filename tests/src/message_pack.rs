//! MessagePack as an independent client reads and writes it, shown as the tagged JSON of `docs/protocol.md`.

use std::io::{Read, Write};

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use rmpv::Value as Packed;
use serde_json::{Map, Number, Value, json};

use crate::heard::binary;

/// The extension types that the tests send; each body is one MessagePack value.
const EXTENSIONS: [(i8, &str); 6] = [
    (1, "undefined"),
    (2, "Date"),
    (3, "BigInt"),
    (4, "RegExp"),
    (5, "Map"),
    (6, "Set"),
];

/// The extension of a compressed value.
const GZIP: i8 = 31;

/// About so many bytes that are 13 times as large in JSON: an array of extensions of three bytes.
pub fn growing(bytes: usize) -> Vec<u8> {
    let count = bytes.saturating_sub(5) / 3;
    let mut value = vec![0xdd];
    value.extend(u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes());
    value.extend([0xd4, 99, 0].repeat(count));
    value
}

/// Reads one value that takes up all the bytes.
///
/// # Errors
/// When the bytes are not exactly one MessagePack value.
pub fn decode(bytes: &[u8]) -> Result<Value> {
    let mut rest = bytes;
    let packed = rmpv::decode::read_value(&mut rest).context("not MessagePack")?;
    if !rest.is_empty() {
        bail!("{} bytes after the MessagePack value", rest.len());
    }
    shown(packed)
}

fn shown(packed: Packed) -> Result<Value> {
    Ok(match packed {
        Packed::Nil => Value::Null,
        Packed::Boolean(flag) => flag.into(),
        Packed::Integer(number) => match number.as_u64() {
            Some(number) => number.into(),
            None => number.as_i64().into(),
        },
        Packed::F32(number) => f64::from(number).into(),
        Packed::F64(number) => Number::from_f64(number).map_or(
            json!({ "$type": "number", "value": number.to_string() }),
            Value::Number,
        ),
        Packed::String(text) => text.into_str().context("text that is not UTF-8")?.into(),
        Packed::Binary(bytes) => binary(&bytes),
        Packed::Array(items) => items.into_iter().map(shown).collect::<Result<_>>()?,
        Packed::Map(fields) => {
            let mut object = Map::new();
            for (name, value) in fields {
                let name = name.as_str().context("a name that is not text")?.to_owned();
                object.insert(name, shown(value)?);
            }
            Value::Object(object)
        }
        Packed::Ext(GZIP, body) => inflated(&body)?,
        Packed::Ext(code, body) => match EXTENSIONS.iter().find(|&&(known, _)| known == code) {
            Some((_, name)) => json!({ "$type": name, "value": decode(&body)? }),
            None => json!({ "$type": "ext", "code": code, "value": STANDARD.encode(&body) }),
        },
    })
}

fn inflated(body: &[u8]) -> Result<Value> {
    let packed = rmpv::decode::read_value(&mut &*body)?;
    let compressed = packed.as_slice().context("a gzip that is no bin")?;
    let mut bytes = Vec::new();
    GzDecoder::new(compressed).read_to_end(&mut bytes)?;
    decode(&bytes)
}

/// Writes one value compressed.
///
/// # Errors
/// When a tagged object is not as the protocol has it.
pub fn encode_compressed(value: &Value) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    rmpv::encode::write_value(&mut body, &Packed::Binary(gzip(&encode(value)?)?))?;
    let mut bytes = Vec::new();
    rmpv::encode::write_value(&mut bytes, &Packed::Ext(GZIP, body))?;
    Ok(bytes)
}

/// Compresses bytes.
///
/// # Errors
/// Never: it is written to memory.
pub fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

/// Writes one value; tagged objects become binary data and extensions.
///
/// # Errors
/// When a tagged object is not as the protocol has it.
pub fn encode(value: &Value) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    rmpv::encode::write_value(&mut bytes, &packed(value)?)?;
    Ok(bytes)
}

fn packed(value: &Value) -> Result<Packed> {
    Ok(match value {
        Value::Null => Packed::Nil,
        Value::Bool(flag) => Packed::Boolean(*flag),
        Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
            (Some(number), _, _) => number.into(),
            (_, Some(number), _) => number.into(),
            (_, _, number) => Packed::F64(number.context("a number beyond f64")?),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => Packed::Array(items.iter().map(packed).collect::<Result<_>>()?),
        Value::Object(object) => {
            if let Some(tag) = object.get("$type").and_then(Value::as_str) {
                return tagged(tag, object);
            }
            let field = |(name, value): (&String, _)| Ok((name.as_str().into(), packed(value)?));
            Packed::Map(object.iter().map(field).collect::<Result<_>>()?)
        }
    })
}

fn tagged(tag: &str, object: &Map<String, Value>) -> Result<Packed> {
    let value = object.get("value").unwrap_or(&Value::Null);
    if tag == "binary" {
        let text = value.as_str().context("binary data is base64 text")?;
        return Ok(Packed::Binary(STANDARD.decode(text)?));
    }
    let found = EXTENSIONS.iter().find(|&&(_, name)| name == tag);
    let (code, _) = found.with_context(|| format!("the harness does not know ${tag}"))?;
    Ok(Packed::Ext(*code, encode(value)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tagged_values_read_back() {
        let value = json!({
            "when": { "$type": "Date", "value": 1.5 },
            "bytes": binary(&[0, 255]),
            "list": [null, true, -3, "text"],
        });
        assert_eq!(decode(&encode(&value).unwrap()).unwrap(), value);
        let compressed = encode_compressed(&value).unwrap();
        assert_eq!(decode(&compressed).unwrap(), value);
    }
}
