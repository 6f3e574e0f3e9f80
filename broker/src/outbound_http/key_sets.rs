//! Fetches the JWK sets of identity providers, for as long as the broker runs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::Full;
use hyper::Request;
use hyper::header::{ACCEPT, CACHE_CONTROL, HeaderMap};
use widecast_protocol::error::chain;

use super::http::{CallError, Called, HttpClient};
use crate::auth::{KeyError, KeySet};
use crate::metrics::{KeySetFetch, OutboundHttp};

/// How long a provider may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The largest set. Providers publish a handful of keys, of at most some kilobytes each.
const MOST_BYTES: usize = 256 * 1024;

/// Why a set could not be fetched.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// A fetched set: how many keys it has, and how long the provider allows it to be kept, if it says so.
struct Fetched {
    keys: usize,
    age: Option<Duration>,
}

/// Fetches a set once it is due, again and again. The log is told when it cannot be fetched, and when it can again.
pub async fn keep_key_sets(sets: Vec<Arc<KeySet>>, metrics: OutboundHttp) {
    join_all(sets.iter().map(|set| keep(set, &metrics))).await;
}

/// Fetches every set once, for a program that does not stay.
///
/// # Errors
/// The first that cannot be fetched, and why.
pub async fn fetch_key_sets(sets: &[Arc<KeySet>]) -> Result<(), impl fmt::Display> {
    for set in sets {
        if let Err(error) = fetch(set).await {
            let url = set.url().url().unwrap_or_default();
            return Err(format!(
                "the JWK set {url} cannot be used: {}",
                chain(&error)
            ));
        }
    }
    Ok(())
}

async fn keep(set: &KeySet, metrics: &OutboundHttp) {
    let url = set.url().url().unwrap_or_default();
    let mut has_failed = false;
    loop {
        let age = match fetch(set).await {
            Ok(Fetched { keys, age }) => {
                metrics.key_set(KeySetFetch::Fetched);
                if std::mem::take(&mut has_failed) {
                    metrics.key_sets_failing.dec();
                    tracing::info!(url, keys, "the JWK set could be fetched again");
                } else {
                    tracing::debug!(url, keys, "fetched the JWK set");
                }
                // One without an age is kept for as long as one may be.
                Some(age.unwrap_or(Duration::MAX))
            }
            Err(error) => {
                metrics.key_set(KeySetFetch::Failed);
                if !std::mem::replace(&mut has_failed, true) {
                    metrics.key_sets_failing.inc();
                    tracing::warn!(
                        url,
                        error = &error as &dyn std::error::Error,
                        "the JWK set cannot be fetched: its keys stay as they were, and it is tried again (not logged again until it succeeds; \
                         widecast_key_set_fetches_total counts)"
                    );
                }
                None
            }
        };
        set.due(age).await;
    }
}

async fn fetch(set: &KeySet) -> Result<Fetched, FetchError> {
    // A client of its own: the next fetch may be a day away.
    let client = HttpClient::new(set.url(), PATIENCE, MOST_BYTES)?;
    let request = Request::get(set.url().url().unwrap_or_default())
        .header(ACCEPT, "application/jwk-set+json, application/json")
        .body(Full::<Bytes>::default());
    let Called { headers, body } = client.call(request.map_err(CallError::from)?).await?;
    Ok(Fetched {
        keys: set.took(&body)?,
        age: max_age(&headers),
    })
}

/// How long an answer may be kept ([RFC 9111, section 5.2.2](https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2)).
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all(CACHE_CONTROL).into_iter();
    let values: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
    let mut directives = values.iter().flat_map(|value| value.split(','));
    directives.find_map(|directive| {
        let directive = directive.trim().to_ascii_lowercase();
        if matches!(directive.as_str(), "no-store" | "no-cache") {
            return Some(Duration::ZERO);
        }
        let seconds = directive.strip_prefix("max-age=")?.trim_matches('"');
        seconds.parse().ok().map(Duration::from_secs)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    #[test]
    fn the_age_is_what_the_provider_says() {
        let age = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CACHE_CONTROL, HeaderValue::from_static(value));
            max_age(&headers).map(|age| age.as_secs())
        };
        assert_eq!(age("public, max-age=15, must-revalidate"), Some(15));
        assert_eq!(age("Max-Age=\"15\""), Some(15));
        assert_eq!(age("no-store"), Some(0));
        assert_eq!(age("public"), None);
        assert_eq!(age("max-age=soon"), None);
        assert_eq!(max_age(&HeaderMap::new()), None);
    }
}
