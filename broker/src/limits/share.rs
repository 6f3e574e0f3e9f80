//! The share of one address: what its clients have at the moment, and may have.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::address::Address;
use super::allowance::{Allowance, Rate};
use super::exceeded::Exceeded;
use super::members::{ListedMember, Lists, Members};
use super::table::Counted;
use crate::config::{IDEMPOTENCY_WINDOW, LimitSettings};
use crate::metrics::{ShareLimit, Shares as Figures};

/// How long a client waits whose address has used up its share: by then another client may have left.
const SOON: Duration = Duration::from_secs(1);

/// How long the log is not told of another refusal, in nanoseconds.
const SILENCE: u64 = 60_000_000_000;

/// What one address may have, with the clock of all allowances.
#[derive(Debug)]
pub(super) struct Rules {
    connections: usize,
    connection_rate: Rate,
    sessions: usize,
    session_rate: Rate,
    work_rate: Rate,
    members: usize,
    key_rate: Rate,
    began: Instant,
    pub(super) figures: Figures,
    /// When the log is next told of a refusal, in nanoseconds since the beginning.
    tell_at: AtomicU64,
}

impl Rules {
    pub(super) fn new(limits: &LimitSettings, figures: Figures) -> Self {
        Self {
            connections: limits.connections_per_address,
            connection_rate: Rate::per_second(limits.connections_per_address_and_second as u64),
            sessions: limits.sessions_per_address,
            session_rate: Rate::per_second(limits.sessions_per_address_and_second as u64),
            work_rate: Rate::per_second(limits.work_bytes_per_address_and_second.get()),
            members: limits.members_per_address,
            key_rate: Rate::within(
                limits.idempotency_keys_per_address as u64,
                IDEMPOTENCY_WINDOW,
            ),
            began: Instant::now(),
            figures,
            tell_at: AtomicU64::new(0),
        }
    }

    pub(super) fn now(&self) -> u64 {
        self.time(Instant::now())
    }

    fn time(&self, at: Instant) -> u64 {
        nanoseconds(self.began, at)
    }

    /// Tells the log of a refusal, unless it was told of another a moment ago.
    fn tell(&self, exceeded: Exceeded, address: &str) {
        let now = self.now();
        let next = |at: u64| (at <= now).then(|| now.saturating_add(SILENCE));
        let told = self
            .tell_at
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        if told.is_ok() {
            let setting = exceeded.setting();
            tracing::warn!(
                client.address = address,
                "an address has as much of the broker as {setting} allows; if it is a proxy's, list it in server.trusted_proxies \
                 (widecast_share_refusals_total counts the refusals, and the next minute's are not logged)"
            );
        }
    }
}

/// A time on a clock that began at another, in nanoseconds.
pub(super) fn nanoseconds(began: Instant, at: Instant) -> u64 {
    let time = at.saturating_duration_since(began);
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// What the clients of an address have.
#[derive(Debug)]
pub(super) struct Counts {
    /// `None` for the share that several addresses have in common.
    address: Option<Address>,
    rules: Arc<Rules>,
    connections: AtomicUsize,
    sessions: AtomicUsize,
    new_connections: Allowance,
    new_sessions: Allowance,
    work: Allowance,
    members: Members,
    keys: Allowance,
}

impl Counts {
    pub(super) fn new(address: Option<Address>, rules: &Arc<Rules>) -> Self {
        Self {
            address,
            rules: Arc::clone(rules),
            connections: AtomicUsize::new(0),
            sessions: AtomicUsize::new(0),
            new_connections: Allowance::default(),
            new_sessions: Allowance::default(),
            work: Allowance::default(),
            members: Members::default(),
            keys: Allowance::default(),
        }
    }

    fn count(&self, of: Kind) -> &AtomicUsize {
        match of {
            Kind::Connection => &self.connections,
            Kind::Session => &self.sessions,
        }
    }
}

impl Counted for Counts {
    fn is_idle(&self, now: u64) -> bool {
        let allowances = [
            &self.new_connections,
            &self.new_sessions,
            &self.work,
            &self.keys,
        ];
        let mut allowances = allowances.iter();
        allowances.all(|allowance| allowance.is_paid_off(now)) && self.members.is_empty()
    }
}

impl Lists for Counts {
    fn members(&self) -> &Members {
        &self.members
    }
}

/// The things that are counted for as long as they exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Connection,
    Session,
}

/// The share of a client's address; `None` for clients that are not limited.
#[derive(Debug, Clone, Default)]
pub struct Share(pub(super) Option<Arc<Counts>>);

