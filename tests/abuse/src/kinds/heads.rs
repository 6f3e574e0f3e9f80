//! Heads of requests that stop on their way, the first of their connection or a later one.

use anyhow::{Result, ensure};
use widecast_tests::socket::Bare;
use widecast_tests::{Broker, Settings, eventually};

use super::{Attack, Kind};
use crate::dice::Dice;

pub(super) const KIND: Kind = Kind {
    name: "heads",
    about: "a head that never ends holds its connection and its bytes for ever",
    settings: || Settings::new().key("timeouts.head_ms", "3000"),
    most_mib: 64,
    run: |broker, dice| -> Attack<'_> { Box::pin(run(broker, dice)) },
};

async fn run(broker: &Broker, dice: &mut Dice) -> Result<Vec<Bare>> {
    let mut stopped = Vec::new();
    for _ in 0..dice.many(100) {
        let mut connection = Bare::connect(broker).await?;
        if dice.one_of(&[false, true]) {
            connection.get("/health/live", "").await?;
            connection.until(b"{\"status\":\"live\"}").await?;
        }
        let head = format!("GET /x HTTP/1.1\r\nHost: a\r\nX: {}", "y".repeat(120_000));
        let part = &head.as_bytes()[..dice.up_to(head.len())];
        connection.send(part).await?;
        stopped.push(connection);
    }
    // Each is ended by the broker, and none by its client.
    let count = stopped.len();
    for mut connection in stopped {
        let last = connection.to_end().await?;
        ensure!(
            last.starts_with(b"HTTP/1.1 4") || last.is_empty(),
            "{:?} of {count}",
            last.escape_ascii().to_string()
        );
    }
    eventually("all heads to be ended", async || {
        Ok(broker.metrics().await?.value("widecast_connections") <= 8.0)
    })
    .await?;
    Ok(Vec::new())
}
