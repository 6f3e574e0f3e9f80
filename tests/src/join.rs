//! What a subscriber asks for when it joins.

use percent_encoding::percent_decode_str;
use serde_json::Value;

/// What a subscriber asks for: channels, and from where on.
#[derive(Debug, Clone, Default)]
pub struct Join {
    /// The channels to join.
    pub channels: Vec<String>,
    /// Where to resume: the cursor of one channel or of several; from the end without one.
    pub cursor: Option<String>,
    /// The sender key, kept across reconnects.
    pub sender: Option<String>,
    /// Whether to hear what was published with the own sender key.
    pub echo: bool,
    /// Be listed as a member with this data; envelope sessions only.
    pub presence: Option<Value>,
    /// Past messages to begin with; envelope sessions only.
    pub history: Option<u32>,
    /// The token or API key, in the address.
    pub token: Option<String>,
}

impl Join {
    /// Joins one channel at its end.
    pub fn channel(name: &str) -> Self {
        Self::channels(&[name])
    }

    /// Joins several channels at their ends.
    pub fn channels(names: &[&str]) -> Self {
        Self {
            channels: names.iter().map(|&name| name.to_owned()).collect(),
            ..Self::default()
        }
    }

    /// Resumes from the cursor.
    #[must_use]
    pub fn from(mut self, cursor: impl Into<String>) -> Self {
        self.cursor = Some(cursor.into());
        self
    }

    /// Subscribes and publishes with the sender key.
    #[must_use]
    pub fn sender(mut self, key: &str) -> Self {
        self.sender = Some(key.to_owned());
        self
    }

    /// Also hears what it published itself.
    #[must_use]
    pub fn echo(mut self) -> Self {
        self.echo = true;
        self
    }

    /// Is listed as a member with the data.
    #[must_use]
    pub fn presence(mut self, data: Value) -> Self {
        self.presence = Some(data);
        self
    }

    /// Proves who it is.
    #[must_use]
    pub fn token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// Begins with up to this many past messages.
    #[must_use]
    pub fn history(mut self, messages: u32) -> Self {
        self.history = Some(messages);
        self
    }

    /// What the address of a raw or envelope session says about the subscriber itself.
    pub(crate) fn identity(&self) -> Vec<(String, String)> {
        let mut query = Vec::new();
        if let Some(sender) = &self.sender {
            query.push(("sender".to_owned(), sender.clone()));
        }
        if let Some(token) = &self.token {
            query.push(("token".to_owned(), token.clone()));
        }
        if self.echo {
            query.push(("echo".to_owned(), "true".to_owned()));
        }
        query
    }

    /// The path of a raw transport: below the channel, or below `v1` for several channels.
    pub(crate) fn raw_path<'a>(&'a self, transport: &'a str) -> Vec<&'a str> {
        match self.channels.as_slice() {
            [channel] => vec!["channels", channel, transport],
            _ => vec!["v1", transport],
        }
    }

    /// The query of a raw transport, without the cursor.
    pub(crate) fn raw_query(&self) -> Vec<(String, String)> {
        let mut query = self.identity();
        if self.channels.len() != 1 {
            let channels = self.channels.iter();
            query.extend(channels.map(|name| ("channel".to_owned(), name.clone())));
        }
        query
    }

    /// The part of the cursor that is about one channel.
    pub(crate) fn cursor_of(&self, channel: &str) -> Option<String> {
        let cursor = self.cursor.as_deref()?;
        if !cursor.contains('=') {
            return Some(cursor.to_owned());
        }
        let parts = cursor.split(',').filter_map(|part| part.split_once('='));
        let decoded = |name| percent_decode_str(name).decode_utf8_lossy();
        let mut found = parts.filter(|&(name, _)| decoded(name) == channel);
        found.next().map(|(_, place)| place.to_owned())
    }
}
