//! The quotas of all sessions, users, API keys and channels.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::allowance::Rate;
use super::commands::{Backlog, CommandAllowance, Queued};
use super::exceeded::Exceeded;
use super::members::{ListedMember, Lists};
use super::quota::{Permit, Quota, Rates};
use super::share::nanoseconds;
use super::table::{MOST, Table};
use crate::config::{ByteCount, IDEMPOTENCY_WINDOW, LimitSettings};
use crate::metrics::{ShareLimit, Shares as Figures};

/// How long a client waits where too much is there at a time: by then another session may have ended, or commands are carried out.
const SOON: Duration = Duration::from_secs(1);

/// Who publishes a message, and where.
#[derive(Debug, Clone, Copy)]
pub struct Publishing<'a> {
    /// The quota of the session, if it is published in one.
    pub session: Option<&'a Quota>,
    /// The user, if there is one.
    pub user: Option<&'a str>,
    /// The API key, if there is one.
    pub api_key: Option<&'a str>,
    /// The channel.
    pub channel: &'a str,
    /// The size of its data, in bytes.
    pub bytes: usize,
    /// Whether it has an idempotency key.
    pub keyed: bool,
    /// When.
    pub at: Instant,
}

/// How much everybody may publish in a second, how many commands a session may send, and how many sessions and members a user may have. What is not limited is not counted.
#[derive(Debug)]
pub struct Quotas {
    session: Rates,
    users: Kind,
    api_keys: Kind,
    channels: Kind,
    sessions_per_user: usize,
    members_per_user: usize,
    commands: Rate,
    /// How many bytes of commands may wait for a session.
    waiting_bytes: usize,
    /// How many bytes all that is unfinished may have.
    unfinished_bytes: u64,
    /// Whether anybody's publications are limited.
    limits_publications: bool,
    began: Instant,
    figures: Figures,
}

/// The quota of the channel of a publication, if it has one.
#[derive(Debug)]
#[must_use = "nothing is charged before Quotas::charge_channel"]
pub struct ChannelQuota(Option<(Arc<Quota>, Rates)>);

/// The quotas of one kind, by names.
#[derive(Debug)]
struct Kind {
    rates: Rates,
    table: Mutex<Table<str, Quota>>,
    /// The one quota that everybody shares for whom the table has no room.
    common: Arc<Quota>,
}

impl Kind {
    fn new(rates: Rates) -> Self {
        Self {
            rates,
            table: Mutex::new(Table::new(MOST)),
            common: Arc::default(),
        }
    }

    fn of(&self, name: &str, now: u64) -> Arc<Quota> {
        // The table is whole at every moment: nothing is left half done by a panic.
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let found = table.entry(name, || now, Quota::default);
        found.unwrap_or_else(|| Arc::clone(&self.common))
    }

    /// The quota of somebody, if there is one.
    fn of_some(&self, name: Option<&str>, now: u64) -> Option<(Arc<Quota>, Rates)> {
        let name = name.filter(|_| self.rates.are_set())?;
        Some((self.of(name, now), self.rates))
    }
}

/// How many commands a session may send. All its channels can be joined at once, however few it may send in the long run.
fn commands(limits: &LimitSettings) -> Rate {
    let in_a_second = limits.commands_per_session_and_second as u64;
    let at_once = in_a_second.max(limits.channels_per_session as u64 + 1);
    if in_a_second == 0 {
        return Rate::NONE;
    }
    let millis = at_once.saturating_mul(1000) / in_a_second;
    Rate::within(at_once, Duration::from_millis(millis))
}

