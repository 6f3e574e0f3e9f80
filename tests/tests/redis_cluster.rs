//! Brokers with a Redis Cluster are one broker, also while a primary fails and while slots move.

use std::net::Ipv4Addr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use widecast_tests::settings::DEFAULT;
use widecast_tests::tls::proves_who_it_is;
use widecast_tests::{
    Broker, Guarded, Heard, Join, RedisCluster, RedisLink, Settings, Silence, Subscriber,
    TlsIdentity, Transport, Witness, eventually, until_more_are_published, while_publishing,
};

/// How many parts a broker has on a cluster.
const PARTS: f64 = 32.0;

fn settings(cluster: &RedisCluster) -> Settings {
    cluster
        .settings()
        .script_access(DEFAULT)
        .presence_grace(Duration::from_millis(100))
        .key("engine.default.timeout_ms", "1000")
        .key("engine.default.lease_ms", "2000")
}

/// Two brokers with one cluster.
async fn two(cluster: &RedisCluster) -> Result<(Broker, Broker)> {
    let one = Broker::with(settings(cluster)).await?;
    let other = Broker::with(settings(cluster)).await?;
    for broker in [&one, &other] {
        until_all_parts_are_heard(broker).await?;
    }
    Ok((one, other))
}

async fn until_all_parts_are_heard(broker: &Broker) -> Result<()> {
    eventually("all parts are heard", async || {
        Ok(parts_heard(broker).await? >= PARTS)
    })
    .await
}

/// From how many parts a broker hears everything.
async fn parts_heard(broker: &Broker) -> Result<f64> {
    let metrics = broker.metrics().await?;
    Ok(metrics.sum(&["widecast_engine_server_ready{"]))
}

/// A channel that another pair has.
async fn channel_elsewhere(broker: &Broker, cluster: &RedisCluster, pair: usize) -> Result<String> {
    for number in 0.. {
        let channel = format!("channel-{number}");
        broker.publisher().publish(&channel, "here").await?;
        if cluster.place_of(&channel).await?.0 != pair {
            return Ok(channel);
        }
    }
    unreachable!("the numbers have no end")
}

async fn members(broker: &Broker) -> Result<usize> {
    let answer = broker.get(&["channels", "room", "presence"], &[]).await?;
    let members = answer["members"].as_array();
    Ok(members.with_context(|| answer.to_string())?.len())
}

