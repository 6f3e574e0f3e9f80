//! Namespaces whose messages are only for those who are there: nothing is kept, nobody resumes, nobody is told of a gap.

use anyhow::{Context, Result};
use serde_json::json;
use widecast_tests::settings::DEFAULT;
use widecast_tests::{
    Broker, Join, RedisCluster, RedisServer, Settings, Transport, over_every_transport,
};

over_every_transport!(begins_anew_each_time);

const CHANNEL: &str = "pointers:page";

fn ephemeral(settings: Settings) -> Settings {
    settings.key("namespace.pointers.ephemeral", "true")
}

/// A poll without a session is not there between two polls.
fn is_there(transport: Transport) -> bool {
    transport.is_envelope() || !transport.polls()
}

/// Whoever comes with an old place hears what comes, and nothing else.
async fn hears_only_what_comes(broker: &Broker, transport: Transport, old: &str) -> Result<()> {
    let publisher = broker.publisher();
    publisher.publish(CHANNEL, "nobody is there").await?;
    let join = Join::channel(CHANNEL).from(old);
    let mut subscriber = broker.join(transport, &join).await?;
    for number in 0..3 {
        publisher.publish(CHANNEL, json!([number])).await?;
    }
    let heard = subscriber.data(3).await.context(format!("{transport:?}"))?;
    assert_eq!(heard, [json!([0]), json!([1]), json!([2])], "{transport:?}");
    Ok(())
}

async fn begins_anew_each_time(transport: Transport) -> Result<()> {
    if !is_there(transport) {
        return Ok(());
    }
    let settings = ephemeral(Settings::new().script_access("pointers"));
    let broker = Broker::with(settings).await?;
    let old = broker.end_of(CHANNEL).await?;
    hears_only_what_comes(&broker, transport, &old).await
}

#[tokio::test]
async fn subscribed_says_so() -> Result<()> {
    let broker = Broker::with(ephemeral(Settings::new())).await?;
    let old = broker.end_of(CHANNEL).await?;
    broker.publisher().publish(CHANNEL, "missed").await?;
    let transport = Transport::JsonWebSocket;
    let mut subscriber = broker.join(transport, &Join::channel("news")).await?;
    let session = subscriber.envelope()?;
    let join = Join::channel(CHANNEL).from(old);
    let reply = session.subscribe(CHANNEL, &join).await?;
    assert_eq!(reply["ephemeral"], true, "{reply}");
    assert_eq!(
        reply["recovered"], true,
        "nothing is to be recovered: {reply}"
    );
    let again = session.subscribe(CHANNEL, &join).await?;
    assert_eq!(again["ephemeral"], true, "{again}");
    let other = session.subscribe("other", &Join::channel("other")).await?;
    assert!(other.get("ephemeral").is_none(), "{other}");
    let history = json!({ "type": "history", "channel": CHANNEL, "limit": 10 });
    let history = session.command(history).await?;
    assert_eq!(history["messages"], json!([]), "{history}");
    Ok(())
}

#[tokio::test]
async fn a_disk_keeps_nothing_of_it() -> Result<()> {
    let mut broker = Broker::with(ephemeral(Settings::new().disk())).await?;
    let old = broker.end_of(CHANNEL).await?;
    hears_only_what_comes(&broker, Transport::JsonWebSocket, &old).await?;
    broker.publisher().publish("news", "kept").await?;
    broker.restart().await?;
    hears_only_what_comes(&broker, Transport::RawSse, &old).await?;
    let kept = broker.get(&["channels", "news", "messages"], &[]).await?;
    assert_eq!(kept["messages"][0]["data"], "kept", "{kept}");
    Ok(())
}

#[tokio::test]
async fn two_brokers_on_one_redis_hear_it_and_keep_nothing() -> Result<()> {
    let redis = RedisServer::start(&[]).await?;
    two_brokers_hear_it_and_keep_nothing(redis.settings()).await
}

#[tokio::test]
async fn two_brokers_on_a_cluster_hear_it_and_keep_nothing() -> Result<()> {
    let cluster = RedisCluster::start().await?;
    two_brokers_hear_it_and_keep_nothing(cluster.settings()).await
}

async fn two_brokers_hear_it_and_keep_nothing(settings: Settings) -> Result<()> {
    let settings = ephemeral(settings.script_access(DEFAULT));
    let one = Broker::with(settings.clone()).await?;
    let other = Broker::with(settings).await?;
    let old = one.end_of(CHANNEL).await?;
    let (here, there) = (Transport::JsonWebSocket, Transport::RawSse);
    let join = Join::channel(CHANNEL);
    let mut subscribers = [
        one.join(here, &join).await?,
        other.join(there, &join).await?,
    ];
    for number in 0..10 {
        let publisher = if number % 2 == 0 { &one } else { &other }.publisher();
        publisher.publish(CHANNEL, json!([number])).await?;
    }
    let all: Vec<_> = (0..10).map(|number| json!([number])).collect();
    for subscriber in &mut subscribers {
        assert_eq!(subscriber.data(10).await?, all);
    }
    hears_only_what_comes(&other, Transport::JsonWebSocket, &old).await
}
