//! The semantics of a channel, each written once and run over every transport and codec.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use widecast_tests::heard::binary;
use widecast_tests::settings::DEFAULT;
use widecast_tests::{
    Broker, Heard, Join, Settings, Subscriber, Transport, eventually, over_every_transport, within,
};

over_every_transport!(
    hears_what_is_published,
    hears_text_of_every_kind,
    hears_large_messages_whole,
    hears_messages_in_order,
    hears_events_by_their_names,
    hears_binary_data,
    hears_what_json_lacks,
    hears_a_compressed_message_as_its_value,
    hears_channels_of_any_name,
    does_not_hear_itself,
    does_not_hear_itself_after_resuming,
    does_not_hear_itself_without_a_sender_key,
    hears_itself_with_echo,
    hears_everything_once_it_has_joined,
    hears_nothing_older_than_its_join,
    resumes_without_loss_or_duplicate,
    resumes_when_nothing_had_been_received,
    resumes_in_the_midst_of_a_burst,
    is_told_of_a_gap,
    is_told_of_a_new_epoch,
    is_no_subscriber_once_it_is_closed,
    is_no_subscriber_once_it_is_gone,
);

const MINE: &str = "sender-key-of-mine";
const THEIRS: &str = "sender-key-of-theirs";

/// A namespace whose history is too small for what the tests publish in it.
const FORGETFUL: &str = "forgetful";

async fn broker() -> Result<Broker> {
    Broker::with(settings()).await
}

fn settings() -> Settings {
    let settings = Settings::new().script_access(DEFAULT);
    settings
        .history(FORGETFUL, 4, 1 << 20)
        .script_access(FORGETFUL)
}

/// Where a subscriber is: what it tells itself, else what its reader knows from the publisher.
fn place(subscriber: &Subscriber, known: String) -> String {
    subscriber.cursor().unwrap_or(known)
}

async fn hears_what_is_published(transport: Transport) -> Result<()> {
    let broker = broker().await?;
    let mut subscriber = broker.join(transport, &Join::channel("news")).await?;
    let data = json!({ "hello": 1, "list": [true, null, 1.5, "ä"] });
    let published = broker.publisher().publish("news", data.clone()).await?;
    let message = subscriber.message().await?;
    assert_eq!(message.data, data);
    assert_eq!(published.channel, "news");
    if transport.shows_more_than_data() {
        assert_eq!(message.offset, Some(published.offset));
        assert_eq!(subscriber.cursor(), Some(published.cursor()));
    }
    Ok(())
}

async fn hears_text_of_every_kind(transport: Transport) -> Result<()> {
    let broker = broker().await?;
    let mut subscriber = broker.join(transport, &Join::channel("news")).await?;
    let texts = [
        "",
        " leading and trailing ",
        "line one\nline two\n",
        "\n",
        ":colon first",
        "data: not a field",
        "😀 \u{2028}\u{2029} \u{7f}\u{feff}",
        "</script><!-- ' \" \\",
    ];
    for text in texts {
        broker.publisher().publish("news", text).await?;
        assert_eq!(subscriber.message().await?.data, json!(text));
    }
    Ok(())
}

async fn hears_large_messages_whole(transport: Transport) -> Result<()> {
    let broker = broker().await?;
    let mut subscriber = broker.join(transport, &Join::channel("news")).await?;
    for size in [125, 126, 127, 65_535, 65_536, 300_000] {
        let text: String = ('a'..='z').cycle().take(size).collect();
        broker.publisher().publish("news", text.as_str()).await?;
        let message = subscriber.message().await?;
        assert!(message.data == json!(text), "{size} bytes differ");
    }
    Ok(())
}

async fn hears_messages_in_order(transport: Transport) -> Result<()> {
    let broker = broker().await?;
    let mut subscriber = broker.join(transport, &Join::channel("news")).await?;
    let numbers: Vec<Value> = (0..200).map(|n| json!([n])).collect();
    broker
        .publisher()
        .publish_all("news", numbers.clone())
        .await?;
    assert_eq!(subscriber.data(200).await?, numbers);
    Ok(())
}

async fn hears_events_by_their_names(transport: Transport) -> Result<()> {
    let broker = broker().await?;
    let mut subscriber = broker.join(transport, &Join::channel("news")).await?;
    let publisher = broker.publisher();
    publisher.publish_event("news", "price changed", 1).await?;
    publisher.publish_event("news", "größe: data", 2).await?;
    publisher.publish("news", 3).await?;
    let mut events = Vec::new();
    for _ in 0..3 {
        events.push(subscriber.message().await?.event);
    }
    if transport.shows_more_than_data() {
        let names = [Some("price changed"), Some("größe: data"), None];
        assert_eq!(events, names.map(|name| name.map(str::to_owned)));
    }
    Ok(())
}

