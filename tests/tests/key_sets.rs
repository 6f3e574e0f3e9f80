//! JWK sets that an identity provider serves: fetched while the broker runs, with keys that change and a provider that fails.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use serde_json::json;
use widecast_protocol::Code;
use widecast_tests::backend::{Asked, Backend, Reply};
use widecast_tests::broker::Answer;
use widecast_tests::guarded::key as api_key;
use widecast_tests::identity_provider::ProviderKey;
use widecast_tests::{Broker, Settings, TlsProxy, cli, eventually};

/// Settings for a broker that knows the keys at this URL, and asks for them again after so long at the earliest.
fn settings(url: &str, least_age_ms: u32) -> Settings {
    Settings::new()
        .key("auth.jwt.jwks_urls", format!("[{url:?}]"))
        .key("auth.jwt.jwks_least_age_ms", least_age_ms.to_string())
        .key("auth.jwt.jwks_most_age_ms", "86_400_000")
        // The metrics are for operators, and this one has no key.
        .key("namespace.default.anonymous", "[]")
}

/// A provider that shows these keys.
fn shows(keys: &[&ProviderKey]) -> impl Fn(&Asked) -> Reply + Send + Sync + 'static {
    let set = ProviderKey::set(keys);
    move |_| Reply::body(&set)
}

async fn publish(broker: &Broker, token: &str) -> Result<Answer> {
    let url = format!("{}/channels/news/messages", broker.base());
    let request = broker.http().post(url).bearer_auth(token).body("x");
    Answer::read(request.send().await?).await
}

async fn is_taken(broker: &Broker, token: &str) -> Result<bool> {
    Ok(publish(broker, token).await?.status == 200)
}

fn token_of(key: &ProviderKey) -> Result<String> {
    key.token("7", &json!({ "news": "publish" }))
}

#[tokio::test]
async fn a_new_key_is_taken_with_the_first_token_that_names_it() -> Result<()> {
    let (old, new) = (ProviderKey::new("1")?, ProviderKey::new("2")?);
    let provider = Backend::start(shows(&[&old])).await?;
    let broker = Broker::with(settings(&provider.url("/keys"), 10)).await?;
    let (first, second) = (token_of(&old)?, token_of(&new)?);
    eventually("the keys have come", async || {
        is_taken(&broker, &first).await
    })
    .await?;
    eventually(
        "the provider was asked for the other key in vain",
        async || Ok(publish(&broker, &second).await?.body["code"] == "unauthorized"),
    )
    .await?;

    provider.answers(shows(&[&old, &new]));
    eventually("the new key is taken", async || {
        is_taken(&broker, &second).await
    })
    .await?;
    assert!(is_taken(&broker, &first).await?);

    provider.answers(shows(&[&new]));
    let third = ProviderKey::new("3")?;
    eventually("the old key is gone", async || {
        // Nothing but a key that is missing makes the broker ask again so early.
        publish(&broker, &token_of(&third)?).await?;
        Ok(!is_taken(&broker, &first).await?)
    })
    .await?;
    assert!(is_taken(&broker, &second).await?);
    Ok(())
}

#[tokio::test]
async fn a_provider_that_fails_locks_nobody_out_and_is_told_of_once() -> Result<()> {
    let key = ProviderKey::new("1")?;
    let token = token_of(&key)?;
    let provider = Backend::start(shows(&[&key])).await?;
    let broker = Broker::with(settings(&provider.url("/keys"), 10)).await?;
    eventually("the keys have come", async || {
        is_taken(&broker, &token).await
    })
    .await?;

    let stranger = token_of(&ProviderKey::new("2")?)?;
    let large = format!("{{\"keys\":[{}]}}", " ".repeat(300_000));
    let failures = [
        Reply::status(503),
        Reply::status(302).header("location", "http://127.0.0.1:1/"),
        Reply::body("<html>"),
        Reply::body("{\"keys\":[]}"),
        Reply::body(large),
    ];
    for failure in failures {
        let before = provider.asked().len();
        provider.answers(move |_| failure.clone());
        eventually("the provider was asked twice more", async || {
            assert!(is_taken(&broker, &token).await?);
            publish(&broker, &stranger).await?;
            Ok(provider.asked().len() > before + 2)
        })
        .await?;
    }
    provider.answers(shows(&[&key]));
    eventually("the log is told", async || {
        Ok(broker.log().contains("could be fetched again"))
    })
    .await?;
    let told = broker.log().matches("cannot be fetched").count();
    assert_eq!(told, 1, "{}", broker.log());
    Ok(())
}

/// An address at which nobody listens yet.
async fn free_address() -> Result<SocketAddr> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    Ok(listener.local_addr()?)
}

