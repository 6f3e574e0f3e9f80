//! Who may listen and publish, as tables: each credential, page and cookie, on every transport and in every way.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use reqwest::{Method, RequestBuilder};
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpSocket;
use widecast_protocol::Code;
use widecast_tests::broker::Answer;
use widecast_tests::guarded::{Guarded, assert_refused};
use widecast_tests::socket::Bare;
use widecast_tests::{
    Broker, Heard, Join, Settings, Subscriber, Transport, cli, eventually, within,
};

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
fn ways(broker: &Broker, channel: &str) -> Vec<(&'static str, RequestBuilder)> {
    let post = |path: &str| broker.http().post(format!("{}{path}", broker.base()));
    let message = json!({ "channel": channel, "data": 1 });
    let line = message.to_string();
    let ndjson = ("content-type", "application/x-ndjson");
    let path = format!("/channels/{channel}/messages");
    let ping = format!("{}/channels/{channel}/publish.gif?data=x", broker.base());
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
        ("an image ping", broker.http().get(ping)),
    ]
}

#[tokio::test]
async fn each_credential_publishes_in_every_way_what_it_may() -> Result<()> {
    let guarded = Guarded::with(|settings| {
        settings
            .key("namespace.default.image_ping", "true")
            .key("auth.jwt.audiences", "[\"here\"]")
    })
    .await?;
    let token = async |claims: &[&str], right: &str, seconds| {
        let claims = [&["--sub", "7"], claims].concat();
        guarded.token_with(&claims, &[right], seconds).await
    };
    let here = ["--audience", "here"];
    let allowed = token(&here, "room-{sub}=publish", 600).await?;
    let listens = token(&here, "room-7=subscribe", 600).await?;
    let ended = token(&here, "room-7=publish", 0).await?;
    let elsewhere = token(&["--audience", "there"], "room-7=publish", 600).await?;
    let nowhere = token(&[], "room-7=publish", 600).await?;
    let named = ["--audience", "here", "--jti", "lost"];
    let revoked = token(&named, "room-7=publish", 600).await?;
    let forged = forged().await?;
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
            "one for another audience",
            Some(&elsewhere),
            Some(Code::Unauthorized),
        ),
        (
            "one for no audience",
            Some(&nowhere),
            Some(Code::Unauthorized),
        ),
        ("a forged one", Some(&forged), Some(Code::Unauthorized)),
        (
            "an API key for others",
            Some(&guarded.observer),
            Some(Code::Forbidden),
        ),
    ] {
        for (way, request) in ways(&guarded.broker, "room-7") {
            let before = published(&guarded, "room-7").await?;
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
            let after = published(&guarded, "room-7").await?;
            assert_eq!(after, before + more, "{way} with {name}: {status} {text}");
        }
    }
    Ok(())
}

/// How many messages were published so far in a channel.
async fn published(guarded: &Guarded, channel: &str) -> Result<u64> {
    let path = format!("/channels/{channel}/messages?limit=1");
    let page = guarded
        .ask(Method::GET, &path, Some(&guarded.backend))
        .await?;
    let newest = &page.body["messages"][0]["offset"];
    Ok(newest.as_u64().unwrap_or(0))
}

/// What becomes of a token that a session has been opened with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Nothing.
    Lasts,
    /// It ends by itself.
    Ends,
    /// It is taken back.
    IsRevoked,
    /// The session was opened without it, and shows it later; that is for those that can.
    IsShownLater,
}

/// A row of the table of publishing over sessions, in which anybody may listen.
struct Publishing {
    credential: &'static str,
    shown: Option<String>,
    fate: Fate,
    refused: Option<Code>,
}

