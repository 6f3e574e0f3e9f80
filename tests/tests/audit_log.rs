//! The log of who did what: switched on it has a line for each thing that was asked for, and never a secret.

use std::time::Duration;

use anyhow::{Context, Result};
use reqwest::Method;
use serde_json::json;
use widecast_tests::{Guarded, Join, Transport, eventually};

/// The lines of the audit log that have all of these.
fn lines(guarded: &Guarded, words: &[&str]) -> usize {
    let log = guarded.broker.log();
    let audited = log.lines().filter(|line| line.contains("widecast::audit"));
    audited
        .filter(|line| words.iter().all(|word| line.contains(word)))
        .count()
}

async fn told(guarded: &Guarded, words: &[&str]) -> Result<()> {
    let what = format!("the audit log has {words:?}");
    let found = eventually(&what, async || Ok(lines(guarded, words) > 0)).await;
    found.with_context(|| guarded.broker.log())
}

#[tokio::test]
async fn the_log_says_who_did_what_with_which_outcome_and_shows_no_secret() -> Result<()> {
    // What is logged otherwise has nothing to do with it.
    let guarded = Guarded::with(|settings| {
        let settings = settings.key("log.audit", "true");
        settings.key("log.filter", "\"error,widecast::greeting=info\"")
    })
    .await?;
    let token = guarded.token(&["news=subscribe,history"], 600).await?;
    let join = Join::channel("news").token(&token);
    let mut subscriber = guarded.broker.join(Transport::JsonWebSocket, &join).await?;
    guarded.publish("news", Some(&guarded.backend)).await?;
    guarded.publish("news", Some(&token)).await?;
    guarded.publish("news", Some("a.b.c")).await?;
    guarded
        .ask(Method::GET, "/channels/news/messages", Some(&token))
        .await?;
    let again = json!({ "type": "authenticate", "token": token });
    subscriber.envelope()?.command(again).await?;
    let order = json!({ "user": "7", "reason": "go home" });
    guarded.operate("/v1/disconnect", &order).await?;
    for words in [
        &["subscribe: done", "\"7\"", "news", "127.0.0.1"][..],
        &["publish: done", "backend", "news"],
        &["publish: forbidden", "\"7\"", "news"],
        &["authenticate: unauthorized", "127.0.0.1"],
        &["history: done", "\"7\"", "news"],
        &["authenticate: done", "\"7\""],
        &["disconnect: done", "observer", "user:7"],
    ] {
        told(&guarded, words).await?;
    }
    let log = guarded.broker.log();
    let signature = token.rsplit('.').next().context("a signature")?;
    for secret in [signature, &guarded.backend, &guarded.observer, "a.b.c"] {
        assert!(!log.contains(secret), "{log}");
    }
    Ok(())
}

#[tokio::test]
async fn the_log_has_what_is_refused_before_it_reaches_a_session() -> Result<()> {
    let guarded = Guarded::with(|settings| settings.key("log.audit", "true")).await?;
    let token = guarded.token(&["news=publish,subscribe"], 600).await?;
    let ping = "/channels/news/publish.gif?data=x";
    guarded.ask(Method::GET, ping, Some(&token)).await?;
    let lines = b"{\"channel\":\"news\"}\nno message\n".to_vec();
    let url = format!("{}/v1/publish", guarded.broker.base());
    let request = guarded.broker.http().post(url).bearer_auth(&token);
    let request = request.header("content-type", "application/x-ndjson");
    request.body(lines).send().await?.text().await?;
    guarded
        .ask(Method::GET, "/channels?token=unseen", Some(&token))
        .await?;
    guarded
        .ask(Method::POST, "/v1/disconnect", Some(&guarded.observer))
        .await?;
    let join = Join::channel("news").token(&token);
    let mut subscriber = guarded.broker.join(Transport::JsonWebSocket, &join).await?;
    let session = subscriber.envelope()?;
    let unsubscribe = json!({ "type": "unsubscribe", "channel": "news" });
    for _ in ["joined", "left already"] {
        session.command(unsubscribe.clone()).await?;
    }
    let batch = json!({ "type": "batch", "messages": [{ "channel": "news" }] });
    session.command(batch).await?;
    for words in [
        &["publish: forbidden", "\"7\"", "news"][..],
        &["publish: bad_command", "\"7\""],
        &["publish: bad_json", "\"7\""],
        &["operate: forbidden", "\"7\"", "/channels"],
        &["disconnect: unsupported_media_type", "observer"],
        &["unsubscribe: done", "\"7\"", "news"],
        &["unsubscribe: not_subscribed", "\"7\"", "news"],
    ] {
        told(&guarded, words).await?;
    }
    // One by the lines of the POST, one by the batch.
    eventually("both refusals are logged", async || {
        Ok(self::lines(&guarded, &["publish: bad_command"]) == 2)
    })
    .await?;
    assert!(!guarded.broker.log().contains("unseen"));
    Ok(())
}

