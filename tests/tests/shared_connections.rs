//! Requests of several clients on one connection, as a proxy sends them: each counts for itself, and the broker, which remembers what
//! the last credential on a connection has proved, decides as on a new one.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use widecast_tests::guarded::{Guarded, key};
use widecast_tests::socket::Bare;
use widecast_tests::{Broker, Settings, eventually};

/// A client that sends all its requests on one connection.
struct OneConnection(Bare);

impl OneConnection {
    async fn to(broker: &Broker) -> Result<Self> {
        Ok(Self(Bare::connect(broker).await?))
    }

    /// Publishes to `news`, with these fields in the head. The text is empty where the request is refused because of its head: a body that
    /// nobody reads would end the connection.
    async fn publish_with(&mut self, fields: &str, text: &str) -> Result<(u16, Value)> {
        let length = text.len();
        let request = format!(
            "POST /channels/news/messages HTTP/1.1\r\nHost: localhost\r\n{fields}Content-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{text}"
        );
        self.0.send(request.as_bytes()).await?;
        let head = String::from_utf8(self.0.until(b"\r\n\r\n").await?)?.to_ascii_lowercase();
        let status = head.get(9..12).context("a status")?.parse()?;
        let mut lines = head.lines();
        let length = lines.find_map(|line| line.strip_prefix("content-length: "));
        let body = self.0.exactly(length.context("a length")?.parse()?).await?;
        Ok((status, serde_json::from_slice(&body)?))
    }

    /// The status of a publication with this credential.
    async fn publish(&mut self, credential: &str) -> Result<u16> {
        let field = format!("Authorization: Bearer {credential}\r\n");
        Ok(self.publish_with(&field, "").await?.0)
    }

    /// Why a publication with this credential is refused.
    async fn refusal(&mut self, credential: &str) -> Result<String> {
        let field = format!("Authorization: Bearer {credential}\r\n");
        let (status, body) = self.publish_with(&field, "").await?;
        assert_eq!(status, 401, "{body}");
        Ok(body["detail"].as_str().context("a text")?.to_owned())
    }
}

/// The credential with another last character.
fn forged(credential: &str) -> String {
    // The last character of a digest in base64 has bits that count for nothing, the one before it has none.
    let (begin, end) = credential.split_at(credential.len() - 2);
    let other = if end.starts_with('A') { "B" } else { "A" };
    format!("{begin}{other}{}", &end[1..])
}

