//! No door opens without having asked: every endpoint, every command, on every transport. What is new is found where the broker itself
//! lists it, and fails here until it is refused, or is said to be for everybody.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use widecast_protocol::Code;
use widecast_protocol::codec::{Codec, decode_commands};
use widecast_protocol::command::CommandKind;
use widecast_tests::surface::{Endpoint, command_types};
use widecast_tests::{Guarded, Heard, Join, Subscriber, Transport};

/// What is for everybody: it tells nothing of channels and clients.
const FOR_EVERYBODY: [&str; 7] = [
    "/",
    "/bridge.html",
    "/client/{file}",
    "/demos",
    "/demos/{file}",
    "/health/live",
    "/health/ready",
];

/// Where sessions begin and go on: anybody may have one, and each of its commands is asked for its right.
const SESSIONS: [&str; 5] = [
    "GET /v1/ws",
    "POST /v1/poll",
    "GET /v1/sessions/{session}/commands",
    "HEAD /v1/sessions/{session}/commands",
    "POST /v1/sessions/{session}/commands",
];

fn needs_nothing(endpoint: &Endpoint) -> bool {
    let name = format!("{} {}", endpoint.method, endpoint.path);
    endpoint.method == Method::OPTIONS
        || FOR_EVERYBODY.contains(&endpoint.path.as_str())
        || SESSIONS.contains(&name.as_str())
}

/// A broker whose namespaces allow scripts and image pings, so that it is for the lack of a right that they are refused.
async fn guarded() -> Result<Guarded> {
    Guarded::with(|settings| settings.key("namespace.default.image_ping", "true")).await
}

/// A request that would be carried out if nobody asked for a right.
fn request(guarded: &Guarded, endpoint: &Endpoint) -> RequestBuilder {
    let path = endpoint.path.replace("{channel}", "news");
    let path = path.replace("{offset}", "1").replace("{user}", "7");
    let url = format!(
        "{}{}",
        guarded.broker.base(),
        path.replace("{id}", "user:7")
    );
    let request = guarded.broker.http().request(endpoint.method.clone(), url);
    match (endpoint.method.as_str(), endpoint.path.as_str()) {
        (_, "/v1/publish") => {
            request.json(&json!({ "messages": [{ "channel": "news", "data": 1 }] }))
        }
        (_, "/v1/revocations" | "/v1/disconnect") => request.json(&json!({ "user": "7" })),
        (_, "/v1/unsubscribe") => request.json(&json!({ "user": "7", "channel": "news" })),
        (_, "/v1/sse" | "/v1/stream" | "/v1/poll") => request.query(&[("channel", "news")]),
        (_, "/channels/{channel}/publish.gif") => request.query(&[("data", "x")]),
        (_, "/channels/{channel}/ws") => request
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("POST", _) => request.body("x"),
        _ => request,
    }
}

/// The code with which a request is refused as a whole, or each part of a batch. A `HEAD` has no body.
async fn refusal(request: RequestBuilder) -> Result<String> {
    let answer = request.send().await?;
    let status = answer.status();
    let text = answer.text().await?;
    if text.is_empty() {
        return Ok(status.as_u16().to_string());
    }
    let body: Value = serde_json::from_str(&text).with_context(|| format!("{status} {text}"))?;
    let part = &body["results"][0]["channels"][0]["error"]["code"];
    let code = if part.is_null() { &body["code"] } else { part };
    Ok(code.as_str().with_context(|| text.clone())?.to_owned())
}

/// Nobody has done anything: the channel is as it was.
async fn assert_untouched(guarded: &Guarded, channel: &str) -> Result<()> {
    let get = async |path: String| {
        let answer = guarded
            .ask(Method::GET, &path, Some(&guarded.backend))
            .await?;
        anyhow::Ok(answer.body)
    };
    let page = get(format!("/channels/{channel}/messages")).await?;
    assert_eq!(page["messages"], json!([]), "{page}");
    let figures = get(format!("/channels/{channel}")).await?;
    assert_eq!(figures["subscribers"], 0, "{figures}");
    let members = get(format!("/channels/{channel}/presence")).await?;
    assert_eq!(members["members"], json!([]), "{members}");
    let path = "/v1/revocations";
    let list = guarded
        .ask(Method::GET, path, Some(&guarded.observer))
        .await?;
    assert_eq!(list.body["revocations"], json!([]), "{list:?}");
    Ok(())
}

#[tokio::test]
async fn every_endpoint_asks_for_a_right_or_is_for_everybody() -> Result<()> {
    let guarded = guarded().await?;
    let all = Endpoint::all(&guarded.broker).await?;
    let excepted = all.iter().filter(|it| needs_nothing(it));
    let excepted = excepted.map(|it| (it.method.as_str(), it.path.as_str()));
    let excepted: BTreeSet<_> = excepted.filter(|it| it.0 != "OPTIONS").collect();
    for path in FOR_EVERYBODY {
        assert!(excepted.contains(&("GET", path)), "no endpoint: {path}");
    }
    for session in SESSIONS.into_iter().filter_map(|it| it.split_once(' ')) {
        assert!(excepted.contains(&session), "no endpoint: {session:?}");
    }
    let asking: Vec<_> = all.iter().filter(|it| !needs_nothing(it)).collect();
    assert!(asking.len() > 20, "{asking:?}");
    let nothing = guarded.token(&[], 600).await?;
    for endpoint in &asking {
        for (credential, code) in [
            (None, Code::Unauthorized),
            (Some(&nothing), Code::Forbidden),
        ] {
            let mut request = request(&guarded, endpoint);
            if let Some(token) = credential {
                request = request.bearer_auth(token);
            }
            let found = refusal(request).await;
            let found = found.with_context(|| format!("{endpoint:?}"))?;
            let by_status = code.http_status().to_string();
            let is_refused = found == code.as_str() || found == by_status;
            assert!(is_refused, "{endpoint:?} {credential:?}: {found}");
        }
    }
    assert_untouched(&guarded, "news").await?;
    // What was refused is what somebody with the right may do.
    for endpoint in &asking {
        let mut is_allowed = false;
        for key in [&guarded.backend, &guarded.observer] {
            let answer = request(&guarded, endpoint).bearer_auth(key).send().await?;
            is_allowed |= ![401, 403].contains(&answer.status().as_u16());
        }
        assert!(is_allowed, "{endpoint:?} is refused to everybody");
    }
    Ok(())
}