async fn publishing(guarded: &Guarded, seconds: u32) -> Result<Vec<Publishing>> {
    let token = async |claims: &[&str], right: &str, seconds| {
        let claims = [&["--sub", "7"], claims].concat();
        let token = guarded.token_with(&claims, &[right], seconds).await?;
        anyhow::Ok(Some(token))
    };
    let here = ["--audience", "here"];
    let lost = ["--audience", "here", "--jti", "lost"];
    let (all, unauthorized) = ("open:*=publish", Some(Code::Unauthorized));
    let elsewhere = token(&["--audience", "there"], all, 600).await?;
    let row = |credential, shown, fate, refused| Publishing {
        credential,
        shown,
        fate,
        refused,
    };
    Ok(vec![
        row(
            "an API key",
            Some(guarded.backend.clone()),
            Fate::Lasts,
            None,
        ),
        row(
            "a token for it",
            token(&here, all, 600).await?,
            Fate::Lasts,
            None,
        ),
        row("nothing", None, Fate::Lasts, unauthorized),
        row(
            "a token to listen",
            token(&here, "open:*=subscribe", 600).await?,
            Fate::Lasts,
            Some(Code::Forbidden),
        ),
        row(
            "an ended token",
            token(&here, all, seconds).await?,
            Fate::Ends,
            unauthorized,
        ),
        row(
            "a revoked token",
            token(&lost, all, 600).await?,
            Fate::IsRevoked,
            unauthorized,
        ),
        row(
            "one for another audience",
            elsewhere,
            Fate::IsShownLater,
            unauthorized,
        ),
        row(
            "a forged one",
            Some(forged().await?),
            Fate::IsShownLater,
            unauthorized,
        ),
    ])
}

/// A session of the table, and the channel that it alone publishes in.
struct Session {
    row: usize,
    channel: String,
    subscriber: Subscriber,
}

/// Joins on every transport that publishes, for every row.
async fn sessions(guarded: &Guarded, table: &[Publishing]) -> Result<Vec<Session>> {
    let mut sessions = Vec::new();
    for transport in Transport::ALL.into_iter().filter(|it| it.sends()) {
        for (row, publishing) in table.iter().enumerate() {
            let shows_later = publishing.fate == Fate::IsShownLater;
            if shows_later && !transport.is_envelope() {
                continue;
            }
            let channel = format!("open:{row}-{transport:?}");
            let mut join = Join::channel(&channel);
            if !shows_later {
                join.token.clone_from(&publishing.shown);
            }
            let subscriber = guarded.broker.join(transport, &join).await?;
            sessions.push(Session {
                row,
                channel,
                subscriber,
            });
        }
    }
    Ok(sessions)
}

/// What a session is told when it publishes: nothing if the message has gone through, else the code or the text.
async fn told(guarded: &Guarded, session: &mut Session) -> Result<Option<String>> {
    let Session {
        channel,
        subscriber,
        ..
    } = session;
    if let Err(refused) = subscriber.publish(channel, "x").await {
        return Ok(Some(format!("{refused:?}")));
    }
    // A session that publishes by a command has its answer.
    while !subscriber.transport().is_envelope() {
        if published(guarded, channel).await? > 0 {
            break;
        }
        let glance = Duration::from_millis(20);
        match tokio::time::timeout(glance, subscriber.listen()).await {
            Err(_) => {}
            Ok(Ok(Heard::Closed { code, .. })) => return Ok(Some(format!("{code:?}"))),
            Ok(Ok(Heard::Frame(frame))) if frame["code"].is_string() => {
                return Ok(Some(frame.to_string()));
            }
            Ok(Ok(Heard::Message(message))) if message.data["code"].is_string() => {
                return Ok(Some(message.data.to_string()));
            }
            Ok(heard) => drop(heard?),
        }
    }
    Ok(None)
}

#[tokio::test]
async fn each_credential_publishes_in_every_session_what_it_may() -> Result<()> {
    let audience = |settings: Settings| settings.key("auth.jwt.audiences", "[\"here\"]");
    let guarded = Guarded::with(audience).await?;
    // On a busy machine a short token may have ended before all have joined.
    let mut opened = None;
    for seconds in [3, 12, 48] {
        let table = publishing(&guarded, seconds).await?;
        if let Ok(sessions) = sessions(&guarded, &table).await {
            opened = Some((table, sessions));
            break;
        }
    }
    let (table, mut sessions) = opened.context("no token was valid for long enough to join")?;
    let end = json!({ "jti": "lost", "expires_at": 4_000_000_000_u64 });
    guarded.operate("/v1/revocations", &end).await?;
    let ends = table.iter().find(|row| row.fate == Fate::Ends);
    let short = ends.and_then(|row| row.shown.as_deref());
    eventually("the short token has ended", async || {
        let answer = guarded.publish("open:a", short).await?;
        Ok(answer.status == 401)
    })
    .await?;
    for session in &mut sessions {
        let row = &table[session.row];
        let transport = session.subscriber.transport();
        let what = format!("{transport:?} with {}", row.credential);
        if row.fate == Fate::IsShownLater {
            let command = json!({ "type": "authenticate", "token": row.shown });
            let reply = session.subscriber.envelope()?.command(command).await?;
            assert_eq!(reply["code"], "unauthorized", "{what}: {reply}");
        }
        let told = within(&what, told(&guarded, session)).await?;
        let is_right = match (&told, row.refused) {
            (None, None) => true,
            (Some(told), Some(code)) => {
                told.contains(code.as_str()) || told.contains(&code.close_code().to_string())
            }
            _ => false,
        };
        assert!(is_right, "{what}: {told:?}, not {:?}", row.refused);
        let count = u64::from(row.refused.is_none());
        let published = published(&guarded, &session.channel).await?;
        assert_eq!(published, count, "{what}");
    }
    Ok(())
}

