//! Sessions of the client library against a real broker, over every transport.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::Method;
use serde_json::{Value, json};
use widecast_client::{Client, Error, Event, Events, Message, PresenceChange, Session, Transport};
use widecast_tests::{
    Broker, Guarded, Relay, Settings, cli, eventually, over_every_client_transport, within,
};

over_every_client_transport! {
    channels_are_joined_and_left;
    everything_can_be_asked_for;
    each_message_of_a_batch_has_its_result;
    refusals_answer_the_command_that_was_refused;
    a_cut_repeats_what_was_not_answered_and_publishes_it_once;
    commands_are_answered_while_events_wait;
    a_channel_that_is_refused_after_a_cut_is_told;
    a_token_is_refused_where_there_is_no_authentication;
    a_token_that_ends_is_asked_for_and_renewed;
    the_channels_of_a_token_are_resumed_after_a_cut;
    a_message_to_the_user_is_heard;
    a_session_whose_events_were_dropped_is_over;
    many_channels_are_resumed_over_a_long_way;
    a_session_that_has_missed_only_its_own_messages_is_told_no_gap;
}

/// The defaults, but event streams do not wait seconds before they come back.
fn impatient() -> Settings {
    Settings::new().key("shutdown.retry_ms", "50")
}

async fn open(base: &str, transport: Transport) -> Result<(Session, Events)> {
    Ok(Client::new(base)?
        .session()
        .transport(transport)
        .connect()
        .await?)
}

async fn next(events: &mut Events) -> Result<Event> {
    let event = within("an event", async { Ok(events.next().await) });
    Ok(event.await?.context("the events ended")??)
}

