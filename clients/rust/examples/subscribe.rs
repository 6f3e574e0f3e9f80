//! Prints what happens in the channels that its arguments name, through cuts of the connection:
//!
//! ```sh
//! cargo run -p widecast-client --example subscribe news sports
//! ```
#![expect(clippy::print_stdout, reason = "printing is what the program is for")]

use std::env;

use anyhow::Result;
use widecast_client::{BrokerUrl, Client, Event};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let channels: Vec<String> = env::args().skip(1).collect();
    let url = env::var("WIDECAST_URL").unwrap_or_else(|_| BrokerUrl::DEFAULT.to_owned());

    let client = Client::new(&url)?;
    let mut events = client.subscribe(&channels).history(10).connect().await?;
    while let Some(event) = events.next().await {
        match event? {
            Event::Message(message) => println!("{}: {}", message.channel, message.json()),
            Event::Gap(gap) => eprintln!("messages were lost before {}", gap.cursor),
            Event::Disconnected(cut) => eprintln!("{}; again in {:?}", cut.error, cut.again_in),
            Event::Reconnected => eprintln!("connected again"),
            other => eprintln!("{other:?}"),
        }
    }
    Ok(())
}
