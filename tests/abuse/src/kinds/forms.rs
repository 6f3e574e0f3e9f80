//! Values that are many times as large in another form, which somebody asks for and leaves.

use anyhow::{Result, ensure};
use widecast_tests::message_pack::growing;
use widecast_tests::socket::Bare;
use widecast_tests::{Broker, Settings};

use super::{Attack, Kind};
use crate::dice::Dice;

pub(super) const KIND: Kind = Kind {
    name: "forms",
    about: "each form that somebody has asked for is kept beside the message, for as long as the history has it",
    settings: || {
        Settings::new()
            .key("limits.message_bytes", "524288")
            .key("limits.memory_bytes", "268435456")
    },
    most_mib: 64,
    run: |broker, dice| -> Attack<'_> { Box::pin(run(broker, dice)) },
};

async fn run(broker: &Broker, dice: &mut Dice) -> Result<Vec<Bare>> {
    let mut held = Vec::new();
    for number in 0..dice.many(20) {
        let channel = format!("grown{number}");
        let target = match dice.one_of(&["sse", "stream", "ws", "several"]) {
            "several" => format!("/v1/sse?channel={channel}&channel=other"),
            one => format!("/channels/{channel}/{one}"),
        };
        let mut listener = Bare::connect_narrow(broker).await?;
        if target.ends_with("/ws") {
            listener.upgrade(&target).await?;
        } else {
            listener.get(&target, "").await?;
            listener.until(b"\r\n\r\n").await?;
        }
        let path = format!("/channels/{channel}/messages");
        let value = growing(dice.up_to(200_000));
        let answer = broker.post(&path, "application/msgpack", value).await?;
        ensure!(answer.status == 200, "{answer:?}");
        // What was delivered to the one and asked for by the other is nobody's any more, or waits.
        let mut reader = Bare::connect(broker).await?;
        reader.get(&path, "Connection: close\r\n").await?;
        reader.to_end().await?;
        if dice.one_of(&[false, true]) {
            held.push(listener);
        }
    }
    Ok(held)
}
