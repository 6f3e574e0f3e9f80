//! Who is behind a session.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use widecast_protocol::{Origin, SenderKey, SessionId};

/// The length of a key the broker makes up: 190 bits.
const RANDOM_LENGTH: usize = 32;

/// Whether a session hears what it has sent itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Echo {
    /// It does.
    On,
    /// It does not, like a `BroadcastChannel`.
    Off,
}

/// Who is behind a session.
#[derive(Debug, Clone)]
pub struct Identity {
    /// What it publishes with; nothing for one that only listens and has not said who it is.
    pub sender: Option<SenderKey>,
    /// Whether it hears what it has sent itself.
    pub echo: Echo,
    /// The verified origin of its connection.
    pub origin: Origin,
}

impl Identity {
    /// The key whose messages it is not delivered.
    pub fn muted(&self) -> Option<SenderKey> {
        match self.echo {
            Echo::Off => self.sender.clone(),
            Echo::On => None,
        }
    }

    /// The public name of the client: the same across its reconnects, and nobody can find the sender key from it.
    pub fn member_id(&self) -> String {
        static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        format!("{:016x}", HASHER.hash_one(&self.sender))
    }
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
