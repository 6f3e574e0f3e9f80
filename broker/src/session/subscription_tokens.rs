//! Subscription tokens: what a session may do on single channels beside what its own credentials allow, and until when.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use widecast_protocol::command::Token;
use widecast_protocol::{ChannelName, Code, Reply};

use super::access::require;
use super::credentials::{left, notice, sleep_until};
use super::index::SessionKey;
use super::refusal::Refusal;
use super::session::Session;
use crate::auth::{Proof, Shown, Subject};
use crate::config::Right;

/// What has to be done now.
#[derive(Debug, PartialEq)]
enum Due {
    /// The client is to be told that the token of a channel ends.
    Notice(ChannelName),
    /// The token of a channel has ended.
    End(ChannelName),
}

/// The subscription tokens of a session, one for a channel at the most. Only channels that are joined, or are being joined, have one:
/// so there are no more than `limits.channels_per_session`.
#[derive(Default)]
pub(super) struct SubscriptionTokens {
    shown: BTreeMap<ChannelName, ShownToken>,
    /// What has to be done next for each channel.
    due: BTreeSet<(SystemTime, ChannelName)>,
    timer: Option<Timer>,
}

/// Does what is due when it is. It is told of other times, and never ended in the middle of what it does.
struct Timer {
    task: JoinHandle<()>,
    times_changed: Rc<Notify>,
}

struct ShownToken {
    proof: Arc<Proof>,
    /// When the client is told of the end, or if it has been told, the end.
    due: SystemTime,
}

impl SubscriptionTokens {
    fn get(&self, channel: &ChannelName) -> Option<&Arc<Proof>> {
        self.shown.get(channel).map(|shown| &shown.proof)
    }

    /// Puts a token in the place of the one that the channel has had, which it gives back.
    fn put(&mut self, channel: &ChannelName, proof: Arc<Proof>) -> Option<Arc<Proof>> {
        let old = self.remove(channel);
        let proof = self.same_as(proof);
        let due = proof.expires_at - notice(proof.expires_at);
        self.due.insert((due, channel.clone()));
        self.shown
            .insert(channel.clone(), ShownToken { proof, due });
        old
    }

    /// What was proved before, if it is the same: one token may be shown for every channel, and is not kept as often.
    fn same_as(&self, proof: Arc<Proof>) -> Arc<Proof> {
        let mut known = self.shown.values().map(|shown| &shown.proof);
        known
            .find(|&known| *known == proof)
            .map_or(proof, Arc::clone)
    }

    fn remove(&mut self, channel: &ChannelName) -> Option<Arc<Proof>> {
        let ShownToken { proof, due } = self.shown.remove(channel)?;
        self.due.remove(&(due, channel.clone()));
        Some(proof)
    }

    fn next(&self) -> Option<SystemTime> {
        self.due.first().map(|(at, _)| *at)
    }

    /// What has to be done at this time, one thing after the other.
    fn take_due(&mut self, now: SystemTime) -> Option<Due> {
        let (at, _) = self.due.first()?;
        if *at > now {
            return None;
        }
        let (_, channel) = self.due.pop_first()?;
        let shown = self.shown.get_mut(&channel)?;
        if shown.proof.expires_at <= now {
            return Some(Due::End(channel));
        }
        shown.due = shown.proof.expires_at;
        self.due.insert((shown.due, channel.clone()));
        Some(Due::Notice(channel))
    }

    /// The channels whose token fulfils `is_so`.
    fn channels(&self, is_so: impl Fn(&Proof) -> bool) -> Vec<ChannelName> {
        let shown = self.shown.iter().filter(|(_, shown)| is_so(&shown.proof));
        shown.map(|(channel, _)| channel.clone()).collect()
    }
}

impl Drop for SubscriptionTokens {
    fn drop(&mut self) {
        // While it does something, it holds the session.
        if let Some(timer) = self.timer.take() {
            timer.task.abort();
        }
    }
}

