//! A chat in a terminal: each line is said in the room that the first argument names, by the name that the second gives.
//!
//! ```sh
//! cargo run -p widecast-client --example room lobby Ann
//! ```
#![expect(clippy::print_stdout, reason = "printing is what the program is for")]

use std::env;
use std::io::{BufRead, stdin};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use widecast_client::{BrokerUrl, Client, Event, PresenceChange};

/// What is said in a room.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    from: String,
    text: String,
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = env::args().skip(1);
    let room = arguments.next().context("usage: room ROOM NAME")?;
    let name = arguments.next().context("usage: room ROOM NAME")?;
    let url = env::var("WIDECAST_URL").unwrap_or_else(|_| BrokerUrl::DEFAULT.to_owned());

    let (session, mut events) = Client::new(&url)?.session().connect().await?;
    let joined = session.subscribe(&room).presence(&name).history(10).await?;
    println!(
        "{} here: write a line, or end with Ctrl-D",
        joined.members.len()
    );
    let mut lines = typed();
    loop {
        tokio::select! {
            line = lines.recv() => {
                let Some(text) = line else { return Ok(()) };
                let from = name.clone();
                session.publish(&room, &Line { from, text }).await?;
            }
            event = events.next() => match event.context("the session has ended")?? {
                Event::Message(message) => match message.data::<Line>() {
                    Ok(line) => println!("{}: {}", line.from, line.text),
                    // Others may say what they like.
                    Err(_) => println!("{}", message.json()),
                },
                Event::Presence(told) => match told.change {
                    PresenceChange::Joined(member) => println!("+ {}", member.json()),
                    PresenceChange::Left(member) => println!("- {}", member.json()),
                    _ => {}
                },
                Event::Gap(_) => println!("(some lines were lost)"),
                _ => {}
            },
        }
    }
}

/// The lines that are typed.
fn typed() -> mpsc::Receiver<String> {
    let (sent, lines) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in stdin().lock().lines().map_while(Result::ok) {
            if sent.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}
