//! Subscriptions of the client library against a real broker, over every transport.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use widecast_client::{Client, Data, Error, Event, Events, Message, Transport};
use widecast_tests::{
    Broker, Guarded, Relay, Settings, eventually, over_every_client_transport, within,
};

over_every_client_transport! {
    messages_come_in_order_with_all_that_is_known;
    a_client_hears_itself_only_if_asked;
    a_cut_is_told_and_loses_nothing;
    a_cut_before_the_first_message_loses_nothing;
    two_channels_are_resumed_together;
    a_gap_is_told_and_the_rest_is_heard;
    a_broker_that_forgot_everything_is_a_gap;
    the_past_comes_first_and_nothing_twice;
    a_cursor_is_where_a_later_subscription_begins;
    a_reader_that_pauses_loses_nothing;
    the_largest_message_arrives;
    a_long_way_changes_nothing;
    a_subscription_that_is_dropped_is_over;
    a_channel_that_is_forbidden_is_refused;
    members_come_and_go;
    a_broker_that_is_not_there_is_named;
}

/// The defaults, but event streams do not wait seconds before they come back.
fn impatient() -> Settings {
    Settings::new().key("shutdown.retry_ms", "50")
}

async fn next(events: &mut Events) -> Result<Event> {
    let event = within("an event", async { Ok(events.next().await) });
    Ok(event.await?.context("the events ended")??)
}

/// The next event, which has to be a message.
async fn message(events: &mut Events) -> Result<Message> {
    match next(events).await? {
        Event::Message(message) => Ok(message),
        other => bail!("expected a message, not {other:?}"),
    }
}

/// The numbers of the next messages, which have to follow each other without other events.
async fn numbers(events: &mut Events, count: usize) -> Result<Vec<u64>> {
    let mut numbers = Vec::new();
    while numbers.len() < count {
        numbers.push(message(events).await?.data()?);
    }
    Ok(numbers)
}

/// The number of the next message; the client may have to connect anew for it.
async fn number(events: &mut Events) -> Result<u64> {
    loop {
        match next(events).await? {
            Event::Message(message) => return Ok(message.data()?),
            Event::Disconnected(_) | Event::Reconnected => {}
            other => bail!("expected a message, not {other:?}"),
        }
    }
}

/// Reads events until the client has lost its connection.
async fn cut(events: &mut Events) -> Result<()> {
    loop {
        if let Event::Disconnected(cut) = next(events).await? {
            ensure!(cut.again_in <= Duration::from_secs(10), "{cut:?}");
            return Ok(());
        }
    }
}

/// Reads events until the client is connected again; gives the others.
async fn reconnected(events: &mut Events) -> Result<Vec<Event>> {
    let mut others = Vec::new();
    loop {
        match next(events).await? {
            Event::Reconnected => return Ok(others),
            Event::Disconnected(_) => {}
            other => others.push(other),
        }
    }
}

async fn messages_come_in_order_with_all_that_is_known(transport: Transport) -> Result<()> {
    let broker = Broker::start().await?;
    let client = Client::new(&broker.base())?;
    let mut events = client
        .subscribe(["news"])
        .transport(transport)
        .connect()
        .await?;
    let publisher = Client::new(&broker.base())?;
    for number in 0..100 {
        publisher.publish("news", &number).await?;
    }
    assert_eq!(
        numbers(&mut events, 100).await?,
        (0..100).collect::<Vec<_>>()
    );
    let image = Data::binary_of_type("GIF89a", "image/gif");
    let image = publisher
        .publish_data("news", image)
        .event("image")
        .message_id("m-1")
        .await?;
    // Between two polls nobody subscribes.
    let least = u64::from(transport != Transport::LongPoll);
    assert!(
        image
            .subscribers
            .is_some_and(|count| (least..=1).contains(&count))
    );
    let heard = message(&mut events).await?;
    assert_eq!(heard.channel, "news");
    assert_eq!((heard.offset, &heard.epoch), (101, &image.epoch));
    assert_eq!(heard.event.as_deref(), Some("image"));
    assert_eq!(heard.message_id.as_deref(), Some("m-1"));
    assert_eq!(heard.bytes().as_deref(), Some(&b"GIF89a"[..]));
    assert!(heard.timestamp > 0);
    assert_eq!(events.cursor(), Some(image.cursor()));
    // A string that looks like JSON is a string all the same, and null is a value.
    publisher.publish("news", "5").await?;
    publisher.publish("news", &Value::Null).await?;
    assert_eq!(message(&mut events).await?.text().as_deref(), Some("5"));
    assert_eq!(message(&mut events).await?.data::<Value>()?, Value::Null);
    Ok(())
}

