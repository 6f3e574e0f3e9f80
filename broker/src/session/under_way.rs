//! The joins that are under way on a worker: an operator may take a session from a channel while the hook or the engine is asked about it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Instant;

use widecast_protocol::ChannelName;

use super::session::Session;
use crate::engine::ConnectionId;

/// What sessions of a worker are about to join.
#[derive(Default)]
pub(super) struct JoinsUnderWay(RefCell<BTreeMap<(ChannelName, ConnectionId), State>>);

struct State {
    since: Instant,
    /// How many joins of the session are under way there: one may be a part of another.
    count: usize,
    is_called_off: bool,
}

impl JoinsUnderWay {
    /// Since when a session is about to join a channel.
    pub(super) fn since(&self, channel: &ChannelName, session: &Session) -> Option<Instant> {
        let joins = self.0.borrow();
        let state = joins.get(&(channel.clone(), session.connection()))?;
        (!state.is_called_off).then_some(state.since)
    }

    /// Who is about to join a channel.
    pub(super) fn of(&self, channel: &ChannelName) -> Vec<ConnectionId> {
        let (first, last) = (ConnectionId(0), ConnectionId(u64::MAX));
        let joins = self.0.borrow();
        let range = joins.range((channel.clone(), first)..=(channel.clone(), last));
        range.map(|((_, connection), _)| *connection).collect()
    }
}

/// A join that is under way until this is dropped.
pub struct JoinUnderWay<'a> {
    session: &'a Session,
    channel: ChannelName,
}

impl Drop for JoinUnderWay<'_> {
    fn drop(&mut self) {
        let mut joins = self.session.siblings().joins.0.borrow_mut();
        let key = (self.channel.clone(), self.session.connection());
        if let Some(state) = joins.get_mut(&key) {
            state.count -= 1;
            if state.count == 0 {
                joins.remove(&key);
            }
        }
    }
}

impl Session {
    /// The session is about to join a channel: from now on it counts for an operator as being there.
    pub fn is_about_to_join(&self, channel: &ChannelName) -> JoinUnderWay<'_> {
        let key = (channel.clone(), self.connection());
        let mut joins = self.siblings().joins.0.borrow_mut();
        let state = joins.entry(key).or_insert_with(|| State {
            since: Instant::now(),
            count: 0,
            is_called_off: false,
        });
        state.count += 1;
        JoinUnderWay {
            session: self,
            channel: channel.clone(),
        }
    }

    /// Has the joins of a channel that are under way fail. Returns whether there are any.
    pub(super) fn call_off_joins(&self, channel: &ChannelName) -> bool {
        let mut joins = self.siblings().joins.0.borrow_mut();
        let state = joins.get_mut(&(channel.clone(), self.connection()));
        state.is_some_and(|state| !std::mem::replace(&mut state.is_called_off, true))
    }

    /// Whether an operator has taken the session from a channel that it is about to join.
    pub(super) fn is_called_off(&self, channel: &ChannelName) -> bool {
        let joins = self.siblings().joins.0.borrow();
        let state = joins.get(&(channel.clone(), self.connection()));
        state.is_some_and(|state| state.is_called_off)
    }
}
