//! Publishes its second argument as JSON, or else as a text, in the channel that the first names:
//!
//! ```sh
//! cargo run -p widecast-client --example publish news '{"hello":1}'
//! ```
#![expect(clippy::print_stdout, reason = "printing is what the program is for")]

use std::env;

use anyhow::{Context, Result};
use widecast_client::{BrokerUrl, Client, Data};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut arguments = env::args().skip(1);
    let channel = arguments.next().context("usage: publish CHANNEL DATA")?;
    let text = arguments.next().context("usage: publish CHANNEL DATA")?;
    let url = env::var("WIDECAST_URL").unwrap_or_else(|_| BrokerUrl::DEFAULT.to_owned());

    let client = Client::new(&url)?;
    let data = Data::json(text.clone()).unwrap_or_else(|_| Data::text(text));
    let published = client.publish_data(&channel, data).await?;
    println!("{}", serde_json::to_string(&published)?);
    Ok(())
}
