//! The sessions of one worker: by their users, their tokens, their names and their channels. An operator asks for them; no message
//! does.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Instant;

use widecast_protocol::{ChannelName, SessionId};

use super::session::Session;
use super::under_way::JoinsUnderWay;
use crate::auth::{Proof, Subject};
use crate::engine::ConnectionId;
use crate::registry::Shard;

/// What a session can be found by, besides its channels.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SessionKey {
    /// A user for whom it acts, or has shown a token.
    User(Arc<str>),
    /// The name (`jti`) of a token that it has shown.
    Token(Arc<str>),
    /// Its own name.
    Session(SessionId),
}

impl SessionKey {
    /// What the session of such a principal can be found by.
    pub(super) fn of_subject(subject: &Subject) -> Vec<Self> {
        match subject {
            Subject::User(proof) => Self::of(proof),
            Subject::Named(user) => vec![Self::User(Arc::clone(user))],
            Subject::Anybody | Subject::Anonymous | Subject::ApiKey(_) => Vec::new(),
        }
    }

    /// The keys by which a session with this proof can be found.
    pub(super) fn of(proof: &Proof) -> Vec<Self> {
        let user = proof.user.clone().map(Self::User);
        let token = proof.name.clone().map(Self::Token);
        user.into_iter().chain(token).collect()
    }
}

/// What one session can be found by besides its own name. Most sessions have nothing or two keys: a map would take ten times as much.
#[derive(Debug, Default)]
pub(super) struct SessionKeys(Vec<ListedKey>);

#[derive(Debug)]
struct ListedKey {
    key: SessionKey,
    /// For how many reasons.
    reasons: usize,
    since: Instant,
}

impl SessionKeys {
    fn find(&self, key: &SessionKey) -> Result<usize, usize> {
        self.0.binary_search_by(|known| known.key.cmp(key))
    }

    /// Since when the session can be found by this key.
    fn since(&self, key: &SessionKey) -> Option<Instant> {
        Some(self.0[self.find(key).ok()?].since)
    }

    /// Returns whether it is the first reason for this key.
    fn add(&mut self, key: SessionKey) -> bool {
        match self.find(&key) {
            Ok(index) => {
                self.0[index].reasons += 1;
                false
            }
            Err(index) => {
                self.0.reserve_exact(1);
                let listed = ListedKey {
                    key,
                    reasons: 1,
                    since: Instant::now(),
                };
                self.0.insert(index, listed);
                true
            }
        }
    }

    /// Returns whether it was the last reason for this key.
    fn remove(&mut self, key: &SessionKey) -> bool {
        let Ok(index) = self.find(key) else {
            return false;
        };
        self.0[index].reasons -= 1;
        let is_last = self.0[index].reasons == 0;
        if is_last {
            self.0.remove(index);
        }
        is_last
    }
}

impl Session {
    /// From now on the session is found by these keys, too.
    pub(super) fn list_keys(&self, keys: impl IntoIterator<Item = SessionKey>) {
        let mut known = self.keys.borrow_mut();
        for key in keys {
            if known.add(key.clone()) {
                self.siblings().list(self.connection(), key);
            }
        }
    }

    /// Removes one reason for these keys; the session is still found by a key that has another reason.
    pub(super) fn unlist_keys(&self, keys: impl IntoIterator<Item = SessionKey>) {
        let mut known = self.keys.borrow_mut();
        for key in keys {
            if known.remove(&key) {
                self.siblings().unlist(self.connection(), key);
            }
        }
    }
}

/// Selects sessions: those that match every field that is set. If no field is set, it selects none.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// The user for whom they act.
    pub user: Option<Arc<str>>,
    /// A token of this name (`jti`) counts for them.
    pub token: Option<Arc<str>>,
    /// It has this name.
    pub session: Option<SessionId>,
    /// They have joined this channel, or are about to.
    pub channel: Option<ChannelName>,
}

/// The selection as text, for the audit log. The name of a session is a secret, and is not shown.
impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.user.as_ref().map(|user| format!("user:{user}"));
        let token = self.token.as_ref().map(|name| format!("jti:{name}"));
        let session = self.session.as_ref().map(|_| "session".to_owned());
        let channel = self.channel.as_ref().map(|name| format!("channel:{name}"));
        let said: Vec<_> = [user, token, session, channel]
            .into_iter()
            .flatten()
            .collect();
        f.write_str(&said.join(" "))
    }
}

impl Selection {
    /// What to look for in the index, that which fewest sessions have first.
    fn keys(&self) -> impl Iterator<Item = SessionKey> {
        let session = self.session.clone().map(SessionKey::Session);
        let token = self.token.clone().map(SessionKey::Token);
        let user = self.user.clone().map(SessionKey::User);
        session.into_iter().chain(token).chain(user)
    }
}

/// The sessions of one worker.
#[derive(Default)]
pub struct SessionIndex {
    sessions: RefCell<HashMap<ConnectionId, Weak<Session>>>,
    keys: RefCell<BTreeSet<(SessionKey, ConnectionId)>>,
    pub(super) joins: JoinsUnderWay,
}

impl SessionIndex {
    /// Lists a session until it is dropped.
    pub(super) fn add(&self, session: &Rc<Session>) {
        let listed = Rc::downgrade(session);
        self.sessions
            .borrow_mut()
            .insert(session.connection(), listed);
    }

    /// From now on a session is found by its own name, too.
    pub(super) fn list_name(&self, session: &Session) {
        let name = session.id().clone();
        self.list(session.connection(), SessionKey::Session(name));
    }

