//! What a broker is called among those that share an engine with it.

use super::value::Word;

/// A name, or none: then the broker makes one of where it runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeName(String);

impl NodeName {
    /// The name that was given.
    pub fn given(&self) -> Option<&str> {
        (!self.0.is_empty()).then_some(&self.0)
    }
}

impl Word for NodeName {
    const EXPECTED: &'static str = "at most 64 visible characters of ASCII, or nothing";

    fn read(text: &str) -> Option<Self> {
        let is_name = text.len() <= 64 && text.chars().all(|c| c.is_ascii_graphic());
        is_name.then(|| Self(text.to_owned()))
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}
