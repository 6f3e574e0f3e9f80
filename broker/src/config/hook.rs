//! `[auth.hook]`: the backend that is asked whether somebody may do something.

use std::time::Duration;

use super::auth::FilePath;
use super::byte_count::ByteCount;
use super::called_url::CalledUrl;
use super::section::settings;
use super::value::Word;

settings! {
    /// The authorisation hook: a backend that the broker asks whether somebody may do something that tokens and namespaces allow. API
    /// keys are not asked for. `docs/authentication.md` says what is asked and answered.
    pub struct HookSettings {
        /// The URL of the backend that is asked: `https://…`, or `http://…` on this machine; empty for no hook.
        url: CalledUrl, "url" = CalledUrl::none();
        /// A file with a secret of at least 32 bytes, by which requests are signed. White space around it is left out.
        secret_file: FilePath, "secret_file" = FilePath::none();
        /// The occasions on which it is asked: when somebody connects (`connect`), joins or reads a channel (`subscribe`), or
        /// publishes (`publish`).
        events: Vec<HookEvent>, "events" = HookEvent::ALL.to_vec();
        /// How long an answer may take.
        timeout: Duration, "timeout_ms" = Duration::from_secs(2), within 10..=60_000;
        /// How many questions may wait for their answer at a time; further requests are refused, and may be tried again. While less than half
        /// of them wait, requests for several channels or messages may use a quarter to ask several questions at once.
        concurrent_requests: usize, "concurrent_requests" = 100, within 1..=100_000;
        /// For how long a positive answer to `connect` or `subscribe` is reused when the same question comes up again; 0 to ask
        /// each time.
        cache: Duration, "cache_ms" = Duration::ZERO, within 0..=3_600_000;
        /// The largest message whose data is shown to the hook; of a larger one it is told the size.
        data_bytes: ByteCount, "data_bytes" = ByteCount::kibibytes(64), within 0..=268_435_456;
        /// Headers of a client's request that are shown to the hook at `connect`, such as `cookie`. A cookie is shown only if the page
        /// that sends it is trusted.
        headers: Vec<ShownHeader>, "headers" = Vec::new();
        /// What happens when there is no answer that can be used: `refuse`, or `allow` what tokens and namespaces allow.
        on_failure: OnFailure, "on_failure" = OnFailure::Refuse;
    }
}

impl HookSettings {
    /// Whether there is a hook.
    pub fn is_configured(&self) -> bool {
        self.url.url().is_some()
    }
}

/// At what the hook is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookEvent {
    /// Somebody opens a session, a stream or a poll, or sends another request.
    Connect,
    /// Somebody wants to hear or read a channel.
    Subscribe,
    /// Somebody wants to publish a message.
    Publish,
}

impl HookEvent {
    /// Every event.
    pub const ALL: [Self; 3] = [Self::Connect, Self::Subscribe, Self::Publish];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Subscribe => "subscribe",
            Self::Publish => "publish",
        }
    }
}

impl Word for HookEvent {
    const EXPECTED: &'static str = "connect, subscribe or publish";

    fn read(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.as_str() == text)
    }

    fn text(&self) -> String {
        self.as_str().to_owned()
    }
}

/// What happens when there is no answer that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// Nobody may do anything that is asked for.
    Refuse,
    /// Everybody may do what tokens and namespaces allow.
    Allow,
}

impl Word for OnFailure {
    const EXPECTED: &'static str = "refuse or allow";

    fn read(text: &str) -> Option<Self> {
        match text {
            "refuse" => Some(Self::Refuse),
            "allow" => Some(Self::Allow),
            _ => None,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Refuse => "refuse",
            Self::Allow => "allow",
        }
        .to_owned()
    }
}

/// The name of a header that the hook is shown, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownHeader(String);

impl ShownHeader {
    /// The name.
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl Word for ShownHeader {
    const EXPECTED: &'static str =
        "the name of a header, such as cookie or user-agent, but not authorization";

    fn read(text: &str) -> Option<Self> {
        let name = text.to_ascii_lowercase();
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let is_name = !name.is_empty() && name.bytes().all(is_plain);
        (is_name && name != "authorization").then_some(Self(name))
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_of_the_brokers_own_is_shown_to_nobody() {
        let shown = |text: &str| ShownHeader::read(text).map(|header| header.text());
        assert_eq!(shown("Cookie").as_deref(), Some("cookie"));
        for bad in ["", "Authorization", "a b", "a:"] {
            assert_eq!(shown(bad), None, "{bad}");
        }
    }
}
