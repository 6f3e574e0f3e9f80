//! Plain WebSockets, as pages use them that are written by hand.

use std::time::Duration;

use anyhow::{Result, bail};
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message as Frame;
use widecast_tests::address::address;
use widecast_tests::broker::Signal;
use widecast_tests::heard::binary;
use widecast_tests::socket::{WebSocket, open_websocket};
use widecast_tests::subscriber::raw_websocket::{RawWebSocket, Texts};
use widecast_tests::{Broker, Heard, Join, Settings, Subscriber, Transport, within};

async fn open(broker: &Broker, headers: &[(&'static str, &str)]) -> Result<(WebSocket, String)> {
    let url = address(&broker.base(), &["channels", "news", "ws"], &[])?;
    let (socket, answer) = open_websocket(&url, headers).await?;
    let chosen = answer.get("sec-websocket-protocol");
    let chosen = chosen.and_then(|name| name.to_str().ok());
    Ok((socket, chosen.unwrap_or_default().to_owned()))
}

/// What the WebSocket hears next; `None` when it ends without a close frame.
async fn next(socket: &mut WebSocket) -> Result<Option<Frame>> {
    within("hearing something", async {
        Ok(socket.next().await.and_then(Result::ok))
    })
    .await
}

#[tokio::test]
async fn the_first_subprotocol_that_is_offered_is_chosen() -> Result<()> {
    let broker = Broker::start().await?;
    for (offered, chosen) in [
        ("chat", "chat"),
        ("chat, superchat", "chat"),
        ("v2.example , widecast.v1.json", "v2.example"),
        (" , chat", "chat"),
    ] {
        let (mut socket, told) = open(&broker, &[("sec-websocket-protocol", offered)]).await?;
        assert_eq!(told, chosen, "{offered}");
        broker.publisher().publish("news", 1).await?;
        assert_eq!(next(&mut socket).await?, Some(Frame::text("1")));
    }
    let (_socket, told) = open(&broker, &[]).await?;
    assert_eq!(told, "");
    Ok(())
}

#[tokio::test]
async fn a_setting_cuts_them_at_the_end_of_the_broker() -> Result<()> {
    for (close_frame, is_told) in [(true, true), (false, false)] {
        let settings = Settings::new()
            .shutdown(Duration::ZERO, Duration::from_secs(5))
            .raw_close_frame(close_frame);
        let mut broker = Broker::with(settings).await?;
        let (mut socket, _) = open(&broker, &[]).await?;
        broker.publisher().publish("news", "last").await?;
        assert_eq!(next(&mut socket).await?, Some(Frame::text("last")));
        broker.signal(Signal::Terminate).await?;
        match next(&mut socket).await? {
            Some(Frame::Close(Some(frame))) if is_told => {
                assert_eq!(u16::from(frame.code), 1001);
            }
            heard => {
                assert!(!is_told && heard.is_none(), "{close_frame}: {heard:?}");
            }
        }
        drop(socket);
        assert_eq!(broker.ended().await?.code(), Some(0));
    }
    Ok(())
}

/// A page in the JSON mode, and a subscriber that sees what it publishes.
async fn page_and_other(broker: &Broker) -> Result<(RawWebSocket, Subscriber)> {
    let join = Join::channel("news");
    let other = broker.join(Transport::RawStream, &join).await?;
    let page = RawWebSocket::open(broker, &join, Texts::Json).await?;
    Ok((page, other))
}

/// The next thing that is no message.
async fn frame(page: &mut RawWebSocket) -> Result<Value> {
    match within("a frame", page.next()).await? {
        Heard::Frame(frame) => Ok(frame),
        other => bail!("{other:?} instead of a frame"),
    }
}

#[tokio::test]
async fn a_text_of_json_is_the_value_that_it_is() -> Result<()> {
    let broker = Broker::start().await?;
    let (mut page, mut other) = page_and_other(&broker).await?;
    for value in [
        json!({ "type": "chat", "text": "hi", "at": { "$type": "Date", "value": 0 } }),
        json!(["a", null, 1.5]),
        json!("text"),
        json!(null),
    ] {
        page.send_text(&value.to_string()).await?;
        assert_eq!(other.message().await?.data, value);
        broker.publisher().publish("news", value.clone()).await?;
        other.message().await?;
        let heard = within("the value", page.next()).await?;
        let Heard::Message(message) = heard else {
            bail!("{heard:?} instead of {value}");
        };
        assert_eq!(message.data, value);
    }
    page.send_bytes(&[0, 255]).await?;
    assert_eq!(other.message().await?.data, binary(&[0, 255]));
    Ok(())
}

#[tokio::test]
async fn pings_and_proofs_are_for_the_broker_alone() -> Result<()> {
    let broker = Broker::start().await?;
    let (mut page, mut other) = page_and_other(&broker).await?;
    page.send_text(r#"{"type":"ping"}"#).await?;
    assert_eq!(frame(&mut page).await?, json!({ "type": "pong" }));
    page.send_text(r#"{"type":"ping","id":7,"at":1}"#).await?;
    assert_eq!(frame(&mut page).await?, json!({ "type": "pong", "id": 7 }));
    for proof in [
        r#"{"type":"authenticate","token":"secret"}"#,
        r#"{"token":"secret","\u0074ype":"authenticate"}"#,
    ] {
        page.send_text(proof).await?;
        let refused = frame(&mut page).await?;
        assert_eq!(refused["code"], "unauthorized", "{refused}");
    }
    for shown in [
        r#"[{"type":"authenticate","token":"secret"}]"#,
        r#"{"type":"subscribe","channel":"news","token":"secret"}"#,
        r#"{"token":"secret","type":"subscribe"}"#,
    ] {
        page.send_text(shown).await?;
        assert_eq!(frame(&mut page).await?["code"], "bad_command", "{shown}");
    }
    // It is data like any other where it shows no token.
    let subscribe = json!({ "type": "subscribe", "channel": "news" });
    page.send_text(&subscribe.to_string()).await?;
    assert_eq!(other.message().await?.data, subscribe);
    page.send_text(r#""still here""#).await?;
    assert_eq!(other.message().await?.data, "still here");
    Ok(())
}

#[tokio::test]
async fn each_value_of_a_batch_is_published() -> Result<()> {
    let broker = Broker::start().await?;
    let (mut page, mut other) = page_and_other(&broker).await?;
    page.send_text(r#"{"type":"batch","messages":[{"n":1},"two",[3]]}"#)
        .await?;
    assert_eq!(
        other.data(3).await?,
        [json!({ "n": 1 }), json!("two"), json!([3])]
    );
    let mixed = r#"{"type":"batch","messages":[{"type":"ping"},
        {"type":"authenticate","token":"secret"},4,{"type":"subscribe","token":"secret"}]}"#;
    page.send_text(mixed).await?;
    assert_eq!(other.message().await?.data, 4);
    let results = frame(&mut page).await?;
    assert_eq!(results["type"], "batch", "{results}");
    assert_eq!(results["results"][0]["code"], "bad_command", "{results}");
    assert_eq!(results["results"][1]["type"], "published", "{results}");
    assert_eq!(results["results"][2]["code"], "bad_command", "{results}");
    assert_eq!(frame(&mut page).await?["type"], "pong");
    Ok(())
}

#[tokio::test]
async fn a_page_in_json_is_told_what_is_wrong_and_stays() -> Result<()> {
    let settings = Settings::new().message_bytes(1000);
    let broker = Broker::with(settings).await?;
    let (mut page, mut other) = page_and_other(&broker).await?;
    let long = json!("x".repeat(2000)).to_string();
    for (text, code) in [
        ("hello", "bad_json"),
        (r#"{"type":"batch"}"#, "bad_command"),
        (&long, "message_too_large"),
    ] {
        page.send_text(text).await?;
        let error = frame(&mut page).await?;
        assert_eq!(
            (&error["type"], &error["code"]),
            (&json!("error"), &json!(code))
        );
        assert_eq!(error["retryable"], false);
    }
    // A batch may be larger than a message.
    let batch = json!({ "type": "batch", "messages": ["x".repeat(900), "y".repeat(900)] });
    page.send_text(&batch.to_string()).await?;
    other.data(2).await?;
    Ok(())
}

#[tokio::test]
async fn a_page_in_json_is_told_of_members_that_come_and_go() -> Result<()> {
    let broker = Broker::with(Settings::new().presence_grace(Duration::ZERO)).await?;
    let join = Join::channel("news").presence(json!({ "name": "Ann" }));
    let mut ann = RawWebSocket::open(&broker, &join, Texts::Json).await?;
    let here = frame(&mut ann).await?;
    assert_eq!(here["type"], "presence", "{here}");
    assert_eq!(here["members"][0]["data"]["name"], "Ann", "{here}");
    let bob = Join::channel("news").presence(json!("Bob"));
    let bob = broker.join(Transport::JsonWebSocket, &bob).await?;
    let came = frame(&mut ann).await?;
    assert_eq!(
        (&came["type"], &came["member"]["data"]),
        (&json!("join"), &json!("Bob"))
    );
    bob.close().await?;
    let gone = frame(&mut ann).await?;
    assert_eq!(
        (&gone["type"], &gone["member"]["data"]),
        (&json!("leave"), &json!("Bob"))
    );
    let plain = RawWebSocket::open(&broker, &join, Texts::Plain).await;
    assert!(plain.is_err(), "bare data has no room for it");
    Ok(())
}

#[tokio::test]
async fn message_objects_say_all_that_is_known_and_where_to_resume() -> Result<()> {
    let broker = Broker::start().await?;
    let publisher = broker.publisher();
    let before = publisher.publish("news", 1).await?;
    let join = Join::channel("news").presence(json!({ "name": "Ann" }));
    let query = [
        ("json".to_owned(), String::new()),
        ("format".to_owned(), "message".to_owned()),
        ("presence".to_owned(), "Ann".to_owned()),
        ("cursor".to_owned(), before.cursor()),
    ];
    let url = address(&broker.base(), &["channels", "news", "ws"], &query)?;
    let (mut socket, _) = open_websocket(&url, &[]).await?;
    let mut object = async || match next(&mut socket).await? {
        Some(Frame::Text(text)) => Ok(serde_json::from_str::<Value>(&text)?),
        other => bail!("{other:?} instead of an object"),
    };
    let begins = object().await?;
    assert_eq!(begins["type"], "subscribed", "{begins}");
    assert_eq!(begins["cursor"], before.cursor());
    assert_eq!(begins["recovered"], true);
    assert_eq!(begins["members"][0]["data"], "Ann");
    let greeting = publisher.publish_event("news", "greeting", "hi").await?;
    let message = object().await?;
    let expected = json!({
        "cursor": greeting.cursor(), "channel": "news", "offset": 2, "event": "greeting",
        "origin": "", "timestamp": message["timestamp"], "data": "hi",
    });
    assert_eq!(message, expected);
    // The place of another epoch: where it was, then the gap, which says where it goes on.
    let lost = RawWebSocket::open(&broker, &join.from("1f-9"), Texts::Objects).await?;
    assert_eq!(lost.cursor().as_deref(), Some("1f-9"));
    let mut lost = lost;
    let heard = within("the gap", lost.next()).await?;
    assert!(matches!(heard, Heard::Gap { .. }), "{heard:?}");
    assert_eq!(lost.cursor(), Some(greeting.cursor()));
    let url = address(
        &broker.base(),
        &["channels", "news", "ws"],
        &[("format".to_owned(), "xml".to_owned())],
    )?;
    assert!(open_websocket(&url, &[]).await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_proof_is_not_published_by_a_plain_websocket_either() -> Result<()> {
    let broker = Broker::start().await?;
    let join = Join::channel("news");
    let mut other = broker.join(Transport::RawStream, &join).await?;
    for proof in [
        r#"{"type":"authenticate","token":"secret"}"#,
        r#"[{"type":"authenticate","token":"secret"}]"#,
        r#"{"type":"batch","messages":[{"type":"authenticate","token":"secret"}]}"#,
        r#"{"type":"subscribe","channel":"news","token":"secret"}"#,
    ] {
        let mut page = RawWebSocket::open(&broker, &join, Texts::Plain).await?;
        page.send_text(proof).await?;
        let heard = within("the end", page.next()).await?;
        let Heard::Closed { code, reason } = heard else {
            bail!("{heard:?} instead of the end");
        };
        assert_eq!(code, Some(4401));
        assert!(reason.contains("authentication"), "{reason}");
    }
    let mut page = RawWebSocket::open(&broker, &join, Texts::Plain).await?;
    page.send_text(r#"{"type":"ping"}"#).await?;
    assert_eq!(other.message().await?.data, json!("{\"type\":\"ping\"}"));
    Ok(())
}
