//! A part of a path as it was meant.
//!
//! The router decodes a path in part and lossily: `%2F` stays, bytes that are not UTF-8 become `U+FFFD`.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use widecast_protocol::Code;

use super::problem::Problem;

/// The part of a path with this number, split at `/` and percent-decoded once; empty if there is none.
///
/// # Errors
/// `bad_utf8`, or `malformed` when a `%` is not followed by two hex digits. Both name `what` it was to be.
pub fn path_segment<'a>(
    path: &'a str,
    number: usize,
    what: &str,
    malformed: Code,
) -> Result<Cow<'a, str>, Problem> {
    let encoded = path.split('/').nth(number).unwrap_or_default();
    if let Some(at) = malformed_escape(encoded) {
        let detail = format!("the {what} in the path has a % without two hex digits at byte {at}");
        return Err(Problem::new(malformed, detail));
    }
    percent_decode_str(encoded).decode_utf8().map_err(|error| {
        let at = error.valid_up_to();
        let detail = format!("the {what} in the path is not UTF-8 at byte {at}");
        Problem::new(Code::BadUtf8, detail)
    })
}

/// Where the first `%` is that two hex digits do not follow.
fn malformed_escape(encoded: &str) -> Option<usize> {
    let bytes = encoded.as_bytes();
    let escaped = |at: usize| matches!(bytes.get(at + 1..at + 3), Some([a, b]) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit());
    let mut percents = encoded.match_indices('%').map(|(at, _)| at);
    percents.find(|&at| !escaped(at))
}
