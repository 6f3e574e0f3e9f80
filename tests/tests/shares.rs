//! The share of one address: what its clients are refused, so that all others are served.

use std::io::Write;
use std::net::Ipv4Addr;

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use widecast_tests::socket::Bare;
use widecast_tests::{Broker, Settings, eventually};

/// Another client than the harness, as far as the broker can tell.
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

const GZIP: &str = "Content-Encoding: gzip\r\n";

/// What opens a session or stream, on each transport.
const OPENING: [&str; 8] = [
    "/channels/a/ws",
    "/v1/ws",
    "/channels/a/sse",
    "/v1/sse?session=new",
    "/channels/a/stream",
    "/v1/stream?session=new",
    "/channels/a/poll?timeout=20",
    "/v1/poll?session=new&timeout=0",
];

/// The broker believes whoever connects, as it would a proxy on its own machine.
fn proxied() -> Settings {
    Settings::new().key("server.trusted_proxies", r#"["127.0.0.1"]"#)
}

/// Loopback is like any other address.
fn counted() -> Settings {
    Settings::new().key("limits.loopback_has_a_share", "true")
}

/// An answer as far as these tests look.
#[derive(Debug)]
struct Answer {
    status: u16,
    retry_after: Option<u64>,
    body: Value,
}

impl Answer {
    async fn of(connection: &mut Bare) -> Result<Self> {
        let head = String::from_utf8(connection.until(b"\r\n\r\n").await?)?.to_ascii_lowercase();
        let field = |name: &str| {
            let mut lines = head.lines();
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        };
        let status = head.get(9..12).context("a status")?.parse()?;
        let body = match field("content-length") {
            Some(length) => serde_json::from_slice(&connection.exactly(length.parse()?).await?)
                .unwrap_or_default(),
            None => Value::Null,
        };
        let retry_after = field("retry-after").map(str::parse).transpose()?;
        Ok(Self {
            status,
            retry_after,
            body,
        })
    }

    fn is_refused_for(&self, setting: &str) -> bool {
        let detail = self.body["detail"].as_str().unwrap_or_default();
        self.status == 429
            && self.body["code"] == "share_exceeded"
            && self.body["retryable"] == true
            && self.retry_after.is_some_and(|seconds| seconds > 0)
            && detail.contains(&format!("limits.{setting} "))
    }
}

/// Asks as a proxy does for a client; the connection carries the session, if one begins.
async fn ask_for(broker: &Broker, client: &str, target: &str) -> Result<(Bare, Answer)> {
    let mut connection = Bare::connect(broker).await?;
    let upgrade = if target.contains("/ws") {
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    } else {
        ""
    };
    let headers = format!("X-Forwarded-For: 9.9.9.9, {client}\r\n{upgrade}");
    connection.get(target, &headers).await?;
    let answer = Answer::of(&mut connection).await?;
    Ok((connection, answer))
}

async fn refusals(broker: &Broker, limit: &str) -> Result<f64> {
    let label = format!("limit=\"{limit}\"");
    let parts = ["widecast_share_refusals_total", &*label];
    Ok(broker.metrics().await?.sum(&parts))
}

#[tokio::test]
async fn sessions_of_one_address_leave_room_for_those_of_others() -> Result<()> {
    let broker = Broker::with(proxied().key("limits.sessions_per_address", "3")).await?;
    let mut held = Vec::new();
    for _ in 0..3 {
        let (connection, answer) = ask_for(&broker, "203.0.113.7", "/channels/a/sse").await?;
        assert_eq!(answer.status, 200, "{answer:?}");
        held.push(connection);
    }
    for target in OPENING {
        let (_, answer) = ask_for(&broker, "203.0.113.7", target).await?;
        assert!(
            answer.is_refused_for("sessions_per_address"),
            "{target}: {answer:?}"
        );
    }
    assert!(refusals(&broker, "sessions").await? >= 8.0);
    for target in OPENING
        .iter()
        .filter(|target| !target.contains("timeout=20"))
    {
        let (_, answer) = ask_for(&broker, "203.0.113.8", target).await?;
        assert!(matches!(answer.status, 101 | 200), "{target}: {answer:?}");
    }
    // What ends makes room.
    held.pop();
    eventually("room", async || {
        let (_, answer) = ask_for(&broker, "203.0.113.7", "/v1/poll?session=new&timeout=0").await?;
        Ok(answer.status == 200)
    })
    .await
}

#[tokio::test]
async fn a_network_of_ipv6_is_one_address() -> Result<()> {
    let broker = Broker::with(proxied().key("limits.sessions_per_address", "1")).await?;
    let open = async |client: &str| ask_for(&broker, client, "/channels/a/sse").await;
    let (_held, first) = open("2001:db8:1:2::1").await?;
    assert_eq!(first.status, 200);
    let (_, same) = open("[2001:db8:1:2:3::4]:5678").await?;
    assert_eq!(same.status, 429);
    let (_, other) = open("2001:db8:1:3::1").await?;
    assert_eq!(other.status, 200);
    Ok(())
}

#[tokio::test]
async fn only_a_trusted_proxy_may_name_the_client() -> Result<()> {
    let broker = Broker::with(counted().key("limits.sessions_per_address", "1")).await?;
    let (_held, first) = ask_for(&broker, "203.0.113.7", "/channels/a/sse").await?;
    assert_eq!(first.status, 200);
    let (_, second) = ask_for(&broker, "203.0.113.8", "/channels/a/sse").await?;
    assert!(second.is_refused_for("sessions_per_address"), "{second:?}");
    Ok(())
}

#[tokio::test]
async fn connections_of_one_address_leave_room_for_those_of_others() -> Result<()> {
    let broker = Broker::with(counted().key("limits.connections_per_address", "20")).await?;
    let mut held = Vec::new();
    for _ in 0..20 {
        let mut connection = Bare::connect_from(&broker, STRANGER).await?;
        connection.get("/health/live", "").await?;
        assert_eq!(Answer::of(&mut connection).await?.status, 200);
        held.push(connection);
    }
    let mut refused = Bare::connect_from(&broker, STRANGER).await?;
    let answer = Answer::of(&mut refused).await?;
    assert!(
        answer.is_refused_for("connections_per_address"),
        "{answer:?}"
    );
    assert_eq!(refused.to_end().await?, b"");
    // The harness comes from another address.
    assert!(refusals(&broker, "connections").await? >= 1.0);
    drop(held);
    eventually("room", async || {
        let mut connection = Bare::connect_from(&broker, STRANGER).await?;
        connection.get("/health/live", "").await?;
        Ok(Answer::of(&mut connection).await?.status == 200)
    })
    .await
}

#[tokio::test]
async fn connections_and_sessions_are_opened_no_faster_than_allowed() -> Result<()> {
    let settings = counted()
        .key("limits.connections_per_address_and_second", "5")
        .key("server.trusted_proxies", r#"["127.0.0.1"]"#)
        .key("limits.sessions_per_address_and_second", "5");
    let broker = Broker::with(settings).await?;
    let (mut connections, mut sessions) = (0, 0);
    for _ in 0..20 {
        let mut connection = Bare::connect_from(&broker, STRANGER).await?;
        connection.get("/health/live", "").await?;
        // A connection that is refused may be reset under the request.
        let answer = Answer::of(&mut connection).await;
        let is_refused =
            |answer: &Answer| answer.is_refused_for("connections_per_address_and_second");
        connections += usize::from(answer.as_ref().map_or(true, is_refused));
        let poll = "/v1/poll?session=new&timeout=0";
        let (_, answer) = ask_for(&broker, "203.0.113.7", poll).await?;
        sessions += usize::from(answer.is_refused_for("sessions_per_address_and_second"));
    }
    // On a slow machine some seconds pass meanwhile.
    assert!(connections > 0 && sessions > 0, "{connections} {sessions}");
    assert!(refusals(&broker, "new_connections").await? >= 1.0);
    assert!(refusals(&broker, "new_sessions").await? >= 1.0);
    Ok(())
}

fn zeros(count: usize) -> Result<Vec<u8>> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&vec![b'0'; count])?;
    Ok(gzip.finish()?)
}

