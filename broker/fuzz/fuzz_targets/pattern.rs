//! Patterns of channels, against the plainest way to compare them: whatever `*` may stand for is tried.

#![no_main]

use libfuzzer_sys::fuzz_target;
use widecast::config::ChannelPattern;
use widecast_protocol::ChannelName;

/// Whether the pattern is for the name. Row by row, so that no pattern takes long.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let mut row = vec![false; name.len() + 1];
    row[0] = true;
    for &expected in pattern {
        let mut next = vec![false; name.len() + 1];
        for (at, is_reached) in row.iter().enumerate() {
            if expected == b'*' {
                next[at] = *is_reached || (at > 0 && next[at - 1]);
            } else if *is_reached && name.get(at) == Some(&expected) {
                next[at + 1] = true;
            }
        }
        row = next;
    }
    row[name.len()]
}

fuzz_target!(|input: (&str, &str, &str)| {
    let (text, user, name) = input;
    let Ok(channel) = ChannelName::parse(name) else {
        return;
    };
    if let Ok(pattern) = ChannelPattern::parse(text) {
        assert_eq!(pattern.to_string(), text);
        assert_eq!(
            pattern.matches(&channel),
            matches(text.as_bytes(), name.as_bytes())
        );
    }
    // A star in the name of a user stands for itself: without one, the user can be written into the pattern.
    if !user.contains('*')
        && let Ok(pattern) = ChannelPattern::parse_for(text, Some(user))
    {
        let text = text.replace("{sub}", user);
        assert_eq!(
            pattern.matches(&channel),
            matches(text.as_bytes(), name.as_bytes())
        );
    }
});
