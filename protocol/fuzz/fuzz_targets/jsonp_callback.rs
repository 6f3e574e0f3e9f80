//! Callbacks of JSONP: a script is the name, a bracket, JSON, a bracket, whatever the name is.
//! The first line of the input is the name, the rest is the JSON.

#![no_main]

use libfuzzer_sys::fuzz_target;
use widecast_protocol::Payload;
use widecast_protocol::framing::jsonp::Callback;

fuzz_target!(|input: &str| {
    let (name, json) = input.split_once('\n').unwrap_or((input, "null"));
    let (Ok(callback), Ok(payload)) = (Callback::parse(name), Payload::from_json(json.to_owned()))
    else {
        return;
    };
    assert!(
        name.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._$".contains(&byte))
    );
    let json = payload.to_json();
    let script = callback.call(&json);
    let script = std::str::from_utf8(&script).expect("a script is text");
    assert!(!script.contains(['\u{2028}', '\u{2029}', '\n', '\r']));
    let start = format!("/**/{name}(");
    let inside = script
        .strip_prefix(&start)
        .and_then(|rest| rest.strip_suffix(");"));
    let inside = inside.expect("the JSON stands in brackets").to_owned();
    let quoted = inside
        .strip_prefix("JSON.parse(")
        .and_then(|rest| rest.strip_suffix(')'));
    // A script and JSON have the same escapes in strings.
    let inside = match quoted {
        Some(text) => serde_json::from_str(text).expect("the JSON stands in a string"),
        None => inside,
    };
    let same = Payload::from_json(inside).expect("the JSON is JSON still");
    assert_eq!(same.to_msgpack(), payload.to_msgpack());
});
