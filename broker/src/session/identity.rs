//! The client behind a session.

use std::fmt::Write;

use ring::digest::{Context, SHA256};
use widecast_protocol::{SenderKey, SessionId};

use crate::auth::Principal;
use crate::limits::Share;

use super::hook::ShownHeaders;

/// The length of a key the broker makes up: 190 bits.
const RANDOM_LENGTH: usize = 32;

/// The length of the public name of a client, and of what the log shows of the name of a session.
const DIGEST_DIGITS: usize = 16;

/// Whether a session hears what it has sent itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Echo {
    /// It does.
    On,
    /// It does not, like a `BroadcastChannel`.
    Off,
}

/// The client behind a session.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The sender key of its messages; `None` for a client that only listens and gave none.
    pub sender: Option<SenderKey>,
    /// Whether it hears what it has sent itself.
    pub echo: Echo,
    /// For whom it acts, and from which page, when it begins.
    pub principal: Principal,
    /// The share of the broker that it has a part in.
    pub share: Share,
    /// The headers of its request that the authorisation hook is shown; none once it has been.
    pub headers: ShownHeaders,
}

/// The public name of a client. Nobody can find the sender key from it, and to be given another client's takes 2^64 attempts.
pub(super) fn member_id(sender: Option<&SenderKey>) -> String {
    let sender = sender.map_or("", SenderKey::as_str);
    short_digest("widecast member id", sender)
}

/// What the log shows of a session's name, by which its lines are found: the name itself is a secret.
pub(super) fn session_digest(name: &SessionId) -> String {
    short_digest("widecast session", name.as_str())
}

fn short_digest(purpose: &str, text: &str) -> String {
    let mut hash = Context::new(&SHA256);
    hash.update(purpose.as_bytes());
    hash.update(b"\0");
    hash.update(text.as_bytes());
    let hash = hash.finish();
    let mut id = String::with_capacity(DIGEST_DIGITS);
    for byte in &hash.as_ref()[..DIGEST_DIGITS / 2] {
        // Writing into a string does not fail.
        let _ = write!(id, "{byte:02x}");
    }
    id
}

fn random_text() -> String {
    use rand::RngExt;
    let letters = rand::rng().sample_iter(rand::distr::Alphanumeric);
    letters.take(RANDOM_LENGTH).map(char::from).collect()
}

/// A new sender key, for a client that did not choose one.
///
/// # Panics
/// When the system has no randomness.
pub fn random_sender() -> SenderKey {
    SenderKey::parse(&random_text()).expect("32 letters and digits are a sender key")
}

/// A new session id.
pub(super) fn random_session() -> SessionId {
    SessionId::parse(&random_text()).expect("32 letters and digits are a session id")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_gives_a_client_the_same_member_id() {
        // Nodes of other releases run beside this one.
        let key = |text: &str| SenderKey::parse(text).ok();
        let id = member_id(key("0123456789abcdef").as_ref());
        assert_eq!(id, "e3f4bee85d4e9106");
        assert_ne!(id, member_id(key("0123456789abcdeg").as_ref()));
        assert_ne!(id, member_id(None));
    }

    #[test]
    fn the_log_shows_every_node_the_same_of_a_sessions_name() {
        let name = |text: &str| SessionId::parse(text).unwrap();
        let digest = session_digest(&name("0123456789abcdef0123456789abcdef"));
        let again = session_digest(&name("0123456789abcdef0123456789abcdef"));
        assert_eq!((digest.len(), &digest), (16, &again));
        assert_ne!(digest, session_digest(&random_session()));
    }
}