impl Share {
    /// Counts a connection for as long as what is returned is kept.
    ///
    /// # Errors
    /// When the address has as many, or has opened too many lately.
    pub fn connect(&self) -> Result<Held, Exceeded> {
        self.hold(Kind::Connection)
    }

    /// Counts a session for as long as what is returned is kept.
    ///
    /// # Errors
    /// When the address has as many, or has opened too many lately.
    pub fn open_session(&self) -> Result<Held, Exceeded> {
        self.hold(Kind::Session)
    }

    /// Counts a member of a channel for as long as what is returned is kept.
    ///
    /// # Errors
    /// When the clients of the address are listed as often as they may be.
    pub fn list_member(&self) -> Result<ListedMember, Exceeded> {
        let limited = self.0.as_ref();
        let Some(counts) = limited.filter(|counts| counts.rules.members > 0) else {
            return Ok(ListedMember::default());
        };
        let listed = ListedMember::add(Arc::clone(counts) as _, counts.rules.members);
        listed.map_err(|wait| counts.exceeded(ShareLimit::Members, wait))
    }

    /// Charges an idempotency key that is used now.
    ///
    /// # Errors
    /// When the address has used too many lately; then nothing is charged.
    pub fn take_key(&self, now: Instant) -> Result<(), Exceeded> {
        let Some(counts) = &self.0 else { return Ok(()) };
        let rules = &counts.rules;
        let taken = counts.keys.take(rules.key_rate, rules.time(now));
        taken.map_err(|wait| counts.exceeded(ShareLimit::IdempotencyKeys, wait))
    }

    /// Charges work that is asked for now, as the bytes that it is done on.
    ///
    /// # Errors
    /// When the address has made too much lately; then nothing is charged.
    pub fn take_work(&self, bytes: usize, now: Instant) -> Result<(), Exceeded> {
        let Some(counts) = &self.0 else { return Ok(()) };
        let (rate, now) = (counts.rules.work_rate, counts.rules.time(now));
        let checked = counts.work.check(rate, now);
        checked.map_err(|wait| counts.exceeded(ShareLimit::Work, wait))?;
        counts.work.charge(bytes as u64, rate, now);
        Ok(())
    }

    /// Whether the address may make work.
    ///
    /// # Errors
    /// When it has made too much lately.
    pub fn check_work(&self) -> Result<(), Exceeded> {
        let Some(counts) = &self.0 else { return Ok(()) };
        let rules = &counts.rules;
        let checked = counts.work.check(rules.work_rate, rules.now());
        checked.map_err(|wait| counts.exceeded(ShareLimit::Work, wait))
    }

    /// Charges work that was done, as the bytes that it was done on.
    pub fn charge_work(&self, bytes: usize) {
        if let Some(counts) = &self.0 {
            let rules = &counts.rules;
            counts
                .work
                .charge(bytes as u64, rules.work_rate, rules.now());
        }
    }

    fn hold(&self, kind: Kind) -> Result<Held, Exceeded> {
        let Some(counts) = &self.0 else {
            return Ok(Held(None));
        };
        let rules = &counts.rules;
        let (limit, rate, allowance, limits) = match kind {
            Kind::Connection => (
                rules.connections,
                rules.connection_rate,
                &counts.new_connections,
                [ShareLimit::Connections, ShareLimit::NewConnections],
            ),
            Kind::Session => (
                rules.sessions,
                rules.session_rate,
                &counts.new_sessions,
                [ShareLimit::Sessions, ShareLimit::NewSessions],
            ),
        };
        // Given back when it is dropped, whatever is decided below.
        let held = Held(Some((Arc::clone(counts), kind)));
        let before = counts.count(kind).fetch_add(1, Ordering::Relaxed);
        if limit > 0 && before >= limit {
            return Err(counts.exceeded(limits[0], SOON));
        }
        let taken = allowance.take(rate, rules.now());
        taken.map_err(|wait| counts.exceeded(limits[1], wait))?;
        Ok(held)
    }
}

impl Counts {
    fn exceeded(&self, limit: ShareLimit, wait: Duration) -> Exceeded {
        let exceeded = Exceeded { limit, wait };
        self.rules.figures.refused(limit);
        let address = self.address.map(|address| address.to_string());
        self.rules
            .tell(exceeded, address.as_deref().unwrap_or("several"));
        exceeded
    }
}

/// Something that is counted in a share until it is dropped; by default in none.
#[derive(Debug, Default)]
pub struct Held(Option<(Arc<Counts>, Kind)>);

impl Drop for Held {
    fn drop(&mut self) {
        if let Some((counts, kind)) = &self.0 {
            counts.count(*kind).fetch_sub(1, Ordering::Relaxed);
        }
    }
}
