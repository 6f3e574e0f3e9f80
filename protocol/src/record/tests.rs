use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::*;
use crate::message::{Epoch, Offset};

const POSITION: Position = Position {
    epoch: Epoch(7),
    offset: Offset(9),
};

fn channel() -> ChannelName {
    ChannelName::parse("news").unwrap()
}

fn message(payload: Payload) -> Message {
    Message {
        channel: channel(),
        payload,
        event: None,
        id: None,
        origin: Origin::unknown(),
        offset: POSITION.offset,
        epoch: POSITION.epoch,
        timestamp_ms: 0,
        sender: None,
    }
}

fn compressed(payload: &Payload) -> Payload {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(&payload.to_msgpack()).unwrap();
    let mut out = Vec::new();
    crate::gzip::write_extension(&mut out, &gzip.finish().unwrap());
    let came = Payload::from_msgpack(out).unwrap();
    came.checked_gzip(usize::MAX).unwrap()
}

fn payloads() -> impl Strategy<Value = Payload> {
    let plain = prop_oneof![
        any::<String>().prop_map(Payload::text),
        any::<Vec<u8>>().prop_map(|bytes| Payload::binary(bytes.into())),
        any::<Vec<u8>>().prop_map(|bytes| Payload::binary_of_type(bytes.into(), "image/png")),
        any::<Vec<i64>>().prop_map(|numbers| {
            let json = format!("{{ \"a\" : {numbers:?} }}");
            Payload::from_json(json).unwrap()
        }),
        any::<Vec<i64>>().prop_map(|numbers| {
            let json = Payload::from_json(format!("{numbers:?}")).unwrap();
            Payload::from_msgpack(json.to_msgpack()).unwrap()
        }),
        Just(Payload::null()),
    ];
    (plain, any::<bool>()).prop_map(|(payload, is_compressed)| {
        if is_compressed {
            compressed(&payload)
        } else {
            payload
        }
    })
}

prop_compose! {
    fn messages()(
        payload in payloads(),
        event in prop::option::of("[a-z é]{1,60}"),
        id in prop::option::of("[!-~]{1,64}"),
        origin in "(https://[a-z.]{1,30})?",
        sender in prop::option::of("[!-~]{16,64}"),
        timestamp_ms: u64,
    ) -> Message {
        Message {
            event: event.map(|text| EventName::parse(&text).unwrap()),
            id: id.map(|text| MessageId::parse(&text).unwrap()),
            origin: Origin::verified(&origin),
            sender: sender.map(|text| SenderKey::parse(&text).unwrap()),
            timestamp_ms,
            ..message(payload)
        }
    }
}

fn keys() -> impl Strategy<Value = Option<IdempotencyKey>> {
    prop::option::of("[!-~]{1,255}")
        .prop_map(|key| key.map(|key| IdempotencyKey::parse(&key).unwrap()))
}

fn read(record: &[u8]) -> Result<(Message, Option<IdempotencyKey>), RecordError> {
    decode(record, channel(), POSITION)
}

fn refusal(record: &[u8]) -> String {
    read(record).unwrap_err().to_string()
}

