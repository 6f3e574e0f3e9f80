//! Strings: their escapes, both ways.

/// The number that four hexadecimal digits are.
pub(super) fn parse_unit(digits: &[u8]) -> Option<u16> {
    // `from_str_radix` alone would take a sign.
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Resolves the escapes of a string that a reader has checked.
pub(super) fn unescape(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        let escape = rest.as_bytes()[at + 1];
        rest = &rest[at + 2..];
        match escape {
            b'b' => text.push('\u{8}'),
            b'f' => text.push('\u{c}'),
            b'n' => text.push('\n'),
            b'r' => text.push('\r'),
            b't' => text.push('\t'),
            b'u' => {
                let (character, length) = escaped_character(rest.as_bytes());
                text.push(character);
                rest = &rest[length..];
            }
            itself => text.push(char::from(itself)),
        }
    }
    text.push_str(rest);
    text
}

/// The character at `XXXX` or `XXXX\uXXXX`, and how many bytes it took.
fn escaped_character(bytes: &[u8]) -> (char, usize) {
    let unit = |at: usize| bytes.get(at..at + 4).and_then(parse_unit).unwrap_or(0);
    let first = unit(0);
    let second = if (0xD800..0xDC00).contains(&first) {
        Some(unit(6))
    } else {
        None
    };
    let length = if second.is_some() { 10 } else { 4 };
    let character = char::decode_utf16([first].into_iter().chain(second)).next();
    match character {
        Some(Ok(character)) => (character, length),
        // The reader has refused half surrogates.
        _ => (char::REPLACEMENT_CHARACTER, length),
    }
}

/// How many bytes there are before the first that a string needs an escape for, or before its end: a quote, a backslash
/// or a control character.
pub(super) fn plain_length(bytes: &[u8]) -> usize {
    let (words, _) = bytes.as_chunks::<8>();
    let mut length = 0;
    for word in words {
        let special = special_bytes(u64::from_le_bytes(*word));
        if special != 0 {
            // The lowest bit set is in the first special byte.
            return length + special.trailing_zeros() as usize / 8;
        }
        length += 8;
    }
    let is_special = |&byte: &u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    let rest = &bytes[length..];
    length + rest.iter().position(is_special).unwrap_or(rest.len())
}

/// The highest bit of each byte that is special, and of some after the first of them: eight bytes at a time, as strings
/// are most of what is read and written
/// ([Bit Twiddling Hacks](https://graphics.stanford.edu/~seander/bithacks.html#HasLessInWord)).
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHEST: u64 = 0x8080_8080_8080_8080;
    let less_than = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word & HIGHEST;
    let equal_to = |byte: u8| less_than(word ^ (ONES * u64::from(byte)), 1);
    less_than(word, 0x20) | equal_to(b'"') | equal_to(b'\\')
}

/// How long a string is in quotes.
pub(crate) fn text_length(text: &[u8]) -> usize {
    let mut length = 2;
    let mut rest = text;
    loop {
        let plain = plain_length(rest);
        length += plain;
        let Some((&special, after)) = rest[plain..].split_first() else {
            return length;
        };
        length += escape(special).map_or(6, |_| 2);
        rest = after;
    }
}

/// The letter that stands for a byte after a backslash.
fn escape(byte: u8) -> Option<u8> {
    match byte {
        b'"' | b'\\' => Some(byte),
        b'\n' => Some(b'n'),
        b'\r' => Some(b'r'),
        b'\t' => Some(b't'),
        _ => None,
    }
}

/// Writes a string in quotes. The bytes are UTF-8.
pub(crate) fn write_text(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    let mut rest = text;
    loop {
        let (plain, after) = rest.split_at(plain_length(rest));
        out.extend_from_slice(plain);
        let Some((&special, after)) = after.split_first() else {
            break;
        };
        if let Some(letter) = escape(special) {
            out.extend_from_slice(&[b'\\', letter]);
        } else {
            let digit = |nibble: u8| b"0123456789abcdef"[usize::from(nibble)];
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&[digit(special >> 4), digit(special & 15)]);
        }
        rest = after;
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn special_bytes_are_found_wherever_they_are(
            bytes in prop::collection::vec(prop_oneof![3 => any::<u8>(), 1 => prop::sample::select(b"\"\\!#[]\x1f\x20\x80\xff".to_vec())], 0..40),
        ) {
            let special = |byte: &u8| *byte < 0x20 || matches!(byte, b'"' | b'\\');
            let first = bytes.iter().position(special);
            prop_assert_eq!(plain_length(&bytes), first.unwrap_or(bytes.len()));
        }

        #[test]
        fn the_length_of_a_string_is_known_before_it_is_written(text: String) {
            let mut out = Vec::new();
            write_text(&mut out, text.as_bytes());
            prop_assert_eq!(out.len(), text_length(text.as_bytes()));
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
    }
}
