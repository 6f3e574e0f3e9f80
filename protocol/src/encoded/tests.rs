use bytes::Bytes;

use super::*;
use crate::message::{Epoch, Offset, Origin};
use crate::name::{ChannelName, EventName, MessageId};
use crate::payload::Payload;

const GZIP_OF_TEXT: &[u8] =
    b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x5b\x9c\xc8\x95\x04\x00\x1e\x20\xdc\x6e\x04\x00\x00\x00";
const GZIP_OF_BINARY: &[u8] =
    b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x3b\xc2\x9c\xc8\x95\x04\x00\x01\x5f\x44\xd8\x05\x00\x00\x00";
const GZIP_OF_ARRAY: &[u8] =
    b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x9b\xb8\x30\x11\x00\xb3\xd7\x39\x8e\x03\x00\x00\x00";

fn encoded(payload: Payload, event: Option<&str>) -> EncodedMessage {
    EncodedMessage::new(Message {
        channel: ChannelName::parse("news").unwrap(),
        payload,
        event: event.map(|event| EventName::parse(event).unwrap()),
        id: None,
        origin: Origin::verified("https://example.org"),
        offset: Offset(7),
        epoch: Epoch(35),
        timestamp_ms: 1_700_000_000_000,
        sender: None,
    })
}

#[test]
fn each_form_is_made_once_for_all_subscribers_that_have_it() {
    let message = encoded(Payload::from_json("{\"a\":1}").unwrap(), None);
    for &form in Wire::ALL {
        let first = message.bytes(form);
        assert_eq!(first.as_ptr(), message.bytes(form).as_ptr());
        let forms = message.forms();
        assert_eq!(forms.bytes(form).as_ptr(), first.as_ptr());
        assert_eq!(forms.made().count(), 1);
    }
}

#[test]
fn the_bytes_around_the_cursor_are_the_whole_message() {
    let message = encoded(Payload::text("hello"), Some("greeting"));
    for &form in Wire::ALL {
        let head = form.head("z-7");
        let after = message.forms().after_cursor(form);
        let whole = [head.as_bytes(), &after].concat();
        assert_eq!(message.bytes(form), whole);
    }
}

#[test]
fn a_form_that_has_the_data_as_it_came_is_no_rewriting() {
    let payloads = [
        Payload::from_json("[\"0123456789 \\n\"]").unwrap(),
        Payload::from_msgpack(
            &b"\x92\xcb\x00\x01\x02\x03\x04\x05\x06\x07\xcb\x7f\x01\x02\x03\x04\x05\x06\x07"[..],
        )
        .unwrap(),
        Payload::text("0123456789 \n 0123456789"),
        Payload::binary(Bytes::from_static(
            b"\x01\x02\x03\x04\xff\xfe\xfd\xfc\xfb\xfa",
        )),
        compressed(GZIP_OF_ARRAY),
    ];
    for payload in payloads {
        let came = payload.bytes().clone();
        let message = encoded(payload, None);
        for &wire in Wire::ALL {
            let form = message.bytes(wire);
            let has_it = form.windows(came.len()).any(|part| part == came);
            assert_eq!(
                message.is_rewritten_on(wire),
                !has_it,
                "{came:?} on {wire:?}"
            );
        }
    }
}

