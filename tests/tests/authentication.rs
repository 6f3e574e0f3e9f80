//! Who may do what: tokens and API keys on every transport, the rules of namespaces, and what happens when a token ends.

use anyhow::{Context, Result, bail};
use reqwest::Method;
use serde_json::{Value, json};
use widecast_protocol::Code;
use widecast_tests::guarded::{Guarded, SECRET, assert_refused};
use widecast_tests::{Broker, Heard, Join, Transport, cli, eventually};

#[tokio::test]
async fn the_namespace_says_what_needs_no_token() -> Result<()> {
    let guarded = Guarded::start().await?;
    let token = guarded.token(&["secret:a=publish"], 600).await?;
    let nothing = guarded.token(&[], 600).await?;
    let get = |path: &'static str, who: Option<&str>| {
        let who = who.map(str::to_owned);
        let guarded = &guarded;
        async move { guarded.ask(Method::GET, path, who.as_deref()).await }
    };
    assert_eq!(get("/channels/open:a/messages", None).await?.status, 200);
    assert_eq!(get("/channels/open:a/poll", None).await?.status, 200);
    assert_refused(
        &get("/channels/open:a/presence", None).await?,
        Code::Unauthorized,
    );
    assert_refused(&guarded.publish("open:a", None).await?, Code::Unauthorized);
    assert_refused(
        &guarded.publish("open:a", Some(&nothing)).await?,
        Code::Forbidden,
    );
    assert_eq!(
        guarded.publish("users:a", Some(&nothing)).await?.status,
        200
    );
    assert_refused(&guarded.publish("users:a", None).await?, Code::Unauthorized);
    assert_refused(
        &guarded.publish("secret:a", None).await?,
        Code::Unauthorized,
    );
    assert_refused(
        &guarded.publish("secret:a", Some(&nothing)).await?,
        Code::Forbidden,
    );
    assert_eq!(guarded.publish("secret:a", Some(&token)).await?.status, 200);
    assert_refused(
        &guarded.publish("news", Some(&guarded.observer)).await?,
        Code::Forbidden,
    );
    Ok(())
}

#[tokio::test]
async fn a_parameter_of_the_pages_own_named_session_changes_nothing() -> Result<()> {
    let open = Broker::start().await?;
    let guarded = Guarded::start().await?;
    let token = guarded.token(&["news=subscribe"], 600).await?;
    for path in ["sse", "stream", "poll"] {
        let path = format!("/channels/news/{path}?timeout=1&session=abc");
        let answer = open.http().get(format!("{}{path}", open.base())).send();
        assert_eq!(answer.await?.status(), 200, "{path} without authentication");
        let answer = guarded.ask(Method::GET, &path, None).await?;
        assert_refused(&answer, Code::Unauthorized);
        let url = format!("{}{path}", guarded.broker.base());
        let answer = guarded.broker.http().get(url).bearer_auth(&token).send();
        assert_eq!(answer.await?.status(), 200, "{path} with a token");
    }
    Ok(())
}

#[tokio::test]
async fn the_name_of_the_key_is_the_origin_of_what_a_backend_publishes() -> Result<()> {
    let guarded = Guarded::start().await?;
    let answer = guarded.publish("open:a", Some(&guarded.backend)).await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    let page = guarded
        .ask(Method::GET, "/channels/open:a/messages", None)
        .await?;
    assert_eq!(page.body["messages"][0]["origin"], "backend", "{page:?}");
    Ok(())
}

async fn authenticate(
    session: &mut widecast_tests::subscriber::envelope::Envelope,
    token: &str,
) -> Result<Value> {
    let command = json!({ "type": "authenticate", "token": token });
    session.command(command).await
}