impl Session {
    /// Checks a subscription token, and that with it the session may hear the channel.
    ///
    /// # Errors
    /// `unauthorized`, with what is wrong with it, or what is missing.
    pub(super) async fn check_subscription_token(
        &self,
        channel: &ChannelName,
        token: &Token,
    ) -> Result<Arc<Proof>, Refusal> {
        let auth = &self.services().auth;
        let subject = auth.prove(Shown {
            credential: token.as_str(),
            address: self.principal().address(),
            last: None,
        });
        let subject = subject.await;
        let subject = subject.map_err(|error| Refusal::new(error.code(), error.to_string()))?;
        let Subject::User(proof) = subject else {
            let detail =
                "a subscription token is a JSON Web Token: show an API key with authenticate";
            return Err(Refusal::new(Code::Unauthorized, detail));
        };
        // It may have been revoked while a key was fetched for it.
        let counts = auth.recheck(&proof);
        counts.map_err(|error| Refusal::new(error.code(), error.to_string()))?;
        let principal = self.principal();
        if !is_for(&proof, principal.user()) {
            let detail = "the subscription token is for another user (sub) than the session";
            return Err(Refusal::new(Code::Unauthorized, detail));
        }
        self.require_jsonp_if_script(channel)?;
        let principal = principal.showing(channel, Arc::clone(&proof));
        require(self.services(), &principal, channel, Right::Subscribe)?;
        Ok(proof)
    }

    /// The subscription token that the session has shown for a channel, if it still counts.
    pub(super) fn subscription_token(&self, channel: &ChannelName) -> Option<Arc<Proof>> {
        let tokens = self.subscription_tokens.borrow();
        let proof = tokens.as_ref()?.get(channel)?;
        let counts = self.services().auth.recheck(proof).is_ok();
        counts.then(|| Arc::clone(proof))
    }

    /// Takes a subscription token that was checked, in place of the one before.
    pub(super) fn show_subscription_token(
        self: &Rc<Self>,
        channel: &ChannelName,
        proof: Arc<Proof>,
    ) {
        self.list_keys(SessionKey::of(&proof));
        let old = {
            let mut tokens = self.subscription_tokens.borrow_mut();
            tokens.get_or_insert_default().put(channel, proof)
        };
        if let Some(old) = old {
            self.unlist_keys(SessionKey::of(&old));
        }
        self.watch_subscription_tokens();
    }

    /// The token counts for the channel no longer.
    pub(super) fn forget_subscription_token(&self, channel: &ChannelName) {
        let old = {
            let mut tokens = self.subscription_tokens.borrow_mut();
            tokens.as_mut().and_then(|tokens| tokens.remove(channel))
        };
        if let Some(old) = old {
            self.unlist_keys(SessionKey::of(&old));
        }
    }

    /// Forgets the tokens that are for another user than the session acts for now. The caller checks afterwards which channels the
    /// session has to leave.
    pub(super) fn forget_tokens_of_others(&self) {
        let principal = self.principal();
        let user = principal.user();
        self.forget_tokens(|proof| !is_for(proof, user));
    }

    /// Forgets all tokens that are so.
    pub(super) fn forget_tokens(&self, is_so: impl Fn(&Proof) -> bool) {
        for channel in self.channels_with_token(is_so) {
            self.forget_subscription_token(&channel);
        }
    }

    /// Looks whether the subscription tokens still count: one may have been revoked.
    pub(super) async fn check_subscription_tokens(&self) {
        let auth = &self.services().auth;
        for channel in self.channels_with_token(|proof| auth.recheck(proof).is_err()) {
            self.end_subscription_token(&channel).await;
        }
    }

    fn channels_with_token(&self, is_so: impl Fn(&Proof) -> bool) -> Vec<ChannelName> {
        let tokens = self.subscription_tokens.borrow();
        tokens
            .as_ref()
            .map_or_else(Vec::new, |it| it.channels(is_so))
    }

    async fn end_subscription_token(&self, channel: &ChannelName) {
        self.forget_subscription_token(channel);
        self.review_channel(channel, Some(Code::Unauthorized)).await;
    }

    fn watch_subscription_tokens(self: &Rc<Self>) {
        let mut tokens = self.subscription_tokens.borrow_mut();
        let Some(tokens) = tokens.as_mut() else {
            return;
        };
        if let Some(timer) = &tokens.timer {
            timer.times_changed.notify_one();
            return;
        }
        let times_changed = Rc::new(Notify::new());
        let watch = watch(Rc::downgrade(self), Rc::clone(&times_changed));
        tokens.timer = Some(Timer {
            task: tokio::task::spawn_local(watch),
            times_changed,
        });
    }

    fn next_due(&self) -> Option<SystemTime> {
        self.subscription_tokens.borrow().as_ref()?.next()
    }

    fn take_due(&self) -> Option<Due> {
        let mut tokens = self.subscription_tokens.borrow_mut();
        tokens.as_mut()?.take_due(SystemTime::now())
    }

