//! Who may listen, as one table: each credential, page and cookie, on every transport.

use anyhow::{Context, Result, ensure};
use reqwest::{Method, RequestBuilder};
use serde_json::json;
use widecast_protocol::Code;
use widecast_tests::guarded::Guarded;
use widecast_tests::socket::Bare;
use widecast_tests::{Broker, Join, Settings, Transport, cli};

/// Whether one can join on a transport, and hears what is published then; else the text of the refusal.
async fn hears(guarded: &Guarded, transport: Transport, join: &Join) -> Result<Option<String>> {
    let mut subscriber = match guarded.broker.join(transport, join).await {
        Ok(subscriber) => subscriber,
        Err(refusal) => return Ok(Some(format!("{refusal:?}"))),
    };
    let channel = &join.channels[0];
    let answer = guarded.publish(channel, Some(&guarded.backend)).await?;
    ensure!(answer.status == 200, "{answer:?}");
    subscriber.message().await?;
    Ok(None)
}

/// Whether a refusal says its code, or has its status where a transport shows nothing else.
fn tells(refusal: &str, code: Code) -> bool {
    refusal.contains(code.as_str()) || refusal.contains(&code.http_status().to_string())
}

/// A token for everything, signed with a secret that the broker does not know.
async fn forged() -> Result<String> {
    let directory = tempfile::tempdir()?;
    let secret = directory.path().join("other.key");
    std::fs::write(&secret, "another secret of thirty-two bytes")?;
    let secret = secret.to_str().context("a path of text")?;
    let claims = ["--sub", "7", "--audience", "here", "--allow", "*=*"];
    let made = cli::run(&[&["token", "--secret-file", secret], &claims[..]].concat()).await?;
    Ok(made.output.trim().to_owned())
}

/// A row of the table: the credential of somebody who joins a channel, and the code of the refusal, if it is one.
struct Row {
    credential: &'static str,
    channel: &'static str,
    shown: Option<String>,
    refused: Option<Code>,
}

async fn rows(guarded: &Guarded) -> Result<Vec<Row>> {
    let own = ["room-{sub}=subscribe"];
    let token = async |claims: &[&str], seconds| {
        let claims = [&["--sub", "7"], claims].concat();
        guarded.token_with(&claims, &own, seconds).await
    };
    let here = ["--audience", "here"];
    let valid = token(&here, 600).await?;
    let ended = token(&here, 0).await?;
    let elsewhere = token(&["--audience", "there"], 600).await?;
    let nowhere = token(&[], 600).await?;
    let revoked = token(&["--audience", "here", "--jti", "lost"], 600).await?;
    let end = json!({ "jti": "lost", "expires_at": 4_000_000_000_u64 });
    guarded.operate("/v1/revocations", &end).await?;
    let text = |text: &str| Some(text.to_owned());
    let refused = Some(Code::Unauthorized);
    let rows = [
        ("an API key", "room-7", text(&guarded.backend), None),
        ("nothing, where anybody may", "open:a", None, None),
        ("nothing", "room-7", None, refused),
        ("a token for it", "room-7", text(&valid), None),
        (
            "a token for another",
            "room-8",
            Some(valid),
            Some(Code::Forbidden),
        ),
        ("an ended token", "room-7", Some(ended), refused),
        ("a revoked token", "room-7", Some(revoked), refused),
        (
            "one for another audience",
            "room-7",
            Some(elsewhere),
            refused,
        ),
        ("one for no audience", "room-7", Some(nowhere), refused),
        ("a forged one", "room-7", Some(forged().await?), refused),
        ("no API key", "room-7", text("wck_x"), refused),
        (
            "a bad token, where anybody may",
            "open:a",
            text("a.b.c"),
            refused,
        ),
    ];
    let row = |(credential, channel, shown, refused)| Row {
        credential,
        channel,
        shown,
        refused,
    };
    Ok(rows.map(row).into())
}

