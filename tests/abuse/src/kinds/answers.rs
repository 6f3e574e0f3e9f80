//! Small requests for large answers that nobody reads.

use anyhow::{Result, ensure};
use widecast_tests::message_pack::growing;
use widecast_tests::socket::Bare;
use widecast_tests::{Broker, Settings};

use super::{Attack, Kind};
use crate::dice::Dice;

pub(super) const KIND: Kind = Kind {
    name: "answers",
    about: "an answer waits for a client that does not take it, once for each request of sixty bytes",
    settings: || {
        Settings::new()
            .key("timeouts.answer_ms", "1000")
            .key("limits.memory_bytes", "268435456")
    },
    most_mib: 96,
    run: |broker, dice| -> Attack<'_> { Box::pin(run(broker, dice)) },
};

async fn run(broker: &Broker, dice: &mut Dice) -> Result<Vec<Bare>> {
    const CHANNELS: [&str; 3] = ["large", "larger", "largest"];
    for channel in CHANNELS {
        for _ in 0..dice.up_to(8) {
            let path = format!("/channels/{channel}/messages");
            let value = growing(dice.up_to(60_000));
            let answer = broker.post(&path, "application/msgpack", value).await?;
            ensure!(answer.status == 200, "{answer:?}");
        }
    }
    let mut held = Vec::new();
    for _ in 0..dice.many(40) {
        let channel = dice.one_of(&CHANNELS);
        let limit = dice.up_to(256);
        let target = match dice.one_of(&["page", "backwards", "poll", "one"]) {
            "page" => format!("/channels/{channel}/messages?limit={limit}"),
            "backwards" => format!("/channels/{channel}/messages?reverse=true&limit={limit}"),
            "poll" => format!("/channels/{channel}/poll?cursor=0-1"),
            _ => format!("/channels/{channel}/messages/1"),
        };
        let mut reader = Bare::connect_narrow(broker).await?;
        reader.get(&target, "").await?;
        held.push(reader);
    }
    Ok(held)
}
