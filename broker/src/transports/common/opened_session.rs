//! Opening a session and joining the channels of its URL.

use std::rc::Rc;

use futures_util::StreamExt;
use rand::RngExt;
use widecast_protocol::framing::Content;
use widecast_protocol::{ChannelName, Code, Cursor, Payload, Reply};

use crate::auth::Subject;
use crate::config::HookEvent;
use crate::engine::renew;
use crate::http::Problem;
use crate::session::{
    Carrier, CursorScope, Dialect, Identity, JoinOutcome, JoinRequest, JoinUnderWay, Services,
    Session, Transport, Worker, admit, at_once, hook_for, random_sender,
};

/// A session that has joined the channels of its URL, and has yet to be given its connection.
pub(in crate::transports) struct OpenedSession {
    pub(in crate::transports) session: Rc<Session>,
    outcomes: Vec<JoinOutcome>,
    /// Whether nothing was lost before it was opened.
    pub(in crate::transports) recovered: bool,
}

/// Opens a session.
///
/// # Errors
/// While the broker shuts down, when the clients at its address have as many sessions as they may, or the user, when the token counts no longer, and
/// what the authorisation hook says.
pub(in crate::transports) async fn open(
    worker: &Worker,
    mut identity: Identity,
    dialect: Dialect,
    transport: Transport,
) -> Result<Rc<Session>, Problem> {
    require_staying(&worker.services)?;
    let share = identity.share.open_session()?;
    let headers = std::mem::take(&mut identity.headers);
    identity.principal = admit(&worker.services, identity.principal, &headers).await?;
    if let Subject::User(proof) = identity.principal.subject() {
        // It was checked before the body came and the hook was asked. A revocation from now on finds the session.
        let counts = worker.services.auth.recheck(proof);
        counts.map_err(|error| Problem::new(error.code(), error.to_string()))?;
    }
    if dialect.sends() {
        identity.sender.get_or_insert_with(random_sender);
    }
    let carrier = Carrier { dialect, transport };
    let session = Session::new(worker, identity, share, carrier);
    session.take_seat()?;
    Ok(session)
}

/// Makes sure that the broker does not take leave of its clients.
///
/// # Errors
/// `shutting_down`.
pub(in crate::transports) fn require_staying(services: &Services) -> Result<(), Problem> {
    if services.is_draining() {
        let detail = "the broker is shutting down: connect again in a moment";
        return Err(Problem::new(Code::ShuttingDown, detail));
    }
    Ok(())
}

impl OpenedSession {
    /// Joins the channels, several at once.
    ///
    /// # Errors
    /// When one of them cannot be joined, or the cursor is not for them.
    pub(in crate::transports) async fn join(
        session: Rc<Session>,
        channels: &[ChannelName],
        cursor: Option<&Cursor>,
    ) -> Result<Self, Problem> {
        Self::join_as(session, channels, cursor, None).await
    }

    /// Joins the channels, and is listed in each with this data. The list of members comes before the messages.
    ///
    /// # Errors
    /// As [`Self::join`]; when the client may not be listed there.
    pub(in crate::transports) async fn join_as(
        session: Rc<Session>,
        channels: &[ChannelName],
        cursor: Option<&Cursor>,
        presence: Option<Payload>,
    ) -> Result<Self, Problem> {
        if channels.len() > 1 && matches!(cursor, Some(Cursor::One(_))) {
            let detail = "the cursor is of one channel, and several are asked for";
            return Err(Problem::new(Code::BadCursor, detail));
        }
        let mut outcomes = Vec::with_capacity(channels.len());
        let under_way = channels
            .iter()
            .map(|channel| session.is_about_to_join(channel));
        let under_way: Vec<JoinUnderWay<'_>> = under_way.collect();
        let join = |channel| join_one(&session, channel, cursor, presence.clone());
        let joins = channels.iter().map(join);
        let principal = session.principal();
        let hook = hook_for(session.services(), HookEvent::Subscribe, &principal);
        let mut joining = Box::pin(at_once(hook, joins));
        while let Some(outcome) = joining.next().await {
            let outcome = outcome?;
            greet(&session, &outcome);
            outcomes.push(outcome);
        }
        drop((joining, under_way));
        let recovered = outcomes.iter().all(|outcome| outcome.recovered);
        Ok(Self {
            session,
            outcomes,
            recovered,
        })
    }

    /// The cursor at which the session begins, of one channel or of several. If messages are lost, the client has yet to be
    /// told: until then its cursor is the one that it asked for.
    pub(in crate::transports) fn cursor(&self) -> String {
        match &self.outcomes[..] {
            [outcome] if self.session.dialect().scope() == CursorScope::OneChannel => {
                outcome.known.to_string()
            }
            _ => cursor_of(&self.session),
        }
    }

    /// Tells of lost messages, and lets the messages flow.
    pub(in crate::transports) async fn flow(self) -> Rc<Session> {
        for outcome in self.outcomes {
            self.session.tell_gap(&outcome);
            self.session.begin_to_hear(outcome);
        }
        self.session.catch_up().await;
        self.session
    }

    /// Lets the messages flow for a poll; the client is told of lost messages in another way. Which channel has the first turn is left
    /// to chance, since nothing is remembered between two polls: otherwise the messages of the first channel could fill each answer.
    pub(in crate::transports) async fn catch_up(mut self) -> Rc<Session> {
        if !self.outcomes.is_empty() {
            let first = rand::rng().random_range(0..self.outcomes.len());
            self.outcomes.rotate_left(first);
        }
        for outcome in self.outcomes {
            self.session.begin_to_hear(outcome);
        }
        self.session.catch_up().await;
        self.session
    }
}

/// Joins one of the channels.
async fn join_one(
    session: &Rc<Session>,
    channel: &ChannelName,
    cursor: Option<&Cursor>,
    presence: Option<Payload>,
) -> Result<JoinOutcome, Problem> {
    let since = cursor.and_then(|cursor| cursor.position(channel));
    if cursor.is_some() && since.is_none() && session.dialect().scope() == CursorScope::OneChannel {
        // Beginning at the end would be a loss that nobody is told of. Among several channels, one that is not in the cursor is new.
        let detail = format!("the cursor says nothing about {channel}");
        return Err(Problem::new(Code::BadCursor, detail));
    }
    let request = JoinRequest {
        channel: channel.clone(),
        since,
        history: None,
        presence,
    };
    let outcome = session.join(request).await?;
    // The other channels have as long as this one had.
    renew();
    Ok(outcome)
}

/// Tells a page who is here, if it wants to know; one that is sent message objects is also told where it begins, since it
/// cannot read the head of the answer.
fn greet(session: &Session, outcome: &JoinOutcome) {
    let channel = outcome.channel().clone();
    let members = outcome.members.as_ref();
    let members = members.map(|members| members.list.clone());
    if session.dialect().wire().content() == Content::Object {
        session.reply(&Reply::Subscribed {
            id: None,
            channel,
            cursor: outcome.known,
            recovered: outcome.recovered,
            ephemeral: session.services().is_ephemeral(outcome.channel()),
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

/// The place of a session, as the cursor that its client is given.
pub(in crate::transports) fn cursor_of(session: &Session) -> String {
    let places = session.outbox().places();
    match session.dialect().scope() {
        CursorScope::SeveralChannels => places.to_string(),
        CursorScope::OneChannel => {
            let only = places.first();
            only.map_or_else(String::new, |position| position.to_string())
        }
    }
}
