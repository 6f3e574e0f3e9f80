//! What several brokers know of one another: what an operator does at one is done at all, also at those that could not be told
//! in time, and each lists the others.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use reqwest::Method;
use serde_json::{Value, json};
use widecast_tests::broker::{Answer, Signal};
use widecast_tests::{
    Broker, Guarded, Heard, Join, RedisServer, Relay, Settings, Subscriber, Transport, cli,
    eventually,
};

/// Long enough for any test.
fn in_an_hour() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs() + 3600
}

/// Two brokers with one server, which the other reaches by a way that can be cut.
struct Pair {
    _redis: RedisServer,
    way: Relay,
    one: Guarded,
    other: Broker,
}

impl Pair {
    async fn start() -> Result<Self> {
        let redis = RedisServer::start(&[]).await?;
        let address: SocketAddr = redis.url().replace("redis://", "").parse()?;
        let way = Relay::to(address).await?;
        let mut common = Settings::new();
        let one = Guarded::with(|settings| {
            common = settings
                .key("engine.default.kind", "\"redis\"")
                .key("engine.default.timeout_ms", "1000")
                .key("engine.default.lease_ms", "2000");
            let url = format!("{:?}", redis.url());
            common
                .clone()
                .key("server.node", "\"one\"")
                .key("engine.default.url", url)
        })
        .await?;
        let url = way.base().replace("http://", "redis://");
        let common = common.key("server.node", "\"other\"");
        let other = Broker::with(common.key("engine.default.url", format!("{url:?}"))).await?;
        let pair = Self {
            _redis: redis,
            way,
            one,
            other,
        };
        eventually("they know of each other", async || {
            Ok(pair.names(&pair.one.broker).await?.len() == 2
                && pair.names(&pair.other).await?.len() == 2)
        })
        .await?;
        Ok(pair)
    }