#[tokio::test]
async fn a_session_takes_a_token_while_it_lives_and_a_smaller_one_takes_away() -> Result<()> {
    let guarded = Guarded::start().await?;
    let large = guarded.token(&["room-*=subscribe"], 600).await?;
    let small = guarded.token(&["room-1=subscribe"], 600).await?;
    for transport in Transport::ALL.into_iter().filter(|it| it.is_envelope()) {
        let mut subscriber = guarded.broker.join(transport, &Join::channels(&[])).await?;
        let session = subscriber.envelope()?;
        let reply = authenticate(session, "a.b.c").await?;
        assert_eq!(reply["code"], "unauthorized", "{transport:?} {reply}");
        let reply = authenticate(session, &large).await?;
        assert_eq!(reply["type"], "authenticated", "{transport:?} {reply}");
        assert_eq!(reply["user"], "7", "{transport:?} {reply}");
        session
            .subscribe("room-1", &Join::channel("room-1"))
            .await?;
        session
            .subscribe("room-2", &Join::channel("room-2"))
            .await?;
        authenticate(session, &small).await?;
        let Heard::Frame(left) = subscriber.next().await? else {
            bail!("{transport:?}: no frame");
        };
        assert_eq!(left["type"], "unsubscribed", "{transport:?} {left}");
        assert_eq!(left["channel"], "room-2", "{transport:?} {left}");
        assert_eq!(left["code"], "forbidden", "{transport:?} {left}");
        for channel in ["room-2", "room-1"] {
            guarded.publish(channel, Some(&guarded.backend)).await?;
        }
        assert_eq!(
            subscriber.message().await?.channel.as_deref(),
            Some("room-1")
        );
    }
    Ok(())
}

