//! Who may do what.
//!
//! Which web pages may talk to the broker, and by which name; what a credential proves; and the one rule that says what somebody may
//! do on a channel. A leaf that knows the settings and nothing else of the broker.

mod authenticator;
mod claims;
mod grant;
mod key_files;
mod key_set;
mod last_credential;
mod name;
mod origin;
mod principal;
mod proven_tokens;
mod reread;
mod revocations;
mod signature;
mod token;
mod token_keys;

pub use authenticator::{ApiKey, Authenticator, CredentialError, Shown, new_api_key};
pub use claims::{Claims, Proof, Words, is_user};
pub use grant::Grant;
pub use key_files::{KeyFileError, KeyFileErrors};
pub use key_set::KeySet;
pub use last_credential::LastCredential;
pub use name::{is_loopback_authority, knows_name};
pub use origin::{Admission, admit};
pub use principal::{Basis, Denial, Principal, Subject};
pub use reread::Reread;
pub use revocations::{Revocation, RevocationNote, Revocations, RevokedTokens, TooManyRevocations};
pub use token::{TokenError, read_unchecked, sign};
pub use token_keys::KeyError;