    /// Does what only the operator may, at one of them.
    async fn operate(
        &self,
        broker: &Broker,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<Answer> {
        let url = format!("{}{path}", broker.base());
        let request = broker.http().request(method, url).json(body);
        Answer::read(request.bearer_auth(&self.one.observer).send().await?).await
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.one.operate(path, body).await
    }

    async fn nodes(&self, broker: &Broker) -> Result<Vec<Value>> {
        let answer = self
            .operate(broker, Method::GET, "/v1/nodes", &json!({}))
            .await?;
        let nodes = answer.body["nodes"].as_array();
        Ok(nodes.with_context(|| format!("{answer:?}"))?.clone())
    }

    async fn names(&self, broker: &Broker) -> Result<Vec<String>> {
        let nodes = self.nodes(broker).await?;
        let names = nodes.iter().filter_map(|node| node["name"].as_str());
        Ok(names.map(str::to_owned).collect())
    }

    /// A session at the other broker, with a token for `7` of this name.
    async fn session(&self, token: &str) -> Result<Subscriber> {
        let join = Join::channel("news").token(token);
        self.other.join(Transport::JsonWebSocket, &join).await
    }

    async fn token(&self, name: &str) -> Result<String> {
        let claims = ["--sub", "7", "--jti", name];
        let token = self
            .one
            .token_with(&claims, &["news=subscribe"], 600)
            .await?;
        Ok(token)
    }

    async fn is_refused_at_the_other(&self, token: &str) -> Result<bool> {
        let path = format!("{}/channels/news/poll", self.other.base());
        let request = self.other.http().get(path).bearer_auth(token);
        Ok(request.send().await?.status().as_u16() == 401)
    }

    /// Cuts the other broker off, and waits until it has noticed.
    async fn cut(&self) -> Result<()> {
        self.way.cut();
        self.ready(503).await
    }

    async fn mend(&self) -> Result<()> {
        self.way.mend();
        self.ready(200).await
    }

    async fn ready(&self, expected: u16) -> Result<()> {
        let path = format!("{}/health/ready", self.other.base());
        eventually("the other broker's readiness", async || {
            let answer = self.other.http().get(&path).send().await?;
            Ok(answer.status().as_u16() == expected)
        })
        .await
    }
}

/// The code of the next frame of this type.
async fn told(subscriber: &mut Subscriber, kind: &str) -> Result<Value> {
    loop {
        match subscriber.next().await? {
            Heard::Frame(frame) if frame["type"] == kind => return Ok(frame),
            Heard::Frame(_) => {}
            other => bail!("heard {other:?} instead of {kind}"),
        }
    }
}

#[tokio::test]
async fn a_token_that_is_revoked_at_one_ends_at_the_other_until_it_is_taken_back() -> Result<()> {
    let pair = Pair::start().await?;
    let token = pair.token("a").await?;
    let mut session = pair.session(&token).await?;
    let revocation = json!({ "jti": "a", "expires_at": in_an_hour() });
    let answer = pair.post("/v1/revocations", &revocation).await?;
    assert_eq!(answer["sessions"], 0, "{answer}");
    assert_eq!(answer["other_nodes"], 1, "{answer}");
    let frame = told(&mut session, "unsubscribed").await?;
    assert_eq!(frame["code"], "unauthorized", "{frame}");
    assert!(pair.is_refused_at_the_other(&token).await?);
    let path = "/v1/revocations";
    let list = pair
        .operate(&pair.other, Method::GET, path, &json!({}))
        .await?;
    assert_eq!(list.body["revocations"][0]["id"], "jti:a", "{list:?}");
    // Either may take it back.
    let path = "/v1/revocations/jti:a";
    let answer = pair
        .operate(&pair.other, Method::DELETE, path, &json!({}))
        .await?;
    assert_eq!(answer.status, 204, "{answer:?}");
    eventually("it is forgotten at the first", async || {
        let list = pair
            .operate(&pair.one.broker, Method::GET, "/v1/revocations", &json!({}))
            .await?;
        Ok(list.body["revocations"] == json!([]))
    })
    .await?;
    assert!(!pair.is_refused_at_the_other(&token).await?);
    Ok(())
}

/// The documentation promises a second, so this is no matter of speed. A machine that stands still for so long may have two more tries.
#[tokio::test]
async fn a_revocation_holds_at_every_broker_a_second_after_it_was_answered() -> Result<()> {
    let pair = Pair::start().await?;
    let mut took = Vec::new();
    for name in ["a", "b", "c"] {
        let token = pair.token(name).await?;
        let join = Join::channel("news").token(&token);
        let mut sessions = Vec::new();
        for broker in [&pair.one.broker, &pair.other] {
            sessions.push(broker.join(Transport::JsonWebSocket, &join).await?);
        }
        let revocation = json!({ "jti": name, "expires_at": in_an_hour() });
        pair.post("/v1/revocations", &revocation).await?;
        let answered = Instant::now();
        // Where it was answered not even one more request is let through.
        let path = "/channels/news/poll";
        let refused = pair.one.ask(Method::GET, path, Some(&token)).await?;
        assert_eq!(refused.status, 401, "{refused:?}");
        eventually("it is refused at the other", async || {
            pair.is_refused_at_the_other(&token).await
        })
        .await?;
        for session in &mut sessions {
            let frame = told(session, "unsubscribed").await?;
            assert_eq!(frame["code"], "unauthorized", "{frame}");
        }
        took.push(answered.elapsed());
        if took.last() < Some(&Duration::from_secs(1)) {
            return Ok(());
        }
    }
    bail!("it took {took:?}");
}

#[tokio::test]
async fn a_broker_that_was_cut_off_or_comes_later_knows_what_was_revoked() -> Result<()> {
    let pair = Pair::start().await?;
    let (before, after) = (pair.token("before").await?, pair.token("after").await?);
    let mut session = pair.session(&before).await?;
    pair.cut().await?;
    let revocation = json!({ "jti": "before", "expires_at": in_an_hour() });
    pair.post("/v1/revocations", &revocation).await?;
    // What is revoked at the one that is cut off holds there at once, and at all when it is back.
    let revocation = json!({ "jti": "after", "expires_at": in_an_hour() });
    let answer = pair
        .operate(&pair.other, Method::POST, "/v1/revocations", &revocation)
        .await?;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.body["code"], "engine_unavailable");
    assert!(pair.is_refused_at_the_other(&after).await?);
    assert!(!pair.is_refused_at_the_other(&before).await?);
    pair.mend().await?;
    let frame = told(&mut session, "unsubscribed").await?;
    assert_eq!(frame["code"], "unauthorized", "{frame}");
    assert!(pair.is_refused_at_the_other(&before).await?);
    eventually("the first knows it, too", async || {
        let path = "/channels/news/poll";
        let answer = pair.one.ask(Method::GET, path, Some(&after)).await?;
        Ok(answer.status == 401)
    })
    .await?;
    // One that is started later has it from the server.
    let mut pair = pair;
    pair.other.restart().await?;
    assert!(pair.is_refused_at_the_other(&before).await?);
    assert!(pair.is_refused_at_the_other(&after).await?);
    Ok(())
}