/// The message in each form, one a line.
fn shown(payload: Payload, event: Option<&str>) -> String {
    let message = encoded(payload, event);
    let line = |form: &Wire| format!("{form:?} {}", message.bytes(*form).escape_ascii());
    Wire::ALL.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn text_in_each_form() {
    insta::assert_snapshot!(shown(Payload::text("a \"word\" and é"), None), @r#"
    RawWebSocket \x81\x0fa \"word\" and \xc3\xa9
    ValueWebSocket \x81\x13\"a \\\"word\\\" and \xc3\xa9\"
    ObjectWebSocket \x81~\x00\x80{\"cursor\":\"z-7\",\"channel\":\"news\",\"offset\":7,\"origin\":\"https://example.org\",\"timestamp\":1700000000000,\"data\":\"a \\\"word\\\" and \xc3\xa9\"}
    JsonWebSocket \x81~\x00\x8e{\"type\":\"message\",\"channel\":\"news\",\"data\":\"a \\\"word\\\" and \xc3\xa9\",\"origin\":\"https://example.org\",\"offset\":7,\"epoch\":\"z\",\"timestamp\":1700000000000}
    MessagePackWebSocket \x82n\x87\xa4type\xa7message\xa7channel\xa4news\xa4data\xafa \"word\" and \xc3\xa9\xa6origin\xb3https://example.org\xa6offset\x07\xa5epoch\xa1z\xa9timestamp\xcf\x00\x00\x01\x8b\xcf\xe5h\x00
    RawSse id: z-7\ndata: a \"word\" and \xc3\xa9\n\n
    ObjectSse id: z-7\ndata: {\"cursor\":\"z-7\",\"channel\":\"news\",\"offset\":7,\"origin\":\"https://example.org\",\"timestamp\":1700000000000,\"data\":\"a \\\"word\\\" and \xc3\xa9\"}\n\n
    JsonSse data: {\"type\":\"message\",\"channel\":\"news\",\"data\":\"a \\\"word\\\" and \xc3\xa9\",\"origin\":\"https://example.org\",\"offset\":7,\"epoch\":\"z\",\"timestamp\":1700000000000}\n\n
    RawNdjson {\"cursor\":\"z-7\",\"channel\":\"news\",\"offset\":7,\"origin\":\"https://example.org\",\"timestamp\":1700000000000,\"data\":\"a \\\"word\\\" and \xc3\xa9\"}\n
    JsonNdjson {\"type\":\"message\",\"channel\":\"news\",\"data\":\"a \\\"word\\\" and \xc3\xa9\",\"origin\":\"https://example.org\",\"offset\":7,\"epoch\":\"z\",\"timestamp\":1700000000000}\n
    MessagePackStream \x00\x00\x00n\x87\xa4type\xa7message\xa7channel\xa4news\xa4data\xafa \"word\" and \xc3\xa9\xa6origin\xb3https://example.org\xa6offset\x07\xa5epoch\xa1z\xa9timestamp\xcf\x00\x00\x01\x8b\xcf\xe5h\x00
    "#);
}

#[test]
fn text_of_several_lines_in_each_form() {
    insta::assert_snapshot!(shown(Payload::text("\n1\r\n2\r3\r\r\n"), Some("poem")), @r#"
    RawWebSocket \x81\n\n1\r\n2\r3\r\r\n
    ValueWebSocket \x81\x13\"\\n1\\r\\n2\\r3\\r\\r\\n\"
    ObjectWebSocket \x81~\x00\x8f{\"cursor\":\"z-7\",\"channel\":\"news\",\"offset\":7,\"event\":\"poem\",\"origin\":\"https://example.org\",\"timestamp\":1700000000000,\"data\":\"\\n1\\r\\n2\\r3\\r\\r\\n\"}
    JsonWebSocket \x81~\x00\x9d{\"type\":\"message\",\"channel\":\"news\",\"data\":\"\\n1\\r\\n2\\r3\\r\\r\\n\",\"event\":\"poem\",\"origin\":\"https://example.org\",\"offset\":7,\"epoch\":\"z\",\"timestamp\":1700000000000}
    MessagePackWebSocket \x82t\x88\xa4type\xa7message\xa7channel\xa4news\xa4data\xaa\n1\r\n2\r3\r\r\n\xa5event\xa4poem\xa6origin\xb3https://example.org\xa6offset\x07\xa5epoch\xa1z\xa9timestamp\xcf\x00\x00\x01\x8b\xcf\xe5h\x00
    RawSse id: z-7\nevent: poem\ndata: \ndata: 1\ndata: 2\ndata: 3\ndata: \ndata: \n\n
    ObjectSse id: z-7\ndata: {\"cursor\":\"z-7\",\"channel\":\"news\",\"offset\":7,\"event\":\"poem\",\"origin\":\"https://example.org\",\"timestamp\":1700000000000,\"data\":\"\\n1\\r\\n2\\r3\\r\\r\\n\"}\n\n
    JsonSse data: {\"type\":\"message\",\"channel\":\"news\",\"data\":\"\\n1\\r\\n2\\r3\\r\\r\\n\",\"event\":\"poem\",\"origin\":\"https://example.org\",\"offset\":7,\"epoch\":\"z\",\"timestamp\":1700000000000}\n\n
    RawNdjson {\"cursor\":\"z-7\",\"channel\":\"news\",\"offset\":7,\"event\":\"poem\",\"origin\":\"https://example.org\",\"timestamp\":1700000000000,\"data\":\"\\n1\\r\\n2\\r3\\r\\r\\n\"}\n
    JsonNdjson {\"type\":\"message\",\"channel\":\"news\",\"data\":\"\\n1\\r\\n2\\r3\\r\\r\\n\",\"event\":\"poem\",\"origin\":\"https://example.org\",\"offset\":7,\"epoch\":\"z\",\"timestamp\":1700000000000}\n
    MessagePackStream \x00\x00\x00t\x88\xa4type\xa7message\xa7channel\xa4news\xa4data\xaa\n1\r\n2\r3\r\r\n\xa5event\xa4poem\xa6origin\xb3https://example.org\xa6offset\x07\xa5epoch\xa1z\xa9timestamp\xcf\x00\x00\x01\x8b\xcf\xe5h\x00
    "#);
}

#[test]
fn bytes_in_each_form() {
    insta::assert_snapshot!(shown(Payload::binary(Bytes::from_static(b"\0\x01\xfe\xff")), None), @r#"
    RawWebSocket \x82\x04\x00\x01\xfe\xff
    ValueWebSocket \x82\x04\x00\x01\xfe\xff
    ObjectWebSocket \x81~\x00\x92{\"cursor\":\"z-7\",\"channel\":\"news\",\"offset\":7,\"origin\":\"https://example.org\",\"timestamp\":1700000000000,\"data\":{\"$type\":\"binary\",\"value\":\"AAH+/w==\"}}
    JsonWebSocket \x81~\x00\xa0{\"type\":\"message\",\"channel\":\"news\",\"data\":{\"$type\":\"binary\",\"value\":\"AAH+/w==\"},\"origin\":\"https://example.org\",\"offset\":7,\"epoch\":\"z\",\"timestamp\":1700000000000}
    MessagePackWebSocket \x82d\x87\xa4type\xa7message\xa7channel\xa4news\xa4data\xc4\x04\x00\x01\xfe\xff\xa6origin\xb3https://example.org\xa6offset\x07\xa5epoch\xa1z\xa9timestamp\xcf\x00\x00\x01\x8b\xcf\xe5h\x00
    RawSse id: z-7\ndata: {\"$type\":\"binary\",\"value\":\"AAH+/w==\"}\n\n
    ObjectSse id: z-7\ndata: {\"cursor\":\"z-7\",\"channel\":\"news\",\"offset\":7,\"origin\":\"https://example.org\",\"timestamp\":1700000000000,\"data\":{\"$type\":\"binary\",\"value\":\"AAH+/w==\"}}\n\n
    JsonSse data: {\"type\":\"message\",\"channel\":\"news\",\"data\":{\"$type\":\"binary\",\"value\":\"AAH+/w==\"},\"origin\":\"https://example.org\",\"offset\":7,\"epoch\":\"z\",\"timestamp\":1700000000000}\n\n
    RawNdjson {\"cursor\":\"z-7\",\"channel\":\"news\",\"offset\":7,\"origin\":\"https://example.org\",\"timestamp\":1700000000000,\"data\":{\"$type\":\"binary\",\"value\":\"AAH+/w==\"}}\n
    JsonNdjson {\"type\":\"message\",\"channel\":\"news\",\"data\":{\"$type\":\"binary\",\"value\":\"AAH+/w==\"},\"origin\":\"https://example.org\",\"offset\":7,\"epoch\":\"z\",\"timestamp\":1700000000000}\n
    MessagePackStream \x00\x00\x00d\x87\xa4type\xa7message\xa7channel\xa4news\xa4data\xc4\x04\x00\x01\xfe\xff\xa6origin\xb3https://example.org\xa6offset\x07\xa5epoch\xa1z\xa9timestamp\xcf\x00\x00\x01\x8b\xcf\xe5h\x00
    "#);
}

#[test]
fn json_in_each_form() {
    let payload =
        Payload::from_json("{\"at\":{\"$type\":\"Date\",\"value\":0},\n\"n\":-1.50}").unwrap();
    insta::assert_snapshot!(shown(payload, Some("tick \"tock\"")), @r#"
    RawWebSocket \x81+{\"at\":{\"$type\":\"Date\",\"value\":0},\"n\":-1.50}
    ValueWebSocket \x81+{\"at\":{\"$type\":\"Date\",\"value\":0},\"n\":-1.50}
    ObjectWebSocket \x81~\x00\xb0{\"cursor\":\"z-7\",\"channel\":\"news\",\"offset\":7,\"event\":\"tick \\\"tock\\\"\",\"origin\":\"https://example.org\",\"timestamp\":1700000000000,\"data\":{\"at\":{\"$type\":\"Date\",\"value\":0},\"n\":-1.50}}
    JsonWebSocket \x81~\x00\xbe{\"type\":\"message\",\"channel\":\"news\",\"data\":{\"at\":{\"$type\":\"Date\",\"value\":0},\"n\":-1.50},\"event\":\"tick \\\"tock\\\"\",\"origin\":\"https://example.org\",\"offset\":7,\"epoch\":\"z\",\"timestamp\":1700000000000}
    MessagePackWebSocket \x82~\x00\x82\x88\xa4type\xa7message\xa7channel\xa4news\xa4data\x82\xa2at\xd4\x02\x00\xa1n\xcb\xbf\xf8\x00\x00\x00\x00\x00\x00\xa5event\xabtick \"tock\"\xa6origin\xb3https://example.org\xa6offset\x07\xa5epoch\xa1z\xa9timestamp\xcf\x00\x00\x01\x8b\xcf\xe5h\x00
    RawSse id: z-7\nevent: tick \"tock\"\ndata: {\"at\":{\"$type\":\"Date\",\"value\":0},\"n\":-1.50}\n\n
    ObjectSse id: z-7\ndata: {\"cursor\":\"z-7\",\"channel\":\"news\",\"offset\":7,\"event\":\"tick \\\"tock\\\"\",\"origin\":\"https://example.org\",\"timestamp\":1700000000000,\"data\":{\"at\":{\"$type\":\"Date\",\"value\":0},\"n\":-1.50}}\n\n
    JsonSse data: {\"type\":\"message\",\"channel\":\"news\",\"data\":{\"at\":{\"$type\":\"Date\",\"value\":0},\"n\":-1.50},\"event\":\"tick \\\"tock\\\"\",\"origin\":\"https://example.org\",\"offset\":7,\"epoch\":\"z\",\"timestamp\":1700000000000}\n\n
    RawNdjson {\"cursor\":\"z-7\",\"channel\":\"news\",\"offset\":7,\"event\":\"tick \\\"tock\\\"\",\"origin\":\"https://example.org\",\"timestamp\":1700000000000,\"data\":{\"at\":{\"$type\":\"Date\",\"value\":0},\"n\":-1.50}}\n
    JsonNdjson {\"type\":\"message\",\"channel\":\"news\",\"data\":{\"at\":{\"$type\":\"Date\",\"value\":0},\"n\":-1.50},\"event\":\"tick \\\"tock\\\"\",\"origin\":\"https://example.org\",\"offset\":7,\"epoch\":\"z\",\"timestamp\":1700000000000}\n
    MessagePackStream \x00\x00\x00\x82\x88\xa4type\xa7message\xa7channel\xa4news\xa4data\x82\xa2at\xd4\x02\x00\xa1n\xcb\xbf\xf8\x00\x00\x00\x00\x00\x00\xa5event\xabtick \"tock\"\xa6origin\xb3https://example.org\xa6offset\x07\xa5epoch\xa1z\xa9timestamp\xcf\x00\x00\x01\x8b\xcf\xe5h\x00
    "#);
}

#[test]
fn msgpack_in_each_form() {
    let payload =
        Payload::from_msgpack(Bytes::from_static(b"\x93\xc0\xc4\x01\xff\xcc\xff")).unwrap();
    insta::assert_snapshot!(shown(payload, None), @r#"
    RawWebSocket \x81,[null,{\"$type\":\"binary\",\"value\":\"/w==\"},255]
    ValueWebSocket \x81,[null,{\"$type\":\"binary\",\"value\":\"/w==\"},255]
    ObjectWebSocket \x81~\x00\x99{\"cursor\":\"z-7\",\"channel\":\"news\",\"offset\":7,\"origin\":\"https://example.org\",\"timestamp\":1700000000000,\"data\":[null,{\"$type\":\"binary\",\"value\":\"/w==\"},255]}
    JsonWebSocket \x81~\x00\xa7{\"type\":\"message\",\"channel\":\"news\",\"data\":[null,{\"$type\":\"binary\",\"value\":\"/w==\"},255],\"origin\":\"https://example.org\",\"offset\":7,\"epoch\":\"z\",\"timestamp\":1700000000000}
    MessagePackWebSocket \x82e\x87\xa4type\xa7message\xa7channel\xa4news\xa4data\x93\xc0\xc4\x01\xff\xcc\xff\xa6origin\xb3https://example.org\xa6offset\x07\xa5epoch\xa1z\xa9timestamp\xcf\x00\x00\x01\x8b\xcf\xe5h\x00
    RawSse id: z-7\ndata: [null,{\"$type\":\"binary\",\"value\":\"/w==\"},255]\n\n
    ObjectSse id: z-7\ndata: {\"cursor\":\"z-7\",\"channel\":\"news\",\"offset\":7,\"origin\":\"https://example.org\",\"timestamp\":1700000000000,\"data\":[null,{\"$type\":\"binary\",\"value\":\"/w==\"},255]}\n\n
    JsonSse data: {\"type\":\"message\",\"channel\":\"news\",\"data\":[null,{\"$type\":\"binary\",\"value\":\"/w==\"},255],\"origin\":\"https://example.org\",\"offset\":7,\"epoch\":\"z\",\"timestamp\":1700000000000}\n\n
    RawNdjson {\"cursor\":\"z-7\",\"channel\":\"news\",\"offset\":7,\"origin\":\"https://example.org\",\"timestamp\":1700000000000,\"data\":[null,{\"$type\":\"binary\",\"value\":\"/w==\"},255]}\n
    JsonNdjson {\"type\":\"message\",\"channel\":\"news\",\"data\":[null,{\"$type\":\"binary\",\"value\":\"/w==\"},255],\"origin\":\"https://example.org\",\"offset\":7,\"epoch\":\"z\",\"timestamp\":1700000000000}\n
    MessagePackStream \x00\x00\x00e\x87\xa4type\xa7message\xa7channel\xa4news\xa4data\x93\xc0\xc4\x01\xff\xcc\xff\xa6origin\xb3https://example.org\xa6offset\x07\xa5epoch\xa1z\xa9timestamp\xcf\x00\x00\x01\x8b\xcf\xe5h\x00
    "#);
}

/// A payload that came as this gzip.
fn compressed(gzip: &[u8]) -> Payload {
    let length = u8::try_from(gzip.len()).unwrap();
    let head = [0xc7, length + 2, 31, 0xc4, length];
    let payload = Payload::from_msgpack([&head[..], gzip].concat()).unwrap();
    payload.checked_gzip(100).unwrap()
}

#[test]
fn a_compressed_message_is_the_value_in_all_forms_but_msgpack() {
    // `gzip -n` of the MessagePack of "a\nb", of the same as bin, and of ["a"].
    for (gzip, value) in [
        (GZIP_OF_TEXT, Payload::text("a\nb")),
        (GZIP_OF_BINARY, Payload::binary(Bytes::from_static(b"a\nb"))),
        (GZIP_OF_ARRAY, Payload::from_json("[\"a\"]").unwrap()),
    ] {
        let length = u8::try_from(gzip.len()).unwrap();
        let head = [0xc7, length + 2, 31, 0xc4, length];
        let came = [&head[..], gzip].concat();
        let payload = Payload::from_msgpack(came.clone()).unwrap();
        let compressed = encoded(payload.checked_gzip(100).unwrap(), None);
        let plain = encoded(value, None);
        for &form in Wire::ALL {
            if matches!(form, Wire::MessagePackWebSocket | Wire::MessagePackStream) {
                let bytes = compressed.bytes(form);
                assert!(bytes.windows(came.len()).any(|part| part == came));
            } else {
                assert_eq!(compressed.bytes(form), plain.bytes(form), "{form:?}");
            }
        }
    }
}

#[test]
fn receivers_are_shown_what_the_sender_called_it() {
    let mut message = encoded(Payload::null(), None).message;
    message.id = MessageId::parse("m-1").ok();
    let message = EncodedMessage::new(message);
    let line = |form| message.bytes(form).escape_ascii().to_string();
    let forms = [Wire::JsonNdjson, Wire::MessagePackStream, Wire::RawNdjson];
    insta::assert_snapshot!(forms.map(line).join("\n"), @r#"
    {\"type\":\"message\",\"channel\":\"news\",\"data\":null,\"message_id\":\"m-1\",\"origin\":\"https://example.org\",\"offset\":7,\"epoch\":\"z\",\"timestamp\":1700000000000}\n
    \x00\x00\x00n\x88\xa4type\xa7message\xa7channel\xa4news\xa4data\xc0\xaamessage_id\xa3m-1\xa6origin\xb3https://example.org\xa6offset\x07\xa5epoch\xa1z\xa9timestamp\xcf\x00\x00\x01\x8b\xcf\xe5h\x00
    {\"cursor\":\"z-7\",\"channel\":\"news\",\"offset\":7,\"message_id\":\"m-1\",\"origin\":\"https://example.org\",\"timestamp\":1700000000000,\"data\":null}\n
    "#);
}

#[test]
fn the_room_made_for_a_form_is_enough() {
    let json = Payload::from_json(format!("[\"{}\"]", "x".repeat(70_000))).unwrap();
    for payload in [
        json,
        Payload::text("é\n".repeat(1000)),
        Payload::binary(vec![7; 5000].into()),
    ] {
        let message = encoded(payload, Some("event"));
        let forms = message.forms();
        let room = forms.envelope_bytes() + forms.json_capacity();
        for form in [Wire::JsonWebSocket, Wire::JsonSse, Wire::RawNdjson] {
            let length = message.bytes(form).len();
            assert!(
                length <= room + 16,
                "{form:?}: {length} bytes in room for {room}"
            );
        }
        let room = forms.envelope_bytes() + forms.msgpack_capacity();
        assert!(message.bytes(Wire::MessagePackStream).len() <= room + 4);
    }
}