async fn hears_binary_data(transport: Transport) -> Result<()> {
    let broker = broker().await?;
    let mut subscriber = broker.join(transport, &Join::channel("news")).await?;
    let bytes: Vec<u8> = (0..=255).collect();
    let publisher = broker.publisher();
    publisher
        .publish_as("news", "application/octet-stream", bytes.clone())
        .await?;
    assert_eq!(subscriber.message().await?.data, binary(&bytes));
    publisher.publish("news", binary(&bytes)).await?;
    assert_eq!(subscriber.message().await?.data, binary(&bytes));
    publisher.publish_packed("news", &binary(&bytes)).await?;
    assert_eq!(subscriber.message().await?.data, binary(&bytes));
    let nested = json!({ "image": binary(&[0, 1, 2]) });
    publisher.publish_packed("news", &nested).await?;
    assert_eq!(subscriber.message().await?.data, nested);
    Ok(())
}

async fn hears_what_json_lacks(transport: Transport) -> Result<()> {
    let broker = broker().await?;
    let mut subscriber = broker.join(transport, &Join::channel("news")).await?;
    let data = json!({
        "when": { "$type": "Date", "value": 1_700_000_000_000_u64 },
        "big": { "$type": "BigInt", "value": "123456789012345678901234567890" },
        "nothing": { "$type": "undefined", "value": null },
        "map": { "$type": "Map", "value": [[1, "one"], [{ "$type": "Date", "value": 5 }, [2]]] },
        "set": { "$type": "Set", "value": [1, "one"] },
        "pattern": { "$type": "RegExp", "value": ["a+", "gi"] },
    });
    broker.publisher().publish("news", data.clone()).await?;
    assert_eq!(subscriber.message().await?.data, data);
    broker.publisher().publish_packed("news", &data).await?;
    assert_eq!(subscriber.message().await?.data, data);
    Ok(())
}

async fn hears_a_compressed_message_as_its_value(transport: Transport) -> Result<()> {
    let broker = broker().await?;
    let mut subscriber = broker.join(transport, &Join::channel("news")).await?;
    let publisher = broker.publisher();
    let text = "spam and eggs\n".repeat(10_000);
    let values = [
        json!(text),
        binary(text.as_bytes()),
        json!([{ "when": { "$type": "Date", "value": 5 }, "text": text }, null]),
    ];
    let mut place = None;
    for value in &values {
        let receipt = publisher.publish_compressed("news", value).await?;
        place.get_or_insert(receipt.cursor());
        let heard = subscriber.message().await?;
        assert!(heard.data == *value, "{} is another", kind_of(value));
    }
    let resumed = Join::channel("news").from(place.context("a cursor")?);
    let mut subscriber = broker.join(transport, &resumed).await?;
    let heard = subscriber.data(2).await?;
    assert!(heard == values[1..], "replayed they are others");
    Ok(())
}

/// What a value is, where it is too long to be shown.
fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "the text",
        Value::Object(_) => "the binary",
        _ => "the array",
    }
}

async fn hears_channels_of_any_name(transport: Transport) -> Result<()> {
    let broker = broker().await?;
    for name in [
        "a/b",
        "räume ünd 😀",
        "q?x=1&y#z",
        "100%",
        "a,b=c",
        "a..b",
        "+ +",
    ] {
        let joined = broker.join(transport, &Join::channel(name)).await;
        let mut subscriber = joined.with_context(|| name.to_owned())?;
        let published = broker.publisher().publish(name, name).await?;
        assert_eq!(published.channel, name);
        assert_eq!(subscriber.message().await?.data, json!(name));
    }
    Ok(())
}

async fn does_not_hear_itself(transport: Transport) -> Result<()> {
    let broker = broker().await?;
    let mut mine = broker
        .join(transport, &Join::channel("news").sender(MINE))
        .await?;
    let mut theirs = broker
        .join(transport, &Join::channel("news").sender(THEIRS))
        .await?;
    mine.publish("news", "from me").await?;
    assert_eq!(theirs.message().await?.data, json!("from me"));
    theirs.publish("news", "from them").await?;
    // What comes first is not the own message, though it was published first.
    assert_eq!(mine.message().await?.data, json!("from them"));
    mine.publish("news", "last").await?;
    assert_eq!(theirs.message().await?.data, json!("last"));
    Ok(())
}

