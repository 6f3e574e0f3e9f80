//! A JWK set that somebody else serves: the keys that were fetched last, and when they are fetched again.
//!
//! Fetching is up to whoever calls [`KeySet::took`]; this module keeps what was fetched, and decides when to fetch again: after
//! the age that the provider gave it, and as soon as a token names a key that is not there.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use super::token_keys::{KeyError, TokenKey};
use crate::config::{CalledUrl, JwtSettings};

/// How long somebody with a token waits for the keys that it may be signed with.
const PATIENCE: Duration = Duration::from_secs(5);

/// A JWK set at a URL.
pub struct KeySet {
    url: CalledUrl,
    /// How soon it may be fetched again, and how late it has to be.
    least_age: Duration,
    most_age: Duration,
    keys: RwLock<Option<Arc<Vec<TokenKey>>>>,
    /// Somebody has a token that names a key that is not there.
    wanted: Notify,
    /// Whether the set was fetched so recently that it must not be fetched again yet.
    is_fresh: watch::Sender<bool>,
    /// Whether it could not be fetched the last time.
    is_failing: AtomicBool,
}

impl KeySet {
    pub(super) fn new(url: &CalledUrl, jwt: &JwtSettings) -> Self {
        Self {
            url: url.clone(),
            least_age: jwt.jwks_least_age,
            most_age: jwt.jwks_most_age.max(jwt.jwks_least_age),
            keys: RwLock::new(None),
            wanted: Notify::new(),
            is_fresh: watch::Sender::new(false),
            is_failing: AtomicBool::new(false),
        }
    }

    /// Where it is.
    pub fn url(&self) -> &CalledUrl {
        &self.url
    }

    /// The keys that came last, if any ever came.
    pub(super) fn keys(&self) -> Option<Arc<Vec<TokenKey>>> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.clone()
    }

    /// Takes what was fetched; gives how many keys there are now.
    ///
    /// # Errors
    /// When it is no set of usable keys. Then the keys stay as they were.
    pub fn took(&self, json: &[u8]) -> Result<usize, KeyError> {
        let keys = TokenKey::set(json)?;
        let count = keys.len();
        let mut known = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        *known = Some(Arc::new(keys));
        Ok(count)
    }

    /// Waits until the set is to be fetched again. `age` is how long the provider says that it may be kept; nothing for a set that
    /// could not be fetched.
    pub async fn due(&self, age: Option<Duration>) {
        self.is_failing.store(age.is_none(), Ordering::Relaxed);
        self.is_fresh.send_replace(true);
        sleep(self.least_age).await;
        self.is_fresh.send_replace(false);
        let Some(age) = age else { return };
        let rest = age.min(self.most_age).saturating_sub(self.least_age);
        // Either somebody needs a missing key, or the set is old enough: both are a reason to fetch.
        let _ = timeout(rest, self.wanted.notified()).await;
    }

    /// Waits until the set has been fetched again, unless that has just been done, or takes too long. Returns whether it was: one that
    /// has just been fetched must not be fetched again yet, although its provider may have changed it since.
    pub(super) async fn refreshed(&self) -> bool {
        let mut is_fresh = self.is_fresh.subscribe();
        if *is_fresh.borrow_and_update() {
            return false;
        }
        self.wanted.notify_one();
        // Too late is as good as never: the token is looked at with what there is.
        let waited = timeout(PATIENCE, is_fresh.wait_for(|is_fresh| *is_fresh)).await;
        waited.is_ok() && !self.is_failing.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    const SECOND: Duration = Duration::from_secs(1);

    fn set() -> KeySet {
        let jwt = JwtSettings {
            jwks_least_age: 10 * SECOND,
            jwks_most_age: 1000 * SECOND,
            ..JwtSettings::default()
        };
        KeySet::new(&CalledUrl::default(), &jwt)
    }

    async fn seconds_until_due(set: &KeySet, age: Option<u64>) -> u64 {
        let began = Instant::now();
        set.due(age.map(Duration::from_secs)).await;
        began.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_set_is_kept_for_as_long_as_its_provider_says_within_bounds() {
        let set = set();
        for (age, due) in [
            (Some(300), 300),
            (Some(0), 10),
            (Some(u64::MAX), 1000),
            (None, 10),
        ] {
            assert_eq!(seconds_until_due(&set, age).await, due, "{age:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_is_missing_is_asked_for_at_once_but_not_all_the_time() {
        let set = Arc::new(set());
        let asking = Arc::clone(&set);
        let asking = tokio::spawn(async move {
            // Nobody waits while it has just been fetched.
            tokio::task::yield_now().await;
            let began = Instant::now();
            assert!(!asking.refreshed().await);
            assert_eq!(began.elapsed(), Duration::ZERO);
            sleep(50 * SECOND).await;
            assert!(asking.refreshed().await);
            began.elapsed().as_secs()
        });
        assert_eq!(seconds_until_due(&set, Some(1000)).await, 50);
        // It has been fetched, and whoever asked goes on.
        let fetched = Arc::clone(&set);
        let fetched = tokio::spawn(async move { fetched.due(Some(SECOND)).await });
        assert_eq!(asking.await.unwrap(), 50);
        fetched.abort();
    }

    #[test]
    fn a_broken_set_leaves_the_keys_as_they_were() {
        let set = set();
        assert!(set.took(b"<html>").is_err());
        assert!(set.keys().is_none());
        let json = br#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
        assert_eq!(set.took(json).unwrap(), 1);
        for broken in [&b"{}"[..], br#"{"keys":[]}"#, b""] {
            assert!(set.took(broken).is_err());
            assert_eq!(set.keys().unwrap().len(), 1);
        }
    }
}