    /// A session is gone that was found by these keys, and by its own name if it has one.
    pub(super) fn remove(
        &self,
        connection: ConnectionId,
        name: Option<SessionId>,
        keys: SessionKeys,
    ) {
        self.sessions.borrow_mut().remove(&connection);
        let keys = keys.0.into_iter().map(|listed| listed.key);
        for key in keys.chain(name.map(SessionKey::Session)) {
            self.unlist(connection, key);
        }
    }

    fn list(&self, connection: ConnectionId, key: SessionKey) {
        self.keys.borrow_mut().insert((key, connection));
    }

    fn unlist(&self, connection: ConnectionId, key: SessionKey) {
        self.keys.borrow_mut().remove(&(key, connection));
    }

    /// The sessions that are meant. With a moment, those that were meant at that moment, too.
    pub(super) fn find(
        &self,
        selection: &Selection,
        till: Option<Instant>,
        shard: &Shard,
    ) -> Vec<Rc<Session>> {
        let found = match (selection.keys().next(), &selection.channel) {
            (Some(key), _) => self.with_key(&key),
            (None, Some(channel)) => {
                let joined = shard.subscribers(channel).into_iter();
                let found: BTreeSet<_> = joined.chain(self.joins.of(channel)).collect();
                found.into_iter().collect()
            }
            (None, None) => Vec::new(),
        };
        let sessions = self.sessions.borrow();
        let sessions = found
            .iter()
            .filter_map(|found| sessions.get(found)?.upgrade());
        sessions
            .filter(|session| self.is_meant(session, selection))
            .filter(|session| till.is_none_or(|till| self.was_meant(session, selection, till)))
            .collect()
    }

    fn with_key(&self, key: &SessionKey) -> Vec<ConnectionId> {
        let (first, last) = (ConnectionId(0), ConnectionId(u64::MAX));
        let keys = self.keys.borrow();
        let range = keys.range((key.clone(), first)..=(key.clone(), last));
        range.map(|(_, connection)| *connection).collect()
    }

    fn is_meant(&self, session: &Session, selection: &Selection) -> bool {
        let keys = self.keys.borrow();
        let connection = session.connection();
        let is_in = |channel| {
            session.place(channel).is_some() || self.joins.since(channel, session).is_some()
        };
        // One that has been told goodbye, and has yet to take it, is gone already.
        session.outbox().is_open()
            && selection
                .keys()
                .all(|key| keys.contains(&(key, connection)))
            && selection.channel.as_ref().is_none_or(is_in)
    }

    /// Whether a session that is meant was so at a moment.
    fn was_meant(&self, session: &Session, selection: &Selection, till: Instant) -> bool {
        let is_older = |since: Option<Instant>| since.is_none_or(|since| since <= till);
        let (keys, channels) = (session.keys.borrow(), session.channels.borrow());
        let in_channel = selection.channel.as_ref().and_then(|channel| {
            let joined = channels.joined(channel);
            let joins = self.joins.since(channel, session);
            joined.into_iter().chain(joins).min()
        });
        is_older(Some(session.opened()))
            && selection.keys().all(|key| is_older(keys.since(&key)))
            && is_older(in_channel)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::session::JoinRequest;
    use crate::session::trial::Trial;

    fn selection(channel: Option<&ChannelName>) -> Selection {
        Selection {
            user: Some("7".into()),
            channel: channel.cloned(),
            ..Selection::default()
        }
    }

    /// Waits until the clock has gone on.
    async fn moment() -> Instant {
        let moment = Instant::now();
        while Instant::now() <= moment {
            tokio::task::yield_now().await;
        }
        moment
    }

    async fn join(session: &Rc<Session>, channel: &ChannelName) {
        let request = JoinRequest {
            channel: channel.clone(),
            since: None,
            history: None,
            presence: None,
        };
        let outcome = session.join(request).await.map_err(|refusal| refusal.code);
        session.let_flow(outcome.unwrap()).await;
    }

    #[actix_web::test]
    async fn only_those_are_found_that_were_there_at_the_moment() {
        let trial = Trial::new();
        let of_user = |session: &Session| session.list_keys([SessionKey::User("7".into())]);
        let found = |selection: &Selection, till: Option<Instant>| {
            let found = trial
                .worker
                .sessions
                .find(selection, till, &trial.worker.shard);
            found.len()
        };
        let early = moment().await;
        let first = trial.session();
        of_user(&first);
        let opened = moment().await;
        let second = trial.session();
        of_user(&second);
        let third = trial.session();
        let before_it_is_seven = moment().await;
        of_user(&third);
        let all = selection(None);
        assert_eq!(found(&all, Some(early)), 0);
        assert_eq!(found(&all, Some(opened)), 1);
        assert_eq!(found(&all, Some(before_it_is_seven)), 2);
        assert_eq!(found(&all, Some(moment().await)), 3);
        assert_eq!(found(&all, None), 3);

        let in_channel = selection(Some(&trial.channel));
        let before_it_joins = moment().await;
        join(&second, &trial.channel).await;
        let joined = moment().await;
        assert_eq!(found(&in_channel, Some(before_it_joins)), 0);
        assert_eq!(found(&in_channel, Some(joined)), 1);
        // Whoever has left, and comes again, comes afterwards.
        second.leave(&trial.channel);
        join(&second, &trial.channel).await;
        assert_eq!(found(&in_channel, Some(joined)), 0);
        assert_eq!(found(&in_channel, None), 1);
        let hour = Duration::from_hours(1);
        assert_eq!(found(&in_channel, Instant::now().checked_add(hour)), 1);
    }
}
