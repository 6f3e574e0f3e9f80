//! Which channels a right is for.

use std::fmt;

use widecast_protocol::ChannelName;

/// Names of channels: `*` stands for any text, also for none and over `:`, and everything else for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelPattern {
    /// What stands between the stars; one more than there are stars.
    pieces: Vec<String>,
}

impl ChannelPattern {
    /// What stands for the user of a token.
    pub const USER: &'static str = "{sub}";
    /// The longest pattern, in bytes.
    pub const MAX_BYTES: usize = 512;

    /// Reads a pattern without a user.
    ///
    /// # Errors
    /// When it is empty, too long, or names the user.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let pattern = Self::checked(text)?;
        if text.contains(Self::USER) {
            return Err(PatternError::NoUser);
        }
        Ok(pattern)
    }

    /// Reads a pattern in which `{sub}` is the user. A star in the user's name stands for itself.
    ///
    /// # Errors
    /// When it is empty, too long, or names a user that is not there.
    pub fn parse_for(text: &str, user: Option<&str>) -> Result<Self, PatternError> {
        let Some(user) = user else {
            return Self::parse(text);
        };
        let mut pattern = Self::checked(text)?;
        for piece in &mut pattern.pieces {
            *piece = piece.replace(Self::USER, user);
        }
        Ok(pattern)
    }

    fn checked(text: &str) -> Result<Self, PatternError> {
        match text.len() {
            0 => Err(PatternError::Empty),
            length if length > Self::MAX_BYTES => Err(PatternError::TooLong(length)),
            _ => Ok(Self {
                pieces: text.split('*').map(str::to_owned).collect(),
            }),
        }
    }

    /// Whether the pattern is for this channel. Takes time in proportion to the length of the name.
    pub fn matches(&self, channel: &ChannelName) -> bool {
        let name = channel.as_str();
        let [first, rest @ ..] = &self.pieces[..] else {
            return false;
        };
        let [between @ .., last] = rest else {
            return name == first;
        };
        let Some(mut inner) =
            without_prefix(name, first).and_then(|inner| without_suffix(inner, last))
        else {
            return false;
        };
        // The earliest place of a piece leaves the most for those behind it.
        for piece in between {
            let Some((_, behind)) = inner.split_once(piece.as_str()) else {
                return false;
            };
            inner = behind;
        }
        true
    }
}

/// As [`str::strip_prefix`], but an empty prefix is not compared: its pointer leads nowhere, and where the C library compares with masked
/// loads (AVX-512), the processor takes a hundred nanoseconds to suppress the fault.
fn without_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    if prefix.is_empty() {
        return Some(text);
    }
    text.strip_prefix(prefix)
}

/// As [`without_prefix`], at the end.
fn without_suffix<'a>(text: &'a str, suffix: &str) -> Option<&'a str> {
    if suffix.is_empty() {
        return Some(text);
    }
    text.strip_suffix(suffix)
}

impl fmt::Display for ChannelPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.pieces.join("*"))
    }
}

/// Why a text is no pattern of channels.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It has no character.
    #[error("a pattern of channels is empty: * stands for every channel")]
    Empty,
    /// It has too many bytes.
    #[error("a pattern of channels has {0} bytes, the limit is {max}", max = ChannelPattern::MAX_BYTES)]
    TooLong(usize),
    /// It has `{sub}` where there is no user.
    #[error("a pattern of channels has {{sub}}, but there is no user (claim sub) to stand for")]
    NoUser,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &ChannelPattern, name: &str) -> bool {
        pattern.matches(&ChannelName::parse(name).unwrap())
    }

    fn plain(pattern: &str, name: &str) -> bool {
        matches(&ChannelPattern::parse(pattern).unwrap(), name)
    }

    #[test]
    fn a_star_stands_for_any_text_and_nothing_else_is_special() {
        assert!(plain("news", "news") && !plain("news", "news2") && !plain("news", "new"));
        assert!(plain("*", "a:b") && plain("**", "a"));
        assert!(plain("user:*", "user:") && plain("user:*", "user:1:inbox"));
        assert!(!plain("user:*", "user") && !plain("user:*", "my-user:1"));
        assert!(plain("*:inbox", "user:1:inbox") && !plain("*:inbox", "user:1:inbox2"));
        assert!(plain("a*b*c", "a-b-b-c") && !plain("a*b*c", "acb"));
        // A piece is not shared by the start and the end.
        assert!(!plain("aba*aba", "aba") && !plain("ab*ba", "aba") && plain("ab*ba", "abba"));
        assert!(plain("a?[b]", "a?[b]") && !plain("a?", "ab"));
        assert!(!plain("News", "news"));
    }

    #[test]
    fn the_user_stands_for_itself_whatever_is_in_it() {
        let of = |pattern: &str, user| ChannelPattern::parse_for(pattern, user);
        let own = of("user:{sub}:*", Some("7")).unwrap();
        assert!(matches(&own, "user:7:inbox") && !matches(&own, "user:77:inbox"));
        let star = of("user:{sub}", Some("*")).unwrap();
        assert!(matches(&star, "user:*") && !matches(&star, "user:7"));
        let nested = of("{sub}", Some("{sub}")).unwrap();
        assert!(matches(&nested, "{sub}"));
        assert_eq!(of("{sub}", None), Err(PatternError::NoUser));
        assert_eq!(of("news", None).unwrap(), of("news", Some("7")).unwrap());
    }

    #[test]
    fn a_bad_pattern_is_refused() {
        assert_eq!(ChannelPattern::parse(""), Err(PatternError::Empty));
        let long = "x".repeat(513);
        assert_eq!(
            ChannelPattern::parse(&long),
            Err(PatternError::TooLong(513))
        );
        assert_eq!(ChannelPattern::parse("a{sub}"), Err(PatternError::NoUser));
    }

    #[test]
    fn a_pattern_of_many_stars_is_matched_in_time() {
        let pattern = ChannelPattern::parse(&"*a".repeat(256)).unwrap();
        assert!(!matches(&pattern, &"a".repeat(255)));
        assert!(!matches(&pattern, &"b".repeat(255)));
    }
}
