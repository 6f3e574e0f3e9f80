//! One total order per channel, the same for every subscriber, whoever publishes and on whichever worker.

use anyhow::Result;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use widecast_tests::{Broker, Join, Settings, Subscriber, Transport, within};

const CHANNEL: &str = "ordered:channel";
const EACH: usize = 250;
const PUBLISHERS: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_subscriber_hears_the_same_order_without_holes() -> Result<()> {
    let settings = Settings::new()
        .workers(2)
        .history("ordered", 10_000, 64 << 20);
    let broker = Broker::with(settings.script_access("ordered")).await?;
    let mut listening = JoinSet::new();
    for transport in Transport::ALL.into_iter().chain(Transport::ALL) {
        let subscriber = broker.join(transport, &Join::channel(CHANNEL)).await?;
        listening.spawn(listen(subscriber));
    }
    publish_from_everywhere(&broker).await?;
    let all = within("all are through", async {
        let mut all = Vec::new();
        while let Some(heard) = listening.join_next().await {
            all.push(heard??);
        }
        Ok(all)
    });
    let all = all.await?;
    let (first, _) = &all[0];
    assert_eq!(first.len(), EACH * PUBLISHERS);
    for (order, transport) in &all {
        let differs = order.iter().zip(first).position(|(a, b)| a != b);
        assert_eq!(
            differs, None,
            "{transport:?} heard another order from there on"
        );
    }
    for publisher in 0..PUBLISHERS {
        let own = first.iter().filter(|data| data[0] == publisher);
        let numbers: Vec<_> = own.map(|data| data[1].as_u64()).collect();
        assert!(
            numbers.is_sorted(),
            "the messages of one publisher stay in order"
        );
        assert_eq!(numbers.len(), EACH);
    }
    Ok(())
}

async fn listen(mut subscriber: Subscriber) -> Result<(Vec<Value>, Transport)> {
    let mut order = Vec::new();
    for number in 1..=EACH * PUBLISHERS {
        let message = subscriber.message().await?;
        if let Some(offset) = message.offset {
            assert_eq!(
                offset,
                number as u64,
                "{:?}: a hole",
                subscriber.transport()
            );
        }
        order.push(message.data);
    }
    Ok((order, subscriber.transport()))
}

/// Two publishers over HTTP, one over an envelope WebSocket, one with batches, all at once.
async fn publish_from_everywhere(broker: &Broker) -> Result<()> {
    let mut publishing: JoinSet<Result<()>> = JoinSet::new();
    for name in 0..2 {
        let publisher = broker.publisher();
        publishing.spawn(async move {
            for number in 0..EACH {
                publisher.publish(CHANNEL, json!([name, number])).await?;
            }
            Ok(())
        });
    }
    let mut session = broker
        .join(Transport::JsonWebSocket, &Join::channels(&[]))
        .await?;
    publishing.spawn(async move {
        for number in 0..EACH {
            session
                .envelope()?
                .publish(CHANNEL, json!([2, number]))
                .await?;
        }
        Ok(())
    });
    let publisher = broker.publisher();
    publishing.spawn(async move {
        for start in (0..EACH).step_by(10) {
            let ten = (start..start + 10).map(|number| json!([3, number]));
            publisher.publish_all(CHANNEL, ten).await?;
        }
        Ok(())
    });
    while let Some(result) = publishing.join_next().await {
        result??;
    }
    Ok(())
}

/// The forms of large messages are made away from the worker: nothing small overtakes them in their channel, for those who wait for the
/// forms and for those who do not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_messages_stay_behind_large_ones() -> Result<()> {
    const ROUNDS: usize = 6;
    const SMALL: usize = 3;
    const LARGE: usize = 50_000;
    let settings = Settings::new().workers(2);
    let broker = Broker::with(settings.history("ordered", 10_000, 64 << 20)).await?;
    let start = broker.end_of(CHANNEL).await?;
    let transports = [
        Transport::RawWebSocket,
        Transport::JsonWebSocket,
        Transport::MessagePackWebSocket,
        Transport::MessagePackStream,
        Transport::RawSse,
        Transport::RawStream,
    ];
    let mut subscribers = Vec::new();
    for transport in transports {
        subscribers.push(broker.join(transport, &Join::channel(CHANNEL)).await?);
    }
    let publisher = broker.publisher();
    for round in 0..ROUNDS {
        let large = json!([round, vec![round; LARGE]]);
        // JSON that some need as MessagePack, and the other way round.
        if round % 2 == 0 {
            publisher.publish(CHANNEL, large).await?;
        } else {
            publisher.publish_packed(CHANNEL, &large).await?;
        }
        for number in 0..SMALL {
            publisher.publish(CHANNEL, json!([round, number])).await?;
        }
    }
    // And those who hear all of it from the history.
    for transport in transports {
        let join = Join::channel(CHANNEL).from(start.clone());
        subscribers.push(broker.join(transport, &join).await?);
    }
    for subscriber in &mut subscribers {
        let heard = subscriber.data(ROUNDS * (SMALL + 1)).await?;
        let transport = subscriber.transport();
        for (place, data) in heard.iter().enumerate() {
            let (round, number) = (place / (SMALL + 1), place % (SMALL + 1));
            assert_eq!(data[0], round, "{transport:?} at {place}");
            match number {
                0 => assert_eq!(data[1].as_array().map(Vec::len), Some(LARGE)),
                _ => assert_eq!(data[1], number - 1, "{transport:?} at {place}"),
            }
        }
    }
    Ok(())
}
