//! The parameters that a subscriber gives in its URL and headers, read in one place for all transports.

use std::time::Duration;

use actix_web::{FromRequest, HttpRequest, dev, web};
use futures_util::future::LocalBoxFuture;
use indexmap::IndexSet;
use widecast_protocol::codec::listing_of;
use widecast_protocol::command::Listing;
use widecast_protocol::framing::jsonp::Callback;
use widecast_protocol::{ChannelName, Code, Cursor, CursorVector, Origin, Payload};

use crate::auth::{Principal, Subject};
use crate::http::{
    Problem, Query, client_share, prefers, proven, refuse_foreign_load, sender_key, shown_headers,
};
use crate::metrics::Limit;
use crate::session::{Echo, Identity, Services, ShownHeaders};

use crate::transports::jsonp;

/// The word in the place of a session's name that opens a new session.
pub(in crate::transports) const NEW_SESSION: &str = "new";

/// As how many bytes of work each channel of a URL counts: to join a channel takes as long as to publish so many bytes.
const CHANNEL_WORK_BYTES: usize = 1024;

/// What a subscriber without frames is sent of each message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::transports) enum MessageFormat {
    /// The data.
    Data,
    /// An object with all that is known of the message, as NDJSON has it.
    Message,
}

/// What a client asks for that opens a stream or a poll: the parameters of its URL, and those of its headers that a page
/// can set.
pub(in crate::transports) struct StreamRequest {
    /// The channels named by `channel=`, without repetitions; or else those that the token names.
    pub(in crate::transports) channels: Vec<ChannelName>,
    /// Where to resume: the header `Last-Event-ID`, which `EventSource` sets, else `?cursor=`.
    pub(in crate::transports) cursor: Option<Cursor>,
    /// The same cursor as text, for sessions of polls, whose cursors are numbers.
    pub(in crate::transports) cursor_text: Option<String>,
    /// Who subscribes.
    pub(in crate::transports) identity: Identity,
    /// `new`, or the name of a session.
    pub(in crate::transports) session: Option<String>,
    /// How long a poll waits.
    pub(in crate::transports) timeout: Option<Duration>,
    /// The function of a JSONP answer.
    pub(in crate::transports) callback: Option<Callback>,
    /// Whether MessagePack is asked for.
    pub(in crate::transports) msgpack: bool,
    /// Whether the texts of a page's WebSocket are JSON.
    pub(in crate::transports) json: bool,
    /// How a page's messages come.
    pub(in crate::transports) format: MessageFormat,
    /// The data with which the subscriber wants to be listed.
    pub(in crate::transports) presence: Option<Payload>,
}

/// The same of a poll, whose answer can be a script: any page may load it then, and whoever answers makes sure that JSONP is allowed
/// for what it asks for.
pub(in crate::transports) struct PollRequest(pub(in crate::transports) StreamRequest);

impl StreamRequest {
    /// Reads the parameters of a request that pages of other sites cannot make without asking.
    ///
    /// # Errors
    /// When it was made so, or a parameter is not as it has to be.
    pub(in crate::transports) async fn of(request: &HttpRequest) -> Result<Self, Problem> {
        refuse_foreign_load(request)?;
        Self::read(request).await
    }

    async fn read(request: &HttpRequest) -> Result<Self, Problem> {
        let share = client_share(request);
        share.check_work()?;
        let Query(pairs) = Query::<Vec<(String, String)>>::of(request)?;
        let last = |name: &str| {
            let values = pairs.iter().filter(|(key, _)| key == name);
            values.map(|(_, value)| value.as_str()).next_back()
        };
        let cursor_text = last_event_id(request).or_else(|| last("cursor").map(str::to_owned));
        let session = last("session").map(str::to_owned);
        let callback = jsonp::callback(request)?;
        let principal = match (proven(request).await, session.as_deref()) {
            // A session that is there already acts for whoever opened it, or has authenticated in it since: the token in its
            // address may have ended.
            (Err(_), Some(name)) if name != NEW_SESSION => {
                Principal::new(Subject::Anonymous, Origin::unknown())
            }
            (found, _) => found?,
        };
        let most = most_channels(request);
        let mut channels = channels(&pairs, most).inspect_err(|problem| count(request, problem))?;
        if channels.is_empty() && session.is_none() {
            let named = named_channels(&principal, most);
            channels = named.inspect_err(|problem| count(request, problem))?;
        }
        share.charge_work(channels.len() * CHANNEL_WORK_BYTES);
        Ok(Self {
            channels,
            // The cursor of a session of polls that is there already is a number of its own.
            cursor: match (session.as_deref(), &cursor_text) {
                (None, Some(text)) => Some(cursor(text)?),
                (Some(NEW_SESSION), _) => last("cursor").map(cursor).transpose()?,
                _ => None,
            },
            cursor_text,
            identity: Identity {
                sender: sender_key(request)?,
                echo: if switch("echo", last("echo"))? {
                    Echo::On
                } else {
                    Echo::Off
                },
                principal,
                share,
                headers: shown(request),
            },
            session,
            timeout: last("timeout").map(timeout).transpose()?,
            callback,
            msgpack: accepts_msgpack(request),
            json: switch("json", last("json"))?,
            format: format(last("format"))?,
            presence: last("presence").and_then(presence),
        })
    }

