//! Sessions of polls: frames and commands for clients that have nothing but requests.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use widecast_tests::broker::Answer;
use widecast_tests::{Broker, Join, Settings, Transport, eventually, message_pack, within};

/// Posts commands with a poll, in either codec; gives the answer.
async fn post(broker: &Broker, query: &str, commands: &Value, packed: bool) -> Result<Answer> {
    let request = broker
        .http()
        .post(format!("{}/v1/poll?{query}", broker.base()));
    let request = if packed {
        let request = request
            .header("content-type", "application/msgpack")
            .header("accept", "application/msgpack");
        request.body(message_pack::encode(commands)?)
    } else {
        request.json(commands)
    };
    within("the answer to a poll", async {
        Answer::read(request.send().await?).await
    })
    .await
}

/// Polls until a frame of the type comes; gives it with the cursor behind it.
async fn frame(
    broker: &Broker,
    session: &str,
    cursor: &str,
    kind: &str,
    packed: bool,
) -> Result<(Value, String)> {
    let mut cursor = cursor.to_owned();
    loop {
        let query = format!("session={session}&cursor={cursor}");
        let answer = post(broker, &query, &json!([]), packed).await?;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body["cursor"]
            .as_str()
            .context("a cursor")?
            .clone_into(&mut cursor);
        let frames = answer.body["frames"].as_array().context("frames")?;
        if let Some(found) = frames.iter().find(|frame| frame["type"] == kind) {
            return Ok((found.clone(), cursor));
        }
    }
}

