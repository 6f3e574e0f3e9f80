//! Sessions of polls that are members with much to tell, in one channel or in many, and lists of them that nobody reads.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use widecast_tests::socket::Bare;
use widecast_tests::{Broker, Settings};

use super::{Attack, Kind};
use crate::dice::Dice;

pub(super) const KIND: Kind = Kind {
    name: "members",
    about: "members cost memory without a connection, and each is told of all others",
    settings: || Settings::new().key("limits.memory_bytes", "134217728"),
    most_mib: 64,
    run: |broker, dice| -> Attack<'_> { Box::pin(run(broker, dice)) },
};

async fn run(broker: &Broker, dice: &mut Dice) -> Result<Vec<Bare>> {
    let one_channel = dice.one_of(&[false, true]);
    let mut refused = 0;
    for number in 0..dice.many(100) {
        let data = "x".repeat(dice.up_to(4000));
        let channels = if one_channel { 1 } else { dice.up_to(256) };
        let commands: Vec<Value> = (0..channels)
            .map(|channel| {
                let channel = if one_channel {
                    "all".to_owned()
                } else {
                    format!("room{channel}-{}", number % 4)
                };
                json!({ "type": "subscribe", "channel": channel, "presence": data })
            })
            .collect();
        let path = "/v1/poll?session=new&timeout=0";
        let body = serde_json::to_vec(&commands)?;
        let answer = broker.post(path, "application/json", body).await?;
        ensure!([200, 503].contains(&answer.status), "{answer:?}");
        refused += usize::from(answer.status == 503);
    }
    ensure!(refused < dice.many(100), "nobody was let in");
    let mut held = Vec::new();
    for _ in 0..dice.many(20) {
        let mut reader = Bare::connect_narrow(broker).await?;
        let channel = if one_channel { "all" } else { "room0-0" };
        let target = format!("/channels/{channel}/presence");
        reader.get(&target, "").await?;
        held.push(reader);
    }
    Ok(held)
}
