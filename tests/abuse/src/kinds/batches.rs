//! Batches of many messages for many channels each, in a few kilobytes of gzip.

use anyhow::{Result, ensure};
use serde_json::json;
use widecast_tests::socket::Bare;
use widecast_tests::{Broker, Settings};

use super::inflation::{gzip, post};
use super::{Attack, Kind};
use crate::dice::Dice;

pub(super) const KIND: Kind = Kind {
    name: "batches",
    about: "a small body asks for a million publications, or for an answer of hundreds of megabytes",
    settings: Settings::new,
    most_mib: 96,
    run: |broker, dice| -> Attack<'_> { Box::pin(run(broker, dice)) },
};

async fn run(broker: &Broker, dice: &mut Dice) -> Result<Vec<Bare>> {
    for _ in 0..dice.many(4) {
        let channels: Vec<String> = (0..dice.up_to(1024))
            .map(|number| format!("b{number}"))
            .collect();
        // Published, or refused each with a long reason.
        let event = dice.one_of(&["e", "widecast."]).to_owned() + &"e".repeat(200);
        let message = json!({ "channels": channels, "data": 1, "event": event });
        let messages = vec![message; dice.up_to(1000)];
        let asked = channels.len() * messages.len();
        let body = serde_json::to_vec(&json!({ "messages": messages }))?;
        if body.len() > 8 << 20 {
            continue;
        }
        let answer = post(broker, "/v1/publish", "application/json", &gzip(&body)?).await?;
        let is_refused = answer.starts_with("HTTP/1.1 4");
        ensure!(
            is_refused || asked <= 10_000,
            "{asked} publications by one request"
        );
        ensure!(is_refused || answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    Ok(Vec::new())
}
