//! Where a Redis server is, and what everything of this broker is called there.

use std::fmt;

use super::hidden_secrets::{HIDDEN, without_secrets};
use super::value::Word;

/// The URL of a server. It may have a password in it, so it never shows one.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl(String);

impl RedisUrl {
    /// The server on this machine.
    pub(super) fn here() -> Self {
        Self("redis://127.0.0.1:6379".to_owned())
    }

    /// The URL with its password.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it names Sentinels or a cluster, so that another server may take the place of one that fails.
    pub(super) fn has_fail_over(&self) -> bool {
        let scheme = self.0.split("://").next().unwrap_or_default();
        scheme.ends_with("+sentinel") || scheme.ends_with("+cluster")
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

/// A text that is no URL is found at the start, by an error that does not repeat it.
impl Word for RedisUrl {
    const EXPECTED: &'static str = "the URL of a Redis server, with the password itself and not `…` in its place (or see password_file)";

    fn read(text: &str) -> Option<Self> {
        let hidden = [format!(":{HIDDEN}@"), format!("pass={HIDDEN}")];
        let is_hidden = text == HIDDEN || hidden.iter().any(|hidden| text.contains(hidden));
        (!is_hidden).then(|| Self(text.to_owned()))
    }

    fn text(&self) -> String {
        if !self.0.contains("://") && self.0.contains('@') {
            return HIDDEN.to_owned();
        }
        without_secrets(&self.0)
    }
}

/// What the names of all keys and topics on a server begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPrefix(String);

impl KeyPrefix {
    /// The prefix of brokers that need none of their own.
    pub(super) fn widecast() -> Self {
        Self("widecast".to_owned())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Word for KeyPrefix {
    const EXPECTED: &'static str = "1–64 letters, digits, `-`, `_`, `.` or `:`, where no part behind a `:` is a `t` and digits alone (write `app:t-1`, not `app:t1`)";

    fn read(text: &str) -> Option<Self> {
        // Braces would change in which slot of a cluster a key is.
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
        let is_prefix = (1..=64).contains(&text.len()) && text.chars().all(allowed);
        // A topic is the prefix, `:t` and the database, and the channel: that of `t1:news` under `app`, and of `news` under `app:t1`, would
        // be one.
        let mut parts = text.split(':').skip(1);
        let is_clear = !parts.any(is_database);
        (is_prefix && is_clear).then(|| Self(text.to_owned()))
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

/// Whether a part of a name is what stands for a database in the names of topics.
fn is_database(part: &str) -> bool {
    let number = part.strip_prefix('t').unwrap_or_default();
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_never_shows_its_password() {
        for (url, shown) in [
            ("redis://here:6379/1", "redis://here:6379/1"),
            ("redis://:secret@here", "redis://:…@here"),
            ("rediss://user:sec@ret@here/2", "rediss://user:…@here/2"),
            (
                "redis+sentinel://:secret@a,b:1/main",
                "redis+sentinel://:…@a,b:1/main",
            ),
            ("user:secret@here", "…"),
            ("unix:///s?pass=secret", "unix:///s?pass=…"),
            ("here", "here"),
        ] {
            let url = RedisUrl::read(url);
            let url = url.unwrap();
            assert_eq!(url.text(), shown);
            assert_eq!(format!("{url:?}"), shown);
            // What is shown would be another password.
            assert_eq!(RedisUrl::read(shown).is_none(), shown.contains(HIDDEN));
        }
    }

    #[test]
    fn no_prefix_and_channel_have_the_topic_of_others() {
        for good in ["t0", "t0:app", "app:t", "app:t-1", "app:test1", "app::t"] {
            assert!(KeyPrefix::read(good).is_some(), "{good}");
        }
        for bad in ["app:t0", "app:t12:b", "a:b:t3"] {
            assert_eq!(KeyPrefix::read(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_prefix_has_no_braces() {
        assert!(KeyPrefix::read("prod:chat_1").is_some());
        for bad in ["", "a{b", "a b", "é"] {
            assert_eq!(KeyPrefix::read(bad), None, "{bad}");
        }
    }
}
