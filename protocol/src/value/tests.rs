//! Both directions against each other, and against the codecs of others.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::Value as Json;

use super::{MAX_DEPTH, msgpack, types};
use crate::payload::{Payload, PayloadKind};

/// What MessagePack can hold.
#[derive(Debug, Clone)]
enum Value {
    Nil,
    Bool(bool),
    Unsigned(u64),
    Integer(i64),
    Float(f64),
    Text(String),
    Binary(Vec<u8>),
    Array(Vec<Value>),
    Map(Vec<(Value, Value)>),
    Typed(i8, Box<Value>),
    Opaque(i8, Vec<u8>),
}

impl Value {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Nil => msgpack::write_nil(out),
            Self::Bool(value) => msgpack::write_bool(out, *value),
            Self::Unsigned(number) => msgpack::write_unsigned(out, *number),
            Self::Integer(number) => msgpack::write_integer(out, *number),
            Self::Float(number) => msgpack::write_float(out, *number),
            Self::Text(text) => msgpack::write_text(out, text.as_bytes()),
            Self::Binary(bytes) => msgpack::write_binary(out, bytes),
            Self::Array(items) => {
                msgpack::write_array(out, items.len());
                for item in items {
                    item.write(out);
                }
            }
            Self::Map(entries) => {
                msgpack::write_map(out, entries.len());
                for (key, value) in entries {
                    key.write(out);
                    value.write(out);
                }
            }
            Self::Typed(code, body) => {
                let start = msgpack::begin_extension(out);
                body.write(out);
                msgpack::end_extension(out, start, *code);
            }
            Self::Opaque(code, body) => msgpack::write_extension(out, *code, body),
        }
    }

    fn to_bytes(&self) -> Bytes {
        let mut out = Vec::new();
        self.write(&mut out);
        out.into()
    }
}

fn float() -> impl Strategy<Value = f64> {
    let special = [
        0.0,
        -0.0,
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::MIN_POSITIVE,
        f64::MAX,
        1e300,
        5e-324,
    ];
    prop_oneof![
        prop::sample::select(special.to_vec()),
        any::<f64>().prop_filter("one NaN is enough", |number| !number.is_nan()),
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        Just("$type".to_owned()),
        Just("value".to_owned()),
        "[\\x00-\\x20\"\\\\/\u{2028}\u{1f600}]{0,8}",
        "x{30,40}",
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Nil),
        any::<bool>().prop_map(Value::Bool),
        any::<u64>().prop_map(Value::Unsigned),
        any::<i64>().prop_map(Value::Integer),
        (-200..200_i64).prop_map(Value::Integer),
        float().prop_map(Value::Float),
        text().prop_map(Value::Text),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Value::Binary),
        (31_i8.., prop::collection::vec(any::<u8>(), 0..20))
            .prop_map(|(code, body)| Value::Opaque(code, body)),
        // A known type whose body is no value.
        (1..=30_i8).prop_map(|code| Value::Opaque(code, vec![0xC1])),
    ];
    leaf.prop_recursive(6, 100, 8, |inner| {
        let key = prop_oneof![4 => text().prop_map(Value::Text), 1 => inner.clone()];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..20).prop_map(Value::Array),
            prop::collection::vec((key, inner.clone()), 0..20).prop_map(Value::Map),
            (1..=30_i8, inner).prop_map(|(code, body)| Value::Typed(code, Box::new(body))),
        ]
    })
}

/// JSON whose objects often look tagged.
fn json() -> impl Strategy<Value = Json> {
    let name = types::EXTENSION_TYPES.iter().map(|known| known.name);
    let name = name.chain([
        "binary", "number", "map", "object", "ext", "NaN", "AAE=", "AAE",
    ]);
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        (-3..100_i64).prop_map(Json::from),
        float().prop_map(Json::from),
        text().prop_map(Json::from),
        prop::sample::select(name.collect::<Vec<_>>()).prop_map(Json::from),
    ];
    leaf.prop_recursive(6, 100, 6, |inner| {
        let key = prop_oneof![text(), Just("code".to_owned())];
        let pair = (inner.clone(), inner.clone()).prop_map(|(a, b)| Json::from(vec![a, b]));
        let name = inner
            .clone()
            .prop_filter("names are strings", Json::is_string);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Json::from),
            prop::collection::vec(pair, 0..3).prop_map(Json::from),
            prop::collection::vec((key, inner.clone()), 0..6)
                .prop_map(|fields| fields.into_iter().collect()),
            (name, inner)
                .prop_map(|(name, value)| serde_json::json!({"$type": name, "value": value})),
        ]
    })
}