#[tokio::test]
async fn commands_come_with_the_poll_in_json_and_message_pack() -> Result<()> {
    let broker = Broker::start().await?;
    for packed in [false, true] {
        let channel = format!("news/{packed}");
        let subscribe = json!({ "type": "subscribe", "id": 1, "channel": channel });
        let opened = post(&broker, "session=new", &subscribe, packed).await?;
        assert_eq!(opened.status, 200, "{opened:?}");
        let session = opened.body["session"].as_str().context("a session")?;
        let frames = opened.body["frames"].as_array().context("frames")?;
        assert_eq!(frames[0]["type"], "welcome");
        assert_eq!(frames[0]["session"], session);
        let mut cursor = opened.body["cursor"]
            .as_str()
            .context("a cursor")?
            .to_owned();
        if !frames.iter().any(|frame| frame["type"] == "subscribed") {
            (_, cursor) = frame(&broker, session, &cursor, "subscribed", packed).await?;
        }
        broker
            .publisher()
            .publish(&channel, json!({ "n": 1 }))
            .await?;
        let (message, cursor) = frame(&broker, session, &cursor, "message", packed).await?;
        assert_eq!(
            (&message["data"], &message["offset"]),
            (&json!({ "n": 1 }), &json!(1))
        );
        let publish = json!([{ "type": "publish", "id": 2, "channel": channel, "data": "mine" }]);
        let query = format!("session={session}&cursor={cursor}");
        let answer = post(&broker, &query, &publish, packed).await?;
        let frames = answer.body["frames"].as_array().context("frames")?;
        assert!(
            frames.iter().all(|frame| frame["type"] != "message"),
            "heard itself: {frames:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_poll_by_post_may_have_no_commands_at_all() -> Result<()> {
    let broker = Broker::start().await?;
    for kind in ["application/json", "application/msgpack"] {
        let opened = broker
            .post("/v1/poll?session=new", kind, Vec::new())
            .await?;
        assert_eq!(opened.status, 200, "{opened:?}");
        assert_eq!(opened.body["frames"][0]["type"], "welcome", "{opened:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_newer_poll_takes_the_place_of_one_that_waits() -> Result<()> {
    let broker = Broker::start().await?;
    let subscribe = json!({ "type": "subscribe", "id": 1, "channel": "news" });
    let opened = post(&broker, "session=new", &subscribe, false).await?;
    let session = opened.body["session"]
        .as_str()
        .context("a session")?
        .to_owned();
    let cursor = opened.body["cursor"].as_str().context("a cursor")?;
    let (_, cursor) = if opened.body.to_string().contains("subscribed") {
        (json!(null), cursor.to_owned())
    } else {
        frame(&broker, &session, cursor, "subscribed", false).await?
    };
    let get = || {
        broker
            .http()
            .get(format!(
                "{}/v1/poll?session={session}&cursor={cursor}",
                broker.base()
            ))
            .send()
    };
    let (mut one, mut other) = (tokio::spawn(get()), tokio::spawn(get()));
    // Whichever came first gives way; the requests may overtake each other.
    let first = async {
        let (answer, waits) = tokio::select! {
            answer = &mut one => (answer, other),
            answer = &mut other => (answer, one),
        };
        Ok((answer??, waits))
    };
    let (first, waits) = within("the first is answered", first).await?;
    assert_eq!(first.json::<Value>().await?["frames"], json!([]));
    broker.publisher().publish("news", "for the second").await?;
    let second = within("the second hears it", async { Ok(waits.await??) }).await?;
    assert_eq!(
        second.json::<Value>().await?["frames"][0]["data"],
        "for the second"
    );
    Ok(())
}

#[tokio::test]
async fn a_client_that_never_says_what_arrived_is_bounded() -> Result<()> {
    let settings = Settings::new()
        .outbox_bytes(200_000, 8192)
        .message_bytes(100_000);
    let broker = Broker::with(settings.history("polled", 1000, 64 << 20)).await?;
    let subscribe = json!({ "type": "subscribe", "id": 1, "channel": "polled:a" });
    let opened = post(&broker, "session=new", &subscribe, false).await?;
    let session = opened.body["session"]
        .as_str()
        .context("a session")?
        .to_owned();
    let filler = "x".repeat(50_000);
    let mut most = 0;
    for _ in 0..20 {
        for _ in 0..5 {
            broker
                .publisher()
                .publish("polled:a", filler.as_str())
                .await?;
        }
        let query = format!("session={session}&cursor=0&timeout=0");
        let answer = post(&broker, &query, &json!([]), false).await?;
        most = most.max(answer.body.to_string().len());
    }
    assert!(most < 1_000_000, "an answer of {most} bytes");
    Ok(())
}

#[tokio::test]
async fn there_are_no_more_sessions_than_connections_may_be() -> Result<()> {
    let broker = Broker::with(Settings::new().connections(3)).await?;
    for _ in 0..3 {
        let opened = post(&broker, "session=new", &json!([]), false).await?;
        assert_eq!(opened.status, 200, "{opened:?}");
    }
    let refused = post(&broker, "session=new", &json!([]), false).await?;
    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!(refused.body["code"], "too_many_connections");
    Ok(())
}

#[tokio::test]
async fn a_member_may_tell_only_so_much_about_itself() -> Result<()> {
    let broker = Broker::with(Settings::new().key("limits.presence_bytes", "20")).await?;
    let subscribe =
        |data: &str| json!({ "type": "subscribe", "channel": "news", "presence": data });
    let accepted = post(&broker, "session=new", &subscribe("short enough"), false).await?;
    assert_eq!(
        accepted.body["frames"][1]["type"], "subscribed",
        "{accepted:?}"
    );
    let refused = post(&broker, "session=new", &subscribe(&"x".repeat(21)), false).await?;
    assert_eq!(
        refused.body["frames"][1]["code"], "message_too_large",
        "{refused:?}"
    );
    Ok(())
}

#[tokio::test]
async fn sessions_that_were_left_behind_make_room_for_those_that_are_polled() -> Result<()> {
    const MOST: usize = 40;
    let settings = Settings::new().key("server.max_connections", MOST.to_string());
    let broker = Broker::with(settings).await?;
    let mut polled = broker
        .join(Transport::EnvelopePoll, &Join::channel("news"))
        .await?;
    let url = format!("{}/v1/poll?session=new&timeout=0", broker.base());
    let open = async || anyhow::Ok(broker.http().get(&url).send().await?.status().as_u16());
    for _ in 1..MOST {
        let status = open().await?;
        anyhow::ensure!(status == 200 || status == 503, "{status}");
    }
    // Far more than there may be at a time, all left behind.
    let mut opened = 0;
    eventually("as many sessions again are opened", async || {
        let data = opened.to_string();
        let opening = async {
            while open().await? == 200 {
                opened += 1;
            }
            broker.publisher().publish("news", data.as_str()).await
        };
        // The one that is polled all the while hears what is published then.
        let (heard, published) = tokio::join!(polled.message(), opening);
        published?;
        assert_eq!(heard?.data, data);
        Ok(opened > 2 * MOST)
    })
    .await
}
