//! `--history N`: prints the newest messages of each channel first, and begins behind them. What is published in the
//! meantime comes afterwards, because listening starts from the place where the history ended.

use std::ops::ControlFlow;

use actix_rt::time::timeout;
use serde::Deserialize;
use widecast_protocol::{ChannelName, Position};

use super::connection::get;
use super::end::End;
use super::http::{CONNECT_TIMEOUT, refused, whole};
use super::message::HeardMessage;
use super::reader::Reader;
use crate::cli::broker::encoded;
use crate::cli::error::{CliError, chain};

/// The most one answer may have.
const MAX_ANSWER_BYTES: usize = 1 << 30;

/// A page of the history.
#[derive(Debug, Deserialize)]
struct Page {
    messages: Vec<HeardMessage>,
    /// The place behind the messages; a channel that nobody has used has none.
    cursor: Option<String>,
}

/// Prints the newest messages of all channels in the order in which they were published.
///
/// Gives how listening ends if that was all that was wanted, or if the broker could not be asked.
pub(super) async fn print(
    reader: &mut Reader<'_>,
    limit: u32,
) -> Result<ControlFlow<End>, CliError> {
    let mut messages = Vec::new();
    for channel in reader.channels.clone() {
        let page = match page(reader, &channel, limit).await? {
            Ok(page) => page,
            Err(end) => return Ok(ControlFlow::Break(end)),
        };
        messages.extend(page.messages);
        let cursor = page.cursor.as_deref().map(Position::parse);
        if let Some(Ok(position)) = cursor {
            reader.move_in(&channel, position);
        }
    }
    // Stable: messages of one millisecond and channel keep their order.
    messages.sort_by_key(|message| message.timestamp);
    for message in &messages {
        if let ControlFlow::Break(end) = reader.hear(message)? {
            return Ok(ControlFlow::Break(end));
        }
    }
    Ok(ControlFlow::Continue(()))
}

async fn page(
    reader: &Reader<'_>,
    channel: &ChannelName,
    limit: u32,
) -> Result<Result<Page, End>, CliError> {
    let channel = encoded(channel.as_str());
    let path = format!("/channels/{channel}/messages?limit={limit}");
    let address = reader.broker.join(&path);
    let answer = get(&address, "application/json", reader.tls.as_ref());
    let mut answer = match timeout(CONNECT_TIMEOUT, answer).await {
        Err(_) => return Ok(Err(End::cut("no answer"))),
        Ok(Err(error)) => return Ok(Err(End::cut(chain(&*error)))),
        Ok(Ok(answer)) => answer,
    };
    let body = match whole(&mut answer.body, MAX_ANSWER_BYTES).await {
        Ok(body) => body,
        Err(end) => return Ok(Err(end)),
    };
    if !(200..300).contains(&answer.status) {
        return refused(answer.status, &body).map(Err);
    }
    match serde_json::from_slice(&body) {
        Ok(page) => Ok(Ok(page)),
        Err(_) => Ok(Err(End::cut("the broker sent what is no history"))),
    }
}
