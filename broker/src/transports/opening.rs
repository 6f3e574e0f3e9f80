//! Opening a session and joining the channels of its URL.

use std::rc::Rc;

use widecast_protocol::framing::Content;
use widecast_protocol::{ChannelName, Code, Cursor, Payload, Reply};

use crate::http::Problem;
use crate::metrics::Transport;
use crate::session::{
    Arrival, Carrier, Dialect, Identity, Joining, Session, Span, Worker, random_sender,
};

/// A session that has joined the channels of its URL, and has yet to be given its connection.
pub(super) struct Opening {
    pub(super) session: Rc<Session>,
    arrivals: Vec<Arrival>,
    /// Whether nothing was lost before it was opened.
    pub(super) recovered: bool,
}

/// Opens a session.
///
/// # Errors
/// While the broker shuts down.
pub(super) fn open(
    worker: &Worker,
    mut identity: Identity,
    dialect: Dialect,
    transport: Transport,
) -> Result<Rc<Session>, Problem> {
    if worker.services.is_draining() {
        let detail = "the broker is shutting down: connect again in a moment";
        return Err(Problem::new(Code::ShuttingDown, detail));
    }
    if dialect.sends() {
        identity.sender.get_or_insert_with(random_sender);
    }
    Ok(Session::new(
        worker,
        identity,
        Carrier { dialect, transport },
    ))
}

impl Opening {
    /// Joins the channels.
    ///
    /// # Errors
    /// When one of them cannot be joined, or the cursor is not for them.
    pub(super) async fn join(
        session: Rc<Session>,
        channels: &[ChannelName],
        cursor: Option<&Cursor>,
    ) -> Result<Self, Problem> {
        Self::join_as(session, channels, cursor, None).await
    }

    /// Joins the channels, listed in each with this data. Who is there comes before their messages.
    ///
    /// # Errors
    /// As [`Self::join`]; when the client may not be listed there.
    pub(super) async fn join_as(
        session: Rc<Session>,
        channels: &[ChannelName],
        cursor: Option<&Cursor>,
        presence: Option<Payload>,
    ) -> Result<Self, Problem> {
        if channels.len() > 1 && matches!(cursor, Some(Cursor::One(_))) {
            let detail = "the cursor is of one channel, and several are asked for";
            return Err(Problem::new(Code::BadCursor, detail));
        }
        let mut arrivals = Vec::with_capacity(channels.len());
        for channel in channels {
            let since = cursor.and_then(|cursor| cursor.position(channel));
            if cursor.is_some() && since.is_none() && session.dialect().span() == Span::One {
                // Beginning at the end would be a loss that nobody is told of. Among several channels, one that is not in
                // the cursor is new.
                let detail = format!("the cursor says nothing about {channel}");
                return Err(Problem::new(Code::BadCursor, detail));
            }
            let joining = Joining {
                channel: channel.clone(),
                since,
                history: None,
                presence: presence.clone(),
            };
            let arrival = session.join(joining).await?;
            greet(&session, &arrival);
            arrivals.push(arrival);
        }
        let recovered = arrivals.iter().all(|arrival| arrival.recovered);
        Ok(Self {
            session,
            arrivals,
            recovered,
        })
    }

    /// The cursor at which the session begins: of one channel, or of several. Of what is lost the client has yet to be
    /// told, so that this is the place that it asked for.
    pub(super) fn cursor(&self) -> String {
        match &self.arrivals[..] {
            [arrival] if self.session.dialect().span() == Span::One => arrival.known.to_string(),
            _ => cursor_of(&self.session),
        }
    }

    /// Tells of what is lost, and lets the messages flow.
    pub(super) async fn flow(self) -> Rc<Session> {
        for arrival in self.arrivals {
            self.session.tell_and_let_flow(arrival).await;
        }
        self.session
    }

    /// Lets the messages flow; of what is lost the client is told otherwise.
    pub(super) async fn catch_up(self) -> Rc<Session> {
        for arrival in self.arrivals {
            self.session.let_flow(arrival).await;
        }
        self.session
    }
}

/// Tells a page, if it can be told, where it begins and who is here: with message objects the former, too, since it cannot read
/// the head of the answer.
fn greet(session: &Session, arrival: &Arrival) {
    let channel = arrival.channel().clone();
    let members = arrival.members.as_ref();
    let members = members.map(|list| list.members.clone());
    if session.dialect().wire().content() == Content::Object {
        session.reply(&Reply::Subscribed {
            id: None,
            channel,
            cursor: arrival.known,
            recovered: arrival.recovered,
            members,
        });
    } else if let Some(members) = members {
        session.reply(&Reply::Presence {
            id: None,
            channel,
            members,
        });
    }
}

/// Where a session is, as the cursor that its client is given.
pub(super) fn cursor_of(session: &Session) -> String {
    let places = session.outbox().places();
    match session.dialect().span() {
        Span::Several => places.to_string(),
        Span::One => {
            let only = places.first();
            only.map_or_else(String::new, |position| position.to_string())
        }
    }
}