#[tokio::test]
async fn a_revocation_outlives_a_broker_that_is_killed_when_its_engine_is_on_the_disk() -> Result<()>
{
    let mut guarded = Guarded::with(Settings::disk).await?;
    let claims = ["--sub", "7", "--jti", "a"];
    let token = guarded
        .token_with(&claims, &["news=subscribe"], 600)
        .await?;
    for (name, is_taken_back) in [("jti:a", false), ("jti:b", true)] {
        let revocation = json!({ "jti": &name[4..], "expires_at": in_an_hour() });
        guarded.operate("/v1/revocations", &revocation).await?;
        if is_taken_back {
            let path = format!("/v1/revocations/{name}");
            let observer = Some(guarded.observer.as_str());
            guarded.ask(Method::DELETE, &path, observer).await?;
        }
    }
    guarded.broker.restart().await?;
    let path = "/channels/news/poll";
    let answer = guarded.ask(Method::GET, path, Some(&token)).await?;
    assert_eq!(answer.status, 401, "{answer:?}");
    let observer = Some(guarded.observer.as_str());
    let list = guarded
        .ask(Method::GET, "/v1/revocations", observer)
        .await?;
    let ids = list.body["revocations"].as_array().context("a list")?;
    let ids: Vec<_> = ids.iter().map(|one| one["id"].clone()).collect();
    assert_eq!(ids, ["jti:a"]);
    Ok(())
}

#[tokio::test]
async fn who_is_put_out_at_one_is_put_out_at_the_other_even_if_that_was_cut_off() -> Result<()> {
    let pair = Pair::start().await?;
    let token = pair.token("a").await?;
    let mut session = pair.session(&token).await?;
    let unsubscribe = json!({ "user": "7", "channel": "news", "reason": "no more" });
    let answer = pair.post("/v1/unsubscribe", &unsubscribe).await?;
    assert_eq!(answer, json!({ "sessions": 0, "other_nodes": 1 }));
    let frame = told(&mut session, "unsubscribed").await?;
    assert_eq!(frame["code"], "kicked", "{frame}");
    let name = session.envelope()?.welcome()["session"].clone();
    pair.cut().await?;
    let disconnect = json!({ "session": name, "reason": "no more" });
    pair.post("/v1/disconnect", &disconnect).await?;
    pair.mend().await?;
    let frame = told(&mut session, "goodbye").await?;
    assert_eq!(frame["code"], "kicked", "{frame}");
    assert_eq!(frame["reason"], "no more", "{frame}");
    // It was carried out once: whoever comes again is left alone.
    let mut session = pair.session(&token).await?;
    pair.post("/v1/users/7/messages", &json!("still here?"))
        .await?;
    let frame = told(&mut session, "direct").await?;
    assert_eq!(frame["data"], "still here?", "{frame}");
    Ok(())
}

#[tokio::test]
async fn an_order_ends_no_session_that_was_opened_after_it_at_a_broker_that_was_cut_off()
-> Result<()> {
    let pair = Pair::start().await?;
    let token = pair.token("a").await?;
    let mut before = pair.session(&token).await?;
    pair.cut().await?;
    let disconnect = json!({ "user": "7", "reason": "no more" });
    pair.post("/v1/disconnect", &disconnect).await?;
    // No channel can be joined there meanwhile, but sessions can be opened.
    let join = Join::channels(&[]).token(&token);
    let mut after = pair.other.join(Transport::JsonWebSocket, &join).await?;
    pair.mend().await?;
    let frame = told(&mut before, "goodbye").await?;
    assert_eq!(frame["reason"], "no more", "{frame}");
    pair.post("/v1/users/7/messages", &json!("still here?"))
        .await?;
    let frame = told(&mut after, "direct").await?;
    assert_eq!(frame["data"], "still here?", "{frame}");
    Ok(())
}

