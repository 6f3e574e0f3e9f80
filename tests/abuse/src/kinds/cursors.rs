//! Cursors of very many channels, in a URL, a header and a frame.

use std::fmt::Write;

use anyhow::{Result, ensure};
use widecast_tests::socket::{Bare, client_frame};
use widecast_tests::{Broker, Settings};

use super::{Attack, Kind};
use crate::dice::Dice;

pub(super) const KIND: Kind = Kind {
    name: "cursors",
    about: "a cursor that names very many channels keeps a worker busy if duplicates are looked for one by one",
    settings: Settings::new,
    most_mib: 48,
    run: |broker, dice| -> Attack<'_> { Box::pin(run(broker, dice)) },
};

/// A cursor of so many bytes.
fn cursor(bytes: usize) -> String {
    let mut text = String::new();
    for number in 0.. {
        let separator = if number == 0 { "" } else { "," };
        write!(text, "{separator}c{number}=1-1").expect("a text takes text");
        if text.len() >= bytes {
            break;
        }
    }
    text
}

async fn run(broker: &Broker, dice: &mut Dice) -> Result<Vec<Bare>> {
    let mut held = Vec::new();
    for _ in 0..dice.many(8) {
        let mut connection = Bare::connect(broker).await?;
        match dice.one_of(&[0, 1, 2]) {
            0 => {
                let target = format!(
                    "/v1/poll?channel=c1&timeout=0&cursor={}",
                    cursor(dice.up_to(60_000))
                );
                connection.get(&target, "").await?;
                connection.until(b"HTTP/1.1 ").await?;
            }
            1 => {
                let header = format!("Last-Event-ID: {}\r\n", cursor(dice.up_to(120_000)));
                connection
                    .get("/v1/poll?channel=c1&timeout=0", &header)
                    .await?;
                connection.until(b"HTTP/1.1 ").await?;
            }
            _ => {
                connection.upgrade("/v1/ws").await?;
                let since = cursor(dice.up_to(dice.many(1 << 20)));
                let frame = format!(
                    r#"{{"type":"history","id":"asked","channel":"c1","since":"{since}"}}"#
                );
                connection
                    .send(&client_frame(0x81, frame.as_bytes()))
                    .await?;
                let said = connection.until(br#""id":"asked""#).await?;
                ensure!(said.len() < 100_000, "an answer of {} bytes", said.len());
            }
        }
        held.push(connection);
    }
    Ok(held)
}