#[tokio::test]
async fn each_request_counts_for_its_own_credential() -> Result<()> {
    let guarded = Guarded::start().await?;
    let may = guarded.token(&["news=publish"], 600).await?;
    let may_not = guarded.token(&["news=history"], 600).await?;
    let mut client = OneConnection::to(&guarded.broker).await?;
    for _ in 0..2 {
        for known in [&may, &guarded.backend] {
            assert_eq!(client.publish(known).await?, 200);
            // Remembered by now, and nothing else passes for it.
            assert_eq!(client.publish(known).await?, 200);
            assert_eq!(client.publish(&forged(known)).await?, 401);
            assert_eq!(client.publish(&known[..known.len() - 1]).await?, 401);
            assert_eq!(client.publish(&format!("{known}A")).await?, 401);
            assert_eq!(client.publish_with("", "").await?.0, 401);
            assert_eq!(client.publish(known).await?, 200);
            assert_eq!(client.publish(&may_not).await?, 403);
            assert_eq!(client.publish(&guarded.observer).await?, 403);
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_token_that_is_revoked_counts_no_longer() -> Result<()> {
    let guarded = Guarded::start().await?;
    let claims = ["--sub", "7", "--jti", "a1"];
    let token = guarded.token_with(&claims, &["news=publish"], 600).await?;
    let mut client = OneConnection::to(&guarded.broker).await?;
    assert_eq!(client.publish(&token).await?, 200);
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let revocation = json!({ "jti": "a1", "expires_at": now + 3600 });
    guarded.operate("/v1/revocations", &revocation).await?;
    for _ in 0..2 {
        let refusal = client.refusal(&token).await?;
        assert!(refusal.contains("revoked"), "{refusal}");
    }
    Ok(())
}

#[tokio::test]
async fn a_token_that_ends_counts_no_longer() -> Result<()> {
    let guarded = Guarded::start().await?;
    let mut client = OneConnection::to(&guarded.broker).await?;
    let mut valid = None;
    // On a busy machine the first ones may have ended before they are shown.
    for seconds in [1, 2, 4, 8, 16] {
        let token = guarded.token(&["news=publish"], seconds).await?;
        if client.publish(&token).await? == 200 {
            valid = Some(token);
            break;
        }
    }
    let token = valid.context("a token that is valid for long enough")?;
    eventually("the token has ended", async || {
        Ok(client.publish(&token).await? == 401)
    })
    .await?;
    let refusal = client.refusal(&token).await?;
    assert!(refusal.contains("expired"), "{refusal}");
    Ok(())
}

#[tokio::test]
async fn a_token_whose_key_is_exchanged_counts_no_longer() -> Result<()> {
    let guarded = Guarded::start().await?;
    let token = guarded.token(&["news=publish"], 600).await?;
    let mut client = OneConnection::to(&guarded.broker).await?;
    assert_eq!(client.publish(&token).await?, 200);
    std::fs::write(&guarded.secret, "fedcba9876543210fedcba9876543210")?;
    eventually("the old key counts no longer", async || {
        Ok(client.publish(&token).await? == 401)
    })
    .await?;
    let refusal = client.refusal(&token).await?;
    assert!(refusal.contains("signature"), "{refusal}");
    let new = guarded.token(&["news=publish"], 600).await?;
    assert_eq!(client.publish(&new).await?, 200);
    Ok(())
}

#[tokio::test]
async fn a_key_that_a_proxy_passes_on_is_for_the_addresses_of_its_clients() -> Result<()> {
    let (key, hash) = key("backend").await?;
    let keys = format!(
        "[{{ name = \"backend\", hash = \"{hash}\", allow = {{ \"*\" = [\"*\"] }}, addresses = [\"10.0.0.0/8\"] }}]"
    );
    let settings = Settings::new()
        .key("auth.api_key", keys)
        .key("server.trusted_proxies", "[\"127.0.0.1\"]");
    let broker = Broker::with(settings).await?;
    let mut proxy = OneConnection::to(&broker).await?;
    for (client, status) in [
        ("10.1.2.3", 200),
        ("192.0.2.1", 401),
        ("10.1.2.3", 200),
        ("127.0.0.1", 401),
    ] {
        let fields = format!("Authorization: Bearer {key}\r\nX-Forwarded-For: {client}\r\n");
        let (answered, body) = proxy.publish_with(&fields, "").await?;
        assert_eq!(answered, status, "{client} {body}");
    }
    Ok(())
}

#[tokio::test]
async fn a_share_is_that_of_a_client_whoever_has_opened_the_connection() -> Result<()> {
    // The first message takes what a second grants, and much more.
    const TEXT: &str = "a text of many bytes, of which a second grants one";
    let strict = || {
        Settings::new()
            .key("limits.work_bytes_per_address_and_second", "1")
            .key("limits.loopback_has_a_share", "true")
    };
    let proxied = strict().key("server.trusted_proxies", "[\"127.0.0.1\"]");
    let broker = Broker::with(proxied).await?;
    let mut proxy = OneConnection::to(&broker).await?;
    let mut status = async |client: &str| {
        let field = format!("X-Forwarded-For: {client}\r\n");
        anyhow::Ok(proxy.publish_with(&field, TEXT).await?.0)
    };
    assert_eq!(status("192.0.2.1").await?, 200);
    assert_eq!(status("192.0.2.1").await?, 429);
    assert_eq!(status("192.0.2.2").await?, 200);
    assert_eq!(status("192.0.2.1").await?, 429);

    let broker = Broker::with(strict()).await?;
    let mut first = OneConnection::to(&broker).await?;
    let mut second = OneConnection::to(&broker).await?;
    assert_eq!(first.publish_with("", TEXT).await?.0, 200);
    assert_eq!(first.publish_with("", TEXT).await?.0, 429);
    assert_eq!(second.publish_with("", TEXT).await?.0, 429);
    Ok(())
}