#[tokio::test]
async fn each_credential_does_on_every_transport_what_it_may() -> Result<()> {
    let audience = |settings: Settings| settings.key("auth.jwt.audiences", "[\"here\"]");
    let guarded = Guarded::with(audience).await?;
    for row in rows(&guarded).await? {
        for transport in Transport::ALL {
            let mut join = Join::channel(row.channel);
            join.token.clone_from(&row.shown);
            let outcome = hears(&guarded, transport, &join).await?;
            let is_right = match (&outcome, row.refused) {
                (None, None) => true,
                (Some(refusal), Some(code)) => tells(refusal, code),
                _ => false,
            };
            assert!(
                is_right,
                "{transport:?} with {}: {outcome:?}, not {:?}",
                row.credential, row.refused
            );
        }
    }
    Ok(())
}

/// The ways of publishing over HTTP, each with its request.
fn ways(guarded: &Guarded, channel: &str) -> Vec<(&'static str, RequestBuilder)> {
    let post = |path: &str| {
        guarded
            .broker
            .http()
            .post(format!("{}{path}", guarded.broker.base()))
    };
    let message = json!({ "channel": channel, "data": 1 });
    let line = message.to_string();
    let ndjson = ("content-type", "application/x-ndjson");
    let path = format!("/channels/{channel}/messages");
    let ping = format!(
        "{}/channels/{channel}/publish.gif?data=x",
        guarded.broker.base()
    );
    vec![
        ("a text", post(&path).body("x")),
        ("JSON", post(&path).json(&1)),
        ("a form", post(&path).form(&[("a", "b")])),
        (
            "a batch",
            post("/v1/publish").json(&json!({ "messages": [message] })),
        ),
        (
            "lines",
            post("/v1/publish").header(ndjson.0, ndjson.1).body(line),
        ),
        ("an image ping", guarded.broker.http().get(ping)),
    ]
}

#[tokio::test]
async fn each_credential_publishes_in_every_way_what_it_may() -> Result<()> {
    let guarded =
        Guarded::with(|settings| settings.key("namespace.default.image_ping", "true")).await?;
    let allowed = guarded.token(&["room-{sub}=publish"], 600).await?;
    let listens = guarded.token(&["room-7=subscribe"], 600).await?;
    let ended = guarded.token(&["room-7=publish"], 0).await?;
    let claims = ["--sub", "7", "--jti", "lost"];
    let revoked = guarded
        .token_with(&claims, &["room-7=publish"], 600)
        .await?;
    let end = json!({ "jti": "lost", "expires_at": 4_000_000_000_u64 });
    guarded.operate("/v1/revocations", &end).await?;
    for (name, credential, refused) in [
        ("an API key", Some(&guarded.backend), None),
        ("a token for it", Some(&allowed), None),
        ("nothing", None, Some(Code::Unauthorized)),
        ("a token to listen", Some(&listens), Some(Code::Forbidden)),
        ("an ended token", Some(&ended), Some(Code::Unauthorized)),
        ("a revoked token", Some(&revoked), Some(Code::Unauthorized)),
        (
            "an API key for others",
            Some(&guarded.observer),
            Some(Code::Forbidden),
        ),
    ] {
        for (way, request) in ways(&guarded, "room-7") {
            let before = published(&guarded).await?;
            let request = match credential {
                Some(credential) => request.bearer_auth(credential),
                None => request,
            };
            let answer = request.send().await?;
            let status = answer.status().as_u16();
            let text = String::from_utf8_lossy(&answer.bytes().await?).into_owned();
            let told = refused.is_none_or(|code| text.contains(code.as_str()));
            assert!(told, "{way} with {name}: {status} {text}");
            let more = u64::from(refused.is_none());
            let after = published(&guarded).await?;
            assert_eq!(after, before + more, "{way} with {name}: {status} {text}");
        }
    }
    Ok(())
}