proptest! {
    #[test]
    fn what_is_written_is_read(message in messages(), key in keys()) {
        let record = encode(&message, key.as_ref());
        prop_assert_eq!(timestamp_ms(&record), Ok(message.timestamp_ms));
        prop_assert_eq!(read(&record), Ok((message, key)));
    }

    #[test]
    fn data_alone_is_read_as_it_was_written(payload in payloads(), cut: prop::sample::Index) {
        let record = encode_data(&payload);
        prop_assert!(decode_data(&record[..cut.index(record.len())]).is_err());
        prop_assert_eq!(decode_data(&record), Ok(payload));
    }

    #[test]
    fn a_part_of_a_record_is_refused(message in messages(), cut: prop::sample::Index) {
        let record = encode(&message, None);
        prop_assert!(read(&record[..cut.index(record.len())]).is_err());
    }

    #[test]
    fn a_damaged_record_is_refused_or_a_message_that_can_be_sent(
        message in messages(),
        at: prop::sample::Index,
        byte: u8,
    ) {
        let mut record = encode(&message, None);
        let at = at.index(record.len());
        record[at] = byte;
        if let Ok((message, _)) = read(&record) {
            message.payload.to_json();
            message.payload.to_msgpack();
        }
    }

    #[test]
    fn what_a_later_release_adds_is_passed_over(message in messages(), added: Vec<u8>) {
        let mut record = encode(&message, None);
        // An array of eleven elements instead of nine.
        record[1] += 2;
        msgpack::write_array(&mut record, 1);
        msgpack::write_nil(&mut record);
        msgpack::write_binary(&mut record, &added);
        prop_assert_eq!(read(&record), Ok((message, None)));
    }
}

#[test]
fn the_bytes_of_a_record_stay_as_they_are() {
    // A store of an earlier release has these.
    let stored = b"\x01\x99\x05\x00\xc4\x02hi\xc0\xa1e\xa2id\xa1o\xb00123456789abcdef\xa1k";
    let expected = Message {
        event: Some(EventName::parse("e").unwrap()),
        id: Some(MessageId::parse("id").unwrap()),
        origin: Origin::verified("o"),
        sender: Some(SenderKey::parse("0123456789abcdef").unwrap()),
        timestamp_ms: 5,
        ..message(Payload::text("hi"))
    };
    let key = IdempotencyKey::parse("k").unwrap();
    assert_eq!(encode(&expected, Some(&key)), stored);
    assert_eq!(read(stored), Ok((expected, Some(key))));
}

#[test]
fn an_error_says_what_was_expected() {
    insta::assert_snapshot!(refusal(b""), @"expected a record, found no bytes");
    insta::assert_snapshot!(refusal(b"\x02\x90"), @"expected a record of version 1, found version 2");
    insta::assert_snapshot!(refusal(b"\x01"), @"expected a record of MessagePack values: not MessagePack: expected more bytes at byte 0");
    insta::assert_snapshot!(refusal(b"\x01\x98\0\0\0\0\0\0\0\0"), @"expected an array of as many elements as are known, or more in a record");
    insta::assert_snapshot!(refusal(b"\x01\x99\xc0\0\0\0\0\0\0\0\0"), @"expected a timestamp in a record");
    insta::assert_snapshot!(refusal(b"\x01\x99\0\x05\xc4\0\xc0\xc0\xc0\xc0\xc0\xc0"), @"expected the kind of a message's data in a record");
    insta::assert_snapshot!(refusal(b"\x01\x99\0\0\xc4\x01\xff\xc0\xc0\xc0\xc0\xc0\xc0"), @"expected the data of a message in a record: text is not UTF-8 at byte 0");
    insta::assert_snapshot!(refusal(b"\x01\x99\0\x02\xc4\x02\"\"\xc0\xc0\xc0\xc0\xc0\xc0"), @"expected data of the kind that is stated in a record");
    insta::assert_snapshot!(refusal(b"\x01\x99\0\x04\xc4\0\xc0\xc0\xc0\xc0\xc0\xc0"), @"expected the data of a message in a record: the compressed message ends before its gzip does");
    insta::assert_snapshot!(refusal(b"\x01\x99\0\0\xc4\0\xa1a\xc0\xc0\xc0\xc0\xc0"), @"expected data of the kind that is stated in a record");
    insta::assert_snapshot!(refusal(b"\x01\x99\0\0\xc4\0\xc0\xa1\n\xc0\xc0\xc0\xc0"), @"expected names and keys as they are published: event name has the forbidden character U+000A at byte 0");
    insta::assert_snapshot!(refusal(b"\x01\x99\0\0\xc4\0\xc0\xc0\xc0\xc0\xc0\xc0\xc0"), @"expected a record of MessagePack values: not MessagePack: expected the end at byte 11");
}