async fn a_client_hears_itself_only_if_asked(transport: Transport) -> Result<()> {
    let broker = Broker::start().await?;
    let client = Client::new(&broker.base())?;
    let subscribe = || client.subscribe(["news"]).transport(transport);
    let mut deaf = subscribe().connect().await?;
    let mut echoing = subscribe().echo(true).connect().await?;
    client.publish("news", &1).await?;
    Client::new(&broker.base())?.publish("news", &2).await?;
    assert_eq!(numbers(&mut echoing, 2).await?, [1, 2]);
    assert_eq!(numbers(&mut deaf, 1).await?, [2]);
    Ok(())
}

async fn a_cut_is_told_and_loses_nothing(transport: Transport) -> Result<()> {
    let broker = Broker::with(impatient()).await?;
    let relay = Relay::to(broker.socket_address()).await?;
    let client = Client::new(&relay.base())?;
    let mut events = client
        .subscribe(["news"])
        .transport(transport)
        .connect()
        .await?;
    let publisher = broker.publisher();
    publisher.publish("news", 1).await?;
    assert_eq!(numbers(&mut events, 1).await?, [1]);
    for round in [2, 5] {
        relay.cut();
        cut(&mut events).await?;
        publisher.publish("news", round).await?;
        publisher.publish("news", round + 1).await?;
        relay.mend();
        let mut heard = Vec::new();
        for event in reconnected(&mut events).await? {
            let Event::Message(message) = event else {
                bail!("unexpected: {event:?}");
            };
            heard.push(message.data::<u64>()?);
        }
        publisher.publish("news", round + 2).await?;
        let missing = 3 - heard.len();
        heard.extend(numbers(&mut events, missing).await?);
        assert_eq!(heard, [round, round + 1, round + 2]);
    }
    Ok(())
}

async fn a_cut_before_the_first_message_loses_nothing(transport: Transport) -> Result<()> {
    let broker = Broker::with(impatient()).await?;
    let relay = Relay::to(broker.socket_address()).await?;
    let client = Client::new(&relay.base())?;
    let mut events = client
        .subscribe(["news"])
        .transport(transport)
        .connect()
        .await?;
    relay.cut();
    cut(&mut events).await?;
    broker.publisher().publish("news", 1).await?;
    relay.mend();
    assert_eq!(number(&mut events).await?, 1);
    Ok(())
}

async fn two_channels_are_resumed_together(transport: Transport) -> Result<()> {
    let broker = Broker::with(impatient()).await?;
    let relay = Relay::to(broker.socket_address()).await?;
    let client = Client::new(&relay.base())?;
    let channels = ["a", "b c"];
    let mut events = client
        .subscribe(channels)
        .transport(transport)
        .connect()
        .await?;
    let publisher = broker.publisher();
    publisher.publish("a", 1).await?;
    let first = message(&mut events).await?;
    assert_eq!((first.channel.as_str(), first.data::<u64>()?), ("a", 1));
    let between = events.cursor().context("no cursor")?;
    relay.cut();
    cut(&mut events).await?;
    publisher.publish("a", 2).await?;
    publisher.publish("b c", 3).await?;
    relay.mend();
    let mut heard = Vec::new();
    while heard.len() < 2 {
        if let Event::Message(message) = next(&mut events).await? {
            heard.push((message.channel.clone(), message.data::<u64>()?));
        }
    }
    heard.sort();
    assert_eq!(heard, [("a".to_owned(), 2), ("b c".to_owned(), 3)]);
    // The cursor of one subscription is good for another, whatever its transport.
    for other in Transport::ALL {
        let subscribe = client.subscribe(channels).transport(other);
        let mut events = subscribe.cursor(&between).connect().await?;
        let mut again = numbers(&mut events, 2).await?;
        again.sort_unstable();
        assert_eq!(again, [2, 3], "{other}");
    }
    Ok(())
}

async fn a_gap_is_told_and_the_rest_is_heard(transport: Transport) -> Result<()> {
    let broker = Broker::with(impatient().history("default", 1, 2 << 20)).await?;
    let relay = Relay::to(broker.socket_address()).await?;
    let client = Client::new(&relay.base())?;
    let mut events = client
        .subscribe(["news"])
        .transport(transport)
        .connect()
        .await?;
    let publisher = broker.publisher();
    publisher.publish("news", 1).await?;
    assert_eq!(numbers(&mut events, 1).await?, [1]);
    relay.cut();
    cut(&mut events).await?;
    publisher.publish("news", 2).await?;
    let last = publisher.publish("news", 3).await?;
    relay.mend();
    let gap = gap(&mut events).await?;
    assert_eq!(gap.channel.as_deref(), Some("news"));
    assert_eq!(gap.cursor, last.cursor());
    publisher.publish("news", 4).await?;
    assert_eq!(number(&mut events).await?, 4);
    Ok(())
}

