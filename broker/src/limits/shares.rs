//! The shares of all addresses.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use actix_web::http::header::HeaderMap;

use super::address::Address;
use super::forwarded::Proxies;
use super::share::{Counts, Rules, Share};
use super::table::{MOST, Table};
use crate::config::Config;
use crate::metrics::Metrics;

/// The shares of all addresses that have something, or had it a moment ago.
#[derive(Debug)]
pub struct Shares {
    rules: Arc<Rules>,
    proxies: Proxies,
    /// Whether loopback has a share like any other address.
    counts_loopback: bool,
    table: Mutex<Table<Address, Counts>>,
    /// That of all addresses for which the table has no room.
    common: Arc<Counts>,
}

impl Shares {
    /// No address has anything yet.
    pub fn new(config: &Config, metrics: &Metrics) -> Self {
        Self::with_room(config, metrics, MOST)
    }

    fn with_room(config: &Config, metrics: &Metrics, most: usize) -> Self {
        let rules = Arc::new(Rules::new(&config.limits, metrics.shares.clone()));
        Self {
            common: Arc::new(Counts::new(None, &rules)),
            rules,
            proxies: Proxies::from(&config.server),
            counts_loopback: config.limits.loopback_has_a_share,
            table: Mutex::new(Table::new(most)),
        }
    }

    /// The share in which a connection counts: that of its other end, unless that is a proxy, which connects for many.
    pub fn of_peer(&self, peer: IpAddr) -> Share {
        if self.proxies.trusts(peer) {
            return Share::default();
        }
        self.of_client(peer)
    }

