//! What a subscriber hears, in one form for all transports.

use anyhow::{Result, bail};
use serde_json::{Number, Value, json};

/// A message as far as the transport shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// The data; what JSON lacks as tagged objects. Transports that show JSON data as text are read as JSON.
    pub data: Value,
    /// The channel, where the transport tells.
    pub channel: Option<String>,
    /// The place in the channel, where the transport tells.
    pub offset: Option<u64>,
    /// The name of the event.
    pub event: Option<String>,
    /// The origin, where the transport tells.
    pub origin: Option<String>,
}

impl Message {
    /// A message of which only the data is known.
    pub fn only(data: Value) -> Self {
        Self {
            data,
            channel: None,
            offset: None,
            event: None,
            origin: None,
        }
    }

    /// Reads a message object, as envelope frames, stream lines and poll answers have it.
    ///
    /// # Errors
    /// When a field is missing or not of its type.
    pub fn from_object(object: &Value) -> Result<Self> {
        let (Some(data), Some(offset)) = (object.get("data"), object["offset"].as_u64()) else {
            bail!("not a message object: {object}");
        };
        if !object["timestamp"].is_u64() {
            bail!("a message without a timestamp: {object}");
        }
        let text = |name: &str| object[name].as_str().map(str::to_owned);
        Ok(Self {
            data: plain_numbers(data.clone()),
            channel: text("channel"),
            offset: Some(offset),
            event: text("event"),
            origin: text("origin"),
        })
    }
}

/// One thing a subscriber hears.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    /// A message.
    Message(Message),
    /// Messages were lost, and this is the broker telling so.
    Gap {
        /// In which channel, where the transport tells.
        channel: Option<String>,
    },
    /// Any other frame of an envelope session: `join`, `leave`, `goodbye`…
    Frame(Value),
    /// The connection has ended.
    Closed {
        /// The WebSocket close code.
        code: Option<u16>,
        /// The reason given with it.
        reason: String,
    },
}

impl Heard {
    /// Reads an object of a stream without frames: a message, or by its `type` something else.
    ///
    /// # Errors
    /// When it is none of them.
    pub fn from_object(object: Value) -> Result<Self> {
        let channel = || object["channel"].as_str().map(str::to_owned);
        Ok(match object["type"].as_str() {
            None => Self::Message(Message::from_object(&object)?),
            Some("gap") if object["recovered"] == false => Self::Gap { channel: channel() },
            Some(_) => Self::Frame(object),
        })
    }

    /// The end of a stream that has no close code.
    pub fn end() -> Self {
        Self::Closed {
            code: None,
            reason: String::new(),
        }
    }
}

/// Reads what a raw transport shows as text: JSON objects and arrays as such, everything else as the text it is.
pub fn shown_as_text(text: &str) -> Value {
    let json = text.starts_with('{') || text.starts_with('[');
    let value = if json {
        serde_json::from_str(text).ok()
    } else {
        None
    };
    plain_numbers(value.unwrap_or_else(|| Value::String(text.to_owned())))
}

/// Binary data in the form that all transports are compared in.
pub fn binary(bytes: &[u8]) -> Value {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    json!({ "$type": "binary", "value": text })
}

/// `1.0` and `1` are the same number to JavaScript: shows both as `1`.
pub fn plain_numbers(value: Value) -> Value {
    match value {
        Value::Number(number) => Value::Number(plain_number(number)),
        Value::Array(items) => items.into_iter().map(plain_numbers).collect(),
        Value::Object(fields) => {
            let fields = fields.into_iter();
            Value::Object(fields.map(|(k, v)| (k, plain_numbers(v))).collect())
        }
        other => other,
    }
}

fn plain_number(number: Number) -> Number {
    let whole = number.as_f64().filter(|f| f.fract() == 0.0);
    match whole.map(|f| format!("{f:.0}").parse::<i64>()) {
        Some(Ok(whole)) if number.is_f64() => Number::from(whole),
        _ => number,
    }
}
