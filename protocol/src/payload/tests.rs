use super::*;

fn json(text: &'static str) -> Payload {
    Payload::from_json(text).unwrap()
}

#[test]
fn a_string_and_bytes_are_the_same_in_both_codecs() {
    let text = Payload::text("a\n\"é\u{1f600}");
    assert_eq!(json(r#" "a\n\"\u00e9\ud83d\ude00" "#), text);
    assert_eq!(Payload::from_json(text.to_json()), Ok(text.clone()));
    assert_eq!(Payload::from_msgpack(text.to_msgpack()), Ok(text));
    let binary = Payload::binary(Bytes::from_static(b"\0\xff"));
    assert_eq!(json(r#"{ "$type" : "binary", "value":"AP8=" }"#), binary);
    assert_eq!(Payload::from_json(binary.to_json()), Ok(binary.clone()));
    assert_eq!(Payload::from_msgpack(binary.to_msgpack()), Ok(binary));
}

#[test]
fn json_is_kept_as_it_was_written_less_its_line_breaks() {
    let payload = json("{\r\n  \"a\\n\": [1,\n 2.0]\r}\n");
    assert_eq!(payload.to_json(), r#"{  "a\n": [1, 2.0]}"#);
    assert_eq!(
        payload.to_msgpack(),
        &b"\x81\xa2a\n\x92\x01\xcb\x40\0\0\0\0\0\0\0"[..]
    );
    let back = Payload::from_msgpack(payload.to_msgpack()).unwrap();
    assert_eq!(back.to_json(), r#"{"a\n":[1,2.0]}"#);
}

#[test]
fn types_that_json_lacks_are_tagged_objects() {
    for (text, msgpack) in [
        (
            r#"[{"$type":"Date","value":0.5}]"#,
            &b"\x91\xc7\x09\x02\xcb\x3f\xe0\0\0\0\0\0\0"[..],
        ),
        (r#"{"$type":"undefined","value":null}"#, b"\xd4\x01\xc0"),
        (
            r#"{"$type":"map","value":[[1,2],["a",{}]]}"#,
            b"\x82\x01\x02\xa1a\x80",
        ),
        (
            r#"{"$type":"object","value":{"$type":1}}"#,
            b"\x81\xa5$type\x01",
        ),
        (
            r#"{"$type":"ext","code":99,"value":"AAE="}"#,
            b"\xd5\x63\0\x01",
        ),
        (
            r#"{"$type":"number","value":"-Infinity"}"#,
            b"\xcb\xff\xf0\0\0\0\0\0\0",
        ),
        (r"[-0.0,-1]", b"\x92\xcb\x80\0\0\0\0\0\0\0\xff"),
    ] {
        assert_eq!(json(text).to_msgpack(), msgpack, "{text}");
        let payload = Payload::from_msgpack(Bytes::from_static(msgpack)).unwrap();
        assert_eq!(payload.to_json(), text);
    }
}

#[test]
fn a_value_is_a_file_of_its_type() {
    let shown = |payload: &Payload| {
        let Document { media_type, bytes } = payload.to_document();
        format!("{media_type} {}", bytes.escape_ascii())
    };
    let png = Payload::binary_of_type(Bytes::from_static(b"\x89"), "image/png");
    assert_eq!(shown(&png), r"image/png \x89");
    assert_eq!(shown(&png.detached()), r"image/png \x89");
    let bytes = Bytes::from_static(b"\0");
    let unknown = r"application/octet-stream \x00";
    assert_eq!(shown(&Payload::binary(bytes.clone())), unknown);
    for bad in ["", "png", "a/b\r\nx: y", "a/\u{e9}", &"a/b".repeat(100)] {
        assert_eq!(shown(&Payload::binary_of_type(bytes.clone(), bad)), unknown);
    }
    assert_eq!(shown(&Payload::text("a")), "text/plain; charset=utf-8 a");
    assert_eq!(
        shown(&json("{\"a\":[1]}")),
        r#"application/json {\"a\":[1]}"#
    );
    assert_eq!(shown(&json("null")), "application/json null");
    let blob =
        r#"{"$type":"Blob","value":{"type":"text/css","bytes":{"$type":"binary","value":"AP8="}}}"#;
    assert_eq!(shown(&json(blob)), r"text/css \x00\xff");
    let packed = Payload::from_msgpack(json(blob).to_msgpack()).unwrap();
    assert_eq!(shown(&packed), r"text/css \x00\xff");
    let untyped = r#"{"$type":"File","value":{"name":"f","type":"","last_modified":null,"bytes":{"$type":"binary","value":""}}}"#;
    assert_eq!(shown(&json(untyped)), "application/octet-stream ");
    let no_bytes = r#"{"$type":"Blob","value":{"type":"text/css","bytes":1}}"#;
    assert!(shown(&json(no_bytes)).starts_with("application/json {"));
}

#[test]
fn a_detached_payload_lets_go_of_the_buffer_it_was_cut_from() {
    let buffer = Bytes::from(vec![7; 1000]);
    let payload = Payload::binary(buffer.slice(..1));
    let detached = payload.detached();
    assert_eq!(detached, payload);
    drop(payload);
    assert!(buffer.is_unique());
}