async fn does_not_hear_itself_after_resuming(transport: Transport) -> Result<()> {
    let broker = broker().await?;
    let join = Join::channel("news").sender(MINE);
    let start = broker.end_of("news").await?;
    let mut mine = broker.join(transport, &join).await?;
    mine.publish("news", "from me").await?;
    broker.publisher().publish("news", "from them").await?;
    // The raw WebSocket is not answered when it publishes: the order of the two is open.
    assert_eq!(mine.message().await?.data, json!("from them"));
    mine.kill();
    let mut resumed = broker.join(transport, &join.from(start)).await?;
    broker.publisher().publish("news", "later").await?;
    assert_eq!(resumed.data(2).await?, [json!("from them"), json!("later")]);
    Ok(())
}

async fn does_not_hear_itself_without_a_sender_key(transport: Transport) -> Result<()> {
    if !transport.sends() {
        // Nothing says that the POST comes from the one who listens.
        return Ok(());
    }
    let broker = broker().await?;
    let mut mine = broker.join(transport, &Join::channel("news")).await?;
    let mut other = broker.join(transport, &Join::channel("news")).await?;
    mine.publish("news", "from me").await?;
    assert_eq!(other.message().await?.data, json!("from me"));
    broker.publisher().publish("news", "from them").await?;
    assert_eq!(mine.message().await?.data, json!("from them"));
    Ok(())
}

async fn hears_itself_with_echo(transport: Transport) -> Result<()> {
    let broker = broker().await?;
    let join = Join::channel("news").sender(MINE).echo();
    let mut mine = broker.join(transport, &join).await?;
    mine.publish("news", "from me").await?;
    assert_eq!(mine.message().await?.data, json!("from me"));
    Ok(())
}

async fn hears_everything_once_it_has_joined(transport: Transport) -> Result<()> {
    let broker = broker().await?;
    for round in 0..20 {
        let mut subscriber = broker.join(transport, &Join::channel("news")).await?;
        broker.publisher().publish("news", json!([round])).await?;
        assert_eq!(subscriber.message().await?.data, json!([round]));
        subscriber.kill();
    }
    Ok(())
}

async fn hears_nothing_older_than_its_join(transport: Transport) -> Result<()> {
    let broker = broker().await?;
    broker.publisher().publish("news", "old").await?;
    let mut subscriber = broker.join(transport, &Join::channel("news")).await?;
    broker.publisher().publish("news", "new").await?;
    assert_eq!(subscriber.message().await?.data, json!("new"));
    Ok(())
}

async fn resumes_without_loss_or_duplicate(transport: Transport) -> Result<()> {
    let broker = broker().await?;
    let publisher = broker.publisher();
    let mut subscriber = broker.join(transport, &Join::channel("news")).await?;
    publisher.publish("news", 1).await?;
    let second = publisher.publish("news", 2).await?;
    let heard = subscriber.data(2).await?;
    let cursor = place(&subscriber, second.cursor());
    subscriber.kill();
    publisher
        .publish_all("news", (3..=50).map(Value::from))
        .await?;
    let join = Join::channel("news").from(cursor);
    let mut resumed = broker.join(transport, &join).await?;
    publisher.publish("news", 51).await?;
    let heard: Vec<_> = heard.into_iter().chain(resumed.data(49).await?).collect();
    assert_eq!(as_numbers(&heard), (1..=51).collect::<Vec<_>>());
    // And once more from the same cursor: it is still good.
    let mut again = broker.join(transport, &join).await?;
    assert_eq!(
        as_numbers(&again.data(49).await?),
        (3..=51).collect::<Vec<_>>()
    );
    Ok(())
}

async fn resumes_when_nothing_had_been_received(transport: Transport) -> Result<()> {
    let broker = broker().await?;
    let start = broker.end_of("news").await?;
    let subscriber = broker.join(transport, &Join::channel("news")).await?;
    let cursor = place(&subscriber, start);
    subscriber.kill();
    broker
        .publisher()
        .publish_all("news", [json!(1), json!(2)])
        .await?;
    let mut resumed = broker
        .join(transport, &Join::channel("news").from(cursor))
        .await?;
    broker.publisher().publish("news", 3).await?;
    assert_eq!(as_numbers(&resumed.data(3).await?), [1, 2, 3]);
    Ok(())
}

