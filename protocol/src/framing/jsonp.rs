//! JSONP: JSON as a script that calls a function, for pages that can load nothing but scripts.
//!
//! The answer has to be sent as `text/javascript` with `X-Content-Type-Options: nosniff`. It begins with an empty comment, so
//! that a browser plug-in cannot take the first bytes, which the caller chooses, for a file of its own kind.
//!
//! JSON is nearly a script. What is not the same is the key `__proto__`: in a script it sets the prototype, and twice it is
//! a syntax error, so that one message would keep a client from all others. JSON in which it may stand is parsed as JSON.

use bytes::Bytes;
use thiserror::Error;

use crate::codec::notation::{Json, Object};
use crate::codes::Code;

/// The name of a function is not one that a script may be made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "expected the name of a callback: identifiers of ASCII letters, digits, `_` and `$`, joined by `.`, at most {} characters",
    Callback::MAX_LENGTH
)]
pub struct CallbackError;

/// The name of the function to call: identifiers joined by `.`, so that nothing but a call can be written with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callback(String);

impl Callback {
    /// The greatest length in characters.
    pub const MAX_LENGTH: usize = 128;

    /// Checks and takes the name of a callback.
    ///
    /// # Errors
    /// When it is anything but identifiers joined by `.`, or too long.
    pub fn parse(text: &str) -> Result<Self, CallbackError> {
        if text.len() <= Self::MAX_LENGTH && text.split('.').all(is_identifier) {
            Ok(Self(text.to_owned()))
        } else {
            Err(CallbackError)
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The script that calls the function with the value of a JSON text.
    pub fn call(&self, json: &[u8]) -> Bytes {
        let mut out = Vec::with_capacity(self.0.len() + json.len() + 8);
        out.extend_from_slice(b"/**/");
        out.extend_from_slice(self.0.as_bytes());
        out.push(b'(');
        if may_set_prototype(json) {
            out.extend_from_slice(b"JSON.parse(\"");
            write_script_safe(&mut out, &quoted(json));
            out.extend_from_slice(b"\")");
        } else {
            write_script_safe(&mut out, json);
        }
        out.extend_from_slice(b");");
        out.into()
    }
}

/// The JSON with which the function is called when there is no answer: a page sees neither the status of a script nor its
/// headers, so that the time to wait before the next request stands there, too.
pub fn refusal(code: Code, message: &str, retry_after_ms: Option<u64>) -> Bytes {
    let mut json = Vec::with_capacity(message.len() + 96);
    Object::<Json>::begin(&mut json)
        .field("error", |out| {
            Object::<Json>::begin(out)
                .text("code", code.as_str())
                .text("message", message)
                .boolean("retryable", code.retryable())
                .optional(retry_after_ms, |error, after_ms| {
                    error.number("retry_after_ms", after_ms)
                })
                .end();
        })
        .end();
    json.into()
}

fn is_identifier(text: &str) -> bool {
    let is_part = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'$';
    text.bytes().all(is_part) && text.starts_with(|c: char| !c.is_ascii_digit())
}

/// Whether JSON may have a key `__proto__`, any letter of which can be written as `\u00..`.
fn may_set_prototype(json: &[u8]) -> bool {
    let contains = |part: &[u8]| json.windows(part.len()).any(|window| window == part);
    contains(b"__proto__") || contains(br"\u00")
}

/// JSON as the inside of a string of a script.
fn quoted(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len() + json.len() / 4);
    for &byte in json {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', byte]),
            // Line breaks and tabs between tokens, where a blank means the same: no string has them as they are.
            0..=0x1F => out.push(b' '),
            _ => out.push(byte),
        }
    }
    out
}

/// Writes JSON without U+2028 and U+2029, which scripts before ES2019 take for line breaks. They stand in strings only.
fn write_script_safe(out: &mut Vec<u8>, json: &[u8]) {
    let mut rest = json;
    while let Some(at) = rest.windows(3).position(is_separator) {
        out.extend_from_slice(&rest[..at]);
        let escape = if rest[at + 2] == 0xA8 {
            br"\u2028"
        } else {
            br"\u2029"
        };
        out.extend_from_slice(escape);
        rest = &rest[at + 3..];
    }
    out.extend_from_slice(rest);
}

/// Whether three bytes of UTF-8 are U+2028 or U+2029.
fn is_separator(bytes: &[u8]) -> bool {
    matches!(bytes, [0xE2, 0x80, 0xA8 | 0xA9])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_a_script() {
        let callback = Callback::parse("app.jQuery123_4.$").unwrap();
        let json = "{\"a\":\"\u{2028}\u{2029}~</script>\"}";
        let script = callback.call(json.as_bytes());
        insta::assert_snapshot!(String::from_utf8_lossy(&script), @r#"/**/app.jQuery123_4.$({"a":"\u2028\u2029~</script>"});"#);
    }

    #[test]
    fn a_key_that_would_set_a_prototype_is_parsed_as_json() {
        let callback = Callback::parse("f").unwrap();
        let script =
            |json: &str| String::from_utf8_lossy(&callback.call(json.as_bytes())).into_owned();
        insta::assert_snapshot!(script("{\"__proto__\":1,\"__proto__\":\"\\\"\u{2028}\"}"), @r#"/**/f(JSON.parse("{\"__proto__\":1,\"__proto__\":\"\\\"\u2028\"}"));"#);
        insta::assert_snapshot!(script("{\"__\\u0070roto__\":\n\t\r1}"), @r#"/**/f(JSON.parse("{\"__\\u0070roto__\":   1}"));"#);
    }

    #[test]
    fn a_refusal_has_its_code_and_its_reason() {
        let json = refusal(Code::Overloaded, "say \"later\"", Some(1500));
        insta::assert_snapshot!(String::from_utf8_lossy(&json), @r#"{"error":{"code":"overloaded","message":"say \"later\"","retryable":true,"retry_after_ms":1500}}"#);
        let json = refusal(Code::Forbidden, "no", None);
        insta::assert_snapshot!(String::from_utf8_lossy(&json), @r#"{"error":{"code":"forbidden","message":"no","retryable":false}}"#);
    }

    #[test]
    fn only_paths_of_identifiers_are_callbacks() {
        for good in ["f", "_", "$", "a.b.c", "jQuery123_4", &"a".repeat(128)] {
            assert!(Callback::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "1a",
            "a.1",
            "a b",
            "a(",
            "a;b",
            "é",
            "a[0]",
            &"a".repeat(129),
        ] {
            assert_eq!(Callback::parse(bad), Err(CallbackError), "{bad}");
        }
    }
}
