//! What is published: values with the id of their publication in them, so that whoever hears one knows which it is.

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use widecast_tests::heard::binary;
use widecast_tests::message_pack;

/// How a publication is written when it is published by a body of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A JSON value.
    Json,
    /// The same in MessagePack.
    MessagePack,
    /// A compressed value, which stays compressed.
    Compressed,
    /// JSON in a body that is compressed on its way.
    GzippedJson,
    /// A string.
    Text,
    /// Bytes.
    Binary,
    /// A form, which becomes an object of strings.
    Urlencoded,
}

impl Form {
    /// Every form.
    pub const ALL: [Self; 7] = [
        Self::Json,
        Self::MessagePack,
        Self::Compressed,
        Self::GzippedJson,
        Self::Text,
        Self::Binary,
        Self::Urlencoded,
    ];

    /// The content type of a body in this form.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json | Self::GzippedJson => "application/json",
            Self::MessagePack | Self::Compressed => "application/msgpack",
            Self::Text => "text/plain",
            Self::Binary => "application/octet-stream",
            Self::Urlencoded => "application/x-www-form-urlencoded",
        }
    }

    /// The content encoding of a body in this form.
    pub fn content_encoding(self) -> Option<&'static str> {
        (self == Self::GzippedJson).then_some("gzip")
    }

    /// A value that can be published in this form, of about so many bytes.
    pub fn value(self, id: &str, bytes: usize, random: &mut StdRng) -> Value {
        match self {
            Self::Json | Self::MessagePack | Self::Compressed | Self::GzippedJson => {
                object(id, bytes, random)
            }
            Self::Text => Value::String(format!("{id} {}", filling(bytes, random))),
            Self::Binary => {
                let mut content = format!("{id} ").into_bytes();
                content.extend((0..bytes).map(|_| random.random::<u8>()));
                binary(&content)
            }
            Self::Urlencoded => {
                json!({ "id": id, "fill": filling(bytes / 3, random), "twice": ["1", "& 2"] })
            }
        }
    }

    /// The body that publishes the value.
    ///
    /// # Errors
    /// When the value is not one of this form.
    pub fn body(self, value: &Value) -> Result<Vec<u8>> {
        Ok(match self {
            Self::Json => serde_json::to_vec(value)?,
            Self::GzippedJson => message_pack::gzip(&serde_json::to_vec(value)?)?,
            Self::MessagePack => message_pack::encode(value)?,
            Self::Compressed => message_pack::encode_compressed(value)?,
            Self::Text => value.as_str().context("no text")?.as_bytes().to_vec(),
            Self::Binary => bytes_of(value).context("no bytes")?,
            Self::Urlencoded => urlencoded(value)?.into_bytes(),
        })
    }
}

fn object(id: &str, bytes: usize, random: &mut StdRng) -> Value {
    json!({
        "id": id,
        "fill": filling(bytes, random),
        "numbers": [0, -1, 9_007_199_254_740_993_u64, u64::MAX, i64::MIN, 0.5, 1.0, 1e300],
        "deep": { "list": [null, true, [], {}], "": "" },
        "at": { "$type": "Date", "value": f64::from(random.random::<u16>()) + 0.5 },
        "raw": binary(&random.random::<[u8; 5]>()),
    })
}

/// Text of at most so many bytes, also where it is escaped as JSON.
fn filling(bytes: usize, random: &mut StdRng) -> String {
    const LETTERS: [char; 16] = [
        'a', 'b', 'c', 'd', ' ', 'x', '0', '"', '\\', '\n', '\r', 'é', '€', '😀', '{', ':',
    ];
    let mut text = String::with_capacity(bytes);
    while text.len() + 4 <= bytes / 2 {
        text.push(LETTERS[random.random_range(0..LETTERS.len())]);
    }
    text
}

fn urlencoded(value: &Value) -> Result<String> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    let text = |value: &Value| value.as_str().context("no text").map(str::to_owned);
    for (name, value) in value.as_object().context("no object")? {
        match value {
            Value::Array(items) => {
                for item in items {
                    pairs.push((name.clone(), text(item)?));
                }
            }
            one => pairs.push((name.clone(), text(one)?)),
        }
    }
    let mut url = reqwest::Url::parse("http://form/")?;
    url.query_pairs_mut().extend_pairs(pairs);
    Ok(url.query().context("no query")?.to_owned())
}

/// How a transport shows data.
#[derive(Debug, Clone, PartialEq)]
pub enum Shown {
    /// As the value it is; what JSON lacks as tagged objects.
    Value(Value),
    /// As text: a string as itself, anything else as JSON.
    Text(String),
    /// As the data of an event: text whose line breaks have become line feeds.
    Lines(String),
}

impl Shown {
    /// The id of the publication that this is.
    pub fn id(&self) -> Option<String> {
        match self {
            Self::Value(Value::String(text)) => first_word(text.as_bytes()),
            Self::Value(value) => match bytes_of(value) {
                Some(bytes) => first_word(&bytes),
                None => Some(value["id"].as_str()?.to_owned()),
            },
            Self::Text(text) | Self::Lines(text) if text.starts_with('{') => {
                let value: Value = serde_json::from_str(text).ok()?;
                Self::Value(value).id()
            }
            Self::Text(text) | Self::Lines(text) => first_word(text.as_bytes()),
        }
    }

    /// What differs from what was published.
    pub fn difference(&self, published: &Value) -> Option<String> {
        let same = match (self, published) {
            (Self::Value(shown), _) => shown == published,
            (Self::Text(shown), Value::String(text)) => shown == text,
            (Self::Lines(shown), Value::String(text)) => {
                *shown == text.replace("\r\n", "\n").replace('\r', "\n")
            }
            (Self::Text(shown) | Self::Lines(shown), value) => {
                serde_json::from_str::<Value>(shown).is_ok_and(|shown| shown == *value)
            }
        };
        (!same).then(|| format!("it is {self:.300?} instead of {published:.300?}"))
    }
}

/// The bytes of binary data.
fn bytes_of(value: &Value) -> Option<Vec<u8>> {
    (value["$type"] == "binary").then_some(())?;
    STANDARD.decode(value["value"].as_str()?).ok()
}

fn first_word(bytes: &[u8]) -> Option<String> {
    let end = bytes.iter().position(|&byte| byte == b' ')?;
    Some(std::str::from_utf8(&bytes[..end]).ok()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::generator;

    #[test]
    fn every_form_is_recognised_and_compared() {
        let random = &mut generator(1, "payload");
        for form in Form::ALL {
            let value = form.value("p1-2", 200, random);
            let other = form.value("p1-2", 200, random);
            assert!(form.body(&value).unwrap().len() < 1000, "{form:?}");
            let shown = Shown::Value(value.clone());
            assert_eq!(shown.id().unwrap(), "p1-2");
            assert_eq!(shown.difference(&value), None);
            assert!(shown.difference(&other).is_some(), "{form:?}");
            let text = match &value {
                Value::String(text) => text.clone(),
                value => value.to_string(),
            };
            for shown in [
                Shown::Text(text.clone()),
                Shown::Lines(text.replace("\r\n", "\n").replace('\r', "\n")),
            ] {
                assert_eq!(shown.id().unwrap(), "p1-2");
                assert_eq!(shown.difference(&value), None);
            }
        }
    }
}
