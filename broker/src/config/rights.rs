//! What can be allowed on a channel, in the words of settings and tokens.

use super::value::{Bounds, Expected, Given, Setting, quoted};

/// One thing that can be allowed on a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// To publish.
    Publish,
    /// To hear what is published.
    Subscribe,
    /// To ask who is here, and to be listed.
    Presence,
    /// To ask for past messages.
    History,
}

impl Right {
    /// Every right.
    pub const ALL: [Self; 4] = [
        Self::Publish,
        Self::Subscribe,
        Self::Presence,
        Self::History,
    ];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Subscribe => "subscribe",
            Self::Presence => "presence",
            Self::History => "history",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A set of rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rights(u8);

impl Rights {
    /// No right.
    pub const NONE: Self = Self(0);
    /// Every right.
    pub const ALL: Self = Self(0b1111);
    /// The word for every right.
    const EVERY: &'static str = "*";
    /// Completes "expected …".
    pub const EXPECTED: &'static str = "a list of publish, subscribe, presence and history, or *";

    /// Whether a right is among these.
    pub const fn has(self, right: Right) -> bool {
        self.0 & right.bit() != 0
    }

    /// Whether there is no right.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The rights of both.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Reads words; nothing if one of them is no right.
    pub fn read<'a>(words: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut rights = Self::NONE;
        for word in words {
            let named = if word == Self::EVERY {
                Self::ALL
            } else {
                let known = Right::ALL
                    .into_iter()
                    .find(|right| right.as_str() == word)?;
                Self(known.bit())
            };
            rights = rights.union(named);
        }
        Some(rights)
    }
}

impl From<Right> for Rights {
    fn from(right: Right) -> Self {
        Self(right.bit())
    }
}

/// In the file it is a list of words, in a variable or flag the words stand between commas.
impl Setting for Rights {
    fn assign(&mut self, given: &Given, _: &Bounds) -> Result<(), Expected> {
        let read = match given {
            Given::Word(words) if words.trim().is_empty() => Some(Self::NONE),
            Given::Word(words) => Self::read(words.split(',').map(str::trim)),
            Given::Text(word) => Self::read([word.as_str()]),
            Given::List(items) => items
                .iter()
                .map(|item| match item {
                    Given::Text(word) => Some(word.as_str()),
                    _ => None,
                })
                .collect::<Option<Vec<_>>>()
                .and_then(Self::read),
            _ => None,
        };
        *self = read.ok_or_else(|| Expected(Self::EXPECTED.to_owned()))?;
        Ok(())
    }

    fn shown(&self) -> String {
        let held = Right::ALL.into_iter().filter(|right| self.has(*right));
        let words: Vec<String> = held.map(|right| quoted(right.as_str())).collect();
        format!("[{}]", words.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_and_shown_in_one_order() {
        let shown = |words: &[&str]| Rights::read(words.iter().copied()).map(|it| it.shown());
        assert_eq!(
            shown(&["history", "publish"]).unwrap(),
            r#"["publish", "history"]"#
        );
        assert_eq!(shown(&["*"]), Some(Rights::ALL.shown()));
        assert_eq!(shown(&[]).unwrap(), "[]");
        assert_eq!(shown(&["publish", "read"]), None);
    }

    #[test]
    fn only_the_named_rights_are_held() {
        let rights = Rights::read(["subscribe"]).unwrap();
        let held: Vec<_> = Right::ALL
            .into_iter()
            .filter(|it| rights.has(*it))
            .collect();
        assert_eq!(held, [Right::Subscribe]);
        assert!(Rights::NONE.is_empty() && !rights.is_empty());
    }
}
