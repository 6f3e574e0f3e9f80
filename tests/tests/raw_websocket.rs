//! Plain WebSockets, as pages use them that are written by hand.

use std::time::Duration;

use anyhow::Result;
use futures_util::StreamExt;
use tokio_tungstenite::tungstenite::Message as Frame;
use widecast_tests::address::address;
use widecast_tests::broker::Signal;
use widecast_tests::socket::{WebSocket, open_websocket};
use widecast_tests::{Broker, Settings, within};

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
        broker.signal(Signal::Terminate).await?;
        assert_eq!(next(&mut socket).await?, Some(Frame::text("last")));
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
