//! Streams on all transports whose clients read nothing, of messages of many sizes.

use anyhow::Result;
use widecast_tests::socket::Bare;
use widecast_tests::{Broker, Settings};

use super::{Attack, Kind};
use crate::dice::Dice;

pub(super) const KIND: Kind = Kind {
    name: "readers",
    about: "what waits for clients that do not read piles up, or slows down the delivery to all others",
    settings: || {
        Settings::new()
            .key("outbox.bytes", "262144")
            .key("namespace.old.slow_consumer", r#""drop_oldest""#)
            .key("namespace.new.slow_consumer", r#""latest""#)
    },
    most_mib: 96,
    run: |broker, dice| -> Attack<'_> { Box::pin(run(broker, dice)) },
};

const CHANNELS: [&str; 3] = ["unread", "old:unread", "new:unread"];

async fn run(broker: &Broker, dice: &mut Dice) -> Result<Vec<Bare>> {
    let mut held = Vec::new();
    for _ in 0..dice.many(60) {
        let channel = dice.one_of(&CHANNELS);
        let mut connection = Bare::connect_narrow(broker).await?;
        if dice.one_of(&[false, true]) {
            connection
                .upgrade(&format!("/channels/{channel}/ws"))
                .await?;
        } else {
            let target = match dice.one_of(&["sse", "stream", "several"]) {
                "several" => format!("/v1/sse?channel={channel}&channel=other"),
                one => format!("/channels/{channel}/{one}"),
            };
            connection.get(&target, "").await?;
            connection.until(b"\r\n\r\n").await?;
        }
        held.push(connection);
    }
    let publisher = broker.publisher();
    for _ in 0..dice.many(100) {
        let text = "x".repeat(dice.up_to(200_000));
        publisher.publish(dice.one_of(&CHANNELS), text).await?;
    }
    Ok(held)
}
