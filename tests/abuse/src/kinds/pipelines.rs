//! Requests behind an answer that is not there yet, or that nobody reads.

use std::time::Duration;

use anyhow::Result;
use widecast_tests::socket::Bare;
use widecast_tests::{Broker, Settings};

use super::{Attack, Kind};
use crate::dice::Dice;

pub(super) const KIND: Kind = Kind {
    name: "pipelines",
    about: "requests behind one that waits are read and kept, and looked at again and again",
    settings: Settings::new,
    most_mib: 48,
    run: |broker, dice| -> Attack<'_> { Box::pin(run(broker, dice)) },
};

/// What waits, streams, or has a large answer.
const FIRST: [&str; 5] = [
    "/channels/x/poll?timeout=50",
    "/channels/x/sse",
    "/client/widecast.js",
    "/metrics",
    "/health/live",
];

async fn run(broker: &Broker, dice: &mut Dice) -> Result<Vec<Bare>> {
    let mut held = Vec::new();
    for _ in 0..dice.many(20) {
        let mut connection = Bare::connect_narrow(broker).await?;
        let first = dice.one_of(&FIRST);
        connection.get(first, "").await?;
        let behind = format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", dice.one_of(&FIRST));
        let behind = behind.repeat(dice.up_to(20_000));
        // The broker takes no more than it has to, or hangs up.
        let sending = connection.send(behind.as_bytes());
        let _ = tokio::time::timeout(Duration::from_millis(100), sending).await;
        held.push(connection);
    }
    Ok(held)
}