#[tokio::test]
async fn channels_that_only_an_ended_token_allowed_are_left_and_the_others_go_on() -> Result<()> {
    let guarded = Guarded::start().await?;
    for transport in [
        Transport::JsonWebSocket,
        Transport::EnvelopeSse,
        Transport::EnvelopePoll,
    ] {
        let join = Join::channels(&["news", "open:a"]);
        let (mut subscriber, _) = guarded.join_for_short(transport, join, 1).await?;
        let mut seen = Vec::new();
        while !seen
            .iter()
            .any(|frame: &Value| frame["type"] == "unsubscribed")
        {
            let Heard::Frame(frame) = subscriber.next().await? else {
                bail!("{transport:?}: no frame");
            };
            seen.push(frame);
        }
        assert_eq!(seen[0]["type"], "auth_required", "{transport:?} {seen:?}");
        let last = seen.last().context("just seen")?;
        assert_eq!(last["channel"], "news", "{transport:?} {last}");
        assert_eq!(last["code"], "unauthorized", "{transport:?} {last}");
        guarded.publish("open:a", Some(&guarded.backend)).await?;
        let message = subscriber.message().await?;
        assert_eq!(message.channel.as_deref(), Some("open:a"), "{transport:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_renewed_token_keeps_the_session_as_it_is() -> Result<()> {
    let guarded = Guarded::start().await?;
    let long = guarded.token(&["news=subscribe"], 600).await?;
    let join = Join::channel("news");
    let (mut subscriber, short) = guarded
        .join_for_short(Transport::JsonWebSocket, join, 8)
        .await?;
    authenticate(subscriber.envelope()?, &long).await?;
    let refused = eventually("the first token has expired", async || {
        let answer = guarded
            .ask(Method::GET, "/channels/news", Some(&short))
            .await?;
        Ok(answer.status == 401)
    });
    refused.await?;
    guarded.publish("news", Some(&guarded.backend)).await?;
    subscriber.message().await?;
    Ok(())
}

#[tokio::test]
async fn a_stream_without_frames_ends_with_its_token() -> Result<()> {
    let guarded = Guarded::start().await?;
    for transport in [
        Transport::RawWebSocket,
        Transport::RawSse,
        Transport::RawStream,
    ] {
        let join = Join::channel("news");
        let (mut subscriber, _) = guarded.join_for_short(transport, join, 1).await?;
        let mut code = None;
        loop {
            match subscriber.next().await? {
                Heard::Closed { code: found, .. } => {
                    code = found.or(code);
                    break;
                }
                Heard::Frame(_) => {}
                other => bail!("{transport:?} heard {other:?}"),
            }
        }
        if transport == Transport::RawWebSocket {
            assert_eq!(code, Some(Code::Unauthorized.close_code()));
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_token_comes_in_a_subprotocol_and_in_the_cookie_of_a_trusted_page() -> Result<()> {
    let guarded = Guarded::start().await?;
    let token = guarded.token(&["news=subscribe"], 600).await?;
    let base = guarded.broker.base();
    let open = async |path: &str, headers: &[(&'static str, &str)]| {
        let url = format!("{base}{path}").parse()?;
        let opened = widecast_tests::socket::open_websocket(&url, headers).await;
        opened.map(|(_, headers)| {
            let chosen = headers.get("sec-websocket-protocol");
            chosen
                .and_then(|it| it.to_str().ok())
                .unwrap_or_default()
                .to_owned()
        })
    };
    let carrier = format!("widecast.token.{token}");
    let offer = format!("{carrier}, widecast.v1.json");
    let protocol = "sec-websocket-protocol";
    let raw = "/channels/news/ws";
    assert_eq!(
        open("/v1/ws", &[(protocol, &offer)]).await?,
        "widecast.v1.json"
    );
    assert_eq!(open(raw, &[(protocol, &carrier)]).await?, carrier);
    assert_eq!(
        open(raw, &[(protocol, &format!("{carrier}, chat"))]).await?,
        "chat"
    );
    assert!(open(raw, &[(protocol, "chat")]).await.is_err());

    let cookie = format!("theme=dark; session_token={token}");
    let trusted = [("cookie", cookie.as_str()), ("origin", "https://a.example")];
    open(raw, &trusted).await?;
    // Somebody else's page, and one that does not say which it is.
    assert!(
        open(
            raw,
            &[("cookie", &cookie), ("origin", "https://evil.example")]
        )
        .await
        .is_err()
    );
    assert!(open(raw, &[("cookie", &cookie)]).await.is_err());
    let script = format!("{base}/channels/news/poll?callback=f");
    let request = guarded.broker.http().get(script).header("cookie", &cookie);
    let request = request.header("sec-fetch-site", "same-origin");
    let answer = request
        .header("sec-fetch-mode", "no-cors")
        .send()
        .await?
        .text()
        .await?;
    assert!(answer.contains("unauthorized"), "{answer}");
    Ok(())
}

#[tokio::test]
async fn a_token_is_in_no_log_and_in_no_metric() -> Result<()> {
    let guarded = Guarded::start().await?;
    let token = guarded.token(&["news=subscribe"], 600).await?;
    let tampered = format!("{token}x");
    for credential in [&token, &tampered, &guarded.backend] {
        guarded.publish("news", Some(credential)).await?;
        let path = format!("/channels/news/poll?token={credential}");
        let answer = guarded.ask(Method::GET, &path, None).await?;
        assert!(
            !answer.body.to_string().contains(credential.as_str()),
            "{answer:?}"
        );
    }
    let signature = token.rsplit('.').next().context("a signature")?;
    let metrics = guarded
        .broker
        .http()
        .get(format!("{}/metrics", guarded.broker.base()));
    let metrics = metrics.bearer_auth(&guarded.observer).send().await?;
    let metrics = metrics.error_for_status()?.text().await?;
    let log = guarded.broker.log();
    for secret in [signature, &guarded.backend] {
        assert!(!metrics.contains(secret) && !log.contains(secret), "{log}");
    }
    Ok(())
}

#[tokio::test]
async fn only_operators_see_what_concerns_all_channels() -> Result<()> {
    let guarded = Guarded::start().await?;
    let token = guarded.token(&["*=*"], 600).await?;
    for path in ["/channels", "/metrics"] {
        let ask = async |credential| guarded.ask(Method::GET, path, credential).await;
        assert_eq!(ask(Some(&guarded.observer)).await?.status, 200, "{path}");
        assert_refused(&ask(Some(&guarded.backend)).await?, Code::Forbidden);
        assert_refused(&ask(Some(&token)).await?, Code::Forbidden);
        assert_refused(&ask(None).await?, Code::Unauthorized);
    }
    Ok(())
}

#[tokio::test]
async fn a_changed_file_changes_the_keys_and_a_broken_one_does_not() -> Result<()> {
    let guarded = Guarded::start().await?;
    let old = guarded
        .token(&["news=publish", "last=subscribe"], 600)
        .await?;
    let join = Join::channel("last").token(&old);
    let mut session = guarded.broker.join(Transport::JsonWebSocket, &join).await?;
    std::fs::write(&guarded.secret, "short")?;
    let told = eventually("the broken file is told of", async || {
        let answer = guarded.publish("news", Some(&old)).await?;
        assert_eq!(answer.status, 200, "{answer:?}");
        Ok(guarded.broker.log().contains("mend the file"))
    });
    told.await?;
    std::fs::write(&guarded.secret, "fedcba9876543210fedcba9876543210")?;
    let new = guarded.token(&["news=publish"], 600).await?;
    let taken = eventually("the new key is taken", async || {
        let answer = guarded.publish("news", Some(&new)).await?;
        Ok(answer.status == 200)
    });
    taken.await?;
    assert_refused(
        &guarded.publish("news", Some(&old)).await?,
        Code::Unauthorized,
    );
    // A session that the old key has opened goes on until its token ends.
    guarded.publish("last", Some(&guarded.backend)).await?;
    session.message().await?;
    Ok(())
}

#[tokio::test]
async fn a_public_address_needs_authentication() -> Result<()> {
    let refused = cli::run(&["config", "check", "--listen", "0.0.0.0:1"]).await?;
    assert_eq!(refused.status, 2, "{refused:?}");
    assert!(
        refused.errors.contains("no authentication is configured"),
        "{refused:?}"
    );
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("jwt.key");
    std::fs::write(&file, SECRET)?;
    let setting = format!("auth.jwt.hmac_secret_file={}", file.display());
    let arguments = [
        "config",
        "check",
        "--listen",
        "0.0.0.0:1",
        "--set",
        &setting,
    ];
    let accepted = cli::run(&arguments).await?;
    assert_eq!(accepted.status, 0, "{accepted:?}");
    std::fs::write(&file, "short")?;
    let short = cli::run(&arguments).await?;
    assert_eq!(short.status, 2, "{short:?}");
    assert!(short.errors.contains("at least 32 are needed"), "{short:?}");
    Ok(())
}

#[tokio::test]
async fn the_rule_that_decides_is_explained() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let secret = directory.path().join("jwt.key");
    std::fs::write(&secret, SECRET)?;
    let secret = secret.to_str().context("a path of text")?;
    let token = cli::run(&[
        "token",
        "--secret-file",
        secret,
        "--sub",
        "7",
        "--allow",
        "news=publish",
    ])
    .await?
    .output;
    let setting = format!("auth.jwt.hmac_secret_file={secret}");
    let explained = cli::run(&[
        "config",
        "explain",
        "news",
        "--token",
        token.trim(),
        "--set",
        &setting,
        "--set",
        "namespace.default.anonymous=subscribe",
    ])
    .await?;
    insta::assert_snapshot!(explained.output, @"
    the user 7 on news, by the rules of namespace.default:
    publish   allowed: the token gives it (channels)
    subscribe allowed: the namespace gives it to everybody (anonymous)
    presence  refused (forbidden): the token does not allow presence on news
    history   refused (forbidden): the token does not allow history on news
    ");
    let short = "limits.channel_name_bytes=3";
    let refused = cli::run(&["config", "explain", "news", "--set", short]).await?;
    let told = "the channel name has 4 bytes, limits.channel_name_bytes allows 3";
    assert!(refused.errors.contains(told), "{refused:?}");
    let inspected = cli::run(&["token", "inspect", token.trim(), "--set", &setting]).await?;
    assert!(inspected.output.contains("\"sub\":\"7\""), "{inspected:?}");
    assert!(inspected.output.contains("takes it"), "{inspected:?}");
    let inspected = cli::run(&["token", "inspect", token.trim()]).await?;
    assert!(inspected.output.contains("refuses it"), "{inspected:?}");
    Ok(())
}

#[tokio::test]
async fn the_command_line_sends_its_credential() -> Result<()> {
    let guarded = Guarded::start().await?;
    let base = guarded.broker.base();
    let publish = async |more: &[&str]| {
        let mut arguments = vec!["publish", "news", "hello", "--url", &base];
        arguments.extend(more);
        cli::run(&arguments).await
    };
    let refused = publish(&[]).await?;
    assert_eq!(refused.status, 1, "{refused:?}");
    assert!(refused.errors.contains("unauthorized"), "{refused:?}");
    let published = publish(&["--token", &guarded.backend]).await?;
    assert_eq!(published.status, 0, "{published:?}");
    for transport in ["ws", "sse", "stream", "poll"] {
        let subscribe = [
            "subscribe",
            "news",
            "--url",
            &base,
            "--transport",
            transport,
            "--history",
            "1",
            "--count",
            "1",
        ];
        let refused = cli::run(&subscribe).await?;
        assert_eq!(refused.status, 1, "{transport}: {refused:?}");
        let arguments = [&subscribe[..], &["--token", &guarded.backend]].concat();
        let heard = cli::run(&arguments).await?;
        assert_eq!(heard.output, "hello\n", "{transport}: {heard:?}");
    }
    Ok(())
}