/// The next frame of this type.
async fn told(subscriber: &mut Subscriber, kind: &str) -> Result<Value> {
    loop {
        match subscriber.next().await? {
            Heard::Frame(frame) if frame["type"] == kind => return Ok(frame),
            Heard::Closed { code, reason } => bail!("closed: {code:?} {reason}"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn two_brokers_with_a_cluster_are_one() -> Result<()> {
    let cluster = RedisCluster::start().await?;
    let (one, other) = two(&cluster).await?;
    // Channels of several parts.
    for number in 0..8 {
        let channel = format!("news-{number}");
        let join = Join::channel(&channel);
        let mut there = other.join(Transport::JsonWebSocket, &join).await?;
        let cursor = other.end_of(&channel).await?;
        one.publisher().publish(&channel, "live").await?;
        assert_eq!(there.message().await?.data, "live");
        drop(there);
        let resumed = join.from(cursor);
        let mut resumed = one.join(Transport::EnvelopeSse, &resumed).await?;
        assert_eq!(resumed.message().await?.data, "live");
    }
    let join = |key: &str| {
        let join = Join::channel("room").presence(json!({ "here": true }));
        join.sender(key)
    };
    let transport = Transport::JsonWebSocket;
    let mut ann = one.join(transport, &join("sender-key-of-ann")).await?;
    let mut bob = other.join(transport, &join("sender-key-of-bob")).await?;
    told(&mut ann, "join").await?;
    assert_eq!((members(&one).await?, members(&other).await?), (2, 2));
    // What an operator does at one is done at the other.
    eventually("they know of each other", async || {
        let nodes = one.get(&["v1", "nodes"], &[]).await?;
        Ok(nodes["nodes"]
            .as_array()
            .is_some_and(|nodes| nodes.len() == 2))
    })
    .await?;
    let session = bob.envelope()?.welcome()["session"].clone();
    let disconnect = json!({ "session": session, "reason": "no more" }).to_string();
    let answer = one
        .post("/v1/disconnect", "application/json", disconnect.into())
        .await?;
    assert_eq!(answer.body["other_nodes"], 1, "{answer:?}");
    let goodbye = told(&mut bob, "goodbye").await?;
    assert_eq!(goodbye["code"], "kicked", "{goodbye}");
    told(&mut ann, "leave").await?;
    assert_eq!(members(&other).await?, 1);
    Ok(())
}

/// How a primary fails.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Dies,
    Hangs,
}

#[tokio::test]
async fn while_a_primary_is_down_the_channels_of_the_others_go_on() -> Result<()> {
    a_primary_fails(Fault::Dies).await
}

#[tokio::test]
async fn a_primary_that_hangs_is_left_and_the_channels_of_the_others_go_on() -> Result<()> {
    a_primary_fails(Fault::Hangs).await
}

async fn a_primary_fails(fault: Fault) -> Result<()> {
    let mut cluster = RedisCluster::start().await?;
    let (one, other) = two(&cluster).await?;
    one.publisher().publish("news", "here").await?;
    let (failing, _) = cluster.place_of("news").await?;
    let of_another = channel_elsewhere(&one, &cluster, failing).await?;
    let witnesses = vec![
        Witness::join(&other, "news").await?,
        Witness::join(&other, &of_another).await?,
    ];
    let happening = async {
        until_more_are_published(&one).await?;
        let node = match fault {
            Fault::Dies => cluster.kill(failing).await?,
            Fault::Hangs => cluster.halt(failing).await?,
        };
        until_refused(&one, "news").await?;
        until_more_are_published(&one).await?;
        assert_eq!(one.readiness().await?, 200, "it serves the other channels");
        let all_are_heard = async || {
            for broker in [&one, &other] {
                until_all_parts_are_heard(broker).await?;
            }
            until_more_are_published(&one).await
        };
        all_are_heard().await?;
        if let Fault::Hangs = fault {
            // It is a replica when it wakes up, and nobody goes back to it.
            cluster.go_on(node).await?;
            cluster.until_whole().await?;
            all_are_heard().await?;
        }
        Ok(())
    };
    let publishers = [(&one, "news"), (&one, &*of_another)];
    let witnesses = while_publishing(&publishers, witnesses, happening).await?;
    assert!(witnesses[0].gaps > 0, "the replica may lack what was heard");
    assert_eq!(witnesses[1].gaps, 0);
    Ok(())
}

/// Waits until nothing can be published in a channel.
async fn until_refused(broker: &Broker, channel: &str) -> Result<()> {
    let path = format!("/channels/{channel}/messages");
    eventually("publications are refused", async || {
        let answer = broker.post(&path, "text/plain", "x".into()).await?;
        Ok(answer.status == 503 && answer.body["code"] == "engine_unavailable")
    })
    .await
}

#[tokio::test]
async fn an_ordered_fail_over_and_slots_that_move_under_load_are_told_gaps() -> Result<()> {
    let cluster = RedisCluster::start().await?;
    let (one, other) = two(&cluster).await?;
    one.publisher().publish("news", "here").await?;
    let (first, slot) = cluster.place_of("news").await?;
    let witnesses = vec![
        Witness::join(&one, "news").await?,
        Witness::join(&other, "news").await?,
    ];
    let until_all_is_well = async || {
        for broker in [&one, &other] {
            until_all_parts_are_heard(broker).await?;
            until_more_are_published(broker).await?;
        }
        anyhow::Ok(())
    };
    let happening = async {
        until_all_is_well().await?;
        let next = (first + 1) % RedisCluster::PAIRS;
        cluster.move_slot(slot, first, next).await?;
        until_all_is_well().await?;
        assert_eq!(cluster.place_of("news").await?.0, next);
        cluster.fail_over(next).await?;
        until_all_is_well().await
    };
    let publishers = [(&one, "news"), (&other, "news")];
    for witness in while_publishing(&publishers, witnesses, happening).await? {
        assert!(witness.gaps >= 2, "{} gaps", witness.gaps);
    }
    Ok(())
}

#[tokio::test]
async fn a_publication_counts_when_the_replicas_of_its_primary_have_it() -> Result<()> {
    let cluster = RedisCluster::start().await?;
    let settings = settings(&cluster).key("engine.default.replicas_acknowledge", "1");
    let broker = Broker::with(settings).await?;
    until_all_parts_are_heard(&broker).await?;
    broker.publisher().publish("news", "here").await?;
    let (pair, _) = cluster.place_of("news").await?;
    let elsewhere = channel_elsewhere(&broker, &cluster, pair).await?;
    let witness = Witness::join(&broker, "news").await?;
    let replica = cluster.halt_replica(pair).await?;
    until_refused(&broker, "news").await?;
    // The replica of another primary has what is published there.
    broker.publisher().publish(&elsewhere, "meanwhile").await?;
    cluster.go_on(replica).await?;
    let published = async || Ok(broker.publisher().publish("news", "again").await.is_ok());
    eventually("the replica has it", published).await?;
    // The primary had what was refused, and it was heard.
    let witness = witness.listen_until("again").await?;
    assert!(witness.heard.iter().any(|heard| heard == "x"));
    assert_eq!(witness.gaps, 0);
    Ok(())
}

#[tokio::test]
async fn a_cluster_may_speak_tls() -> Result<()> {
    let identity = TlsIdentity::new()?;
    let cluster = RedisCluster::start_with_tls(&identity).await?;
    // So many handshakes at once take a busy machine long.
    let settings = settings(&cluster).key("engine.default.timeout_ms", "15000");
    proves_who_it_is(&settings, &identity.authority()).await
}

/// Two brokers with one cluster: the far one has a way of its own to each node, the near one none.
struct FarAndNear {
    cluster: RedisCluster,
    links: Vec<RedisLink>,
    far: Broker,
    near: Broker,
    /// The pair that has the channel `news`, and the node that is its primary.
    pair: usize,
    /// A channel that another pair has.
    of_another: String,
}

impl FarAndNear {
    async fn start() -> Result<Self> {
        let cluster = RedisCluster::start().await?;
        let host = Ipv4Addr::new(127, 0, 0, 2);
        let links = RedisLink::all(host, &cluster.ports()).await?;
        let url = format!("{:?}", cluster.url_at(host));
        // The history has all that is published while the far broker hears nothing.
        let settings = settings(&cluster).history(DEFAULT, 100_000, 64 << 20);
        let near = Broker::with(settings.clone()).await?;
        let far = Broker::with(settings.key("engine.default.url", url)).await?;
        for broker in [&near, &far] {
            until_all_parts_are_heard(broker).await?;
        }
        near.publisher().publish("news", "here").await?;
        let (pair, _) = cluster.place_of("news").await?;
        Ok(Self {
            of_another: channel_elsewhere(&near, &cluster, pair).await?,
            pair,
            cluster,
            links,
            far,
            near,
        })
    }

    /// The far broker's way to the primary that has the channel `news`.
    fn link(&self) -> &RedisLink {
        &self.links[self.pair]
    }

    /// Those who hear at the far broker: `news`, and the other channel.
    async fn witnesses(&self) -> Result<Vec<Witness>> {
        Ok(vec![
            Witness::join(&self.far, "news").await?,
            Witness::join(&self.far, &self.of_another).await?,
        ])
    }

    /// Waits until the far broker hears everything, and makes sure that nobody has taken over.
    async fn until_all_is_well(&self) -> Result<()> {
        until_all_parts_are_heard(&self.far).await?;
        until_more_are_published(&self.far).await?;
        assert_eq!(self.cluster.place_of("news").await?.0, self.pair);
        Ok(())
    }
}

/// What happens at the far broker while so much of what goes between it and one primary does not arrive: its publications in the
/// channels of that primary are refused, all else goes on, and afterwards nothing is missing.
async fn one_broker_and_one_primary_do_not_hear_each_other(silence: Silence) -> Result<()> {
    let them = FarAndNear::start().await?;
    let (far, near) = (&them.far, &them.near);
    let happening = async {
        until_more_are_published(near).await?;
        them.link().silence(silence);
        until_refused(far, "news").await?;
        until_more_are_published(near).await?;
        until_more_are_published(far).await?;
        assert_eq!(far.readiness().await?, 200, "it serves the other channels");
        them.link().silence(Silence::Nothing);
        them.until_all_is_well().await?;
        far.publisher().publish("news", "from afar").await?;
        Ok(())
    };
    let publishers = [(near, "news"), (far, &*them.of_another)];
    let witnesses = while_publishing(&publishers, them.witnesses().await?, happening).await?;
    assert!(witnesses.iter().all(|witness| witness.gaps == 0));
    Ok(())
}

#[tokio::test]
async fn a_broker_that_one_primary_does_not_answer_goes_on_with_the_others() -> Result<()> {
    one_broker_and_one_primary_do_not_hear_each_other(Silence::Everything).await
}

#[tokio::test]
async fn a_broker_that_one_primary_does_not_hear_goes_on_with_the_others() -> Result<()> {
    one_broker_and_one_primary_do_not_hear_each_other(Silence::Commands).await
}

/// Publishes at both brokers and on both primaries while something happens: nobody is told a gap.
async fn nobody_misses_anything(
    them: &FarAndNear,
    happening: impl Future<Output = Result<()>>,
) -> Result<()> {
    let (far, near) = (&them.far, &them.near);
    let publishers = [(near, "news"), (far, "news"), (far, &*them.of_another)];
    let witnesses = while_publishing(&publishers, them.witnesses().await?, happening).await?;
    assert!(witnesses.iter().all(|witness| witness.gaps == 0));
    Ok(())
}

#[tokio::test]
async fn a_broker_that_one_primary_answers_and_tells_nothing_notices_it_and_misses_nothing()
-> Result<()> {
    let them = FarAndNear::start().await?;
    let (far, near) = (&them.far, &them.near);
    let happening = async {
        until_more_are_published(near).await?;
        them.link().silence(Silence::Topics);
        eventually("the far broker notices it", async || {
            Ok(parts_heard(far).await? < PARTS)
        })
        .await?;
        until_more_are_published(far).await?;
        them.link().silence(Silence::Nothing);
        them.until_all_is_well().await
    };
    nobody_misses_anything(&them, happening).await
}

#[tokio::test]
async fn a_primary_that_is_far_from_one_broker_is_a_primary() -> Result<()> {
    let them = FarAndNear::start().await?;
    let happening = async {
        until_more_are_published(&them.near).await?;
        them.link().delay(Duration::from_millis(30));
        // Everything of this primary is asked for again, and heard by the long way.
        them.link().cut();
        them.until_all_is_well().await
    };
    nobody_misses_anything(&them, happening).await
}

#[tokio::test]
async fn what_is_revoked_at_one_is_refused_at_the_other_also_after_both_were_restarted()
-> Result<()> {
    let cluster = RedisCluster::start().await?;
    let mut common = Settings::new();
    let with_cluster = |settings: Settings| {
        common = settings
            .key("engine.default.kind", "\"redis\"")
            .key("engine.default.url", format!("{:?}", cluster.url()));
        common.clone()
    };
    let mut one = Guarded::with(with_cluster).await?;
    let mut other = Broker::with(common).await?;
    for broker in [&one.broker, &other] {
        broker.until_readiness(200).await?;
    }
    let token = async |name| {
        let claims = ["--sub", "7", "--jti", name];
        one.token_with(&claims, &["news=subscribe"], 600).await
    };
    let (revoked, good) = (token("a").await?, token("b").await?);
    let status = async |broker: &Broker, token: &str| {
        let poll = format!("{}/channels/news/poll", broker.base());
        let answer = broker.http().get(poll).bearer_auth(token).send().await?;
        anyhow::Ok(answer.status().as_u16())
    };
    assert_eq!(status(&other, &revoked).await?, 200);
    let in_an_hour = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() + 3600;
    let revocation = json!({ "jti": "a", "expires_at": in_an_hour });
    one.operate("/v1/revocations", &revocation).await?;
    eventually("the other knows it", async || {
        Ok(status(&other, &revoked).await? == 401)
    })
    .await?;
    one.broker.kill().await?;
    other.restart().await?;
    one.broker.restart().await?;
    for broker in [&one.broker, &other] {
        broker.until_readiness(200).await?;
        assert_eq!(status(broker, &revoked).await?, 401);
        assert_eq!(status(broker, &good).await?, 200);
    }
    Ok(())
}