impl Quotas {
    /// Nobody has had anything yet.
    pub fn new(limits: &LimitSettings, figures: &Figures) -> Self {
        let rates = |publications: usize, bytes: ByteCount, limits| Rates {
            publications: Rate::per_second(publications as u64),
            bytes: Rate::per_second(bytes.get()),
            keys: Rate::NONE,
            limits,
        };
        let session = rates(
            limits.publications_per_session_and_second,
            limits.publication_bytes_per_session_and_second,
            [ShareLimit::SessionPublications, ShareLimit::SessionBytes],
        );
        let users = rates(
            limits.publications_per_user_and_second,
            limits.publication_bytes_per_user_and_second,
            [ShareLimit::UserPublications, ShareLimit::UserBytes],
        );
        let keys = limits.idempotency_keys_per_user as u64;
        let users = Rates {
            keys: Rate::within(keys, IDEMPOTENCY_WINDOW),
            ..users
        };
        let api_keys = rates(
            limits.publications_per_api_key_and_second,
            limits.publication_bytes_per_api_key_and_second,
            [ShareLimit::ApiKeyPublications, ShareLimit::ApiKeyBytes],
        );
        let channels = rates(
            limits.publications_per_channel_and_second,
            limits.publication_bytes_per_channel_and_second,
            [ShareLimit::ChannelPublications, ShareLimit::ChannelBytes],
        );
        let all = [session, users, api_keys, channels];
        Self {
            session,
            users: Kind::new(users),
            api_keys: Kind::new(api_keys),
            channels: Kind::new(channels),
            limits_publications: all.iter().any(Rates::are_set),
            sessions_per_user: limits.sessions_per_user,
            members_per_user: limits.members_per_user,
            commands: commands(limits),
            // One request that is carried out, and one behind it.
            waiting_bytes: limits.request_bytes.as_usize().saturating_mul(2),
            unfinished_bytes: limits.unfinished_bytes.get(),
            began: Instant::now(),
            figures: figures.clone(),
        }
    }

    /// The quota of a new session, if sessions have one.
    pub fn of_session(&self) -> Option<Arc<Quota>> {
        self.session.are_set().then(Arc::default)
    }

    /// Charges a publication to its session, user and API key, if each of these quotas and that of the channel allows it. As much as a
    /// second grants can be had at once; a message with more bytes is published, and then nothing more until it is paid for. The channel
    /// is charged with [`Self::charge_channel`].
    ///
    /// # Errors
    /// When one of them may not, with the time until it may.
    pub fn charge_sender(&self, publishing: Publishing<'_>) -> Result<ChannelQuota, Exceeded> {
        if !self.limits_publications {
            return Ok(ChannelQuota(None));
        }
        let now = nanoseconds(self.began, publishing.at);
        let Publishing {
            user,
            api_key,
            channel,
            keyed,
            ..
        } = publishing;
        let session = publishing.session.map(|quota| (quota, self.session));
        let named = [
            self.users.of_some(user, now),
            self.api_keys.of_some(api_key, now),
        ];
        let channel = self.channels.of_some(Some(channel), now);
        let named = named.iter().flatten();
        let senders = || {
            let named = named.clone().map(|(quota, rates)| (&**quota, *rates));
            session.into_iter().chain(named)
        };
        let of_channel = channel.iter().map(|(quota, rates)| (&**quota, *rates));
        for (quota, rates) in senders().chain(of_channel) {
            let checked = quota.check(keyed, rates, now);
            checked.inspect_err(|exceeded| self.figures.refused(exceeded.limit))?;
        }
        for (quota, rates) in senders() {
            quota.charge(&publishing, rates, now);
        }
        Ok(ChannelQuota(channel))
    }

    /// Charges a publication to its channel, once nothing else can refuse it.
    ///
    /// # Errors
    /// When others have used up the quota meanwhile, with the time until it may.
    pub fn charge_channel(
        &self,
        ChannelQuota(channel): ChannelQuota,
        publishing: Publishing<'_>,
    ) -> Result<(), Exceeded> {
        let Some((quota, rates)) = channel else {
            return Ok(());
        };
        let now = nanoseconds(self.began, publishing.at);
        let checked = quota.check(publishing.keyed, rates, now);
        checked.inspect_err(|exceeded| self.figures.refused(exceeded.limit))?;
        quota.charge(&publishing, rates, now);
        Ok(())
    }

    /// Counts a session as one of its user's, for as long as what is returned is kept.
    ///
    /// # Errors
    /// When the user has as many as one may.
    pub fn open_session(&self, user: Option<&str>) -> Result<Permit, Exceeded> {
        let Some(user) = user.filter(|_| self.sessions_per_user > 0) else {
            return Ok(Permit::default());
        };
        let quota = self.users.of(user, self.now());
        let permit = quota.permit(self.sessions_per_user);
        permit.ok_or_else(|| self.exceeded(ShareLimit::UserSessions, SOON))
    }

    /// Counts a member of a channel as one of its user's, for as long as what is returned is kept.
    ///
    /// # Errors
    /// When the user is listed as often as one may be.
    pub fn list_member(&self, user: Option<&str>) -> Result<ListedMember, Exceeded> {
        let Some(user) = user.filter(|_| self.members_per_user > 0) else {
            return Ok(ListedMember::default());
        };
        let quota = self.users.of(user, self.now());
        let listed = ListedMember::add(quota, self.members_per_user);
        listed.map_err(|wait| self.exceeded(ShareLimit::UserMembers, wait))
    }

