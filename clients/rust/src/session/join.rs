//! Joining a channel of a session.

use std::future::IntoFuture;

use futures_util::future::BoxFuture;
use serde::Serialize;
use serde_json::value::RawValue;
use widecast_protocol::ChannelName;

use super::{Command, Session, place_in};
use crate::data::Data;
use crate::error::Error;
use crate::message::Member;

/// A channel that is about to be joined: awaiting it joins the channel.
///
/// ```no_run
/// # async fn example(session: widecast_client::Session) -> Result<(), widecast_client::Error> {
/// let subscribed = session.subscribe("room").presence(&"Ann").history(10).await?;
/// println!("{} are here", subscribed.members.len());
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "a channel is joined when this is awaited"]
pub struct JoinChannel<'a> {
    session: &'a Session,
    channel: String,
    cursor: Option<String>,
    history: Option<u32>,
    presence: Option<Result<Box<RawValue>, Error>>,
    token: Option<String>,
}

/// A session has joined a channel: everything that is published from here on will be heard.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Subscribed {
    /// The place where the subscription begins.
    pub cursor: String,
    /// False when messages behind the cursor that was asked for are lost. The events tell of this gap, too.
    pub recovered: bool,
    /// Whether the channel keeps no messages: its cursors are never looked at, and what comes while the client is away is not heard.
    pub ephemeral: bool,
    /// The members of the channel, if the session is listed itself.
    pub members: Vec<Member>,
}

impl<'a> JoinChannel<'a> {
    pub(super) fn new(session: &'a Session, channel: &str) -> Self {
        Self {
            session,
            channel: channel.to_owned(),
            cursor: None,
            history: None,
            presence: None,
            token: None,
        }
    }

    /// Begins behind this place, and not with what is published from now on.
    pub fn cursor(mut self, cursor: &str) -> Self {
        self.cursor = Some(cursor.to_owned());
        self
    }

    /// Hears so many past messages first. It has no effect beside a cursor.
    pub fn history(mut self, messages: u32) -> Self {
        self.history = Some(messages);
        self
    }

    /// Lists the client as a member that says this of itself, and hears who comes and goes.
    pub fn presence<T: Serialize + ?Sized>(mut self, value: &T) -> Self {
        self.presence = Some(Data::of(value).and_then(|data| data.to_json()));
        self
    }

    /// Shows a token for this channel alone, which gives rights on it beside those that the session has. Later connections of the
    /// session show it, too. To join a channel that is joined already, with nothing but a new token, renews it: that is what
    /// [`Event::TokenRequired`](crate::Event::TokenRequired) with the channel asks for.
    pub fn token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    async fn join(self) -> Result<Subscribed, Error> {
        let channel = ChannelName::parse(&self.channel).map_err(Error::BadName)?;
        let cursor = self.cursor.as_deref();
        let cursor = cursor
            .map(|cursor| place_in(&channel, cursor))
            .transpose()?;
        let command = Command {
            cursor: cursor.flatten().map(|position| position.to_string()),
            history: self.history,
            presence: self.presence.transpose()?,
            token: self.token,
            ..Command::about("subscribe", &channel)
        };
        let answer = self.session.ask(command, 0).await?;
        let cursor = answer.cursor;
        Ok(Subscribed {
            cursor: cursor.ok_or(Error::Protocol("the place of a subscription"))?,
            recovered: answer.recovered.unwrap_or(true),
            ephemeral: answer.ephemeral.unwrap_or(false),
            members: answer.members.unwrap_or_default(),
        })
    }
}

impl<'a> IntoFuture for JoinChannel<'a> {
    type Output = Result<Subscribed, Error>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.join())
    }
}
