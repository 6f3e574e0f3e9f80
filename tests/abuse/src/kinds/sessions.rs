//! Sessions of polls, which need no connection, opened by one address as fast as it can.

use anyhow::{Result, ensure};
use widecast_tests::socket::Bare;
use widecast_tests::{Broker, Settings};

use super::{Attack, Kind};
use crate::dice::Dice;

/// What the broker lets one address have.
const SHARE: usize = 50;

pub(super) const KIND: Kind = Kind {
    name: "sessions",
    about: "one client opens all sessions that there may be, and everybody else is refused",
    settings: || {
        Settings::new()
            .key("server.trusted_proxies", r#"["127.0.0.1"]"#)
            .key("server.max_connections", "1000")
            .key("limits.sessions_per_address", SHARE.to_string())
    },
    most_mib: 48,
    run: |broker, dice| -> Attack<'_> { Box::pin(run(broker, dice)) },
};

async fn run(broker: &Broker, dice: &mut Dice) -> Result<Vec<Bare>> {
    // Addresses of one network, which are one.
    let network = dice.one_of(&["203.0.113.7", "2001:db8::"]);
    let (mut opened, mut refused) = (0, 0);
    for number in 0..dice.many(300) {
        let address = match network {
            "2001:db8::" => format!("2001:db8::{number:x}"),
            address => address.to_owned(),
        };
        let mut connection = Bare::connect(broker).await?;
        // What a client says itself comes before what its proxy adds.
        let headers = format!(
            "X-Forwarded-For: 198.51.100.{}, {address}\r\nConnection: close\r\n",
            number % 256
        );
        connection
            .get("/v1/poll?session=new&timeout=0", &headers)
            .await?;
        let answer = connection.to_end().await?;
        opened += usize::from(answer.starts_with(b"HTTP/1.1 200"));
        refused += usize::from(answer.starts_with(b"HTTP/1.1 429"));
    }
    ensure!(
        opened == SHARE && refused > 0,
        "{opened} sessions of one address, {refused} refused"
    );
    Ok(Vec::new())
}
