//! The data of a message, in the form its publisher sent it, checked once and never copied again.

use bytes::Bytes;

/// A structured-clone value in one of four forms, valid by construction. A string is always `Text` and a byte sequence
/// always `Binary`, in whatever codec they came, so that every transport shows them the same way.
#[derive(Debug, Clone, PartialEq)]
pub struct Payload(Form);

#[derive(Debug, Clone, PartialEq)]
enum Form {
    Text(Bytes),
    Binary(Bytes),
    Json(Bytes),
    MessagePack(Bytes),
}

impl Payload {
    /// A string.
    pub fn text(text: impl Into<String>) -> Self {
        Self(Form::Text(Bytes::from(text.into())))
    }

    /// A byte sequence.
    pub fn binary(bytes: Bytes) -> Self {
        Self(Form::Binary(bytes))
    }

    /// The bytes as they are stored.
    pub fn bytes(&self) -> &Bytes {
        match &self.0 {
            Form::Text(bytes)
            | Form::Binary(bytes)
            | Form::Json(bytes)
            | Form::MessagePack(bytes) => bytes,
        }
    }
}