    /// Tells the client of the tokens that end soon, and ends what only those allowed that have ended.
    async fn settle_due(&self) {
        while let Some(due) = self.take_due() {
            match due {
                Due::Notice(channel) => self.tell_of_end(channel),
                Due::End(channel) => self.end_subscription_token(&channel).await,
            }
        }
    }

    fn tell_of_end(&self, channel: ChannelName) {
        let ends = self.subscription_token(&channel).map(|it| it.expires_at);
        let Some(ends) = ends else { return };
        let seconds = left(ends).as_secs_f64().ceil();
        let reason = format!(
            "the subscription token for {channel} expires in {seconds} s: subscribe with a new one"
        );
        self.reply(&Reply::AuthRequired {
            channel: Some(channel),
            reason,
        });
    }
}

/// Whether a subscription token is for this user, or for whoever has it.
fn is_for(proof: &Proof, user: Option<&str>) -> bool {
    match (proof.user.as_deref(), user) {
        (Some(named), Some(user)) => named == user,
        _ => true,
    }
}

/// Waits for what has to be done next, for as long as there is the session.
async fn watch(session: Weak<Session>, times_changed: Rc<Notify>) {
    loop {
        let next = {
            let Some(session) = session.upgrade() else {
                return;
            };
            let settled = session.settle_due();
            session.services().with_patience(settled).await;
            session.next_due()
        };
        let due = async {
            match next {
                Some(at) => sleep_until(at).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = due => {}
            () = times_changed.notified() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Grant;
    use std::time::Duration;

    const MINUTE: Duration = Duration::from_mins(1);

    fn proof(expires_at: SystemTime) -> Arc<Proof> {
        Arc::new(Proof {
            user: None,
            name: None,
            info: None,
            issued_at: None,
            expires_at,
            grant: Grant::default(),
        })
    }

    fn name(text: &str) -> ChannelName {
        ChannelName::parse(text).unwrap()
    }

    #[test]
    fn the_client_is_told_before_each_token_ends_and_when_it_has() {
        let now = SystemTime::now();
        let mut tokens = SubscriptionTokens::default();
        tokens.put(&name("late"), proof(now + 100 * MINUTE));
        tokens.put(&name("soon"), proof(now + 50 * MINUTE));
        assert_eq!(tokens.take_due(now), None);
        let first = tokens.next().unwrap();
        assert!(first > now + 48 * MINUTE && first < now + 50 * MINUTE);
        assert_eq!(tokens.take_due(first), Some(Due::Notice(name("soon"))));
        assert_eq!(tokens.take_due(first), None);
        let end = now + 50 * MINUTE;
        assert_eq!(tokens.next(), Some(end));
        assert_eq!(tokens.take_due(end), Some(Due::End(name("soon"))));
        assert_eq!(tokens.take_due(end), None);
    }

    #[test]
    fn a_renewed_token_ends_later_and_a_removed_one_is_not_told_of() {
        let now = SystemTime::now();
        let mut tokens = SubscriptionTokens::default();
        tokens.put(&name("a"), proof(now + MINUTE));
        assert!(tokens.put(&name("a"), proof(now + 100 * MINUTE)).is_some());
        assert_eq!(tokens.take_due(now + MINUTE), None);
        tokens.put(&name("b"), proof(now + MINUTE));
        assert!(tokens.remove(&name("b")).is_some());
        assert!(tokens.remove(&name("a")).is_some() && tokens.next().is_none());
        assert_eq!(tokens.take_due(now + 200 * MINUTE), None);
    }

    #[test]
    fn one_token_that_is_shown_for_several_channels_is_kept_once() {
        let now = SystemTime::now();
        let mut tokens = SubscriptionTokens::default();
        for channel in ["a", "b", "a"] {
            tokens.put(&name(channel), proof(now + MINUTE));
        }
        tokens.put(&name("c"), proof(now + 2 * MINUTE));
        let kept = |channel: &str| tokens.get(&name(channel)).unwrap();
        assert!(Arc::ptr_eq(kept("a"), kept("b")));
        assert!(!Arc::ptr_eq(kept("a"), kept("c")));
    }

    #[test]
    fn a_clock_that_was_set_ends_a_token_without_notice() {
        let now = SystemTime::now();
        let mut tokens = SubscriptionTokens::default();
        tokens.put(&name("a"), proof(now + MINUTE));
        let later = now + 2 * MINUTE;
        assert_eq!(tokens.take_due(later), Some(Due::End(name("a"))));
    }
}

#[cfg(test)]
#[path = "subscription_tokens_tests.rs"]
mod ending;
