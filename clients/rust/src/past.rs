//! The past that a subscription hears first. The subscription is there before the history is asked for: what is published
//! meanwhile comes by the subscription, and the history gives what lies before its start.

use widecast_protocol::{ChannelName, Position};

use crate::client::Client;
use crate::error::Error;
use crate::event::Event;
use crate::message::Message;
use crate::queue::{Item, Queue};

/// Adds the newest messages of all channels before the starts of their subscriptions, in the order in which they were
/// published.
pub(crate) async fn read(
    client: &Client,
    starts: Vec<(ChannelName, Option<Position>)>,
    limit: u32,
    queue: &Queue,
) -> Result<(), Error> {
    let mut messages = Vec::new();
    for (channel, start) in starts {
        let page = client.history(channel.as_str()).limit(limit).await?;
        let past = page.messages.into_iter();
        messages.extend(past.filter(|message| is_before(message, start)));
    }
    // Stable: messages of one millisecond and channel keep their order.
    messages.sort_by_key(|message| message.timestamp);
    let messages = messages.into_iter();
    // Messages of the subscription may wait already.
    queue.push_before(
        messages
            .map(|message| Item::here(Event::Message(message)))
            .collect(),
    );
    Ok(())
}

fn is_before(message: &Message, start: Option<Position>) -> bool {
    start.is_some_and(|start| {
        message.epoch == start.epoch.to_string() && message.offset <= start.offset.0
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Frame;

    #[test]
    fn the_past_ends_where_the_subscription_begins() {
        let is_past = |cursor: &str, offset: u64| {
            let text = format!(
                r#"{{"channel":"a","cursor":"{cursor}","offset":{offset},"origin":"","timestamp":1,"data":1}}"#
            );
            let message = Frame::read(text.as_bytes()).unwrap().into_message();
            is_before(&message.unwrap(), Position::parse("e-2").ok())
        };
        assert!(is_past("e-1", 1) && is_past("e-2", 2));
        // The subscription brings it.
        assert!(!is_past("e-3", 3));
        // The channel has begun anew: the subscription tells of the gap.
        assert!(!is_past("f-1", 1));
    }
}