    /// Whether it is the address of a proxy that is believed when it says for which client it asks.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.proxies.trusts(address)
    }

    /// The address of the client that a request is from, which a trusted proxy tells.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        self.proxies.client(peer, headers)
    }

    /// The share in which a request counts, and what it opens: that of its client, as [`Shares::client`] tells.
    pub fn of_client(&self, address: IpAddr) -> Share {
        if address.to_canonical().is_loopback() && !self.counts_loopback {
            return Share::default();
        }
        // The table is whole at every moment: nothing is left half done by a panic.
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let address = Address::from(address);
        let make = || Counts::new(Some(address), &self.rules);
        let found = table.entry(&address, || self.rules.now(), make);
        self.show(&table);
        Share(Some(found.unwrap_or_else(|| Arc::clone(&self.common))))
    }

    fn show(&self, table: &Table<Address, Counts>) {
        let count = i64::try_from(table.len()).unwrap_or(i64::MAX);
        self.rules.figures.addresses.set(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use std::time::Instant;

    fn shares(change: impl FnOnce(&mut Config)) -> Shares {
        let mut config = Config::default();
        change(&mut config);
        Shares::with_room(&config, &Metrics::new(), 4)
    }

    fn of(shares: &Shares, address: &str) -> Share {
        shares.of_peer(address.parse().unwrap())
    }

    fn known(shares: &Shares) -> usize {
        shares.table.lock().unwrap().len()
    }

    #[test]
    fn one_address_cannot_take_what_others_need() {
        let shares = shares(|config| {
            config.limits.sessions_per_address = 2;
            config.limits.connections_per_address = 1;
        });
        let sessions = [
            of(&shares, "192.0.2.1").open_session(),
            of(&shares, "192.0.2.1").open_session(),
        ];
        assert!(sessions.iter().all(Result::is_ok));
        let refused = of(&shares, "192.0.2.1").open_session().unwrap_err();
        assert!(
            refused.to_string().contains("limits.sessions_per_address "),
            "{refused}"
        );
        assert!(of(&shares, "192.0.2.2").open_session().is_ok());
        let connection = of(&shares, "192.0.2.1").connect().unwrap();
        assert!(of(&shares, "192.0.2.1").connect().is_err());
        drop((sessions, connection));
        assert!(of(&shares, "192.0.2.1").connect().is_ok());
        assert!(of(&shares, "192.0.2.1").open_session().is_ok());
    }

    #[test]
    fn loopback_has_no_share_unless_it_is_given_one() {
        let strict = |config: &mut Config| config.limits.sessions_per_address = 1;
        let open = shares(strict);
        let held: Vec<_> = (0..9)
            .map(|_| of(&open, "127.0.0.1").open_session())
            .collect();
        assert!(held.iter().all(Result::is_ok));
        assert_eq!(known(&open), 0);
        let shares = shares(|config| {
            strict(config);
            config.limits.loopback_has_a_share = true;
        });
        let _held = of(&shares, "::1").open_session().unwrap();
        assert!(of(&shares, "::1").open_session().is_err());
    }

    #[test]
    fn a_proxy_connects_for_many_and_each_of_them_has_a_share() {
        let shares = shares(|config| {
            config.server.trusted_proxies = vec!["10.0.0.1/32".parse().unwrap()];
            config.limits.connections_per_address = 1;
            config.limits.sessions_per_address = 1;
        });
        let connections: Vec<_> = (0..9).map(|_| of(&shares, "10.0.0.1").connect()).collect();
        assert!(connections.iter().all(Result::is_ok));
        let asked = |client: &'static str| {
            let mut headers = HeaderMap::new();
            let name = actix_web::http::header::X_FORWARDED_FOR;
            headers.insert(
                name,
                actix_web::http::header::HeaderValue::from_static(client),
            );
            shares.of_client(shares.client(Ipv4Addr::new(10, 0, 0, 1).into(), &headers))
        };
        let _first = asked("192.0.2.1").open_session().unwrap();
        assert!(asked("192.0.2.1").open_session().is_err());
        assert!(asked("192.0.2.2").open_session().is_ok());
    }

    #[test]
    fn work_is_charged_to_the_address_that_made_it() {
        let shares = shares(|config| {
            config.limits.work_bytes_per_address_and_second = crate::config::ByteCount::new(1000);
        });
        let share = of(&shares, "192.0.2.1");
        assert_eq!(share.check_work(), Ok(()));
        share.charge_work(1_000_000);
        let refused = of(&shares, "192.0.2.1").check_work().unwrap_err();
        assert!(refused.wait.as_secs() > 900, "{refused:?}");
        let other = of(&shares, "192.0.2.2");
        assert_eq!(other.take_work(3000, Instant::now()), Ok(()));
        assert!(other.check_work().is_err());
        let refused = other.take_work(1_000_000, Instant::now()).unwrap_err();
        assert!(refused.wait.as_secs() < 10, "{refused:?}");
    }

    #[test]
    fn members_and_keys_are_charged_to_the_address_that_has_them() {
        let shares = shares(|config| {
            config.limits.members_per_address = 1;
            config.limits.idempotency_keys_per_address = 1;
        });
        let (share, now) = (of(&shares, "192.0.2.1"), Instant::now());
        let member = share.list_member().unwrap();
        let refused = share.list_member().unwrap_err();
        let setting = "limits.members_per_address ";
        assert!(refused.to_string().contains(setting), "{refused}");
        assert_eq!(share.take_key(now), Ok(()));
        let refused = share.take_key(now).unwrap_err();
        let setting = "limits.idempotency_keys_per_address ";
        assert!(refused.to_string().contains(setting), "{refused}");
        let other = of(&shares, "192.0.2.2");
        assert!(other.list_member().is_ok());
        assert_eq!(other.take_key(now), Ok(()));
        drop(member);
        assert!(share.list_member().is_ok());
    }

    #[test]
    fn the_table_keeps_the_addresses_that_have_something_up_to_its_bound() {
        let shares = shares(|config| config.limits.sessions_per_address = 1);
        for number in 0..100 {
            of(&shares, &format!("192.0.2.{number}"));
            assert!(known(&shares) <= 4);
        }
        // Whoever has nothing is forgotten, and looked for at most once a second.
        shares.table.lock().unwrap().looked = 0;
        let held: Vec<_> = (0..4)
            .map(|number| {
                of(&shares, &format!("198.51.100.{number}"))
                    .open_session()
                    .unwrap()
            })
            .collect();
        assert_eq!(known(&shares), 4);
        // All others have one share together.
        let _first = of(&shares, "203.0.113.1").open_session().unwrap();
        assert!(of(&shares, "203.0.113.2").open_session().is_err());
        drop(held);
    }
}