/// Reads the events of a reconnect until there is a gap.
async fn gap(events: &mut Events) -> Result<widecast_client::Gap> {
    loop {
        match next(events).await? {
            Event::Gap(gap) => return Ok(gap),
            Event::Disconnected(_) | Event::Reconnected => {}
            other => bail!("unexpected: {other:?}"),
        }
    }
}

async fn a_broker_that_forgot_everything_is_a_gap(transport: Transport) -> Result<()> {
    let mut broker = Broker::with(impatient()).await?;
    let client = Client::new(&broker.base())?;
    let mut events = client
        .subscribe(["news"])
        .transport(transport)
        .connect()
        .await?;
    broker.publisher().publish("news", 1).await?;
    assert_eq!(numbers(&mut events, 1).await?, [1]);
    broker.restart().await?;
    gap(&mut events).await?;
    eventually("the subscription", async || {
        Ok(broker.subscribers("news").await? == 1)
    })
    .await?;
    broker.publisher().publish("news", 2).await?;
    assert_eq!(number(&mut events).await?, 2);
    Ok(())
}

async fn the_past_comes_first_and_nothing_twice(transport: Transport) -> Result<()> {
    let broker = Broker::start().await?;
    let publisher = broker.publisher();
    for number in 1..=5 {
        publisher.publish("a", number).await?;
    }
    publisher.publish("b", 6).await?;
    let client = Client::new(&broker.base())?;
    let channels = ["a", "b", "never-used"];
    let subscribe = client.subscribe(channels).transport(transport);
    let mut events = subscribe.history(3).connect().await?;
    publisher.publish("b", 7).await?;
    publisher.publish("never-used", 8).await?;
    let mut heard = numbers(&mut events, 6).await?;
    // There is no order between channels.
    heard[4..].sort_unstable();
    assert_eq!(heard, [3, 4, 5, 6, 7, 8]);
    Ok(())
}

async fn a_cursor_is_where_a_later_subscription_begins(transport: Transport) -> Result<()> {
    let broker = Broker::start().await?;
    let client = Client::new(&broker.base())?;
    let mut events = client
        .subscribe(["news"])
        .transport(transport)
        .connect()
        .await?;
    let begin = events.cursor().context("no cursor")?;
    let publisher = broker.publisher();
    for number in 1..=3 {
        publisher.publish("news", number).await?;
    }
    assert_eq!(numbers(&mut events, 1).await?, [1]);
    let after_first = events.cursor().context("no cursor")?;
    drop(events);
    for (cursor, expected) in [(begin, &[1, 2, 3][..]), (after_first, &[2, 3])] {
        let subscribe = client.subscribe(["news"]).transport(transport);
        let mut events = subscribe.cursor(&cursor).connect().await?;
        assert_eq!(numbers(&mut events, expected.len()).await?, expected);
    }
    Ok(())
}

async fn a_reader_that_pauses_loses_nothing(transport: Transport) -> Result<()> {
    const MESSAGES: u64 = 48;
    let broker = Broker::start().await?;
    let client = Client::new(&broker.base())?;
    let mut events = client
        .subscribe(["news"])
        .transport(transport)
        .connect()
        .await?;
    // More than client, kernel and broker let wait together.
    let filling = "x".repeat(256 * 1024);
    let publisher = broker.publisher();
    for number in 0..MESSAGES {
        publisher.publish("news", json!([number, filling])).await?;
    }
    for expected in 0..MESSAGES {
        let (number, text): (u64, String) = message(&mut events).await?.data()?;
        assert_eq!((number, text.len()), (expected, filling.len()));
    }
    Ok(())
}

async fn the_largest_message_arrives(transport: Transport) -> Result<()> {
    let broker = Broker::start().await?;
    let client = Client::new(&broker.base())?;
    let mut events = client
        .subscribe(["news"])
        .transport(transport)
        .connect()
        .await?;
    let bytes: Vec<u8> = (0..1 << 20).map(|n: u32| (n % 251) as u8).collect();
    let publisher = Client::new(&broker.base())?;
    publisher
        .publish_data("news", Data::binary(bytes.clone()))
        .await?;
    assert_eq!(
        message(&mut events).await?.bytes().as_deref(),
        Some(&bytes[..])
    );
    let refused = publisher
        .publish_data("news", Data::binary(vec![0; (1 << 20) + 1]))
        .await;
    let refused = refused.err().context("it is too large")?;
    assert_eq!(refused.code(), Some("message_too_large"));
    Ok(())
}