/// A broker whose hook does not answer.
struct Unanswered {
    broker: Broker,
    /// Nobody listens on the port of a socket that is bound and no more.
    _silent: TcpSocket,
    _directory: TempDir,
}

/// Starts one that asks the hook on these occasions.
async fn unanswered(events: &str) -> Result<Unanswered> {
    let directory = tempfile::tempdir()?;
    let secret = directory.path().join("hook.key");
    std::fs::write(&secret, "a secret of more than thirty-two bytes")?;
    let silent = TcpSocket::new_v4()?;
    silent.bind("127.0.0.1:0".parse()?)?;
    let url = format!("\"http://{}/\"", silent.local_addr()?);
    let settings = Settings::new()
        .key("auth.hook.url", url)
        .key("auth.hook.secret_file", format!("\"{}\"", secret.display()))
        .key("auth.hook.events", events)
        .key("namespace.default.anonymous", "[\"*\"]")
        .script_access("default");
    Ok(Unanswered {
        broker: Broker::with(settings).await?,
        _silent: silent,
        _directory: directory,
    })
}

#[tokio::test]
async fn a_hook_that_does_not_answer_lets_nobody_in_on_any_transport() -> Result<()> {
    // Asked when somebody connects, or not before a channel is joined.
    for events in ["[\"connect\"]", "[\"subscribe\"]"] {
        let unanswered = unanswered(events).await?;
        let broker = &unanswered.broker;
        for transport in Transport::ALL {
            let refused = broker.join(transport, &Join::channel("news")).await;
            let refusal = format!("{:?}", refused.err().context(format!("{transport:?}"))?);
            let is_told = tells(&refusal, Code::AuthorizationUnavailable);
            assert!(is_told, "{events} {transport:?}: {refusal}");
        }
        for path in ["messages", "presence", "messages/1"] {
            let url = format!("{}/channels/news/{path}", broker.base());
            let answer = Answer::read(broker.http().get(url).send().await?).await?;
            assert_refused(&answer, Code::AuthorizationUnavailable);
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_hook_that_does_not_answer_lets_nothing_be_published_in_any_way() -> Result<()> {
    let code = Code::AuthorizationUnavailable;
    let unanswered = unanswered("[\"publish\"]").await?;
    let broker = &unanswered.broker;
    for (way, request) in ways(broker, "news") {
        let answer = request.send().await?;
        let after = answer.headers().get("retry-after").cloned();
        let status = answer.status().as_u16();
        let text = String::from_utf8_lossy(&answer.bytes().await?).into_owned();
        assert!(text.contains(code.as_str()), "{way}: {status} {text}");
        // A batch is answered as such.
        assert_eq!(status == 503, after.is_some(), "{way}: {status} {text}");
    }
    for transport in Transport::ALL.into_iter().filter(|it| it.sends()) {
        let mut subscriber = broker.join(transport, &Join::channel("news")).await?;
        let mut told = subscriber.publish("news", "x").await.err();
        if !transport.is_envelope() {
            told = match subscriber.next().await? {
                Heard::Message(message) => Some(anyhow!("{}", message.data)),
                heard => Some(anyhow!("{heard:?}")),
            };
        }
        let told = format!("{:?}", told.context(format!("{transport:?}"))?);
        let close = code.close_code().to_string();
        let is_told = told.contains(code.as_str()) || told.contains(&close);
        assert!(is_told, "{transport:?}: {told}");
    }
    assert!(broker.end_of("news").await?.ends_with("-0"));
    Ok(())
}

/// What the broker makes of a request that a page has sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Page {
    /// Its cookie counts.
    Trusted,
    /// It has no cookie, or one that does not count.
    Nobody,
    /// It may not talk to the broker at all.
    Unlisted,
}

/// Whether a page has a cookie, what its browser says of it, and what that makes it.
const PAGES: [(bool, &str, &str, Page); 7] = [
    (true, "Origin", "https://a.example", Page::Trusted),
    (false, "Origin", "https://a.example", Page::Nobody),
    // Over plain HTTP a browser says no more than this of a GET of the broker's own page.
    (true, "Accept", "*/*", Page::Nobody),
    (true, "Sec-Fetch-Site", "same-origin", Page::Trusted),
    (true, "Sec-Fetch-Site", "same-site", Page::Nobody),
    (true, "Origin", "https://evil.example", Page::Unlisted),
    (false, "Origin", "https://evil.example", Page::Unlisted),
];

/// The status with which the broker answers a page's GET, or its handshake.
async fn visit(broker: &Broker, target: &str, headers: &str) -> Result<u16> {
    let path = target.split('?').next().unwrap_or(target);
    let upgrade = if path.ends_with("/ws") {
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    } else {
        ""
    };
    let mut page = Bare::connect(broker).await?;
    page.get(target, &format!("{headers}{upgrade}")).await?;
    let head = String::from_utf8(page.until(b"\r\n\r\n").await?)?;
    let status = head.split(' ').nth(1).context("a status")?;
    Ok(status.parse()?)
}

/// Every page at every target; the answers are those to pages that are trusted, nobody and unlisted.
async fn assert_visits(
    guarded: &Guarded,
    targets: &[&str],
    token: &str,
    answers: [&[u16]; 3],
) -> Result<()> {
    for target in targets {
        for (has_cookie, name, value, page) in PAGES {
            let mut headers = format!("{name}: {value}\r\n");
            if has_cookie {
                write!(headers, "Cookie: theme=dark; session_token={token}\r\n")?;
            }
            let status = visit(&guarded.broker, target, &headers).await?;
            let expected = answers[page as usize];
            assert!(
                expected.contains(&status),
                "{target} {headers}: {status}, not {expected:?}"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_cookie_counts_on_every_transport_and_only_for_listed_pages() -> Result<()> {
    let guarded = Guarded::start().await?;
    let token = guarded.token(&["news=*"], 600).await?;
    let targets = [
        "/channels/news/ws",
        "/channels/news/sse",
        "/channels/news/stream",
        "/channels/news/poll",
        "/v1/sse?channel=news",
        "/v1/stream?channel=news",
        "/v1/poll?channel=news",
        "/channels/news/sse?format=message",
        "/channels/news/messages",
        "/channels/news/presence",
        "/channels/news",
    ];
    assert_visits(&guarded, &targets, &token, [&[200, 101], &[401], &[403]]).await?;
    // Anybody may open a session, but not with a credential that is wrong: so it shows whether a cookie counts.
    let targets = [
        "/v1/ws",
        "/v1/sse?session=new",
        "/v1/stream?session=new",
        "/v1/poll?session=new",
    ];
    assert_visits(&guarded, &targets, "a.b.c", [&[401], &[200, 101], &[403]]).await
}

#[tokio::test]
async fn a_cookie_counts_in_every_way_of_publishing_and_only_for_listed_pages() -> Result<()> {
    let guarded = Guarded::start().await?;
    let token = guarded.token(&["news=publish"], 600).await?;
    for (has_cookie, name, value, page) in PAGES {
        // An image is not for cookies.
        let ways = ways(&guarded.broker, "news").into_iter();
        for (way, request) in ways.filter(|(way, _)| *way != "an image ping") {
            let before = published(&guarded, "news").await?;
            let mut request = request.header(name, value);
            if has_cookie {
                request = request.header("cookie", format!("theme=dark; session_token={token}"));
            }
            let text = request.send().await?.text().await?;
            let told = match page {
                Page::Trusted => "\"offset\":",
                Page::Nobody => "unauthorized",
                Page::Unlisted => "origin_not_allowed",
            };
            let what = format!("{way} {has_cookie} {name} {value}: {text}");
            assert!(text.contains(told), "{what}");
            let more = u64::from(page == Page::Trusted);
            let after = published(&guarded, "news").await?;
            assert_eq!(after, before + more, "{what}");
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
