//! Cursors: whatever is taken is spelled as the broker spells it, but for the percent-encoding of names.

#![no_main]

use libfuzzer_sys::fuzz_target;
use widecast_protocol::Cursor;

fuzz_target!(|input: &str| {
    if let Ok(cursor) = Cursor::parse(input) {
        let text = cursor.to_string();
        assert!(text.bytes().all(|byte| byte.is_ascii_graphic()));
        if let Cursor::One(_) = cursor {
            assert_eq!(text, input);
        }
        assert_eq!(Cursor::parse(&text), Ok(cursor));
    }
});