async fn a_long_way_changes_nothing(transport: Transport) -> Result<()> {
    let broker = Broker::start().await?;
    let one_way = Duration::from_millis(60);
    let relay = Relay::long(broker.socket_address(), one_way).await?;
    let client = Client::new(&relay.base())?;
    let subscribe = client.subscribe(["news"]).transport(transport);
    let mut events = subscribe.history(1).echo(true).connect().await?;
    client.publish("news", &1).await?;
    broker.publisher().publish("news", 2).await?;
    assert_eq!(numbers(&mut events, 2).await?, [1, 2]);
    Ok(())
}

async fn a_subscription_that_is_dropped_is_over(transport: Transport) -> Result<()> {
    let broker = Broker::start().await?;
    let client = Client::new(&broker.base())?;
    let events = client
        .subscribe(["news"])
        .transport(transport)
        .connect()
        .await?;
    drop(events);
    eventually("the end of the subscription", async || {
        Ok(broker.subscribers("news").await? == 0)
    })
    .await
}

async fn a_channel_that_is_forbidden_is_refused(transport: Transport) -> Result<()> {
    let settings = Settings::new().key("namespace.secret.subscribe", "false");
    let broker = Broker::with(settings).await?;
    let client = Client::new(&broker.base())?;
    let subscribe = client.subscribe(["news", "secret:a"]).transport(transport);
    let refused = subscribe.connect().await.err().context("it is forbidden")?;
    assert_eq!(refused.code(), Some("forbidden"), "{refused}");
    assert!(!refused.is_retryable());
    for bad in ["", "..", "a\nb"] {
        let subscribe = client.subscribe([bad]).transport(transport);
        let refused = subscribe.connect().await;
        assert!(matches!(refused, Err(Error::BadName(_))), "{bad:?}");
    }
    let none: [&str; 0] = [];
    let refused = client.subscribe(none).transport(transport).connect().await;
    assert!(matches!(refused, Err(Error::NoChannel)));
    Ok(())
}

async fn members_come_and_go(transport: Transport) -> Result<()> {
    use widecast_client::PresenceChange;
    // A session of polls is over when it is not polled for a while.
    let settings = Settings::new()
        .presence_grace(Duration::from_millis(1))
        .poll_session_idle(Duration::from_secs(6));
    let broker = Broker::with(settings).await?;
    let ann = Client::new(&broker.base())?;
    let bob = Client::new(&broker.base())?;
    let subscribe = |client: &Client| client.subscribe(["room"]).transport(transport);
    let mut heard = subscribe(&ann)
        .presence(&json!({"name": "Ann"}))
        .connect()
        .await?;
    let Event::Presence(first) = next(&mut heard).await? else {
        bail!("expected the members");
    };
    let PresenceChange::Members(members) = first.change else {
        bail!("expected the members, not {first:?}");
    };
    assert_eq!(members.len(), 1);
    let events = subscribe(&bob).presence("Bob").connect().await?;
    let Event::Presence(joined) = next(&mut heard).await? else {
        bail!("expected that Bob comes");
    };
    let PresenceChange::Joined(member) = joined.change else {
        bail!("expected that Bob comes, not {joined:?}");
    };
    assert_eq!(member.data::<String>()?, "Bob");
    assert_eq!(ann.presence("room").await?.len(), 2);
    drop(events);
    let Event::Presence(left) = next(&mut heard).await? else {
        bail!("expected that Bob goes");
    };
    assert!(matches!(left.change, PresenceChange::Left(gone) if gone.id == member.id));
    Ok(())
}

async fn a_broker_that_is_not_there_is_named(transport: Transport) -> Result<()> {
    // A port that was free a moment ago, and that nobody listens on now.
    let free = std::net::TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", free.local_addr()?);
    drop(free);
    let client = Client::new(&url)?;
    let error = client
        .subscribe(["news"])
        .transport(transport)
        .connect()
        .await;
    let error = error.err().context("nobody is there")?;
    assert!(matches!(&error, Error::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains(&url), "{error}");
    assert!(error.is_retryable());
    Ok(())
}

#[tokio::test]
async fn a_client_of_a_stream_that_is_put_out_hears_why_and_stays_away() -> Result<()> {
    let guarded = Guarded::start().await?;
    for transport in [Transport::Sse, Transport::HttpStream] {
        // Its token would let it come back.
        let token = guarded.token(&["news=subscribe"], 600).await?;
        let client = Client::builder(&guarded.broker.base());
        let client = client.token(&token).build()?;
        let listening = client.subscribe(["news"]).transport(transport);
        let mut events = listening.connect().await?;
        let order = json!({ "user": "7", "reason": "go home" });
        guarded.operate("/v1/disconnect", &order).await?;
        let last = within("the end", async { Ok(events.next().await) }).await?;
        let error = last.context("an event")?.err().context("an error")?;
        ensure!(error.to_string().contains("go home"), "{error}");
        ensure!(
            within("nothing more", async { Ok(events.next().await) })
                .await?
                .is_none()
        );
    }
    Ok(())
}