#[tokio::test]
async fn a_message_to_a_user_reaches_the_sessions_at_all_brokers_once() -> Result<()> {
    let pair = Pair::start().await?;
    let token = pair.token("a").await?;
    let join = Join::channel("news").token(&token);
    let transport = Transport::JsonWebSocket;
    let mut sessions = [
        pair.one.broker.join(transport, &join).await?,
        pair.session(&token).await?,
    ];
    let path = "/v1/users/7/messages?event=note&message_id=m-1";
    for data in [json!({ "a": [1, null] }), json!("second")] {
        let answer = pair.post(path, &data).await?;
        let expected = json!({ "user": "7", "sessions": 1, "without_frames": 0, "other_nodes": 1 });
        assert_eq!(answer, expected);
        let mut frames = Vec::new();
        for session in &mut sessions {
            let frame = told(session, "direct").await?;
            assert_eq!(frame["data"], data);
            assert_eq!(frame["event"], "note");
            frames.push(frame);
        }
        assert_eq!(frames[0], frames[1]);
    }
    Ok(())
}

#[tokio::test]
async fn each_broker_lists_the_others_until_they_end() -> Result<()> {
    let mut pair = Pair::start().await?;
    let token = pair.token("a").await?;
    let _session = pair.session(&token).await?;
    eventually("the session is counted", async || {
        let nodes = pair.nodes(&pair.one.broker).await?;
        Ok(nodes[1]["sessions"] == 1 && nodes[1]["subscriptions"] == 1)
    })
    .await?;
    let nodes = pair.nodes(&pair.one.broker).await?;
    let (one, other) = (&nodes[0], &nodes[1]);
    assert_eq!((&one["name"], &one["this"]), (&json!("one"), &json!(true)));
    assert_eq!(
        (&other["name"], &other["this"]),
        (&json!("other"), &json!(false))
    );
    for node in &nodes {
        assert_eq!(node["engines"], json!({ "default": "redis" }), "{node}");
        assert_eq!(node["draining"], false, "{node}");
        let lease = node["lease_ms"].as_u64().context("a lease")?;
        assert!((1..=2000).contains(&lease), "{node}");
        assert!(
            node["started"]
                .as_u64()
                .is_some_and(|it| it > 1_700_000_000)
        );
    }
    let url = pair.other.base();
    let arguments = ["nodes", "--url", &url, "--token", &pair.one.observer];
    let run = cli::run(&arguments).await?;
    assert_eq!(run.status, 0, "{}", run.errors);
    let lines: Vec<_> = run.output.lines().collect();
    assert_eq!(lines.len(), 3, "{}", run.output);
    assert!(lines[1].starts_with("one "), "{}", run.output);
    assert!(lines[2].contains("this one"), "{}", run.output);
    let refused = cli::run(&["nodes", "--url", &url]).await?;
    assert_eq!(refused.status, 1);
    // One that is killed is listed until its lease is over, one that ends in an orderly way no longer.
    let killed = nodes[1]["id"].clone();
    pair.other.restart().await?;
    eventually(
        "the killed process is not listed, and the new one is",
        async || {
            let nodes = pair.nodes(&pair.one.broker).await?;
            Ok(nodes.len() == 2 && nodes.iter().all(|node| node["id"] != killed))
        },
    )
    .await?;
    pair.other.signal(Signal::Terminate).await?;
    pair.other.ended().await?;
    eventually("the one that has ended is not listed", async || {
        Ok(pair.names(&pair.one.broker).await? == ["one"])
    })
    .await
}

#[tokio::test]
async fn a_broker_that_shares_nothing_lists_itself() -> Result<()> {
    let broker = Broker::start().await?;
    let answer = broker.get(&["v1", "nodes"], &[]).await?;
    let nodes = answer["nodes"].as_array().context("nodes")?;
    assert_eq!(nodes.len(), 1, "{answer}");
    let port = broker.socket_address().port();
    let name = nodes[0]["name"].as_str().context("a name")?;
    assert!(name.ends_with(&format!(":{port}")), "{name}");
    assert_eq!(nodes[0]["lease_ms"], Value::Null);
    assert_eq!(nodes[0]["this"], true);
    let disconnect = b"{\"user\":\"7\"}".to_vec();
    let answer = broker
        .post("/v1/disconnect", "application/json", disconnect)
        .await?;
    assert_eq!(answer.body, json!({ "sessions": 0, "other_nodes": 0 }));
    Ok(())
}
