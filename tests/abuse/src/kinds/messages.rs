//! WebSocket messages that stop on their way.

use anyhow::Result;
use widecast_tests::socket::{Bare, client_frame, client_frame_header};
use widecast_tests::{Broker, Settings};

use super::{Attack, Kind};
use crate::dice::Dice;

pub(super) const KIND: Kind = Kind {
    name: "messages",
    about: "a message that is never finished holds up to 8 MiB for as long as its client answers pings",
    settings: || Settings::new().key("limits.unfinished_bytes", "16777216"),
    most_mib: 96,
    run: |broker, dice| -> Attack<'_> { Box::pin(run(broker, dice)) },
};

async fn run(broker: &Broker, dice: &mut Dice) -> Result<Vec<Bare>> {
    let mut held = Vec::new();
    let part = vec![b' '; 1 << 18];
    for _ in 0..dice.many(30) {
        let mut socket = Bare::connect(broker).await?;
        socket
            .upgrade(dice.one_of(&["/v1/ws", "/channels/x/ws", "/channels/x/ws?json"]))
            .await?;
        let length = dice.up_to(8 << 20);
        let is_one_frame = dice.one_of(&[false, true]);
        if is_one_frame {
            socket
                .send(&client_frame_header(0x81, length as u64 + 1))
                .await?;
        }
        let mut sent = 0;
        while sent < length {
            let part = &part[..part.len().min(length - sent)];
            let first = u8::from(sent == 0);
            let bytes = if is_one_frame {
                part.to_vec()
            } else {
                client_frame(first, part)
            };
            // The broker may have given it up for others.
            if socket.send(&bytes).await.is_err() {
                break;
            }
            sent += part.len();
        }
        held.push(socket);
    }
    Ok(held)
}