/// A command of each type, for a channel on which the client has no right; how it is refused is said by [`refused_with`].
fn command(name: &str) -> Result<Value> {
    let mut command = json!({ "type": name, "channel": "news" });
    match name {
        "authenticate" => command = json!({ "type": name, "token": "a.b.c" }),
        "batch" => {
            command = json!({ "type": name, "messages": [{ "channel": "news", "data": 1 }] });
        }
        "ping" => command = json!({ "type": name }),
        "publish" => command["data"] = 1.into(),
        "subscribe" | "unsubscribe" | "presence" | "history" => {}
        _ => bail!("the command {name} is new: say here how it looks"),
    }
    Ok(command)
}

/// The code with which a command is refused to a client without rights; nothing for one that needs none. A kind of command that is new
/// does not compile here until it is said.
fn refused_with(kind: &CommandKind) -> Option<Code> {
    match kind {
        CommandKind::Authenticate { .. }
        | CommandKind::Subscribe(_)
        | CommandKind::Publish(_)
        | CommandKind::Presence(_)
        | CommandKind::History(_)
        | CommandKind::Batch { .. } => Some(Code::Unauthorized),
        // To leave a channel, joined or not, and to ask for a pong.
        CommandKind::Unsubscribe { .. } | CommandKind::Ping => None,
    }
}

fn kind_of(command: &Value) -> Result<CommandKind> {
    let bytes = serde_json::to_vec(command)?.into();
    let decoded = decode_commands(Codec::Json, &bytes)?.pop();
    match decoded.context("a command")? {
        Ok(command) => Ok(command.kind),
        Err(refused) => bail!("{command}: {}", refused.error),
    }
}

/// The code of a reply, or of the only message of a batch.
fn code_of(reply: &Value) -> Option<&str> {
    let part = &reply["results"][0]["code"];
    let code = if part.is_null() { &reply["code"] } else { part };
    code.as_str()
}

#[tokio::test]
async fn every_command_asks_for_its_right_on_every_transport() -> Result<()> {
    let guarded = guarded().await?;
    for transport in Transport::ALL.into_iter().filter(|it| it.is_envelope()) {
        let mut session = guarded.broker.join(transport, &Join::channels(&[])).await?;
        let session = session.envelope()?;
        for name in command_types()? {
            let command = command(&name)?;
            let expected = refused_with(&kind_of(&command)?);
            let reply = session.command(command).await?;
            let Some(code) = expected else { continue };
            let found = code_of(&reply);
            assert_eq!(found, Some(code.as_str()), "{transport:?} {name}: {reply}");
        }
        // Whoever may hear a channel may not be listed in it for that.
        let listed = json!({ "type": "subscribe", "channel": "open:a", "presence": {} });
        let reply = session.command(listed).await?;
        assert_eq!(
            code_of(&reply),
            Some("unauthorized"),
            "{transport:?} {reply}"
        );
    }
    assert_untouched(&guarded, "news").await?;
    assert_untouched(&guarded, "open:a").await
}

/// Waits until it hears that it was refused.
async fn hears_a_refusal(subscriber: &mut Subscriber) -> Result<()> {
    let transport = subscriber.transport();
    loop {
        match subscriber.next().await? {
            Heard::Frame(frame) if code_of(&frame) == Some("unauthorized") => return Ok(()),
            Heard::Closed {
                code: Some(4401), ..
            } => return Ok(()),
            Heard::Frame(_) => {}
            other => bail!("{transport:?} heard {other:?} instead of a refusal"),
        }
    }
}

#[tokio::test]
async fn every_transport_asks_whoever_joins_or_publishes_on_it() -> Result<()> {
    let guarded = guarded().await?;
    for transport in Transport::ALL {
        let refused = guarded.broker.join(transport, &Join::channel("news")).await;
        assert!(refused.is_err(), "{transport:?} lets anybody hear");
        let mut heard = guarded
            .broker
            .join(transport, &Join::channel("open:a"))
            .await
            .with_context(|| format!("{transport:?}"))?;
        if transport.is_envelope() {
            let reply = heard.envelope()?.publish("open:a", json!(1)).await;
            assert!(reply.is_err(), "{transport:?} lets anybody publish");
        } else if transport.sends() {
            heard.publish("open:a", "x").await?;
            hears_a_refusal(&mut heard).await?;
        }
    }
    let path = "/channels/open:a/messages";
    let page = guarded
        .ask(Method::GET, path, Some(&guarded.backend))
        .await?;
    assert_eq!(page.body["messages"], json!([]), "{page:?}");
    assert_untouched(&guarded, "news").await
}