/// What `serde_json` reads, whose floats may be off in the last bit: it has to read both sides of a comparison.
fn reread(text: &[u8]) -> Json {
    serde_json::from_slice(text).unwrap()
}

fn has_tag(json: &Json) -> bool {
    match json {
        Json::Array(items) => items.iter().any(has_tag),
        Json::Object(fields) => fields.contains_key("$type") || fields.values().any(has_tag),
        _ => false,
    }
}

/// Values that grow as much as they can.
#[test]
fn no_form_is_larger_than_the_most_growth_says() {
    let typed = |body: &[u8]| {
        let head = match body.len() {
            1 => &[0xd4, 29][..],
            2 => &[0xd5, 29],
            4 => &[0xd6, 29],
            8 => &[0xd7, 29],
            16 => &[0xd8, 29],
            _ => unreachable!("no extension of a fixed length"),
        };
        [head, body].concat()
    };
    let chain = typed(&typed(&[0xc4, 0]));
    let of_eight = typed(&[&[0x81][..], &typed(&[0xc4, 0]), &typed(&[0xc2])].concat());
    let mut maps = vec![0xc2];
    for _ in 0..40 {
        maps = [&[0x81, 0xc2][..], &maps].concat();
    }
    for part in [
        &b"\xd4\x80\0"[..],
        b"\xc4\0",
        b"\xc2",
        &chain,
        &of_eight,
        &maps,
    ] {
        let count = u16::try_from(60_000 / part.len()).unwrap();
        let array = [
            &[0xdc],
            &count.to_be_bytes()[..],
            &part.repeat(count.into()),
        ]
        .concat();
        let size = array.len();
        let payload = Payload::from_msgpack(array).unwrap();
        let json = payload.to_json().len();
        assert_eq!(payload.largest_form_bytes(), json);
        assert!(
            json > 5 * size && json < Payload::MOST_GROWTH * size,
            "{json} of {size}"
        );
    }
}

proptest! {
    #[test]
    fn msgpack_comes_back_from_json_as_it_was(value in value()) {
        let bytes = value.to_bytes();
        let payload = Payload::from_msgpack(bytes.clone()).unwrap();
        let json = payload.to_json();
        prop_assert!(serde_json::from_slice::<Json>(&json).is_ok());
        let back = Payload::from_json(json.clone()).unwrap().to_msgpack();
        prop_assert_eq!(&back, &bytes, "by way of {}", String::from_utf8_lossy(&json));
    }

    #[test]
    fn the_length_of_a_form_is_known_before_it_is_made(value in value(), json in json()) {
        let packed = Payload::from_msgpack(value.to_bytes()).unwrap();
        let largest = packed.to_json().len().max(packed.to_msgpack().len());
        if packed.kind() == PayloadKind::MessagePack {
            prop_assert_eq!(packed.largest_form_bytes(), largest);
        }
        let shown = Payload::from_json(json.to_string()).unwrap();
        for payload in [packed, shown] {
            let largest = payload.largest_form_bytes();
            prop_assert!(payload.to_json().len() <= largest);
            prop_assert!(payload.to_msgpack().len() <= largest + 5);
            prop_assert!(largest <= Payload::MOST_GROWTH * payload.size_bytes() + 40);
        }
    }

    #[test]
    fn json_comes_back_from_msgpack_as_it_was(json in json()) {
        let text = json.to_string();
        let msgpack = Payload::from_json(text.clone()).unwrap().to_msgpack();
        let payload = Payload::from_msgpack(msgpack.clone()).unwrap();
        let back = payload.to_json();
        if !has_tag(&json) {
            prop_assert_eq!(reread(&back), reread(text.as_bytes()));
            prop_assert_eq!(rmp_serde::from_slice::<Json>(&msgpack).unwrap(), json.clone());
        }
        // What was only tagged in appearance is now marked as not tagged: it means the same.
        prop_assert_eq!(Payload::from_json(back).unwrap().to_msgpack(), msgpack);
    }

    #[test]
    fn values_that_rmp_serde_writes_are_read(json in json()) {
        let payload = Payload::from_msgpack(rmp_serde::to_vec(&json).unwrap()).unwrap();
        if !has_tag(&json) {
            prop_assert_eq!(reread(&payload.to_json()), reread(json.to_string().as_bytes()));
        }
    }

    #[test]
    fn json_is_what_serde_json_takes_for_it(text in r#"([\[\]{}:,"]|"[a\\u/]{0,3}"|[-+.eE0-9]{1,4}|true|null|\\u[dD][8cC]00|[ \n\t\u{0}é]){0,12}"#) {
        let theirs = serde_json::from_str::<Json>(&text);
        let ours = Payload::from_json(text.clone());
        prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{:?} {:?} {:?}", text, ours, theirs);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
        let payloads = [Payload::from_json(bytes.clone()), Payload::from_msgpack(bytes)];
        for payload in payloads.into_iter().flatten() {
            let _ = payload.to_json();
            let _ = payload.to_msgpack();
        }
    }
}