#[tokio::test]
async fn until_the_keys_have_come_a_token_is_neither_taken_nor_wrong() -> Result<()> {
    let key = ProviderKey::new("1")?;
    let token = token_of(&key)?;
    let address = free_address().await?;
    let url = format!("http://{address}/keys");
    let (backend, hash) = api_key("x").await?;
    let keys = format!(
        "[{{ name = \"x\", hash = \"{hash}\", operator = true, allow = {{ \"*\" = [\"*\"] }} }}]"
    );
    let broker = Broker::with(settings(&url, 10).key("auth.api_key", keys)).await?;
    let refused = publish(&broker, &token).await?;
    let code = Code::AuthorizationUnavailable;
    assert_eq!(refused.status, code.http_status(), "{refused:?}");
    assert_eq!(refused.body["code"], code.as_str(), "{refused:?}");
    let detail = refused.body["detail"].as_str().context("a text")?;
    assert!(detail.contains("auth.jwt.jwks_urls"), "{detail}");
    assert_eq!(refused.retry_after, Some(1), "{refused:?}");
    // What needs no token from there goes on.
    assert!(is_taken(&broker, &backend).await?);
    let metrics = async || {
        let url = format!("{}/metrics", broker.base());
        let answer = broker.http().get(url).bearer_auth(&backend).send().await?;
        Ok::<_, anyhow::Error>(answer.text().await?)
    };
    let failing =
        |text: &str, count: u32| text.contains(&format!("\nwidecast_key_sets_failing {count}\n"));
    eventually("the metric tells", async || {
        Ok(failing(&metrics().await?, 1))
    })
    .await?;

    let _provider = Backend::at(address, shows(&[&key])).await?;
    eventually("the keys have come", async || {
        is_taken(&broker, &token).await
    })
    .await?;
    assert!(failing(&metrics().await?, 0));
    Ok(())
}

#[tokio::test]
async fn tokens_with_made_up_keys_do_not_make_the_broker_ask_all_the_time() -> Result<()> {
    let key = ProviderKey::new("1")?;
    let token = token_of(&key)?;
    let provider = Backend::start(shows(&[&key])).await?;
    let broker = Broker::with(settings(&provider.url("/keys"), 3_600_000)).await?;
    eventually("the keys have come", async || {
        is_taken(&broker, &token).await
    })
    .await?;
    for number in 0..30 {
        let stranger = ProviderKey::new(&format!("made up {number}"))?;
        // The provider may have this key since a moment ago: that is not for the broker to say.
        let refused = publish(&broker, &token_of(&stranger)?).await?;
        let code = Code::AuthorizationUnavailable;
        assert_eq!(refused.body["code"], code.as_str(), "{refused:?}");
    }
    assert_eq!(provider.asked().len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_provider_is_asked_again_when_its_answer_is_too_old() -> Result<()> {
    let (old, new) = (ProviderKey::new("1")?, ProviderKey::new("2")?);
    let set = ProviderKey::set(&[&old]);
    let provider =
        Backend::start(move |_| Reply::body(&set).header("cache-control", "max-age=0")).await?;
    let broker = Broker::with(settings(&provider.url("/keys"), 10)).await?;
    let first = token_of(&old)?;
    eventually("the keys have come", async || {
        is_taken(&broker, &first).await
    })
    .await?;
    provider.answers(shows(&[&new]));
    // Only the one token is shown, which names a key that is there.
    eventually("the old key is gone", async || {
        Ok(!is_taken(&broker, &first).await?)
    })
    .await
}

#[tokio::test]
async fn keys_are_fetched_over_tls_from_who_proves_to_be_the_provider() -> Result<()> {
    let key = ProviderKey::new("1")?;
    let provider = Backend::start(shows(&[&key])).await?;
    let proxy = TlsProxy::to(provider.address()).await?;
    let token = token_of(&key)?;
    let setting = format!("auth.jwt.jwks_urls=https://localhost:{}/keys", proxy.port());
    let inspected = async |authority: Option<&str>| {
        let mut command = cli::command(&["token", "inspect", &token, "--set", &setting]).await?;
        if let Some(authority) = authority {
            command.env("SSL_CERT_FILE", authority);
        }
        let output = command.output().await?;
        let told = [output.stdout, output.stderr].concat();
        Ok::<_, anyhow::Error>(String::from_utf8(told)?)
    };
    let trusted = inspected(Some(&proxy.authority())).await?;
    assert!(trusted.contains("takes it"), "{trusted}");
    let other = TlsProxy::to(provider.address()).await?;
    let untrusted = inspected(Some(&other.authority())).await?;
    assert!(untrusted.contains("cannot be used"), "{untrusted}");
    Ok(())
}

#[tokio::test]
async fn keys_do_not_come_over_a_network_that_others_can_change() -> Result<()> {
    let check = async |url: &str| {
        let setting = format!("auth.jwt.jwks_urls={url}");
        cli::run(&["config", "check", "--set", &setting]).await
    };
    let refused = check("http://login.example/keys").await?;
    assert_eq!(refused.status, 2, "{refused:?}");
    assert!(
        refused.errors.contains("begins with https://"),
        "{refused:?}"
    );
    assert_eq!(check("https://login.example/keys").await?.status, 0);
    assert_eq!(check("http://127.0.0.1:1/keys").await?.status, 0);
    Ok(())
}
