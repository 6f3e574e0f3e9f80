//! One broker reaches the Redis server by a way that fails, the other directly.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use widecast_tests::broker::Answer;
use widecast_tests::settings::DEFAULT;
use widecast_tests::tls::proves_who_it_is;
use widecast_tests::{
    Broker, Heard, Join, RedisLink, RedisSentinels, RedisServer, Relay, Settings, Silence,
    Subscriber, TlsIdentity, TlsProxy, Transport, eventually,
};

/// The next frames, which tell of members: `join ann`.
async fn told(subscriber: &mut Subscriber, count: usize) -> Result<Vec<String>> {
    let mut told = Vec::new();
    while told.len() < count {
        let Heard::Frame(frame) = subscriber.next().await? else {
            continue;
        };
        let kind = frame["type"].as_str().context("a type")?;
        let name = frame["member"]["data"].as_str().context("a name")?;
        told.push(format!("{kind} {name}"));
    }
    Ok(told)
}

struct Two {
    _redis: RedisServer,
    link: RedisLink,
    far: Broker,
    near: Broker,
}

impl Two {
    /// The far broker gives up on its server after so long.
    async fn start(timeout_ms: &str) -> Result<Self> {
        let redis = RedisServer::start(&[]).await?;
        let link = RedisLink::to(&redis).await?;
        let with = |settings: Settings| {
            let settings = settings.script_access(DEFAULT).message_bytes(1 << 20);
            settings
                .presence_grace(Duration::from_millis(100))
                .key("engine.default.timeout_ms", timeout_ms)
                .key("engine.default.lease_ms", "2000")
        };
        Ok(Self {
            far: Broker::with(with(link.settings())).await?,
            near: Broker::with(with(redis.settings())).await?,
            link,
            _redis: redis,
        })
    }

    async fn join(&self) -> Result<[Subscriber; 2]> {
        let (transport, join) = (Transport::JsonWebSocket, Join::channel("news"));
        Ok([
            self.far.join(transport, &join).await?,
            self.near.join(transport, &join).await?,
        ])
    }

    /// Publishes a text at the far broker, whenever that is answered.
    fn publish(&self, text: &str, key: Option<&str>) -> JoinHandle<Result<Answer>> {
        let url = format!("{}/channels/news/messages", self.far.base());
        let mut request = self.far.http().post(url);
        request = request.header("content-type", "text/plain");
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let sent = request.body(text.to_owned()).send();
        tokio::spawn(async move { Answer::read(sent.await?).await })
    }

    async fn far_is_ready(&self, status: u16) -> Result<()> {
        let is_so = async || Ok(self.far.readiness().await? == status);
        eventually(&format!("the far broker's readiness to be {status}"), is_so).await
    }
}

#[tokio::test]
async fn a_message_that_is_cut_in_the_middle_is_heard_once_and_whole() -> Result<()> {
    let two = Two::start("5000").await?;
    let [mut far, _] = two.join().await?;
    let large = "x".repeat(200_000);
    two.link.cut_behind(100_000);
    for text in ["before", &large, "after"] {
        two.near.publisher().publish("news", text).await?;
    }
    assert_eq!(far.data(3).await?, ["before", &*large, "after"]);
    assert_eq!(two.link.cuts(), 1);
    Ok(())
}

#[tokio::test]
async fn a_history_that_is_cut_in_the_middle_is_read_again() -> Result<()> {
    let two = Two::start("5000").await?;
    let start = two.near.end_of("news").await?;
    let all: Vec<Value> = (0..20)
        .map(|number| json!({ "number": number, "text": "x".repeat(10_000) }))
        .collect();
    for data in &all {
        two.near.publisher().publish("news", data.clone()).await?;
    }
    two.link.cut_behind(100_000);
    let join = Join::channel("news").from(start);
    let mut far = two.far.join(Transport::JsonWebSocket, &join).await?;
    assert_eq!(far.data(20).await?, all);
    assert_eq!(two.link.cuts(), 1);
    Ok(())
}

#[tokio::test]
async fn what_the_server_did_and_could_not_answer_is_done_once() -> Result<()> {
    let two = Two::start("10000").await?;
    let [mut far, mut near] = two.join().await?;
    two.link.silence(Silence::Everything);
    let keyed = two.publish("with a key", Some("k"));
    assert_eq!(near.data(1).await?, ["with a key"]);
    let bare = two.publish("without", None);
    assert_eq!(near.data(1).await?, ["without"]);
    two.link.cut();
    two.link.silence(Silence::Nothing);
    let keyed = keyed.await??;
    assert_eq!(keyed.status, 200, "the broker has asked again: {keyed:?}");
    let is_duplicate = &keyed.body["duplicate"];
    assert_eq!(is_duplicate, false, "its publisher has not: {keyed:?}");
    let bare = bare.await??;
    assert_eq!(bare.status, 503, "nobody knows: {bare:?}");
    assert_eq!(bare.body["code"], "engine_unavailable");
    let again = two.publish("with a key", Some("k")).await??;
    assert_eq!(again.body["duplicate"], true, "{again:?}");
    assert_eq!(again.body["offset"], keyed.body["offset"]);
    two.near.publisher().publish("news", "the end").await?;
    assert_eq!(near.data(1).await?, ["the end"]);
    assert_eq!(far.data(3).await?, ["with a key", "without", "the end"]);
    Ok(())
}

