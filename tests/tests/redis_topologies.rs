//! Several Redis servers that share the channels, and replicas that take over, while messages are published.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use widecast_tests::settings::DEFAULT;
use widecast_tests::{
    Broker, RedisSentinels, RedisServer, Settings, Witness, eventually, publish_until,
};

/// How often a broker could publish; it is asked until that many more were acknowledged.
async fn until_more_are_published(broker: &Broker) -> Result<()> {
    let published = async || {
        let metrics = broker.metrics().await?;
        anyhow::Ok(metrics.value("widecast_messages_published_total"))
    };
    let before = published().await?;
    eventually("some are published", async || {
        Ok(published().await? >= before + 50.0)
    })
    .await
}

fn assert_heard_once(witnesses: &[Witness], acknowledged: &[Vec<String>]) {
    for witness in witnesses {
        for text in acknowledged.iter().flatten() {
            let times = witness.heard.iter().filter(|heard| *heard == text).count();
            assert!(times <= 1, "{text:?} was heard {times} times");
            // A witness fails when it lacks something and was not told of a gap.
            assert!(times == 1 || witness.gaps > 0, "{text:?} was not heard");
        }
    }
}

#[tokio::test]
async fn a_replica_that_takes_over_under_load_is_a_told_gap() -> Result<()> {
    let mut primary = RedisServer::start(&["--repl-diskless-sync-delay", "0"]).await?;
    let port = primary.port().to_string();
    let following = ["--replicaof", "127.0.0.1", &port];
    let _replicas = [
        RedisServer::start(&following).await?,
        RedisServer::start(&following).await?,
    ];
    let sentinels = RedisSentinels::start(&primary, 2).await?;
    let settings = sentinels
        .settings()
        .script_access(DEFAULT)
        .key("engine.default.timeout_ms", "2000")
        .key("engine.default.lease_ms", "2000")
        .key("engine.default.replicas_acknowledge", "1");
    let (one, other) = (
        Broker::with(settings.clone()).await?,
        Broker::with(settings).await?,
    );
    let (here, there) = (
        Witness::join(&one, "news").await?,
        Witness::join(&other, "news").await?,
    );
    let over = AtomicBool::new(false);
    let failing = async {
        until_more_are_published(&one).await?;
        primary.kill().await?;
        for broker in [&one, &other] {
            eventually("the loss is noticed", async || {
                Ok(broker.readiness().await? == 503)
            })
            .await?;
        }
        for broker in [&one, &other] {
            eventually("a replica has taken over", async || {
                Ok(broker.readiness().await? == 200)
            })
            .await?;
            until_more_are_published(broker).await?;
        }
        over.store(true, Ordering::Relaxed);
        Ok(())
    };
    let publishing = async {
        let both = tokio::try_join!(
            publish_until(&one, "news", "one", &over),
            publish_until(&other, "news", "other", &over),
        )?;
        one.publisher().publish("news", "the end").await?;
        Ok(both)
    };
    let (both, here, there, ()) = tokio::try_join!(
        publishing,
        here.listen_until("the end"),
        there.listen_until("the end"),
        failing,
    )?;
    let witnesses = [here, there];
    assert!(witnesses.iter().all(|witness| witness.gaps > 0));
    assert_heard_once(&witnesses, &[both.0, both.1]);
    Ok(())
}

/// Settings of a broker whose channels are on several servers.
fn shared(servers: &[&RedisServer]) -> Settings {
    let urls: Vec<_> = servers.iter().map(|server| server.url()).collect();
    Settings::new()
        .script_access(DEFAULT)
        .key("engine.default.kind", "\"redis\"")
        .key("engine.default.urls", format!("{urls:?}"))
        .key("engine.default.timeout_ms", "1000")
        .key("engine.default.lease_ms", "2000")
}

/// Whether a broker can use a server and hears everything from it.
async fn is_ready(broker: &Broker, server: &RedisServer) -> Result<bool> {
    let port = server.port();
    let figure = format!("widecast_engine_server_ready{{server=\"127.0.0.1:{port}\"}}");
    Ok(broker.metrics().await?.value(&figure) > 0.5)
}

/// A channel on a server other than the one that has `other`.
async fn channel_elsewhere(
    broker: &Broker,
    other: &str,
    servers: &[&RedisServer],
) -> Result<String> {
    let at = async |channel: &str| {
        let mut found = Vec::new();
        for server in servers {
            found.push(server.has(&format!("widecast:s:{{{channel}}}")).await?);
        }
        anyhow::Ok(found)
    };
    broker.publisher().publish(other, "here").await?;
    for number in 0.. {
        let channel = format!("channel-{number}");
        broker.publisher().publish(&channel, "here").await?;
        if at(&channel).await? != at(other).await? {
            return Ok(channel);
        }
    }
    unreachable!("the numbers have no end")
}

#[tokio::test]
async fn while_one_of_two_servers_is_down_the_channels_of_the_other_go_on() -> Result<()> {
    let (mut a, b) = (
        RedisServer::start(&[]).await?,
        RedisServer::start(&[]).await?,
    );
    let one = Broker::with(shared(&[&a, &b])).await?;
    let other = Broker::with(shared(&[&b, &a])).await?;
    let found = channel_elsewhere(&one, "news", &[&a, &b]).await?;
    let news_is_at_a = a.has("widecast:s:{news}").await?;
    let (of_a, of_b) = if news_is_at_a {
        ("news", &*found)
    } else {
        (&*found, "news")
    };
    let (down, up) = (
        Witness::join(&other, of_a).await?,
        Witness::join(&other, of_b).await?,
    );
    let over = AtomicBool::new(false);
    let failing = async {
        until_more_are_published(&one).await?;
        a.kill().await?;
        let refused = async || {
            let path = format!("/channels/{of_a}/messages");
            let answer = one.post(&path, "text/plain", "x".into()).await?;
            anyhow::Ok(answer.status == 503)
        };
        eventually("the channels of one server are down", refused).await?;
        eventually("both brokers notice it", async || {
            Ok(!is_ready(&one, &a).await? && !is_ready(&other, &a).await?)
        })
        .await?;
        assert!(is_ready(&one, &b).await?);
        until_more_are_published(&one).await?;
        assert_eq!(one.readiness().await?, 200, "it serves the other channels");
        a.start_again().await?;
        let published = async || Ok(one.publisher().publish(of_a, "back").await.is_ok());
        eventually("the channels are back", published).await?;
        // Until then the other broker may have to tell a gap that covers the end.
        eventually("the other broker hears them, too", async || {
            is_ready(&other, &a).await
        })
        .await?;
        over.store(true, Ordering::Relaxed);
        one.publisher().publish(of_a, "the end").await?;
        Ok(())
    };
    let publishing = async {
        let acknowledged = publish_until(&one, of_b, "b", &over).await?;
        one.publisher().publish(of_b, "the end").await?;
        Ok(acknowledged)
    };
    let (acknowledged, down, up, ()) = tokio::try_join!(
        publishing,
        down.listen_until("the end"),
        up.listen_until("the end"),
        failing,
    )?;
    assert_eq!(up.gaps, 0);
    assert_heard_once(&[up], &[acknowledged]);
    assert!(down.gaps > 0, "its server has lost everything");
    Ok(())
}
