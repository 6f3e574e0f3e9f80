//! What the raw transports over HTTP share: their address, and the head of the answer.

use anyhow::{Result, bail};
use reqwest::Response;
use reqwest::header::HeaderMap;
use serde_json::Value;
use widecast_tests::address::address;

use crate::place::Place;

use super::{Subscriber, soon};

/// Asks for a raw transport; the answer's head must be a good one.
pub(super) async fn ask(
    it: &Subscriber,
    transport: &str,
    query: Vec<(String, String)>,
    last_event_id: Option<&str>,
) -> Result<Response> {
    let url = address(
        &it.endpoint.base,
        &path(it, transport),
        &full_query(it, query),
    )?;
    let mut request = it.endpoint.http.get(url);
    if let Some(id) = last_event_id {
        request = request.header("last-event-id", id);
    }
    let sent = soon("asking", async { Ok(request.send().await?) }).await?;
    let status = sent.status();
    if status != 200 {
        let text = soon("the problem", async { Ok(sent.text().await?) }).await?;
        bail!("{status}: {text}");
    }
    Ok(sent)
}

/// The path of a raw transport.
pub(super) fn path<'a>(it: &'a Subscriber, transport: &'a str) -> Vec<&'a str> {
    match &*it.spec.channels {
        [channel] => vec!["channels", channel, transport],
        _ => vec!["v1", transport],
    }
}

/// The query of a raw transport.
pub(super) fn full_query(
    it: &Subscriber,
    mut query: Vec<(String, String)>,
) -> Vec<(String, String)> {
    let mut add = |name: &str, value: &str| query.push((name.to_owned(), value.to_owned()));
    if let Some(sender) = &it.spec.sender {
        add("sender", sender);
    }
    if it.spec.echo {
        add("echo", "true");
    }
    if it.spec.channels.len() > 1 {
        for channel in &it.spec.channels {
            add("channel", channel);
        }
    }
    query
}

/// The place of a message object: its cursor may cover own messages behind it.
pub(super) fn place_of(object: &Value, cursor: &Place) -> Option<Place> {
    Some(Place::new(&cursor.epoch, object["offset"].as_u64()?))
}

/// The header that says where a stream begins.
pub(super) fn cursor_header(headers: &HeaderMap) -> Option<String> {
    let cursor = headers.get("widecast-cursor")?;
    Some(cursor.to_str().ok()?.to_owned())
}
