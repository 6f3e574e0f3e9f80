//! Addresses of the broker, with every part encoded by the URL library.

use anyhow::{Result, anyhow};
use reqwest::Url;

/// Joins path segments and a query to the base; each segment is percent-encoded on its own.
///
/// # Errors
/// When the base is not a URL with a host.
pub fn address(base: &str, segments: &[&str], query: &[(String, String)]) -> Result<Url> {
    let mut url = Url::parse(base)?;
    url.path_segments_mut()
        .map_err(|()| anyhow!("{base} cannot have a path"))?
        .extend(segments);
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn a_channel_with_a_slash_stays_one_segment() {
        let query = [("cursor".to_owned(), "a=1-1,b=1-2".to_owned())];
        let url = address("http://127.0.0.1:1", &["channels", "a/b?c", "sse"], &query).unwrap();
        assert_eq!(
            url.as_str(),
            "http://127.0.0.1:1/channels/a%2Fb%3Fc/sse?cursor=a%3D1-1%2Cb%3D1-2"
        );
    }
}
