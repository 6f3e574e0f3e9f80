//! Pings whose pongs nobody reads.

use std::time::Duration;

use anyhow::Result;
use widecast_tests::socket::{Bare, client_frame};
use widecast_tests::{Broker, Settings};

use super::{Attack, Kind};
use crate::dice::Dice;

pub(super) const KIND: Kind = Kind {
    name: "pings",
    about: "each pong of two bytes that waits takes forty times as much memory",
    settings: Settings::new,
    most_mib: 48,
    run: |broker, dice| -> Attack<'_> { Box::pin(run(broker, dice)) },
};

async fn run(broker: &Broker, dice: &mut Dice) -> Result<Vec<Bare>> {
    let mut held = Vec::new();
    for _ in 0..dice.many(4) {
        let mut socket = Bare::connect_narrow(broker).await?;
        socket
            .upgrade(dice.one_of(&["/v1/ws", "/channels/x/ws"]))
            .await?;
        let ping = client_frame(0x89, &vec![b'p'; dice.up_to(125)]);
        let pings = ping.repeat(50_000);
        // A broker may cut a client that takes nothing, or stop to read from it.
        let sending = socket.send(&pings);
        let _ = tokio::time::timeout(Duration::from_secs(2), sending).await;
        held.push(socket);
    }
    Ok(held)
}