#[tokio::test]
async fn of_a_sessions_name_the_log_shows_a_digest_by_which_its_lines_are_found() -> Result<()> {
    let guarded = Guarded::with(|settings| {
        let settings = settings.key("log.audit", "true");
        let settings = settings.poll_session_idle(Duration::from_secs(1));
        settings.key("log.filter", "\"info,widecast::session=debug\"")
    })
    .await?;
    let opened = guarded.ask(Method::GET, "/v1/poll?session=new", None);
    let opened = opened.await?;
    let name = opened.body["session"].as_str().context("a session")?;
    let order = json!({ "session": name });
    guarded.operate("/v1/disconnect", &order).await?;
    told(&guarded, &["disconnect: done", "\"session:"]).await?;
    let log = guarded.broker.log();
    let digest = log.split("\"session:").nth(1).context("an object")?;
    let digest = digest.split('"').next().context("a digest")?;
    assert_eq!(digest.len(), 16, "{log}");
    eventually("the lines of the session have it, too", async || {
        let log = guarded.broker.log();
        let own = log.lines().filter(|line| line.contains("session.id"));
        Ok(own.clone().count() > 0 && own.into_iter().all(|line| line.contains(digest)))
    })
    .await?;
    assert!(!guarded.broker.log().contains(name));
    Ok(())
}

#[tokio::test]
async fn no_name_makes_a_line_or_a_field_of_its_own() -> Result<()> {
    let guarded = Guarded::with(|settings| settings.key("log.audit", "true")).await?;
    let name = "z\nINFO widecast::audit: forged\u{1b}[31m";
    let order = json!({ "user": name });
    guarded.operate("/v1/disconnect", &order).await?;
    let path = "/v1/revocations/user:z%0AINFO%20widecast::audit:%20forged%1b%5b31m";
    let operator = Some(guarded.observer.as_str());
    guarded.ask(Method::DELETE, path, operator).await?;
    let channel = "/channels/news%20user.name=%22admin%22/messages";
    let backend = Some(guarded.backend.as_str());
    guarded.ask(Method::POST, channel, backend).await?;
    for words in [
        &["disconnect: done", r"user:z\nINFO"][..],
        &["take_revocation_back: not_found", r"user:z\nINFO"],
        &[
            "publish: done",
            r#"audit.object="news user.name=\"admin\"""#,
        ],
    ] {
        told(&guarded, words).await?;
    }
    let log = guarded.broker.log();
    let forged = log
        .lines()
        .any(|line| line.starts_with("INFO widecast::audit: forged"));
    assert!(!forged && !log.contains('\u{1b}'), "{log}");
    Ok(())
}

#[tokio::test]
async fn by_default_nothing_of_it_is_logged() -> Result<()> {
    let guarded = Guarded::with(|settings| settings.key("log.filter", "\"trace\"")).await?;
    guarded.publish("news", Some(&guarded.backend)).await?;
    assert_eq!(lines(&guarded, &[]), 0);
    Ok(())
}