async fn resumes_in_the_midst_of_a_burst(transport: Transport) -> Result<()> {
    const MESSAGES: i64 = 200;
    let broker = broker().await?;
    let start = broker.end_of("news").await?;
    let publisher = broker.publisher();
    let burst = tokio::spawn(async move {
        for number in 1..=MESSAGES {
            publisher.publish("news", number).await?;
        }
        anyhow::Ok(())
    });
    let mut heard: Vec<Value> = Vec::new();
    let mut cursor = start.clone();
    let (epoch, _) = start.split_once('-').context("a cursor is epoch-offset")?;
    while heard.len() < 200 {
        let mut subscriber = broker
            .join(transport, &Join::channel("news").from(cursor))
            .await?;
        let count = 30.min(200 - heard.len());
        heard.extend(subscriber.data(count).await?);
        cursor = place(&subscriber, format!("{epoch}-{}", heard.len()));
        subscriber.kill();
    }
    within("the burst", async { burst.await? }).await?;
    assert_eq!(as_numbers(&heard), (1..=MESSAGES).collect::<Vec<_>>());
    Ok(())
}

async fn is_told_of_a_gap(transport: Transport) -> Result<()> {
    let broker = broker().await?;
    let channel = "forgetful:news";
    let start = broker.end_of(channel).await?;
    let publisher = broker.publisher();
    publisher
        .publish_all(channel, (1..=10).map(Value::from))
        .await?;
    let mut resumed = broker
        .join(transport, &Join::channel(channel).from(start))
        .await?;
    told(&mut resumed).await?;
    if transport.shows_more_than_data() {
        publisher.publish(channel, 11).await?;
        assert_eq!(as_numbers(&resumed.data(1).await?), [11]);
    }
    Ok(())
}

async fn is_told_of_a_new_epoch(transport: Transport) -> Result<()> {
    // Whatever engine the other tests have: this one forgets everything.
    let settings = settings().key("engine.default.kind", "\"memory\"");
    let mut broker = Broker::with(settings).await?;
    broker.publisher().publish("news", 1).await?;
    let cursor = broker.end_of("news").await?;
    broker.restart().await?;
    let mut resumed = broker
        .join(transport, &Join::channel("news").from(cursor))
        .await?;
    told(&mut resumed).await?;
    counts_one_gap(&broker).await
}

/// A gap is counted once, however it is told.
async fn counts_one_gap(broker: &Broker) -> Result<()> {
    let metrics = broker.metrics().await?;
    let gaps = "widecast_gaps_total{";
    let told = [gaps, "reason=\"resumed_too_late\""];
    let told = [metrics.sum(&told[..1]), metrics.sum(&told)];
    let is_one = |count: &f64| (count - 1.0).abs() < f64::EPSILON;
    assert!(told.iter().all(is_one), "{told:?}");
    Ok(())
}

/// Hears that messages were lost; the plain WebSocket, which has no word for it, is closed instead.
async fn told(subscriber: &mut Subscriber) -> Result<()> {
    let heard = subscriber.next().await?;
    match subscriber.transport() {
        Transport::RawWebSocket => {
            assert!(
                matches!(
                    heard,
                    Heard::Closed {
                        code: Some(4410),
                        ..
                    }
                ),
                "{heard:?}"
            );
        }
        _ => assert!(matches!(heard, Heard::Gap { .. }), "{heard:?}"),
    }
    Ok(())
}

/// Nothing tells that a client has stopped polling but that it polls no more.
async fn impatient_broker() -> Result<Broker> {
    Broker::with(settings().poll_session_idle(Duration::from_secs(5))).await
}

async fn is_no_subscriber_once_it_is_closed(transport: Transport) -> Result<()> {
    let broker = impatient_broker().await?;
    let mut subscriber = broker.join(transport, &Join::channel("news")).await?;
    broker.publisher().publish("news", 1).await?;
    subscriber.message().await?;
    subscriber.close().await?;
    no_subscribers(&broker).await
}

async fn is_no_subscriber_once_it_is_gone(transport: Transport) -> Result<()> {
    let broker = impatient_broker().await?;
    let mut subscriber = broker.join(transport, &Join::channel("news")).await?;
    // A poll that is given up while the broker holds its answer back is a connection that is gone.
    let waiting = tokio::time::timeout(Duration::from_millis(50), subscriber.listen());
    assert!(waiting.await.is_err());
    subscriber.kill();
    no_subscribers(&broker).await
}

async fn no_subscribers(broker: &Broker) -> Result<()> {
    eventually("nobody subscribes any more", async || {
        Ok(broker.subscribers("news").await? == 0)
    })
    .await
}

/// Numbers, whether the transport shows them as numbers or as text.
fn as_numbers(data: &[Value]) -> Vec<i64> {
    let number = |value: &Value| match value {
        Value::String(text) => text.parse().unwrap_or(-1),
        other => other.as_i64().unwrap_or(-1),
    };
    data.iter().map(number).collect()
}