#[tokio::test]
async fn the_messages_of_a_batch_do_not_wait_for_each_others_answers() -> Result<()> {
    let two = Two::start("10000").await?;
    let [_far, mut near] = two.join().await?;
    let post = |batch: Vec<Value>| {
        let url = format!("{}/v1/publish", two.far.base());
        let request = two.far.http().post(url).json(&json!({ "messages": batch }));
        tokio::spawn(async move { Answer::read(request.send().await?).await })
    };
    let all: Vec<Value> = (0..60).map(Value::from).collect();
    let keyed = |data: &Value| json!({ "channel": "news", "data": data, "message_id": format!("m-{data}") });
    let batch = |message: fn(&Value) -> Value| all.iter().map(message).collect::<Vec<_>>();
    two.link.silence(Silence::Everything);
    let published = post(all.iter().map(keyed).collect());
    assert_eq!(near.data(60).await?, all);
    let bare = post(batch(|data| json!({ "channel": "news", "data": data })));
    assert_eq!(near.data(60).await?, all);
    two.link.cut();
    two.link.silence(Silence::Nothing);
    // The broker has asked again for those with a key.
    let answer = published.await??;
    for number in 0..60 {
        let outcome = &answer.body["results"][number]["channels"][0];
        assert_eq!(outcome["offset"], number + 1, "{answer:?}");
        assert_eq!(outcome["duplicate"], false, "{answer:?}");
    }
    let answer = bare.await??;
    for number in 0..60 {
        let outcome = &answer.body["results"][number]["channels"][0];
        assert_eq!(outcome["error"]["code"], "engine_unavailable", "{answer:?}");
    }
    let again = post(all.iter().map(keyed).collect()).await??;
    for number in 0..60 {
        let outcome = &again.body["results"][number]["channels"][0];
        assert_eq!(outcome["offset"], number + 1, "{again:?}");
        assert_eq!(outcome["duplicate"], true, "{again:?}");
    }
    two.near.publisher().publish("news", "the end").await?;
    assert_eq!(near.data(1).await?, ["the end"]);
    Ok(())
}

#[tokio::test]
async fn who_came_and_went_while_a_broker_was_cut_off_is_told_afterwards() -> Result<()> {
    let two = Two::start("500").await?;
    let join = |name: &str| {
        let join = Join::channel("room").presence(json!(name));
        join.sender(&format!("sender-key-of-{name}"))
    };
    let transport = Transport::JsonWebSocket;
    let mut ann = two.far.join(transport, &join("ann")).await?;
    let bob = two.near.join(transport, &join("bob")).await?;
    let mut eve = two.near.join(transport, &join("eve")).await?;
    assert_eq!(told(&mut ann, 2).await?, ["join bob", "join eve"]);
    two.link.silence(Silence::Everything);
    bob.close().await?;
    let dan = two.near.join(transport, &join("dan")).await?;
    let mut seen = told(&mut eve, 2).await?;
    seen.sort_unstable();
    assert_eq!(seen, ["join dan", "leave bob"]);
    two.far_is_ready(503).await?;
    two.link.silence(Silence::Nothing);
    let mut seen = told(&mut ann, 2).await?;
    seen.sort_unstable();
    assert_eq!(seen, ["join dan", "leave bob"]);
    dan.close().await?;
    assert_eq!(told(&mut ann, 1).await?, ["leave dan"]);
    Ok(())
}

#[tokio::test]
async fn a_broker_that_is_answered_and_told_nothing_notices_it_and_misses_nothing() -> Result<()> {
    let two = Two::start("500").await?;
    let [mut far, _] = two.join().await?;
    two.link.silence(Silence::Topics);
    two.near.publisher().publish("news", "theirs").await?;
    let own = two.publish("own", None).await??;
    assert_eq!(own.status, 200, "the server has it: {own:?}");
    two.far_is_ready(503).await?;
    two.link.silence(Silence::Nothing);
    two.far_is_ready(200).await?;
    two.near.publisher().publish("news", "the end").await?;
    assert_eq!(far.data(3).await?, ["theirs", "own", "the end"]);
    Ok(())
}