    /// Counts a member that was listed already as one of this user's, and no longer as another's.
    ///
    /// # Errors
    /// When the user is listed as often as one may be; then the member counts nowhere.
    pub fn list_member_anew(
        &self,
        listed: ListedMember,
        user: Option<&str>,
    ) -> Result<ListedMember, Exceeded> {
        let quota = user
            .filter(|_| self.members_per_user > 0)
            .map(|user| self.users.of(user, self.now()));
        if listed.is_of(quota.as_deref().map(Lists::members)) {
            return Ok(listed);
        }
        self.list_member(user)
    }

    /// Charges a command to its session.
    ///
    /// # Errors
    /// When the session has sent too many lately; then nothing is charged.
    pub fn take_command(&self, session: &CommandAllowance) -> Result<(), Exceeded> {
        let taken = session.take(self.commands, self.now());
        taken.map_err(|wait| self.exceeded(ShareLimit::SessionCommands, wait))
    }

    /// Counts so many bytes of commands as waiting for their session, for as long as what is returned is kept.
    ///
    /// # Errors
    /// When others wait, and all of them would be more than may wait.
    pub fn queue(&self, backlog: &Backlog, bytes: usize) -> Result<Queued, Exceeded> {
        let queued = backlog.add(bytes, self.waiting_bytes, self.unfinished_bytes);
        queued.ok_or_else(|| self.exceeded(ShareLimit::WaitingCommands, SOON))
    }

    fn exceeded(&self, limit: ShareLimit, wait: Duration) -> Exceeded {
        self.figures.refused(limit);
        Exceeded { limit, wait }
    }