#[tokio::test]
async fn work_that_costs_its_client_little_is_charged_to_its_address() -> Result<()> {
    let broker =
        Broker::with(proxied().key("limits.work_bytes_per_address_and_second", "1000")).await?;
    let body = zeros(1_000_000)?;
    let publish = async |client: &str, encoding: &str, body: &[u8]| -> Result<Answer> {
        let mut connection = Bare::connect(&broker).await?;
        let head = format!(
            "POST /channels/a/messages HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: {client}\r\n\
             Content-Type: text/plain\r\nContent-Length: {}\r\n{encoding}\r\n",
            body.len()
        );
        connection.send(head.as_bytes()).await?;
        connection.send(body).await?;
        Answer::of(&mut connection).await
    };
    let first = publish("203.0.113.7", GZIP, &body).await?;
    // The work was done, and is paid for by what comes next: the publication itself is work, too.
    assert!(
        first.is_refused_for("work_bytes_per_address_and_second"),
        "{first:?}"
    );
    for encoding in [GZIP, ""] {
        let again = publish("203.0.113.7", encoding, b"0").await?;
        assert!(
            again.is_refused_for("work_bytes_per_address_and_second"),
            "{again:?}"
        );
        assert!(
            again.retry_after > Some(900) || encoding.is_empty(),
            "{again:?}"
        );
    }
    assert_eq!(publish("203.0.113.8", "", b"0").await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn members_of_one_address_leave_room_for_those_of_others() -> Result<()> {
    let settings = proxied()
        .key("limits.members_per_address", "2")
        .key("presence.grace_ms", "100");
    let broker = Broker::with(settings).await?;
    let list = async |client: &str, channel: &str| {
        let target = format!("/channels/{channel}/ws?json&presence=true");
        ask_for(&broker, client, &target).await
    };
    let mut held = Vec::new();
    for channel in ["a", "b"] {
        let (connection, answer) = list("203.0.113.7", channel).await?;
        assert_eq!(answer.status, 101, "{answer:?}");
        held.push(connection);
    }
    let (_, refused) = list("203.0.113.7", "a").await?;
    assert!(refused.is_refused_for("members_per_address"), "{refused:?}");
    assert_eq!(list("203.0.113.8", "a").await?.1.status, 101);
    let (_, unlisted) = ask_for(&broker, "203.0.113.7", "/channels/a/ws?json").await?;
    assert_eq!(unlisted.status, 101);
    assert!(refusals(&broker, "members").await? >= 1.0);
    drop(held);
    eventually("they are shown no longer", async || {
        Ok(list("203.0.113.7", "a").await?.1.status == 101)
    })
    .await
}

#[tokio::test]
async fn idempotency_keys_are_charged_to_an_address() -> Result<()> {
    let broker = Broker::with(proxied().key("limits.idempotency_keys_per_address", "1")).await?;
    let publish = async |client: &str, query: &str| -> Result<Answer> {
        let mut connection = Bare::connect(&broker).await?;
        let head = format!(
            "POST /channels/a/messages{query} HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: {client}\r\n\
             Content-Type: text/plain\r\nContent-Length: 1\r\n\r\n0"
        );
        connection.send(head.as_bytes()).await?;
        Answer::of(&mut connection).await
    };
    assert_eq!(publish("203.0.113.7", "?message_id=1").await?.status, 200);
    let refused = publish("203.0.113.7", "?message_id=2").await?;
    assert!(
        refused.is_refused_for("idempotency_keys_per_address"),
        "{refused:?}"
    );
    // They are remembered for five minutes.
    assert!(refused.retry_after > Some(60), "{refused:?}");
    assert_eq!(publish("203.0.113.7", "").await?.status, 200);
    assert_eq!(publish("203.0.113.8", "?message_id=2").await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn channels_of_a_url_are_work() -> Result<()> {
    let broker =
        Broker::with(proxied().key("limits.work_bytes_per_address_and_second", "1000")).await?;
    let channels: Vec<String> = (0..200).map(|number| number.to_string()).collect();
    let channels = channels.join("&channel=");
    let poll = format!("/v1/poll?timeout=0&channel={channels}");
    assert_eq!(ask_for(&broker, "203.0.113.7", &poll).await?.1.status, 200);
    let (_, refused) = ask_for(&broker, "203.0.113.7", &poll).await?;
    assert!(
        refused.is_refused_for("work_bytes_per_address_and_second"),
        "{refused:?}"
    );
    assert_eq!(ask_for(&broker, "203.0.113.8", &poll).await?.1.status, 200);
    Ok(())
}

/// The address of a client as a proxy tells it in the PROXY protocol, in either version.
fn proxy_header(version: u8, client: Ipv4Addr) -> Vec<u8> {
    if version == 1 {
        return format!("PROXY TCP4 {client} 127.0.0.1 4660 80\r\n").into_bytes();
    }
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    header.extend(client.octets());
    header.extend([127, 0, 0, 1, 0x12, 0x34, 0, 80]);
    header
}

#[tokio::test]
async fn a_proxy_that_looks_into_no_request_says_for_whom_it_connects() -> Result<()> {
    let settings = Settings::new()
        .key("server.trusted_proxies", format!(r#"["{STRANGER}"]"#))
        .key("server.proxy_protocol", "true")
        .key("limits.connections_per_address", "2");
    let broker = Broker::with(settings).await?;
    for version in [1, 2] {
        let connect = async |client: Ipv4Addr, at_once: bool| {
            let mut connection = Bare::connect_from(&broker, STRANGER).await?;
            let header = proxy_header(version, client);
            if at_once {
                let head = b"GET /health/live HTTP/1.1\r\nHost: broker\r\n\r\n";
                connection.send(&[&header[..], head].concat()).await?;
            } else {
                for byte in header {
                    connection.send(&[byte]).await?;
                }
                connection.get("/health/live", "").await?;
            }
            let answer = Answer::of(&mut connection).await?;
            anyhow::Ok((connection, answer))
        };
        let (one, other) = (
            Ipv4Addr::new(203, 0, 113, version),
            Ipv4Addr::new(198, 51, 100, version),
        );
        let first = connect(one, true).await?;
        let second = connect(one, false).await?;
        assert_eq!((first.1.status, second.1.status), (200, 200));
        let refused = connect(one, true).await?.1;
        assert!(
            refused.is_refused_for("connections_per_address"),
            "{refused:?}"
        );
        assert_eq!(connect(other, true).await?.1.status, 200);
    }
    // One that is trusted has to say it, and one that is not cannot.
    let mut silent = Bare::connect_from(&broker, STRANGER).await?;
    silent.get("/health/live", "").await?;
    assert_eq!(silent.to_end().await?, b"");
    let mut stranger = Bare::connect(&broker).await?;
    stranger.send(&proxy_header(1, Ipv4Addr::LOCALHOST)).await?;
    stranger.get("/health/live", "").await?;
    assert_eq!(Answer::of(&mut stranger).await?.status, 400);
    Ok(())
}
