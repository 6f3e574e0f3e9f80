//! The fields of an HTML form as one object: each field by its name, a repeated field as an array, and files with the name
//! and type that the browser told.

use std::collections::HashMap;

use bytes::Bytes;

use super::{msgpack, types};

/// A field of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormField {
    /// Its name, which other fields may have as well.
    pub name: String,
    /// The value that was entered.
    pub value: FormValue,
}

/// The value of a field of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FormValue {
    /// A text.
    Text(String),
    /// A file; nobody knows when it was last modified.
    File {
        /// The name of the file.
        name: String,
        /// The media type, empty when unknown.
        content_type: String,
        /// The bytes of the file.
        bytes: Bytes,
    },
}

/// Writes the fields as a MessagePack map, in the order in which their names first come.
pub(crate) fn write(out: &mut Vec<u8>, fields: &[FormField]) {
    let mut names: Vec<(&str, Vec<&FormValue>)> = Vec::new();
    let mut places = HashMap::new();
    for field in fields {
        let place = *places.entry(field.name.as_str()).or_insert_with(|| {
            names.push((&field.name, Vec::new()));
            names.len() - 1
        });
        names[place].1.push(&field.value);
    }
    msgpack::write_map(out, names.len());
    for (name, values) in names {
        msgpack::write_text(out, name.as_bytes());
        if values.len() > 1 {
            msgpack::write_array(out, values.len());
        }
        for value in values {
            write_value(out, value);
        }
    }
}

fn write_value(out: &mut Vec<u8>, value: &FormValue) {
    match value {
        FormValue::Text(text) => msgpack::write_text(out, text.as_bytes()),
        FormValue::File {
            name,
            content_type,
            bytes,
        } => {
            let start = msgpack::begin_extension(out);
            msgpack::write_map(out, 4);
            msgpack::write_text(out, b"name");
            msgpack::write_text(out, name.as_bytes());
            msgpack::write_text(out, b"type");
            msgpack::write_text(out, content_type.as_bytes());
            msgpack::write_text(out, b"last_modified");
            msgpack::write_nil(out);
            msgpack::write_text(out, b"bytes");
            msgpack::write_binary(out, bytes);
            msgpack::end_extension(out, start, types::FILE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::Payload;

    #[test]
    fn a_form_is_an_object() {
        let text = |name: &str, text: &str| FormField {
            name: name.to_owned(),
            value: FormValue::Text(text.to_owned()),
        };
        let file = FormField {
            name: "photo".to_owned(),
            value: FormValue::File {
                name: "a.png".to_owned(),
                content_type: "image/png".to_owned(),
                bytes: Bytes::from_static(b"\x89PNG"),
            },
        };
        let form = [
            text("to", "ann"),
            file,
            text("to", "bob"),
            text("$type", "x"),
        ];
        let payload = Payload::form(&form);
        assert_eq!(
            Payload::from_msgpack(payload.bytes().clone()),
            Ok(payload.clone())
        );
        insta::assert_snapshot!(String::from_utf8_lossy(&payload.to_json()), @r#"{"$type":"object","value":{"to":["ann","bob"],"photo":{"$type":"File","value":{"name":"a.png","type":"image/png","last_modified":null,"bytes":{"$type":"binary","value":"iVBORw=="}}},"$type":"x"}}"#);
        assert_eq!(Payload::form(&[]).to_json(), "{}");
    }
}