/// The data of the next message; the client may have to connect anew for it.
async fn data(events: &mut Events) -> Result<Value> {
    loop {
        match next(events).await? {
            Event::Message(message) => return Ok(message.data()?),
            Event::Disconnected(_) | Event::Reconnected => {}
            other => bail!("expected a message, not {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_publisher_outlives_its_connections() -> Result<()> {
    let mut broker = Broker::start().await?;
    let client = Client::new(&broker.base())?;
    for _ in 0..3 {
        assert_eq!(client.publish("news", &1).await?.offset, 1);
        // The connection that the client keeps is gone, and so is what the broker had.
        broker.restart().await?;
    }
    Ok(())
}

async fn channels_are_joined_and_left(transport: Transport) -> Result<()> {
    let broker = Broker::start().await?;
    let publisher = broker.publisher();
    let first = publisher.publish("a", 1).await?;
    publisher.publish("a", 2).await?;
    let (session, mut events) = open(&broker.base(), transport).await?;
    assert_eq!(events.cursor(), None);
    let subscribed = session.subscribe("a").cursor(&first.cursor()).await?;
    assert!(subscribed.recovered);
    assert_eq!(data(&mut events).await?, 2);
    session.subscribe("b").await?;
    publisher.publish("b", 3).await?;
    assert_eq!(data(&mut events).await?, 3);
    session.unsubscribe("a").await?;
    publisher.publish("a", 4).await?;
    publisher.publish("b", 5).await?;
    assert_eq!(data(&mut events).await?, 5);
    assert_eq!(broker.subscribers("a").await?, 0);
    let again = session.subscribe("a").history(1).await?;
    assert!(again.members.is_empty());
    assert_eq!(data(&mut events).await?, 4);
    Ok(())
}

async fn everything_can_be_asked_for(transport: Transport) -> Result<()> {
    // Each member is a page of its own.
    let settings = Settings::new().key("limits.members_per_list", "1");
    let broker = Broker::with(settings).await?;
    let (session, mut events) = open(&broker.base(), transport).await?;
    let subscribed = session
        .subscribe("room")
        .presence(&json!({"name": "Ann"}))
        .await?;
    assert_eq!(subscribed.members.len(), 1);
    let (other, _kept) = open(&broker.base(), transport).await?;
    other.subscribe("room").presence("Bob").await?;
    let Event::Presence(told) = next(&mut events).await? else {
        bail!("expected that Bob comes");
    };
    assert_eq!(told.channel, "room");
    assert!(matches!(told.change, PresenceChange::Joined(bob) if bob.json().get() == "\"Bob\""));
    assert_eq!(session.presence("room").await?.len(), 2);
    assert_eq!(
        Client::new(&broker.base())?.presence("room").await?.len(),
        2
    );
    let published = session.publish("room", &[1, 2]).event("e").await?;
    assert_eq!((published.offset, published.duplicate), (1, false));
    let history = other.history("room").limit(5).await?;
    assert_eq!(history.messages.len(), 1);
    assert_eq!(history.messages[0].event.as_deref(), Some("e"));
    assert_eq!(history.cursor, Some(published.cursor()));
    Ok(())
}

async fn each_message_of_a_batch_has_its_result(transport: Transport) -> Result<()> {
    let settings = Settings::new().key("namespace.secret.publish", "false");
    let broker = Broker::with(settings).await?;
    let client = Client::new(&broker.base())?;
    let (session, _events) = open(&broker.base(), transport).await?;
    for batch in [client.batch(), session.batch()] {
        let batch = batch
            .publish("a", &1)
            .publish("secret:b", &2)
            .with(client.publish("a", &3).idempotency_key("k"));
        let results = batch.send().await?;
        assert_eq!(results.len(), 3);
        assert_eq!(
            results[0].as_ref().ok().map(|p| p.channel.as_str()),
            Some("a")
        );
        let refused = results[1].as_ref().err().context("it is forbidden")?;
        assert_eq!(refused.code(), Some("forbidden"));
        assert!(results[2].is_ok());
    }
    let history = client.history("a").await?;
    // The second time the key was known.
    let data: Result<Vec<u64>, _> = history.messages.iter().map(Message::data).collect();
    assert_eq!(data?, [1, 3, 1]);
    Ok(())
}

async fn refusals_answer_the_command_that_was_refused(transport: Transport) -> Result<()> {
    let settings = Settings::new()
        .key("namespace.secret.subscribe", "false")
        .message_bytes(100);
    let broker = Broker::with(settings).await?;
    let (session, mut events) = open(&broker.base(), transport).await?;
    let refused = session.subscribe("secret:a").await;
    assert_eq!(
        refused.err().context("forbidden")?.code(),
        Some("forbidden")
    );
    let refused = session.unsubscribe("a").await;
    assert_eq!(
        refused.err().context("not joined")?.code(),
        Some("not_subscribed")
    );
    let refused = session.publish("a", &"x".repeat(101)).await;
    assert_eq!(
        refused.err().context("too large")?.code(),
        Some("message_too_large")
    );
    let refused = session.publish("..", &1).await;
    assert!(matches!(refused, Err(Error::BadName(_))));
    // The session goes on.
    session.subscribe("a").await?;
    broker.publisher().publish("a", 1).await?;
    assert_eq!(data(&mut events).await?, 1);
    Ok(())
}

async fn a_cut_repeats_what_was_not_answered_and_publishes_it_once(
    transport: Transport,
) -> Result<()> {
    let broker = Broker::with(impatient()).await?;
    let relay = Relay::long(broker.socket_address(), Duration::from_millis(400)).await?;
    let (session, mut events) = open(&relay.base(), transport).await?;
    session.subscribe("answers").await?;
    // Cut when the broker has published, while its answer is on its way.
    let publishing = tokio::spawn({
        let session = session.clone();
        async move { session.publish("news", &1).await }
    });
    eventually("the message", async || {
        let page = broker.get(&["channels", "news", "messages"], &[]).await?;
        Ok(page["messages"]
            .as_array()
            .is_some_and(|all| all.len() == 1))
    })
    .await?;
    relay.cut();
    while !matches!(next(&mut events).await?, Event::Disconnected(_)) {}
    relay.mend();
    let published = within("the answer", async { Ok(publishing.await?) }).await??;
    assert_eq!((published.offset, published.duplicate), (1, true));
    broker.publisher().publish("answers", 2).await?;
    assert_eq!(data(&mut events).await?, 2);
    Ok(())
}

async fn commands_are_answered_while_events_wait(transport: Transport) -> Result<()> {
    const MESSAGES: u64 = 40;
    let broker = Broker::start().await?;
    let (session, mut events) = open(&broker.base(), transport).await?;
    session.subscribe("news").await?;
    let filling = "x".repeat(100 * 1024);
    for number in 0..MESSAGES {
        broker
            .publisher()
            .publish("news", json!([number, filling]))
            .await?;
    }
    // Nobody reads the events meanwhile.
    let published = within("the answer", async {
        Ok(session.publish("other", &1).await?)
    });
    assert_eq!(published.await?.offset, 1);
    for expected in 0..MESSAGES {
        assert_eq!(data(&mut events).await?[0], expected);
    }
    Ok(())
}

async fn a_channel_that_is_refused_after_a_cut_is_told(transport: Transport) -> Result<()> {
    let mut broker = Broker::with(impatient()).await?;
    let (session, mut events) = open(&broker.base(), transport).await?;
    session.subscribe("secret:a").await?;
    session.subscribe("news").await?;
    broker.reconfigure(&impatient().key("namespace.secret.subscribe", "false"))?;
    broker.restart().await?;
    let told = loop {
        if let Event::Unsubscribed(told) = next(&mut events).await? {
            break told;
        }
    };
    assert_eq!(told.channel, "secret:a");
    let error = told.error.context("nobody asked for it")?;
    assert_eq!(error.code(), Some("forbidden"));
    while !matches!(next(&mut events).await?, Event::Reconnected) {}
    broker.publisher().publish("news", 1).await?;
    assert_eq!(data(&mut events).await?, 1);
    Ok(())
}

/// A broker that takes tokens that were signed with a secret.
async fn guarded(directory: &Path) -> Result<Broker> {
    let secret = directory.join("jwt.key");
    std::fs::write(&secret, "0123456789abcdef0123456789abcdef0123456789abcdef")?;
    let secret = secret.to_str().context("a path of text")?;
    let settings = impatient()
        .key("auth.jwt.hmac_secret_file", format!("{secret:?}"))
        .key("auth.jwt.leeway_ms", "0");
    Broker::with(settings).await
}

/// A token with these rights, valid for so many seconds.
async fn token(directory: &Path, rights: &str, seconds: u32) -> Result<String> {
    let seconds = seconds.to_string();
    let claims = ["--sub", "7", "--expires-in", &seconds];
    token_with(directory, rights, &claims).await
}

/// A token with these rights, and what else these arguments say.
async fn token_with(directory: &Path, rights: &str, more: &[&str]) -> Result<String> {
    let secret = directory.join("jwt.key");
    let secret = secret.to_str().context("a path of text")?;
    let arguments = ["token", "--secret-file", secret, "--allow", rights];
    let run = cli::run(&[&arguments[..], more].concat()).await?;
    anyhow::ensure!(run.status == 0, "{}", run.errors);
    Ok(run.output.trim().to_owned())
}

#[tokio::test]
async fn a_member_is_shown_with_what_its_token_says_and_not_what_it_says_itself() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let broker = guarded(directory.path()).await?;
    let rights = "*=subscribe,presence";
    let with_info = async |info| {
        let claims = ["--sub", "8", "--info", info];
        token_with(directory.path(), rights, &claims).await
    };
    let plain = token(directory.path(), rights, 600).await?;
    let plain_of_bob = token_with(directory.path(), rights, &["--sub", "9"]).await?;
    // A client of its own is a member of its own.
    let open = async |token: &str| {
        let client = Client::new(&broker.base())?;
        client.session().token(token).connect().await
    };
    let (watching, mut events) = open(&plain).await?;
    watching.subscribe("room").presence("a watcher").await?;
    let mut shown = async || match next(&mut events).await? {
        Event::Presence(told) => match told.change {
            PresenceChange::Joined(member) => Ok(member.data::<Value>()?),
            other => bail!("expected a member to be shown, not {other:?}"),
        },
        other => bail!("expected a member to be shown, not {other:?}"),
    };
    let (ann, _kept) = open(&with_info(r#"{"name":"Ann"}"#).await?).await?;
    let subscribed = ann.subscribe("room").presence("the admin").await?;
    let listed = subscribed.members.iter().map(|member| member.json().get());
    assert!(listed.into_iter().any(|data| data == r#"{"name":"Ann"}"#));
    assert_eq!(shown().await?, json!({ "name": "Ann" }));
    // Saying something else changes nothing, and a new token does.
    ann.subscribe("room").presence("the admin again").await?;
    ann.authenticate(&with_info(r#"{"name":"Ann B."}"#).await?)
        .await?;
    assert_eq!(shown().await?, json!({ "name": "Ann B." }));
    ann.authenticate(&token_with(directory.path(), rights, &["--sub", "8"]).await?)
        .await?;
    assert_eq!(shown().await?, "the admin again");
    // The token of a single channel says it there.
    let bob = async |name: &str| {
        let claims = ["--sub", "9", "--info", name];
        token_with(directory.path(), rights, &claims).await
    };
    let (session, _kept) = open(&plain_of_bob).await?;
    let joining = session.subscribe("room").presence("the admin");
    joining.token(&bob("\"Bob\"").await?).await?;
    assert_eq!(shown().await?, "Bob");
    let renewing = session.subscribe("room");
    renewing.token(&bob("\"Bob C.\"").await?).await?;
    assert_eq!(shown().await?, "Bob C.");
    let large = format!("{:?}", "x".repeat(5000));
    let (too_large, _kept) = open(&with_info(&large).await?).await?;
    let refused = too_large.subscribe("room").presence("me").await;
    let refused = refused.err().context("it was let in")?;
    assert_eq!(refused.code(), Some("message_too_large"));
    Ok(())
}

#[tokio::test]
async fn the_token_of_one_channel_is_asked_for_and_renewed() -> Result<()> {
    const SHORT_SECONDS: u32 = 8;
    let directory = tempfile::tempdir()?;
    let broker = guarded(directory.path()).await?;
    let client = Client::new(&broker.base())?;
    let (session, mut events) = client.session().echo(true).connect().await?;
    let refused = session.subscribe("news").await;
    assert_eq!(
        refused.err().context("it was let in")?.code(),
        Some("unauthorized")
    );
    let rights = "news=subscribe,publish";
    let short = token(directory.path(), rights, SHORT_SECONDS).await?;
    session.subscribe("news").token(&short).await?;
    let Event::TokenRequired(told) = next(&mut events).await? else {
        anyhow::bail!("no token is asked for");
    };
    assert_eq!(told.channel.as_deref(), Some("news"));
    let longer = token(directory.path(), rights, 600).await?;
    session.subscribe("news").token(&longer).await?;
    // Nothing is heard of the end of the first, and the second is good for publishing, too.
    eventually("the first token has ended", async || {
        let url = format!("{}/channels/news", broker.base());
        let asked = broker.http().get(url).bearer_auth(&short).send().await?;
        Ok(asked.status() == 401)
    })
    .await?;
    session.publish("news", &1).await?;
    assert_eq!(data(&mut events).await?, 1);
    Ok(())
}

async fn a_token_that_ends_is_asked_for_and_renewed(transport: Transport) -> Result<()> {
    const SHORT_SECONDS: u32 = 8;
    let directory = tempfile::tempdir()?;
    let broker = guarded(directory.path()).await?;
    let client = Client::new(&broker.base())?;
    let open = || client.session().transport(transport).echo(true);
    let longer = token(directory.path(), "*=subscribe,publish", 600).await?;
    let short = token(directory.path(), "*=subscribe", SHORT_SECONDS).await?;
    let (renewing, mut renewed) = open().token(&short).connect().await?;
    let (ending, mut ended) = open().token(&short).connect().await?;
    renewing.subscribe("news").await?;
    ending.subscribe("news").await?;
    assert!(matches!(next(&mut renewed).await?, Event::TokenRequired(_)));
    let user = renewing.authenticate(&longer).await?;
    assert_eq!(user.as_deref(), Some("7"));
    // The one that was not renewed ends, and the other goes on.
    let told = loop {
        if let Event::Unsubscribed(told) = next(&mut ended).await? {
            break told;
        }
    };
    assert_eq!(told.channel, "news");
    let error = told.error.context("nobody asked for it")?;
    assert_eq!(error.code(), Some("unauthorized"));
    renewing.publish("news", &1).await?;
    assert_eq!(data(&mut renewed).await?, 1);
    Ok(())
}

/// Whether the client shows its token to all that it asks for, or the session shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    ByClient,
    BySession,
}

async fn the_channels_of_a_token_are_resumed_after_a_cut(transport: Transport) -> Result<()> {
    for shown in [Shown::ByClient, Shown::BySession] {
        let guarded = Guarded::with(|settings| settings.key("shutdown.retry_ms", "50")).await?;
        let claims = ["--sub", "7", "--subscribe-to", "news"];
        let token = guarded.token_with(&claims, &[], 600).await?;
        let relay = Relay::to(guarded.broker.socket_address()).await?;
        let builder = Client::builder(&relay.base());
        let (_session, mut events) = match shown {
            Shown::ByClient => builder.token(&token).build()?.session(),
            Shown::BySession => builder.build()?.session().token(&token),
        }
        .transport(transport)
        .connect()
        .await?;
        let path = "/channels/news";
        eventually("the broker has joined it", async || {
            let channel = guarded
                .ask(Method::GET, path, Some(&guarded.backend))
                .await?;
            Ok(channel.body["subscribers"] == 1)
        })
        .await?;
        guarded.publish("news", Some(&guarded.backend)).await?;
        data(&mut events).await?;
        relay.cut();
        while !matches!(next(&mut events).await?, Event::Disconnected(_)) {}
        let missed = guarded.publish("news", Some(&guarded.backend)).await?;
        relay.mend();
        let heard = loop {
            match next(&mut events).await? {
                Event::Message(message) => break message.offset,
                Event::Disconnected(_) | Event::Reconnected => {}
                other => bail!("{shown:?}: {other:?}"),
            }
        };
        assert_eq!(missed.body["offset"], heard, "{shown:?}");
    }
    Ok(())
}

async fn a_message_to_the_user_is_heard(transport: Transport) -> Result<()> {
    let guarded = Guarded::start().await?;
    let token = guarded.token(&["news=subscribe"], 600).await?;
    let client = Client::builder(&guarded.broker.base())
        .token(&token)
        .build()?;
    let (_session, mut events) = client.session().transport(transport).connect().await?;
    let sent = guarded
        .operate("/v1/users/7/messages?event=hint", &json!({ "text": "hi" }))
        .await?;
    assert_eq!(sent["sessions"], 1, "{sent}");
    let Event::Direct(message) = next(&mut events).await? else {
        bail!("no message to the user");
    };
    assert_eq!(message.data::<Value>()?, json!({ "text": "hi" }));
    assert_eq!(message.event.as_deref(), Some("hint"));
    assert_eq!(message.origin, "observer");
    Ok(())
}

#[tokio::test]
async fn a_refusal_says_when_to_come_back() -> Result<()> {
    let settings = Settings::new().key("limits.publications_per_session_and_second", "1");
    let broker = Broker::with(settings).await?;
    let (session, _events) = open(&broker.base(), Transport::WebSocket).await?;
    let mut batch = session.batch();
    for number in 0..100 {
        batch = batch.publish("news", &number);
    }
    let refused = batch.send().await?.into_iter().find_map(Result::err);
    let after = refused.context("all were published")?.retry_after();
    let after = after.context("the broker says when")?;
    assert!(
        !after.is_zero() && after <= Duration::from_secs(1),
        "{after:?}"
    );

    let settings = Settings::new().key("limits.publications_per_channel_and_second", "1");
    let broker = Broker::with(settings).await?;
    let client = Client::new(&broker.base())?;
    for _ in 0..1000 {
        if let Err(refused) = client.publish("news", &1).await {
            assert_eq!(
                refused.retry_after(),
                Some(Duration::from_secs(1)),
                "{refused}"
            );
            return Ok(());
        }
    }
    bail!("all were published")
}

async fn a_token_is_refused_where_there_is_no_authentication(transport: Transport) -> Result<()> {
    let broker = Broker::start().await?;
    let client = Client::new(&broker.base())?;
    let session = client.session().transport(transport).token("t").connect();
    let refused = session.await.err().context("there is no authentication")?;
    assert_eq!(refused.code(), Some("unauthorized"), "{refused}");
    Ok(())
}

async fn a_session_whose_events_were_dropped_is_over(transport: Transport) -> Result<()> {
    let broker = Broker::start().await?;
    let (session, events) = open(&broker.base(), transport).await?;
    drop(events);
    let closed = within("the end of the session", async {
        Ok(session.publish("news", &1).await)
    });
    assert!(matches!(closed.await?, Err(Error::Closed)));
    Ok(())
}

async fn many_channels_are_resumed_over_a_long_way(transport: Transport) -> Result<()> {
    const CHANNELS: usize = 250;
    let broker = Broker::with(impatient()).await?;
    let relay = Relay::long(broker.socket_address(), Duration::from_millis(60)).await?;
    let (session, mut events) = open(&relay.base(), transport).await?;
    let names: Vec<String> = (0..CHANNELS).map(|number| format!("c{number}")).collect();
    let joins = names
        .iter()
        .map(|name| async { session.subscribe(name).await });
    let joined = futures_util::future::join_all(joins);
    for subscribed in within("the subscriptions", async { Ok(joined.await) }).await? {
        subscribed?;
    }
    relay.cut();
    while !matches!(next(&mut events).await?, Event::Disconnected(_)) {}
    for name in &names {
        broker.publisher().publish(name, name.as_str()).await?;
    }
    relay.mend();
    let mut heard = Vec::new();
    while heard.len() < CHANNELS {
        heard.push(
            data(&mut events)
                .await?
                .as_str()
                .context("a string")?
                .to_owned(),
        );
    }
    heard.sort();
    let mut names = names;
    names.sort();
    assert_eq!(heard, names);
    Ok(())
}

async fn a_session_that_has_missed_only_its_own_messages_is_told_no_gap(
    transport: Transport,
) -> Result<()> {
    let broker = Broker::with(impatient().history("short", 3, 1 << 20)).await?;
    let relay = Relay::to(broker.socket_address()).await?;
    let (session, mut events) = open(&relay.base(), transport).await?;
    session.subscribe("short:a").await?;
    broker.publisher().publish("short:a", "first").await?;
    assert_eq!(data(&mut events).await?, "first");
    for _ in 0..5 {
        session.publish("short:a", "own").await?;
    }
    relay.cut();
    while !matches!(next(&mut events).await?, Event::Disconnected(_)) {}
    broker.publisher().publish("short:a", "missed").await?;
    relay.mend();
    assert_eq!(data(&mut events).await?, "missed");
    Ok(())
}