/// How many messages were published so far in `room-7`.
async fn published(guarded: &Guarded) -> Result<u64> {
    let path = "/channels/room-7/messages?limit=1";
    let page = guarded
        .ask(Method::GET, path, Some(&guarded.backend))
        .await?;
    let newest = &page.body["messages"][0]["offset"];
    Ok(newest.as_u64().unwrap_or(0))
}

#[tokio::test]
async fn a_hook_that_does_not_answer_lets_nobody_in_on_any_transport() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let secret = directory.path().join("hook.key");
    std::fs::write(&secret, "a secret of more than thirty-two bytes")?;
    // Nobody listens on the port of a socket that is bound and no more.
    let silent = tokio::net::TcpSocket::new_v4()?;
    silent.bind("127.0.0.1:0".parse()?)?;
    let settings = Settings::new()
        .key(
            "auth.hook.url",
            format!("\"http://{}/\"", silent.local_addr()?),
        )
        .key("auth.hook.secret_file", format!("{secret:?}"))
        .key("namespace.default.anonymous", "[\"*\"]")
        .key("namespace.default.jsonp", "true");
    let broker = Broker::with(settings).await?;
    for transport in Transport::ALL {
        let refused = broker.join(transport, &Join::channel("news")).await;
        let refusal = format!("{:?}", refused.err().context(format!("{transport:?}"))?);
        let is_told = tells(&refusal, Code::AuthorizationUnavailable);
        assert!(is_told, "{transport:?}: {refusal}");
    }
    Ok(())
}

#[tokio::test]
async fn a_cookie_counts_on_every_transport_and_only_for_listed_pages() -> Result<()> {
    let guarded = Guarded::start().await?;
    let token = guarded.token(&["news=subscribe"], 600).await?;
    let cookie = format!("Cookie: theme=dark; session_token={token}\r\n");
    let listed = "Origin: https://a.example\r\n";
    let unlisted = "Origin: https://evil.example\r\n";
    for target in [
        "/channels/news/ws",
        "/channels/news/sse",
        "/channels/news/stream",
        "/channels/news/poll",
        "/v1/sse?channel=news",
        "/v1/stream?channel=news",
        "/v1/poll?channel=news",
        "/channels/news/sse?format=message",
    ] {
        for (cookie, origin, expected) in [
            (&*cookie, listed, 200),
            ("", listed, 401),
            // Over plain HTTP a browser says no more than this of a GET of the broker's own page.
            (&cookie, "", 401),
            (&cookie, "Sec-Fetch-Site: same-origin\r\n", 200),
            (&cookie, "Sec-Fetch-Site: same-site\r\n", 401),
            (&cookie, unlisted, 403),
            ("", unlisted, 403),
        ] {
            let is_websocket = target.ends_with("/ws");
            let upgrade = if is_websocket {
                "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            } else {
                ""
            };
            let expected = if is_websocket && expected == 200 {
                101
            } else {
                expected
            };
            let mut page = Bare::connect(&guarded.broker).await?;
            page.get(target, &format!("{cookie}{origin}{upgrade}"))
                .await?;
            let head = String::from_utf8(page.until(b"\r\n\r\n").await?)?;
            let begin = format!("HTTP/1.1 {expected} ");
            assert!(
                head.starts_with(&begin),
                "{target} {origin} {cookie}: {head}"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn where_cookies_count_the_bridge_is_for_no_page_that_any_site_can_make() -> Result<()> {
    for (cookie, expected) in [("\"\"", 200), ("\"session_token\"", 403)] {
        let settings = Settings::new().key("server.allowed_origins", "[\"null\"]");
        let broker = Broker::with(settings.key("auth.cookie", cookie)).await?;
        let bridge = broker.base() + "/bridge.html?origin=null";
        let answer = broker.http().get(bridge).send().await?;
        assert_eq!(answer.status().as_u16(), expected, "{cookie}");
    }
    Ok(())
}
