//! Reading what a channel has: past messages and members.

use std::future::IntoFuture;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use widecast_protocol::{ChannelName, Position};

use crate::address::encoded;
use crate::client::Client;
use crate::error::Error;
use crate::frame::Frame;
use crate::http::ANSWER_TIMEOUT;
use crate::message::{History, Member};
use crate::publish::Way;
use crate::session::Command;

/// A question for past messages: awaiting it asks the broker.
///
/// ```no_run
/// # async fn example(client: widecast_client::Client) -> Result<(), widecast_client::Error> {
/// let newest = client.history("news").limit(10).await?;
/// for message in &newest.messages {
///     println!("{}: {}", message.offset, message.json());
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "the broker is asked when this is awaited"]
pub struct ReadHistory<'a> {
    way: Way<'a>,
    channel: String,
    since: Option<String>,
    limit: Option<u32>,
}

impl<'a> ReadHistory<'a> {
    pub(crate) fn new(way: Way<'a>, channel: &str) -> Self {
        Self {
            way,
            channel: channel.to_owned(),
            since: None,
            limit: None,
        }
    }

    /// Asks for the oldest messages behind this place, and not for the newest of all.
    pub fn since(mut self, cursor: &str) -> Self {
        self.since = Some(cursor.to_owned());
        self
    }

    /// Asks for so many messages at the most. The broker gives no more than `limits.messages_per_history`.
    pub fn limit(mut self, limit: u32) -> Self {
        self.limit = Some(limit);
        self
    }

    async fn ask(self) -> Result<History, Error> {
        let channel = ChannelName::parse(&self.channel).map_err(Error::BadName)?;
        let since = self.since.as_deref().map(Position::parse);
        let since = since.transpose().map_err(Error::BadCursor)?;
        match self.way {
            Way::Http(client) => get_history(client, &channel, since, self.limit).await,
            Way::Session(session) => {
                let command = Command {
                    since: since.map(|position| position.to_string()),
                    limit: self.limit,
                    ..Command::about("history", &channel)
                };
                session.ask(command, 0).await?.into_history()
            }
        }
    }
}

impl<'a> IntoFuture for ReadHistory<'a> {
    type Output = Result<History, Error>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.ask())
    }
}

async fn get_history(
    client: &Client,
    channel: &ChannelName,
    since: Option<Position>,
    limit: Option<u32>,
) -> Result<History, Error> {
    let since = since.map(|position| format!("since={position}"));
    let limit = limit.map(|limit| format!("limit={limit}"));
    let query: Vec<String> = since.into_iter().chain(limit).collect();
    let mark = if query.is_empty() { "" } else { "?" };
    let channel = encoded(channel.as_str());
    let path = format!("/channels/{channel}/messages{mark}{}", query.join("&"));
    get(client, &path).await?.into_history()
}

/// The members of a channel, page by page.
pub(crate) async fn members(way: Way<'_>, channel: &str) -> Result<Vec<Member>, Error> {
    let channel = ChannelName::parse(channel).map_err(Error::BadName)?;
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = page_of_members(way, &channel, after).await?;
        found.extend(page.members.ok_or(Error::Protocol("a list of members"))?);
        after = page.next;
        if after.is_none() {
            return Ok(found);
        }
    }
}

async fn page_of_members(
    way: Way<'_>,
    channel: &ChannelName,
    after: Option<String>,
) -> Result<Frame, Error> {
    match way {
        Way::Http(client) => {
            let channel = encoded(channel.as_str());
            let query =
                after.map_or_else(String::new, |after| format!("?after={}", encoded(&after)));
            get(client, &format!("/channels/{channel}/presence{query}")).await
        }
        Way::Session(session) => {
            let command = Command {
                after,
                ..Command::about("presence", channel)
            };
            session.ask(command, 0).await
        }
    }
}

async fn get(client: &Client, path: &str) -> Result<Frame, Error> {
    let http = client.http();
    let request = http.get(path, "application/json");
    let body = http.whole(request, Bytes::new(), ANSWER_TIMEOUT).await?;
    Frame::read(&body)
}