    fn now(&self) -> u64 {
        nanoseconds(self.began, Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    fn quotas(change: impl FnOnce(&mut LimitSettings)) -> Quotas {
        let mut limits = LimitSettings::default();
        change(&mut limits);
        Quotas::new(&limits, &Metrics::new().shares)
    }

    fn publishing(user: Option<&'static str>, channel: &'static str) -> Publishing<'static> {
        Publishing {
            session: None,
            user,
            api_key: None,
            channel,
            bytes: 100,
            keyed: true,
            at: Instant::now(),
        }
    }

    /// Charges a publication that nothing else refuses.
    fn charge(quotas: &Quotas, publishing: Publishing<'_>) -> Result<(), Exceeded> {
        let channel = quotas.charge_sender(publishing)?;
        quotas.charge_channel(channel, publishing)
    }

    fn limit(outcome: Result<(), Exceeded>) -> Option<ShareLimit> {
        outcome.err().map(|exceeded| exceeded.limit)
    }

    #[test]
    fn without_limits_nothing_is_counted() {
        let quotas = quotas(|_| ());
        for _ in 0..10_000 {
            assert_eq!(charge(&quotas, publishing(Some("7"), "news")), Ok(()));
        }
        assert!(quotas.of_session().is_none());
        assert_eq!(quotas.channels.table.lock().unwrap().len(), 0);
        assert!(quotas.open_session(Some("7")).is_ok());
    }

    #[test]
    fn each_user_and_each_channel_has_a_quota_of_its_own() {
        let quotas = quotas(|limits| {
            limits.publications_per_user_and_second = 2;
            limits.publications_per_channel_and_second = 3;
        });
        let publish = |user, channel| limit(charge(&quotas, publishing(user, channel)));
        assert_eq!(publish(Some("7"), "a"), None);
        assert_eq!(publish(Some("7"), "a"), None);
        assert_eq!(publish(Some("7"), "b"), Some(ShareLimit::UserPublications));
        assert_eq!(publish(Some("8"), "a"), None);
        assert_eq!(
            publish(Some("8"), "a"),
            Some(ShareLimit::ChannelPublications)
        );
        assert_eq!(publish(None, "a"), Some(ShareLimit::ChannelPublications));
        assert_eq!(publish(None, "b"), None);
    }

    #[test]
    fn a_refused_message_is_charged_to_nobody() {
        let quotas = quotas(|limits| {
            limits.publications_per_session_and_second = 1;
            limits.publication_bytes_per_channel_and_second = ByteCount::new(50);
        });
        let publish = |session: &Option<Arc<Quota>>, channel| {
            let session = session.as_deref();
            let publishing = Publishing {
                session,
                ..publishing(None, channel)
            };
            limit(charge(&quotas, publishing))
        };
        let (one, other) = (quotas.of_session(), quotas.of_session());
        assert_eq!(publish(&one, "a"), None);
        assert_eq!(publish(&other, "a"), Some(ShareLimit::ChannelBytes));
        assert_eq!(publish(&other, "b"), None);
        assert_eq!(publish(&other, "c"), Some(ShareLimit::SessionPublications));
    }

    #[test]
    fn keys_are_counted_for_as_long_as_they_are_remembered() {
        let quotas = quotas(|limits| limits.idempotency_keys_per_user = 2);
        let publish = |user, keyed| {
            let publishing = Publishing {
                keyed,
                ..publishing(user, "a")
            };
            charge(&quotas, publishing)
        };
        assert_eq!(publish(Some("7"), true), Ok(()));
        assert_eq!(publish(Some("7"), true), Ok(()));
        let refused = publish(Some("7"), true).unwrap_err();
        assert_eq!(refused.limit, ShareLimit::UserIdempotencyKeys);
        assert!(refused.wait > IDEMPOTENCY_WINDOW / 3, "{refused:?}");
        assert_eq!(publish(Some("7"), false), Ok(()));
        assert_eq!(publish(Some("8"), true), Ok(()));
        assert_eq!(publish(None, true), Ok(()));
    }

    #[test]
    fn a_session_may_join_all_its_channels_at_once() {
        let limits = LimitSettings {
            channels_per_session: 99,
            commands_per_session_and_second: 10,
            ..LimitSettings::default()
        };
        assert_eq!(
            commands(&limits),
            Rate::within(100, Duration::from_secs(10))
        );
        let many = LimitSettings {
            commands_per_session_and_second: 1000,
            ..limits
        };
        assert_eq!(commands(&many), Rate::per_second(1000));
        let any = LimitSettings {
            commands_per_session_and_second: 0,
            ..many
        };
        assert_eq!(commands(&any), Rate::NONE);
    }

    #[test]
    fn a_user_is_listed_so_often_at_a_time() {
        let quotas = quotas(|limits| limits.members_per_user = 2);
        let members = [quotas.list_member(Some("7")), quotas.list_member(Some("7"))];
        assert!(members.iter().all(Result::is_ok));
        let refused = quotas.list_member(Some("7")).unwrap_err();
        assert_eq!(refused.limit, ShareLimit::UserMembers);
        assert!(quotas.list_member(Some("8")).is_ok());
        assert!(quotas.list_member(None).is_ok());
        drop(members);
        assert!(quotas.list_member(Some("7")).is_ok());
    }

    #[test]
    fn a_member_that_is_another_user_now_counts_as_one_of_that_user() {
        let quotas = quotas(|limits| limits.members_per_user = 1);
        let member = quotas.list_member(Some("7")).unwrap();
        // The same user may be listed anew, however often one may be.
        let member = quotas.list_member_anew(member, Some("7")).unwrap();
        assert!(quotas.list_member(Some("7")).is_err());
        let member = quotas.list_member_anew(member, Some("8")).unwrap();
        let other = quotas.list_member(Some("7")).unwrap();
        assert!(quotas.list_member_anew(other, Some("8")).is_err());
        assert!(quotas.list_member(Some("7")).is_ok());
        let member = quotas.list_member_anew(member, None).unwrap();
        assert!(quotas.list_member(Some("8")).is_ok());
        assert!(quotas.list_member_anew(member, Some("7")).is_ok());
    }

    #[test]
    fn what_is_refused_after_its_sender_was_charged_costs_the_channel_nothing() {
        let quotas = quotas(|limits| {
            limits.publications_per_user_and_second = 2;
            limits.publications_per_channel_and_second = 2;
        });
        for _ in 0..2 {
            assert!(quotas.charge_sender(publishing(Some("7"), "a")).is_ok());
        }
        let refused = quotas.charge_sender(publishing(Some("7"), "a"));
        let refused = limit(refused.map(|_| ()));
        assert_eq!(refused, Some(ShareLimit::UserPublications));
        for _ in 0..2 {
            assert_eq!(charge(&quotas, publishing(Some("8"), "a")), Ok(()));
        }
    }

    #[test]
    fn a_user_has_so_many_sessions_at_a_time() {
        let quotas = quotas(|limits| limits.sessions_per_user = 2);
        let permits = [
            quotas.open_session(Some("7")),
            quotas.open_session(Some("7")),
        ];
        assert!(permits.iter().all(Result::is_ok));
        assert!(quotas.open_session(Some("7")).is_err());
        assert!(quotas.open_session(Some("8")).is_ok());
        assert!(quotas.open_session(None).is_ok());
        drop(permits);
        assert!(quotas.open_session(Some("7")).is_ok());
    }
}
