//! From where an API key may be used, and how one takes the place of another.

use anyhow::{Context, Result};
use widecast_tests::broker::Answer;
use widecast_tests::guarded::key as api_key;
use widecast_tests::{Broker, Settings, cli};

/// A broker with one API key for these addresses, and the key.
async fn broker_for(addresses: &str, settings: Settings) -> Result<(Broker, String)> {
    let (key, hash) = api_key("backend").await?;
    let keys = format!(
        "[{{ name = \"backend\", hash = \"{hash}\", allow = {{ \"*\" = [\"*\"] }}, addresses = {addresses} }}]"
    );
    let broker = Broker::with(settings.key("auth.api_key", keys)).await?;
    Ok((broker, key))
}

/// An API key in the settings that may do everything.
fn setting(name: &str, hash: &str) -> String {
    format!("{{ name = \"{name}\", hash = \"{hash}\", allow = {{ \"*\" = [\"*\"] }} }}")
}

async fn publish(broker: &Broker, key: &str, client: Option<&str>) -> Result<Answer> {
    let url = format!("{}/channels/news/messages", broker.base());
    let mut request = broker.http().post(url).bearer_auth(key).body("x");
    if let Some(client) = client {
        request = request.header("x-forwarded-for", client);
    }
    Answer::read(request.send().await?).await
}

#[tokio::test]
async fn a_key_is_for_its_addresses_only() -> Result<()> {
    let near = "[\"10.0.0.0/8\", \"127.0.0.1\", \"::1/128\"]";
    let (broker, key) = broker_for(near, Settings::new()).await?;
    assert_eq!(publish(&broker, &key, None).await?.status, 200);
    let (broker, key) = broker_for("[\"10.0.0.0/8\"]", Settings::new()).await?;
    // What a client says of itself counts for nothing.
    for client in [None, Some("10.1.2.3")] {
        let refused = publish(&broker, &key, client).await?;
        assert_eq!(refused.status, 401, "{refused:?}");
        let detail = refused.body["detail"].as_str().context("a text")?;
        let is_told = detail.contains("127.0.0.1") && detail.contains("auth.api_key.addresses");
        assert!(is_told, "{detail}");
    }
    let base = broker.base();
    let refused = cli::run(&["publish", "news", "x", "--url", &base, "--token", &key]).await?;
    assert!(refused.errors.contains("unauthorized"), "{refused:?}");
    Ok(())
}

#[tokio::test]
async fn behind_a_trusted_proxy_the_address_is_that_of_the_client() -> Result<()> {
    let proxies = Settings::new().key("server.trusted_proxies", "[\"127.0.0.1\"]");
    let (broker, key) = broker_for("[\"10.0.0.0/8\", \"2001:db8::/32\"]", proxies).await?;
    for (client, status) in [
        ("10.1.2.3", 200),
        ("2001:db8::7", 200),
        ("::ffff:10.1.2.3", 200),
        ("192.0.2.1", 401),
        ("10.1.2.3, 192.0.2.1", 401),
    ] {
        let answer = publish(&broker, &key, Some(client)).await?;
        assert_eq!(answer.status, status, "{client} {answer:?}");
    }
    assert_eq!(publish(&broker, &key, None).await?.status, 401);
    Ok(())
}

#[tokio::test]
async fn a_key_is_replaced_while_both_count_and_no_request_is_refused() -> Result<()> {
    let (old, first) = api_key("backend").await?;
    let (new, second) = api_key("backend-2").await?;
    let (first, second) = (setting("backend", &first), setting("backend-2", &second));
    let with = |keys: &[&String]| {
        let keys: Vec<_> = keys.iter().map(|key| key.as_str()).collect();
        Settings::new().key("auth.api_key", format!("[{}]", keys.join(", ")))
    };
    let mut broker = Broker::with(with(&[&first])).await?;
    assert_eq!(publish(&broker, &old, None).await?.status, 200);
    assert_eq!(publish(&broker, &new, None).await?.status, 401);

    broker.reconfigure(&with(&[&first, &second]))?;
    broker.restart().await?;
    // The processes of the backend take the new key one after the other.
    for key in [&old, &new, &old, &new] {
        assert_eq!(publish(&broker, key, None).await?.status, 200);
    }
    let url = format!("{}/channels/news/messages", broker.base());
    let page = broker.http().get(url).bearer_auth(&new).send().await?;
    let page = Answer::read(page).await?;
    let messages = page.body["messages"].as_array().context("messages")?;
    let mut origins: Vec<_> = messages.iter().map(|one| one["origin"].clone()).collect();
    let last = origins.split_off(origins.len().saturating_sub(4));
    assert_eq!(last, ["backend", "backend-2", "backend", "backend-2"]);

    broker.reconfigure(&with(&[&second]))?;
    broker.restart().await?;
    assert_eq!(publish(&broker, &old, None).await?.status, 401);
    assert_eq!(publish(&broker, &new, None).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn two_keys_of_one_backend_have_names_of_their_own() -> Result<()> {
    let (_, first) = api_key("backend").await?;
    let (_, second) = api_key("backend").await?;
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("widecast.toml");
    let keys = [setting("backend", &first), setting("backend", &second)];
    std::fs::write(&file, format!("auth.api_key = [{}]", keys.join(", ")))?;
    let file = file.to_str().context("a path of text")?;
    let checked = cli::run(&["config", "check", "--config", file]).await?;
    assert_eq!(checked.status, 2, "{checked:?}");
    assert!(checked.errors.contains("names of their own"), "{checked:?}");
    Ok(())
}