fn to_json(msgpack: &[u8]) -> String {
    let payload = Payload::from_msgpack(msgpack.to_vec()).unwrap();
    String::from_utf8(payload.to_json().to_vec()).unwrap()
}

/// The text of the error for a JSON text.
fn json_error(text: impl Into<Bytes>) -> String {
    Payload::from_json(text).unwrap_err().to_string()
}

#[test]
fn each_type_has_its_tag() {
    let tag = |known: &types::ExtensionType| {
        let mut bytes = Vec::new();
        msgpack::write_extension(&mut bytes, known.code, &[0xC0]);
        let json = to_json(&bytes);
        assert_eq!(
            Payload::from_json(json.clone()).unwrap().to_msgpack(),
            bytes
        );
        format!("{} {json}", known.code)
    };
    let lines: Vec<_> = types::EXTENSION_TYPES.iter().map(tag).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    1 {"$type":"undefined","value":null}
    2 {"$type":"Date","value":null}
    3 {"$type":"BigInt","value":null}
    4 {"$type":"RegExp","value":null}
    5 {"$type":"Map","value":null}
    6 {"$type":"Set","value":null}
    7 {"$type":"Error","value":null}
    8 {"$type":"Boolean","value":null}
    9 {"$type":"Number","value":null}
    10 {"$type":"String","value":null}
    11 {"$type":"BigIntObject","value":null}
    12 {"$type":"SparseArray","value":null}
    13 {"$type":"Graph","value":null}
    14 {"$type":"Reference","value":null}
    15 {"$type":"ArrayBuffer","value":null}
    16 {"$type":"TypedArray","value":null}
    17 {"$type":"DataView","value":null}
    18 {"$type":"Blob","value":null}
    19 {"$type":"File","value":null}
    20 {"$type":"FileList","value":null}
    21 {"$type":"ImageData","value":null}
    22 {"$type":"ImageBitmap","value":null}
    23 {"$type":"DOMPoint","value":null}
    24 {"$type":"DOMPointReadOnly","value":null}
    25 {"$type":"DOMRect","value":null}
    26 {"$type":"DOMRectReadOnly","value":null}
    27 {"$type":"DOMQuad","value":null}
    28 {"$type":"DOMMatrix","value":null}
    29 {"$type":"DOMMatrixReadOnly","value":null}
    30 {"$type":"Utf16String","value":null}
    "#);
}

