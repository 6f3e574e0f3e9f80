//! For whom a session acts, and until when: credentials can be renewed, and end, while it lives.

use std::rc::{Rc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::task::JoinHandle;
use widecast_protocol::command::Token;
use widecast_protocol::{ChannelName, Code, CommandId, Cursor, Reply};

use super::audit::audit;
use super::hook::{admit, asks_who_connects};
use super::index::SessionKey;
use super::refusal::Refusal;
use super::session::Session;
use crate::auth::{Principal, Shown, Subject};
use crate::config::Right;
use crate::limits::Permit;

/// How long before their end a client is told to renew its credentials, at most: a tenth of the time that is left.
const LONGEST_NOTICE: Duration = Duration::from_mins(1);

/// How long a wait for the end may sleep at once. A clock that is set while it sleeps is noticed then.
const LONGEST_SLEEP: Duration = Duration::from_mins(1);

/// For whom a session acts.
pub(super) struct Credentials {
    principal: Principal,
    /// Counts the session as one of its user's, see `limits.sessions_per_user`.
    permit: Permit,
    /// Waits for their end.
    expiry: Option<JoinHandle<()>>,
}

impl Credentials {
    pub(super) fn new(principal: Principal) -> Self {
        Self {
            principal,
            permit: Permit::default(),
            expiry: None,
        }
    }
}

impl Drop for Credentials {
    fn drop(&mut self) {
        if let Some(expiry) = self.expiry.take() {
            expiry.abort();
        }
    }
}

impl Session {
    /// For whom the session acts now.
    pub fn principal(&self) -> Principal {
        self.credentials.borrow().principal.clone()
    }

    /// Counts the session as one of its user's.
    ///
    /// # Errors
    /// `share_exceeded` when the user has as many as one may.
    pub fn take_seat(&self) -> Result<(), Refusal> {
        let principal = self.principal();
        let permit = self.services().quotas.open_session(principal.user())?;
        self.credentials.borrow_mut().permit = permit;
        Ok(())
    }

    /// Takes new credentials. What only the old ones allowed ends at once.
    ///
    /// # Errors
    /// `unauthorized`, with what is wrong with them, `authorization_unavailable`, or `share_exceeded`; then the old ones stay.
    pub(super) async fn authenticate(
        self: &Rc<Self>,
        id: Option<CommandId>,
        token: &Token,
        cursor: Option<&Cursor>,
    ) -> Result<(), Refusal> {
        let outcome = self.take_credentials(id, token, cursor).await;
        let told = outcome.as_ref().copied();
        let told = told.map_err(|refusal| refusal.code);
        audit(
            self.services(),
            &self.principal(),
            "authenticate",
            None,
            told,
        );
        outcome
    }

    async fn take_credentials(
        self: &Rc<Self>,
        id: Option<CommandId>,
        token: &Token,
        cursor: Option<&Cursor>,
    ) -> Result<(), Refusal> {
        let proven = self.services().auth.prove(Shown {
            credential: token.as_str(),
            address: self.principal().address(),
            last: None,
        });
        let subject = proven.await;
        let subject = subject.map_err(|error| Refusal::new(error.code(), error.to_string()))?;
        let principal = self.principal().proving(subject);
        let principal = admit(self.services(), principal, &[]).await?;
        // Keys were fetched perhaps, and the hook was asked: its client may have been put out meanwhile.
        self.require_open()?;
        if principal.user() != self.principal().user() {
            let permit = self.services().quotas.open_session(principal.user())?;
            self.credentials.borrow_mut().permit = permit;
        }
        self.reply(&Reply::Authenticated {
            id,
            user: principal.user().map(str::to_owned),
            expires_at: principal.expires_at().map(seconds),
        });
        self.change_principal(principal);
        self.watch_expiry();
        self.leave_what_is_denied(None).await;
        self.join_named_channels(cursor).await;
        Ok(())
    }

    /// Gives the session another principal. Nothing waits for the end of the old credentials any more.
    fn change_principal(&self, principal: Principal) {
        let (old, expiry) = {
            let mut credentials = self.credentials.borrow_mut();
            let old = std::mem::replace(&mut credentials.principal, principal);
            (old, credentials.expiry.take())
        };
        if let Some(expiry) = expiry {
            expiry.abort();
        }
        self.list_credentials();
        self.unlist_keys(SessionKey::of_subject(old.subject()));
        self.forget_tokens_of_others();
    }

    /// Lists the session by what its token says, or the authorisation hook.
    pub(super) fn list_credentials(&self) {
        self.list_keys(SessionKey::of_subject(self.principal().subject()));
    }

    /// Looks whether the session's tokens still count: they may have been revoked. With its own, those end that it has shown for single
    /// channels.
    pub(super) async fn check_tokens(self: &Rc<Self>) {
        let principal = self.principal();
        if let Subject::User(proof) = principal.subject()
            && let Err(error) = self.services().auth.recheck(proof)
        {
            self.forget_tokens(|_| true);
            self.lose_credentials(&error.to_string()).await;
        }
        self.check_subscription_tokens().await;
    }

    /// Begins to wait for the end of the session's credentials, if they end.
    pub(super) fn watch_expiry(self: &Rc<Self>) {
        let mut credentials = self.credentials.borrow_mut();
        if let Some(ends) = credentials.principal.expires_at() {
            let session = Rc::downgrade(self);
            credentials.expiry = Some(tokio::task::spawn_local(expire(session, ends)));
        }
    }

    /// The credentials are no longer valid: the session goes on without any.
    async fn lose_credentials(self: &Rc<Self>, reason: &str) {
        self.require_authentication(reason);
        let anonymous = self.services().auth.without_credential();
        let principal = self.principal();
        self.change_principal(if asks_who_connects(self.services()) {
            principal.losing(anonymous)
        } else {
            principal.proving(anonymous)
        });
        self.credentials.borrow_mut().permit = Permit::default();
        self.leave_what_is_denied(Some(reason)).await;
        self.be_admitted().await;
    }

    /// Asks the authorisation hook about a session that goes on without credentials. It ends if it may not.
    async fn be_admitted(self: &Rc<Self>) {
        match admit(self.services(), self.principal(), &[]).await {
            // It may have shown a new token meanwhile.
            Ok(admitted) if matches!(self.principal().subject(), Subject::Anonymous) => {
                self.change_principal(admitted);
                match self.take_seat() {
                    Ok(()) => self.leave_what_is_denied(None).await,
                    Err(refusal) => self.fail(refusal),
                }
            }
            Err(refusal) if matches!(self.principal().subject(), Subject::Anonymous) => {
                self.fail(refusal);
            }
            _ => {}
        }
    }

    fn require_authentication(&self, reason: &str) {
        let reason = reason.to_owned();
        self.reply(&Reply::AuthRequired {
            channel: None,
            reason,
        });
    }

    /// Leaves the channels, and the lists of members, that the session may not be in any more. A session without frames cannot be
    /// told of a single channel, and ends for `reason`.
    async fn leave_what_is_denied(&self, reason: Option<&str>) {
        for channel in self.joined_channels() {
            if self.dialect().frames().is_some() {
                self.review_channel(&channel, None).await;
            } else if let Err(refusal) = self.require_to_go_on(&channel, Right::Subscribe) {
                let detail = reason.map_or(refusal.detail, str::to_owned);
                self.fail(Refusal::new(refusal.code, detail));
                return;
            }
        }
    }

    /// Leaves a channel, or its list of members, if the session may not be in it any more, and shows what its tokens say of it now. The
    /// client is told this code, or else that of what is missing.
    pub(super) async fn review_channel(&self, channel: &ChannelName, code: Option<Code>) {
        if let Err(refusal) = self.require_to_go_on(channel, Right::Subscribe) {
            self.put_out(channel, code.unwrap_or(refusal.code)).await;
        } else if self.require_to_go_on(channel, Right::Presence).is_err() {
            self.unlist_member(channel).await;
        } else {
            self.show_anew(channel).await;
        }
    }

    /// Takes the session from a channel, and tells it.
    pub(super) async fn put_out(&self, channel: &ChannelName, code: Code) {
        if self.leave(channel) {
            // The client may join the channel again while the list of members is waited for: it is told before that.
            self.tell_left(channel, code);
            self.disappear(channel).await;
        }
    }

    /// Tells the client that the session has left a channel, and why.
    pub(super) fn tell_left(&self, channel: &ChannelName, code: Code) {
        self.reply(&Reply::Unsubscribed {
            id: None,
            channel: channel.clone(),
            code: Some(code),
        });
    }

    pub(super) fn joined_channels(&self) -> Vec<ChannelName> {
        self.channels.borrow().names()
    }
}

/// Tells the session of the end of its credentials before it comes, and when it has come.
async fn expire(session: Weak<Session>, ends: SystemTime) {
    sleep_until(ends - notice(ends)).await;
    if let Some(session) = session.upgrade() {
        let seconds = left(ends).as_secs_f64().ceil();
        session.require_authentication(&format!(
            "the token expires in {seconds} s: authenticate with a new one"
        ));
    }
    sleep_until(ends).await;
    if let Some(session) = session.upgrade() {
        // This task waits no longer, and is not to be ended in the middle of what it does.
        drop(session.credentials.borrow_mut().expiry.take());
        let lost = session.lose_credentials("the token has expired: authenticate with a new one");
        session.services().with_patience(lost).await;
    }
}

/// How long before this end a client is told of it.
pub(super) fn notice(ends: SystemTime) -> Duration {
    (left(ends) / 10).min(LONGEST_NOTICE)
}

/// How long it is until then.
pub(super) fn left(ends: SystemTime) -> Duration {
    ends.duration_since(SystemTime::now()).unwrap_or_default()
}

/// Waits until then, whatever the clock is set to meanwhile.
pub(super) async fn sleep_until(ends: SystemTime) {
    loop {
        let left = left(ends);
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(LONGEST_SLEEP)).await;
    }
}

fn seconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_told_a_tenth_of_the_time_before_the_end_and_a_minute_at_the_most() {
        let ends_in = |time| SystemTime::now() + time;
        let within = |notice: Duration, expected: Duration| {
            let less = expected.checked_sub(notice).expect("no more than that");
            assert!(less < Duration::from_secs(1), "{notice:?}");
        };
        within(
            notice(ends_in(Duration::from_secs(100))),
            Duration::from_secs(10),
        );
        within(notice(ends_in(Duration::from_hours(24))), LONGEST_NOTICE);
        assert_eq!(notice(SystemTime::now() - LONGEST_NOTICE), Duration::ZERO);
    }

    #[tokio::test]
    async fn nobody_waits_for_an_end_that_is_past() {
        let wait = sleep_until(SystemTime::now() - LONGEST_SLEEP);
        let waited = tokio::time::timeout(LONGEST_SLEEP, wait).await;
        assert!(waited.is_ok());
    }
}

#[cfg(test)]
#[path = "credentials_tests.rs"]
mod shown;
