//! Several Redis servers that share the channels, and replicas that take over, while messages are published.

use std::net::Ipv4Addr;

use anyhow::Result;
use widecast_tests::settings::DEFAULT;
use widecast_tests::{
    Broker, RedisLink, RedisServer, Settings, Silence, WatchedServers, Witness, eventually,
    until_more_are_published, while_publishing,
};

#[tokio::test]
async fn a_replica_that_takes_over_under_load_is_a_told_gap() -> Result<()> {
    let mut watched = WatchedServers::start().await?;
    let settings = watched
        .sentinels
        .settings()
        .script_access(DEFAULT)
        .key("engine.default.timeout_ms", "2000")
        .key("engine.default.lease_ms", "2000")
        .key("engine.default.replicas_acknowledge", "1");
    let (one, other) = (
        Broker::with(settings.clone()).await?,
        Broker::with(settings).await?,
    );
    let witnesses = vec![
        Witness::join(&one, "news").await?,
        Witness::join(&other, "news").await?,
    ];
    let happening = async {
        until_more_are_published(&one).await?;
        watched.servers[0].kill().await?;
        for broker in [&one, &other] {
            broker.until_readiness(503).await?;
        }
        for broker in [&one, &other] {
            broker.until_readiness(200).await?;
            until_more_are_published(broker).await?;
        }
        Ok(())
    };
    let publishers = [(&one, "news"), (&other, "news")];
    let witnesses = while_publishing(&publishers, witnesses, happening).await?;
    assert!(witnesses.iter().all(|witness| witness.gaps > 0));
    Ok(())
}

/// A broker that has a way of its own to each server and each Sentinel, and another that reaches them directly.
struct FarAndNear {
    watched: WatchedServers,
    /// The first leads to the primary, three others to the Sentinels.
    links: Vec<RedisLink>,
    far: Broker,
    near: Broker,
}

impl FarAndNear {
    async fn start() -> Result<Self> {
        let watched = WatchedServers::start().await?;
        let host = Ipv4Addr::new(127, 0, 0, 2);
        let links = RedisLink::all(host, &watched.ports()).await?;
        let settings = watched.sentinels.settings().script_access(DEFAULT);
        // The history has all that is published while the far broker hears nothing.
        let settings = settings
            .history(DEFAULT, 100_000, 64 << 20)
            .key("engine.default.timeout_ms", "1000")
            .key("engine.default.lease_ms", "2000");
        let near = Broker::with(settings.clone()).await?;
        let url = format!("{:?}", watched.sentinels.url_at(host));
        let far = Broker::with(settings.key("engine.default.url", url)).await?;
        for broker in [&near, &far] {
            broker.until_readiness(200).await?;
        }
        Ok(Self {
            watched,
            links,
            far,
            near,
        })
    }
}

#[tokio::test]
async fn a_broker_that_is_cut_off_from_a_primary_that_is_well_waits_for_it() -> Result<()> {
    for silence in [Silence::Everything, Silence::Commands] {
        let them = FarAndNear::start().await?;
        let (far, near) = (&them.far, &them.near);
        let witnesses = vec![Witness::join(far, "news").await?];
        let happening = async {
            until_more_are_published(near).await?;
            them.links[0].silence(silence);
            far.until_readiness(503).await?;
            let answer = far.post("/channels/news/messages", "text/plain", "x".into());
            assert_eq!(answer.await?.body["code"], "engine_unavailable");
            until_more_are_published(near).await?;
            them.links[0].silence(Silence::Nothing);
            far.until_readiness(200).await?;
            assert_eq!(them.watched.primary().await?, 0);
            far.publisher().publish("news", "from afar").await?;
            Ok(())
        };
        let witnesses = while_publishing(&[(near, "news")], witnesses, happening).await?;
        assert_eq!(witnesses[0].gaps, 0);
    }
    Ok(())
}

#[tokio::test]
async fn a_broker_that_is_cut_off_from_the_sentinels_alone_goes_on() -> Result<()> {
    let them = FarAndNear::start().await?;
    let (far, near) = (&them.far, &them.near);
    let witnesses = vec![Witness::join(far, "news").await?];
    let sentinels = &them.links[them.watched.servers.len()..];
    let silence = |silence| sentinels.iter().for_each(|link| link.silence(silence));
    let asked = || sentinels.iter().map(RedisLink::connections).sum::<u64>();
    let happening = async {
        silence(Silence::Everything);
        let before = asked();
        eventually("the Sentinels are asked, and do not answer", async || {
            Ok(asked() >= before + 9)
        })
        .await?;
        until_more_are_published(far).await?;
        assert_eq!(far.readiness().await?, 200);
        silence(Silence::Nothing);
        Ok(())
    };
    let publishers = [(near, "news"), (far, "news")];
    let witnesses = while_publishing(&publishers, witnesses, happening).await?;
    assert_eq!(witnesses[0].gaps, 0);
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
    let figure =
        format!("widecast_engine_server_ready{{engine=\"default\",server=\"127.0.0.1:{port}\"}}");
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
    let witnesses = vec![
        Witness::join(&other, of_a).await?,
        Witness::join(&other, of_b).await?,
    ];
    let happening = async {
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
        one.publisher().publish(of_a, "the end").await?;
        Ok(())
    };
    let witnesses = while_publishing(&[(&one, of_b)], witnesses, happening).await?;
    assert!(witnesses[0].gaps > 0, "its server has lost everything");
    assert_eq!(witnesses[1].gaps, 0);
    Ok(())
}