#[test]
fn an_object_that_only_looks_tagged_is_an_object() {
    for plain in [
        r#"{"$type":"Date"}"#,
        r#"{"$type":"Unheard","value":1}"#,
        r#"{"$type":"Date","value":1,"more":2}"#,
        r#"{"value":1,"$type":"Date"}"#,
        r#"{"$type":1,"value":1}"#,
        r#"{"$type":"binary","value":"AAE"}"#,
        r#"{"$type":"binary","value":1}"#,
        r#"{"$type":"number","value":"1"}"#,
        r#"{"$type":"map","value":[[1]]}"#,
        r#"{"$type":"map","value":{}}"#,
        r#"{"$type":"object","value":[]}"#,
        r#"{"$type":"ext","code":500,"value":""}"#,
        r#"{"$type":"ext","value":""}"#,
    ] {
        let msgpack = Payload::from_json(plain).unwrap().to_msgpack();
        assert_eq!(
            rmp_serde::from_slice::<Json>(&msgpack).unwrap(),
            serde_json::from_str::<Json>(plain).unwrap()
        );
        assert_eq!(
            to_json(&msgpack),
            format!(r#"{{"$type":"object","value":{plain}}}"#)
        );
    }
}

#[test]
fn tags_inside_of_a_literal_object_are_tags_again() {
    let json =
        r#"{"$type":"object","value":{"$type":"object","value":{"$type":"Date","value":1}}}"#;
    let msgpack = Payload::from_json(json).unwrap().to_msgpack();
    assert_eq!(
        msgpack.escape_ascii().to_string(),
        r"\x82\xa5$type\xa6object\xa5value\xd4\x02\x01"
    );
    assert_eq!(to_json(&msgpack), json);
}

#[test]
fn a_key_may_be_written_with_escapes() {
    let payload = Payload::from_json(r#"[{"\u0024type":"D\u0061te","valu\u0065":1}]"#).unwrap();
    assert_eq!(payload.to_msgpack(), &b"\x91\xd4\x02\x01"[..]);
}

#[test]
fn numbers_keep_their_kind_and_sign() {
    for (json, msgpack, back) in [
        ("[-0]", &b"\x91\xcb\x80\0\0\0\0\0\0\0"[..], "[-0.0]"),
        ("[0]", b"\x91\0", "[0]"),
        ("[1.0]", b"\x91\xcb\x3f\xf0\0\0\0\0\0\0", "[1.0]"),
        ("[1e2]", b"\x91\xcb\x40\x59\0\0\0\0\0\0", "[100.0]"),
        (
            "[18446744073709551615]",
            b"\x91\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
            "[18446744073709551615]",
        ),
        (
            "[18446744073709551616]",
            b"\x91\xcb\x43\xf0\0\0\0\0\0\0",
            "[1.8446744073709552e19]",
        ),
        (
            "[-9223372036854775808]",
            b"\x91\xd3\x80\0\0\0\0\0\0\0",
            "[-9223372036854775808]",
        ),
        (
            "[-9223372036854775809]",
            b"\x91\xcb\xc3\xe0\0\0\0\0\0\0",
            "[-9.223372036854776e18]",
        ),
        ("[1e-999]", b"\x91\xcb\0\0\0\0\0\0\0\0", "[0.0]"),
    ] {
        let payload = Payload::from_json(json).unwrap();
        assert_eq!(
            payload.to_msgpack().escape_ascii().to_string(),
            msgpack.escape_ascii().to_string(),
            "{json}"
        );
        assert_eq!(to_json(msgpack), back);
    }
    let digits = "9".repeat(1000);
    assert_eq!(
        json_error(digits),
        "the number at byte 0 is too large for a 64-bit float"
    );
    assert_eq!(
        json_error("[1,-1e309]"),
        "the number at byte 3 is too large for a 64-bit float"
    );
    // A float of 32 bits has the same value in 64.
    assert_eq!(to_json(b"\xca\x3d\xcc\xcc\xcd"), "0.10000000149011612");
}

#[test]
fn duplicate_keys_are_kept() {
    let payload = Payload::from_json(r#"{"a":1,"a":2}"#).unwrap();
    assert_eq!(payload.to_msgpack(), &b"\x82\xa1a\x01\xa1a\x02"[..]);
    assert_eq!(to_json(b"\x82\xa1a\x01\xa1a\x02"), r#"{"a":1,"a":2}"#);
}

#[test]
fn half_a_surrogate_pair_is_refused() {
    for bad in [
        r#""\ud83d""#,
        r#""\ud83dx""#,
        r#""\ud83d\n""#,
        r#""\ud83d\u0041""#,
        r#""\ude00""#,
    ] {
        assert!(json_error(bad).contains("Utf16String"), "{bad}");
    }
    assert_eq!(
        Payload::from_json(r#""\ud83d\ude00""#),
        Ok(Payload::text("😀"))
    );
}

#[test]
fn errors_say_what_was_expected_and_where() {
    let lines = [
        "",
        " ",
        "nul",
        "[1,]",
        "[1 2]",
        "{\"a\" 1}",
        "{a:1}",
        "{\"a\":1,}",
        "01",
        "1.",
        "-",
        "\"\t\"",
        "\"a",
        "\"\\x\"",
        "\"\\u12g4\"",
        "1 2",
        "\u{feff}1",
    ]
    .map(|text| format!("{text:?} {}", json_error(text)));
    insta::assert_snapshot!(lines.join("\n"), @r#"
    "" not JSON: expected a value at byte 0
    " " not JSON: expected a value at byte 1
    "nul" not JSON: expected a value at byte 0
    "[1,]" not JSON: expected a value at byte 3
    "[1 2]" not JSON: expected `,` or `]` at byte 3
    "{\"a\" 1}" not JSON: expected `:` at byte 5
    "{a:1}" not JSON: expected a field name in quotes at byte 1
    "{\"a\":1,}" not JSON: expected a field name in quotes at byte 7
    "01" not JSON: expected the end at byte 1
    "1." not JSON: expected a digit at byte 2
    "-" not JSON: expected a digit at byte 1
    "\"\t\"" not JSON: expected an escape for a control character at byte 1
    "\"a" not JSON: expected the closing quote of a string at byte 2
    "\"\\x\"" not JSON: expected one of "\/bfnrtu after a backslash at byte 2
    "\"\\u12g4\"" not JSON: expected four hexadecimal digits after \u at byte 2
    "1 2" not JSON: expected the end at byte 2
    "\u{feff}1" not JSON: expected a value at byte 0
    "#);
    let lines = [
        &b""[..],
        b"\xc1",
        b"\xa3ab",
        b"\xd9",
        b"\x92\x01",
        b"\x81\x01",
        b"\x01\x02",
        b"\xc4\x05a",
        b"\xc7\x05",
        b"\xa2\xc3\x28",
        b"\xdd\xff\xff\xff\xff\x01",
        b"\xdf\xff\xff\xff\xff\x01",
        b"\xc6\xff\xff\xff\xff\x01",
    ]
    .map(|bytes| {
        let error = Payload::from_msgpack(Bytes::from_static(bytes)).unwrap_err();
        format!("{} {}: {error}", bytes.escape_ascii(), error.code())
    });
    insta::assert_snapshot!(lines.join("\n"), @r"
     bad_msgpack: not MessagePack: expected more bytes at byte 0
    \xc1 bad_msgpack: not MessagePack: expected a value, not the reserved byte 0xC1 at byte 0
    \xa3ab bad_msgpack: not MessagePack: expected more bytes at byte 1
    \xd9 bad_msgpack: not MessagePack: expected more bytes at byte 1
    \x92\x01 bad_msgpack: not MessagePack: expected as many elements as the array's header says at byte 1
    \x81\x01 bad_msgpack: not MessagePack: expected as many entries as the map's header says at byte 1
    \x01\x02 bad_msgpack: not MessagePack: expected the end at byte 1
    \xc4\x05a bad_msgpack: not MessagePack: expected more bytes at byte 2
    \xc7\x05 bad_msgpack: not MessagePack: expected more bytes at byte 2
    \xa2\xc3( bad_utf8: text is not UTF-8 at byte 1
    \xdd\xff\xff\xff\xff\x01 bad_msgpack: not MessagePack: expected as many elements as the array's header says at byte 5
    \xdf\xff\xff\xff\xff\x01 bad_msgpack: not MessagePack: expected as many entries as the map's header says at byte 5
    \xc6\xff\xff\xff\xff\x01 bad_msgpack: not MessagePack: expected more bytes at byte 5
    ");
}

/// Contents inside of `depth` layers.
fn nested(before: &[u8], depth: usize, contents: &[u8], after: &[u8]) -> Bytes {
    [before.repeat(depth), contents.to_vec(), after.repeat(depth)]
        .concat()
        .into()
}

#[test]
fn values_may_be_128_deep() {
    for (before, after) in [
        ("[", "]"),
        ("{\"a\":", "}"),
        ("{\"$type\":\"Set\",\"value\":", "}"),
        ("{\"$type\":\"x\",\"value\":", "}"),
    ] {
        let deep =
            |depth| Payload::from_json(nested(before.as_bytes(), depth, b"null", after.as_bytes()));
        let _ = deep(MAX_DEPTH).unwrap().to_msgpack();
        assert_eq!(
            deep(MAX_DEPTH + 1).unwrap_err().to_string(),
            "values are nested more than 128 deep"
        );
        assert!(deep(200_000).is_err());
    }
    // A layer is as deep as its JSON.
    for (before, after, layers) in [
        (&b"\x91"[..], &b""[..], 128),
        (b"\x81\xa1a", b"", 128),
        (b"\x81\xa5$type", b"", 64),
        (b"\x81\xc0", b"", 42),
        (b"\x81", b"\xc0", 42),
    ] {
        let deep = |depth| Payload::from_msgpack(nested(before, depth, b"\xc0", after));
        let json = deep(layers).unwrap().to_json();
        assert!(Payload::from_json(json).is_ok());
        assert_eq!(
            deep(layers + 1).unwrap_err().to_string(),
            "values are nested more than 128 deep"
        );
        assert!(deep(200_000).is_err());
    }
}

#[test]
fn extensions_may_be_128_deep() {
    let deep = |depth| {
        let mut body = vec![0xC0];
        for _ in 0..depth {
            let mut outer = Vec::new();
            msgpack::write_extension(&mut outer, 6, &body);
            body = outer;
        }
        Payload::from_msgpack(body)
    };
    let json = deep(MAX_DEPTH).unwrap().to_json();
    assert!(Payload::from_json(json).is_ok());
    assert!(deep(MAX_DEPTH + 1).is_err());
    assert!(deep(2000).is_err());
}