    /// Whether frames are asked for, in a session of their own.
    pub(in crate::transports) fn wants_new_session(&self) -> Result<bool, Problem> {
        match self.session.as_deref() {
            None => Ok(false),
            Some(NEW_SESSION) => Ok(true),
            Some(_) => {
                let detail = "a stream is a session of its own: open it with session=new, and subscribe with cursors";
                Err(Problem::new(Code::InvalidRequest, detail))
            }
        }
    }

    /// The channels of the URL, or else those that the token names; there has to be one.
    pub(in crate::transports) fn some_channels(&self) -> Result<&[ChannelName], Problem> {
        if self.channels.is_empty() {
            let detail = "name at least one channel with channel=, or in the token (subscribe_to), or open a session with session=new";
            return Err(Problem::new(Code::InvalidRequest, detail));
        }
        Ok(&self.channels)
    }
}

impl FromRequest for StreamRequest {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut dev::Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move { Self::of(&request).await })
    }
}

impl PollRequest {
    async fn of(request: &HttpRequest) -> Result<Self, Problem> {
        if jsonp::callback(request)?.is_none() {
            refuse_foreign_load(request)?;
        }
        StreamRequest::read(request).await.map(Self)
    }
}

impl FromRequest for PollRequest {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut dev::Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move { Self::of(&request).await })
    }
}

/// How many channels one URL may name: as many as a session may join, and a cursor can hold.
fn most_channels(request: &HttpRequest) -> usize {
    let services = request.app_data::<web::Data<Services>>();
    let limit = services.map(|services| services.config.limits.channels_per_session);
    limit.map_or(CursorVector::MAX_CHANNELS, |limit| {
        limit.min(CursorVector::MAX_CHANNELS)
    })
}

/// The channels that the token names, for a request that names none.
fn named_channels(principal: &Principal, most: usize) -> Result<Vec<ChannelName>, Problem> {
    let channels: Vec<_> = principal.subscriptions().take(most + 1).cloned().collect();
    if channels.len() > most {
        return Err(too_many_channels(most));
    }
    Ok(channels)
}

fn too_many_channels(most: usize) -> Problem {
    let detail = format!(
        "more than {most} channels are asked for: limits.channels_per_session and the cursor of a request, \
         which holds at most {} channels, allow no more; open several streams, or a session",
        CursorVector::MAX_CHANNELS
    );
    Problem::new(Code::TooManyChannels, detail)
}

/// Counts a request that asks for too many channels, if that is the problem.
fn count(request: &HttpRequest, problem: &Problem) {
    let services = request.app_data::<web::Data<Services>>();
    if let Some(services) = services.filter(|_| problem.code() == Code::TooManyChannels) {
        services.metrics.limits.refused(Limit::Channels);
    }
}

fn channels(pairs: &[(String, String)], most: usize) -> Result<Vec<ChannelName>, Problem> {
    let mut channels = IndexSet::new();
    for (_, text) in pairs.iter().filter(|(key, _)| key == "channel") {
        let name = ChannelName::parse(text)
            .map_err(|error| Problem::new(Code::BadChannelName, error.to_string()))?;
        channels.insert(name);
        if channels.len() > most {
            return Err(too_many_channels(most));
        }
    }
    Ok(channels.into_iter().collect())
}

fn shown(request: &HttpRequest) -> ShownHeaders {
    let services = request.app_data::<web::Data<Services>>();
    services.map_or_else(Vec::new, |services| {
        shown_headers(request, &services.config)
    })
}

fn last_event_id(request: &HttpRequest) -> Option<String> {
    let header = request.headers().get("last-event-id")?.to_str().ok()?;
    (!header.is_empty()).then(|| header.to_owned())
}

/// Reads a cursor.
pub(in crate::transports) fn cursor(text: &str) -> Result<Cursor, Problem> {
    Cursor::parse(text).map_err(|error| Problem::new(Code::BadCursor, error.to_string()))
}

/// Reads a switch, which is on when it is named without a value.
fn switch(name: &str, text: Option<&str>) -> Result<bool, Problem> {
    match text {
        None | Some("false" | "0") => Ok(false),
        Some("true" | "1" | "") => Ok(true),
        Some(other) => {
            let detail = format!("{name} is {other:?}, expected true or false");
            Err(Problem::new(Code::InvalidRequest, detail))
        }
    }
}

fn format(text: Option<&str>) -> Result<MessageFormat, Problem> {
    match text {
        None | Some("data") => Ok(MessageFormat::Data),
        Some("message") => Ok(MessageFormat::Message),
        Some(other) => {
            let detail = format!("format is {other:?}, expected data or message");
            Err(Problem::new(Code::InvalidRequest, detail))
        }
    }
}

/// `presence` is JSON, or else a text; named alone, it is to be listed without data.
fn presence(text: &str) -> Option<Payload> {
    if text.is_empty() {
        return Some(Payload::null());
    }
    let json = Payload::from_json(text.to_owned());
    match listing_of(json.unwrap_or_else(|_| Payload::text(text)))? {
        Listing::Listed(data) => Some(data),
        Listing::Unlisted => None,
    }
}

/// `timeout` is in seconds, and may have a fraction.
fn timeout(text: &str) -> Result<Duration, Problem> {
    let seconds = text
        .parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| {
        let detail = format!("timeout is {text:?}, expected a number of seconds");
        Problem::new(Code::InvalidRequest, detail)
    })
}

fn accepts_msgpack(request: &HttpRequest) -> bool {
    let names = [
        "application/msgpack",
        "application/x-msgpack",
        "application/vnd.msgpack",
    ];
    prefers(request, &names, "application/json")
}
