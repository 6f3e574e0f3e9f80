//! Quotas: how much one session, user, API key or channel may publish in a second, and how many sessions a user may have.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tempfile::TempDir;
use widecast_tests::broker::Answer;
use widecast_tests::guarded::{SECRET, key as api_key};
use widecast_tests::{Broker, Join, Settings, Transport, cli, eventually};

/// A broker with these limits that takes tokens and an API key.
struct Limited {
    broker: Broker,
    key: String,
    secret: String,
    _directory: TempDir,
}

impl Limited {
    async fn start(limits: &[(&str, u64)]) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let secret = directory.path().join("jwt.key");
        std::fs::write(&secret, SECRET)?;
        let secret = secret.to_str().context("a path of text")?.to_owned();
        let (key, hash) = api_key("backend").await?;
        let keys = format!(
            "[{{ name = \"backend\", hash = \"{hash}\", operator = true, allow = {{ \"*\" = [\"*\"] }} }}]"
        );
        let mut settings = Settings::new()
            .key("auth.jwt.hmac_secret_file", format!("{secret:?}"))
            .key("auth.api_key", keys)
            .key("namespace.default.anonymous", "[\"*\"]");
        for (name, value) in limits {
            settings = settings.key(&format!("limits.{name}"), value.to_string());
        }
        Ok(Self {
            broker: Broker::with(settings).await?,
            key,
            secret,
            _directory: directory,
        })
    }

    async fn token(&self, user: &str) -> Result<String> {
        let made = cli::run(&["token", "--secret-file", &self.secret, "--sub", user]).await?;
        Ok(made.output.trim().to_owned())
    }

    /// Publishes until it is refused, and gives that answer with the header `Retry-After`.
    async fn publish_too_much(&self, channel: &str, who: Option<&str>) -> Result<(Answer, String)> {
        for _ in 0..1000 {
            let url = format!("{}/channels/{channel}/messages", self.broker.base());
            let mut request = self.broker.http().post(url).body("0123456789");
            if let Some(who) = who {
                request = request.bearer_auth(who);
            }
            let answer = request.send().await?;
            let after = answer.headers().get("retry-after");
            let after = after.and_then(|after| after.to_str().ok());
            let after = after.unwrap_or_default().to_owned();
            let answer = Answer::read(answer).await?;
            if answer.status != 200 {
                return Ok((answer, after));
            }
        }
        anyhow::bail!("all of it was published")
    }

    async fn published(&self, channel: &str, who: Option<&str>) -> Result<u16> {
        let url = format!("{}/channels/{channel}/messages", self.broker.base());
        let mut request = self.broker.http().post(url).body("0123456789");
        if let Some(who) = who {
            request = request.bearer_auth(who);
        }
        Ok(request.send().await?.status().as_u16())
    }
}

fn assert_exceeded(answer: &Answer, setting: &str) {
    assert_eq!(answer.status, 429, "{answer:?}");
    assert_eq!(answer.body["code"], "share_exceeded", "{answer:?}");
    let detail = answer.body["detail"].as_str().unwrap_or_default();
    assert!(detail.contains(setting), "{answer:?}");
}

#[tokio::test]
async fn a_user_an_api_key_and_a_channel_have_a_quota_of_their_own() -> Result<()> {
    // So little that no machine is slow enough to publish it in time.
    let limited = Limited::start(&[
        ("publications_per_user_and_second", 1),
        ("publication_bytes_per_api_key_and_second", 5),
    ])
    .await?;
    let (one, other) = (limited.token("7").await?, limited.token("8").await?);
    let (refused, after) = limited.publish_too_much("a", Some(&one)).await?;
    assert_exceeded(&refused, "limits.publications_per_user_and_second ");
    assert_eq!(after, "1");
    assert_eq!(limited.published("a", Some(&other)).await?, 200);
    assert_eq!(limited.published("a", None).await?, 200);
    let (refused, after) = limited.publish_too_much("a", Some(&limited.key)).await?;
    assert_exceeded(&refused, "limits.publication_bytes_per_api_key_and_second ");
    assert!(after.parse::<u32>()? >= 1, "{after}");
    let metrics = limited
        .broker
        .http()
        .get(format!("{}/metrics", limited.broker.base()));
    let metrics = metrics
        .bearer_auth(&limited.key)
        .send()
        .await?
        .text()
        .await?;
    for limit in ["user_publications", "api_key_bytes"] {
        let counted = format!("widecast_share_refusals_total{{limit=\"{limit}\"}} 1\n");
        assert!(metrics.contains(&counted), "{metrics}");
    }
    eventually("a second has passed", async || {
        Ok(limited.published("a", Some(&one)).await? == 200)
    })
    .await?;

    let limited = Limited::start(&[("publications_per_channel_and_second", 1)]).await?;
    let (refused, _) = limited.publish_too_much("a", None).await?;
    assert_exceeded(&refused, "limits.publications_per_channel_and_second ");
    assert_eq!(limited.published("b", Some(&limited.key)).await?, 200);
    Ok(())
}

#[tokio::test]
async fn a_session_is_told_when_it_may_publish_again() -> Result<()> {
    let limited = Limited::start(&[("publications_per_session_and_second", 1)]).await?;
    let messages: Vec<Value> = (0..100)
        .map(|number| json!({ "channel": "a", "data": number }))
        .collect();
    let batch = json!({ "type": "batch", "messages": messages });
    for transport in [Transport::JsonWebSocket, Transport::MessagePackStream] {
        let mut session = limited.broker.join(transport, &Join::channels(&[])).await?;
        let reply = session.envelope()?.command(batch.clone()).await?;
        let results = reply["results"].as_array().context("results")?;
        assert_eq!(results[0]["type"], "published", "{transport:?} {reply}");
        let refused = results.iter().find(|result| result["type"] == "error");
        let refused = refused.with_context(|| format!("{transport:?} {reply}"))?;
        assert_eq!(refused["code"], "share_exceeded", "{refused}");
        let after = refused["retry_after_ms"].as_u64().context("a time")?;
        assert!((1..=1000).contains(&after), "{refused}");
    }
    Ok(())
}

#[tokio::test]
async fn a_user_has_so_many_sessions_whatever_they_are() -> Result<()> {
    let limited = Limited::start(&[("sessions_per_user", 1)]).await?;
    let (one, other) = (limited.token("7").await?, limited.token("8").await?);
    let join = |token: &str| Join::channels(&["a"]).token(token);
    let mut first = limited
        .broker
        .join(Transport::JsonWebSocket, &join(&one))
        .await?;
    for transport in [
        Transport::JsonWebSocket,
        Transport::RawSse,
        Transport::EnvelopePoll,
    ] {
        let refused = limited.broker.join(transport, &join(&one)).await;
        assert!(refused.is_err(), "{transport:?} let in");
    }
    let mut second = limited
        .broker
        .join(Transport::JsonWebSocket, &join(&other))
        .await?;
    let authenticate = |token: &str| json!({ "type": "authenticate", "token": token });
    // It keeps its place with a new token, and finds none with another's.
    let reply = first.envelope()?.command(authenticate(&one)).await?;
    assert_eq!(reply["type"], "authenticated", "{reply}");
    let reply = second.envelope()?.command(authenticate(&one)).await?;
    assert_eq!(reply["code"], "share_exceeded", "{reply}");
    drop(first);
    eventually("there is room again", async || {
        let reply = second.envelope()?.command(authenticate(&one)).await?;
        Ok(reply["type"] == "authenticated")
    })
    .await?;
    // And the other user has one again.
    limited
        .broker
        .join(Transport::RawSse, &join(&other))
        .await?;
    Ok(())
}