#[tokio::test]
async fn what_arrives_late_on_a_connection_that_was_given_up_is_not_done() -> Result<()> {
    let two = Two::start("500").await?;
    let join = |name: &str| {
        let join = Join::channel("room").presence(json!(name));
        join.sender(&format!("sender-key-of-{name}"))
    };
    let transport = Transport::JsonWebSocket;
    let mut eve = two.near.join(transport, &join("eve")).await?;
    let mut ann = two.far.join(transport, &join("ann")).await?;
    assert_eq!(told(&mut eve, 1).await?, ["join ann"]);
    two.link.silence(Silence::CommandsOnOldConnections);
    let leave = json!({ "type": "unsubscribe", "channel": "room" });
    ann.envelope()?.command(leave).await?;
    assert_eq!(told(&mut eve, 1).await?, ["leave ann"]);
    two.far_is_ready(200).await?;
    ann.envelope()?.subscribe("room", &join("ann")).await?;
    assert_eq!(told(&mut eve, 1).await?, ["join ann"]);
    // That she has left arrives once more, on the connection of before.
    two.link.silence(Silence::Nothing);
    let of_before_have_ended = async || Ok(two.link.open() == 2);
    eventually("the old connections end", of_before_have_ended).await?;
    let bob = two.near.join(transport, &join("bob")).await?;
    bob.close().await?;
    assert_eq!(told(&mut eve, 2).await?, ["join bob", "leave bob"]);
    let members = two.far.get(&["channels", "room", "presence"], &[]).await?;
    let members = members["members"].as_array().context("members")?.len();
    assert_eq!(members, 2);
    Ok(())
}

#[tokio::test]
async fn publications_do_not_wait_for_each_others_answers() -> Result<()> {
    let two = Two::start("60000").await?;
    let [_, mut near] = two.join().await?;
    // No answer comes, so all of them are under way at once.
    two.link.silence(Silence::Everything);
    let texts: Vec<_> = (0..100).map(|number| format!("{number}")).collect();
    let publishing: Vec<_> = texts.iter().map(|text| two.publish(text, None)).collect();
    let mut heard = near.data(100).await?;
    two.link.silence(Silence::Nothing);
    for publication in publishing {
        let answer = publication.await??;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let mut expected: Vec<Value> = texts.into_iter().map(Value::from).collect();
    let by_text = |value: &Value| value.to_string();
    heard.sort_by_key(by_text);
    expected.sort_by_key(by_text);
    assert_eq!(heard, expected);
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_far_away_is_a_server() -> Result<()> {
    let redis = RedisServer::start(&[]).await?;
    let place = SocketAddr::from(([127, 0, 0, 1], redis.port()));
    let way = Relay::long(place, std::time::Duration::from_millis(60)).await?;
    let url = way.base().replace("http://", "redis://");
    let broker = Broker::with(
        redis
            .settings()
            .key("engine.default.url", format!("{url:?}")),
    )
    .await?;
    let start = broker.end_of("news").await?;
    let join = Join::channel("news").presence(json!({ "here": true }));
    let mut subscriber = broker.join(Transport::JsonWebSocket, &join).await?;
    let publisher = broker.publisher();
    let all: Vec<Value> = (0..10).map(Value::from).collect();
    for data in &all {
        publisher.publish("news", data.clone()).await?;
    }
    assert_eq!(subscriber.data(10).await?, all);
    let join = Join::channel("news").from(start);
    let mut resumed = broker.join(Transport::JsonWebSocket, &join).await?;
    assert_eq!(resumed.data(10).await?, all);
    let members = broker.get(&["channels", "news", "presence"], &[]).await?;
    let members = members["members"].as_array().context("members")?.len();
    assert_eq!(members, 1);
    Ok(())
}

#[tokio::test]
async fn a_server_behind_tls_is_used_when_it_proves_who_it_is() -> Result<()> {
    let redis = RedisServer::start(&[]).await?;
    let proxy = TlsProxy::to(SocketAddr::from(([127, 0, 0, 1], redis.port()))).await?;
    let url = format!("\"rediss://localhost:{}\"", proxy.port());
    let settings = redis.settings().key("engine.default.url", url);
    proves_who_it_is(&settings, &proxy.authority()).await
}

#[tokio::test]
async fn sentinels_and_their_primary_may_speak_tls() -> Result<()> {
    let identity = TlsIdentity::new()?;
    let primary = RedisServer::start_with_tls(&identity).await?;
    let sentinels = RedisSentinels::start_with_tls(&primary, &identity).await?;
    proves_who_it_is(&sentinels.settings(), &identity.authority()).await
}
