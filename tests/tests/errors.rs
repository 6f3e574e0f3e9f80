//! Every error has a stable code and is told in the form of its transport; none of them ends the broker.

use anyhow::{Context, Result};
use reqwest::Method;
use serde_json::{Value, json};
use widecast_protocol::Code;
use widecast_tests::broker::Answer;
use widecast_tests::settings::DEFAULT;
use widecast_tests::socket::{Bare, client_frame};
use widecast_tests::{Broker, Heard, Join, Settings, Transport};

const MESSAGES: &str = "/channels/news/messages";
const JSON: &str = "application/json";
const PACKED: &str = "application/msgpack";

/// Checks that the answer is a problem with the code, and what the table of codes says about it.
#[track_caller]
fn assert_problem(answer: &Answer, code: Code) {
    let body = &answer.body;
    assert_eq!(body["code"], code.as_str(), "{answer:?}");
    assert_eq!(
        answer.content_type, "application/problem+json",
        "{answer:?}"
    );
    assert_eq!(answer.status, code.http_status(), "{answer:?}");
    assert_eq!(body["status"], code.http_status(), "{answer:?}");
    assert_eq!(body["retryable"], code.retryable(), "{answer:?}");
    for field in ["type", "title", "detail"] {
        assert!(
            body[field].as_str().is_some_and(|text| !text.is_empty()),
            "no {field}: {answer:?}"
        );
    }
}

async fn ask(broker: &Broker, method: Method, target: &str) -> Result<Answer> {
    let request = broker
        .http()
        .request(method, format!("{}{target}", broker.base()));
    Answer::read(request.send().await?).await
}

#[tokio::test]
async fn an_unknown_address_and_a_wrong_method_are_problems() -> Result<()> {
    let mut broker = Broker::start().await?;
    for target in [
        "/nothing",
        "/channels/news/nothing",
        "/v1/nothing",
        "/channels/news/sse/more",
    ] {
        assert_problem(&ask(&broker, Method::GET, target).await?, Code::NotFound);
    }
    for (method, target) in [
        (Method::DELETE, MESSAGES),
        (Method::PUT, "/v1/publish"),
        (Method::GET, "/v1/publish"),
        (Method::POST, "/channels/news/sse"),
        (Method::POST, "/metrics"),
    ] {
        let request = broker
            .http()
            .request(method, format!("{}{target}", broker.base()));
        let response = request.send().await?;
        let allow = response.headers().get("allow").cloned();
        assert_problem(&Answer::read(response).await?, Code::MethodNotAllowed);
        assert!(allow.is_some(), "{target}: no Allow");
    }
    broker.check_alive().await
}

#[tokio::test]
async fn bad_json_is_refused() -> Result<()> {
    let mut broker = Broker::start().await?;
    let brackets = vec![b'['; 200_000];
    let objects = "{\"a\":".repeat(200_000).into_bytes();
    let mut closed = brackets.clone();
    closed.resize(400_000, b']');
    let bodies: [&[u8]; 14] = [
        b"",
        b"{",
        b"nul",
        b"{\"a\":}",
        b"[1,]",
        b"'text'",
        b"1 2",
        b"NaN",
        b"01",
        b"\"\x01\"",
        b"\"\\ud800\"",
        &brackets,
        &objects,
        &closed,
    ];
    for body in bodies {
        let answer = broker.post(MESSAGES, JSON, body.to_vec()).await?;
        assert_problem(&answer, Code::BadJson);
        let detail = answer.body["detail"].as_str().context("detail")?;
        assert!(detail.len() < 300, "{detail}");
    }
    for body in [b"{\"messages\":".to_vec(), brackets.clone()] {
        assert_problem(
            &broker.post("/v1/publish", JSON, body).await?,
            Code::BadJson,
        );
    }
    broker.check_alive().await
}

#[tokio::test]
async fn text_that_is_not_utf_8_is_refused() -> Result<()> {
    let mut broker = Broker::start().await?;
    for (content_type, body) in [
        ("text/plain", b"\xff".as_slice()),
        (JSON, b"\"\xc3\x28\""),
        ("text/html", b"a\xed\xa0\x80"),
    ] {
        let answer = broker.post(MESSAGES, content_type, body.to_vec()).await?;
        if content_type == "text/html" {
            // Bytes of a kind that the broker does not read: they are carried as they are.
            assert_eq!(answer.status, 200, "{answer:?}");
        } else {
            assert_problem(&answer, Code::BadUtf8);
        }
    }
    broker.check_alive().await
}

#[tokio::test]
async fn bad_message_pack_is_refused() -> Result<()> {
    let mut broker = Broker::start().await?;
    let deep = vec![0x91; 200_000];
    let bodies: [&[u8]; 9] = [
        b"",
        &[0xdd, 0xff, 0xff, 0xff, 0xff], // an array of 4 billion entries
        &[0xdf, 0xff, 0xff, 0xff, 0xff], // a map of as many
        &[0xdb, 0xff, 0xff, 0xff, 0xff], // text of as many bytes
        &[0xc6, 0xff, 0xff, 0xff, 0xff], // binary data
        &[0xc9, 0xff, 0xff, 0xff, 0xff, 1], // an extension
        &[0xc1],                         // never used
        &[0x01, 0x02],                   // two values
        &deep,
    ];
    for body in bodies {
        assert_problem(
            &broker.post(MESSAGES, PACKED, body.to_vec()).await?,
            Code::BadMessagePack,
        );
    }
    let resident = broker.resident_bytes()?;
    assert!(resident < 300 << 20, "{resident} bytes resident");
    assert_problem(
        &broker.post("/v1/publish", PACKED, deep).await?,
        Code::BadMessagePack,
    );
    broker.check_alive().await
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused_and_the_error_names_limit_and_size() -> Result<()> {
    let mut broker = Broker::with(Settings::new().message_bytes(1000)).await?;
    let body = format!("\"{}\"", "x".repeat(1500)).into_bytes();
    for (content_type, body) in [
        (JSON, body.clone()),
        ("text/plain", vec![b'x'; 1500]),
        ("application/octet-stream", vec![0; 1500]),
    ] {
        let answer = broker.post(MESSAGES, content_type, body).await?;
        assert_problem(&answer, Code::MessageTooLarge);
        let detail = answer.body["detail"].as_str().context("detail")?;
        assert!(detail.contains("1000"), "{content_type}: {detail}");
        assert!(detail.contains("150"), "{content_type}: {detail}");
    }
    let mut streamed = Bare::connect(&broker).await?;
    let head = "POST /channels/news/messages HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\n\
                Content-Length: 4000000000\r\n\r\n";
    streamed.send(head.as_bytes()).await?;
    let answer = streamed.until(b"\r\n\r\n").await?;
    assert!(
        answer.starts_with(b"HTTP/1.1 413"),
        "{}",
        String::from_utf8_lossy(&answer)
    );

    let mut socket = Bare::connect(&broker).await?;
    socket.upgrade("/channels/news/ws").await?;
    socket.send(&client_frame(0x81, &[b'x'; 1500])).await?;
    let said = socket.to_end().await?;
    assert!(
        said.windows(2).any(|bytes| bytes == 1009_u16.to_be_bytes()),
        "{said:?}"
    );

    let mut session = broker
        .join(Transport::EnvelopeSse, &Join::channel("news"))
        .await?;
    let publish = json!({ "type": "publish", "channel": "news", "data": "x".repeat(1500) });
    let reply = session.envelope()?.command(publish).await?;
    assert_eq!(reply["code"], "message_too_large", "{reply}");
    broker.check_alive().await
}

#[tokio::test]
async fn a_request_that_is_cut_in_its_body_is_none() -> Result<()> {
    let mut broker = Broker::start().await?;
    for (path, framing, body) in [
        (MESSAGES, "Content-Length: 100", "\"half of "),
        (
            MESSAGES,
            "Transfer-Encoding: chunked",
            "9\r\n\"half of \r\n",
        ),
        ("/v1/publish", "Content-Length: 100", "{\"messages\":["),
    ] {
        let mut cut = Bare::connect(&broker).await?;
        let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: {JSON}\r\n");
        let request = format!("{head}{framing}\r\n\r\n{body}");
        cut.send(request.as_bytes()).await?;
        cut.finish().await?;
        let answer = String::from_utf8(cut.to_end().await?)?;
        assert_eq!(answer, "", "{framing}");
    }
    assert!(broker.end_of("news").await?.ends_with("-0"));
    let metrics = broker.metrics().await?;
    assert!(metrics.sum(&["widecast_messages_refused_total"]) < 1.0);
    broker.check_alive().await
}

#[tokio::test]
async fn bad_names_and_keys_are_refused() -> Result<()> {
    let mut broker = Broker::start().await?;
    let long = format!("/channels/{}/messages", "x".repeat(256));
    for target in ["/channels/%00/messages", "/channels/a%0Ab/messages", &long] {
        let answer = broker.post(target, JSON, b"1".to_vec()).await?;
        assert_problem(&answer, Code::BadChannelName);
    }
    let answer = broker.post(&long, JSON, b"1".to_vec()).await?;
    let detail = answer.body["detail"].as_str().context("detail")?;
    assert!(detail.contains("255") && detail.contains("256"), "{detail}");
    let answer = broker
        .post("/channels/%ff/messages", JSON, b"1".to_vec())
        .await?;
    assert_problem(&answer, Code::BadUtf8);
    for event in ["a%0Ab", "a%0Db", "a%00b", ""] {
        let target = format!("{MESSAGES}?event={event}");
        assert_problem(
            &broker.post(&target, JSON, b"1".to_vec()).await?,
            Code::BadEventName,
        );
    }
    for target in [
        "/channels/news/sse?sender=short",
        "/channels/news/poll?sender=with%20a%20blank%20in%20it",
    ] {
        assert_problem(
            &ask(&broker, Method::GET, target).await?,
            Code::BadSenderKey,
        );
    }
    let request = broker
        .publisher()
        .request("news", &[])?
        .header("idempotency-key", "a b");
    let answer = Answer::read(
        request
            .header("content-type", JSON)
            .body("1")
            .send()
            .await?,
    )
    .await?;
    assert_problem(&answer, Code::BadIdempotencyKey);
    broker.check_alive().await
}

#[tokio::test]
async fn bad_cursors_are_refused_on_every_transport() -> Result<()> {
    let mut broker = Broker::with(Settings::new().script_access(DEFAULT)).await?;
    for transport in ["sse", "stream", "poll"] {
        for cursor in ["nonsense", "1-x", "x-01", "-1", "a-18446744073709551616"] {
            let target = format!("/channels/news/{transport}?cursor={cursor}");
            let answer = ask(&broker, Method::GET, &target).await?;
            assert_problem(&answer, Code::BadCursor);
        }
    }
    // To begin at the end with the cursor of another channel would be a loss that nobody is told of.
    let other = format!("cursor=other%3D{}", broker.end_of("other").await?);
    for transport in ["sse", "stream", "poll"] {
        let target = format!("/channels/news/{transport}?{other}");
        let answer = ask(&broker, Method::GET, &target).await?;
        assert_problem(&answer, Code::BadCursor);
    }
    for transport in Transport::ALL {
        let join = Join::channel("news").from("nonsense");
        let refused = match broker.join(transport, &join).await {
            Err(error) => Some(error),
            // A poll asks when it listens, and not before.
            Ok(mut subscriber) => subscriber.next().await.err(),
        };
        let error = refused.with_context(|| format!("{transport:?} took a cursor of nonsense"))?;
        let text = format!("{error:?}");
        let refused = text.contains("bad_cursor") || text.contains("400");
        assert!(refused, "{transport:?}: {text}");
    }
    let target = "/channels/news/messages?since=nonsense";
    assert_problem(&ask(&broker, Method::GET, target).await?, Code::BadCursor);
    broker.check_alive().await
}

#[tokio::test]
async fn a_cursor_of_the_future_is_a_gap_and_not_believed() -> Result<()> {
    let broker = Broker::start().await?;
    let end = broker.end_of("news").await?;
    let (epoch, _) = end.split_once('-').context("epoch-offset")?;
    let join = Join::channel("news").from(format!("{epoch}-1000"));
    let mut subscriber = broker.join(Transport::RawSse, &join).await?;
    assert!(matches!(subscriber.next().await?, Heard::Gap { .. }));
    broker.publisher().publish("news", "now").await?;
    assert_eq!(subscriber.message().await?.data, json!("now"));
    Ok(())
}

#[tokio::test]
async fn bad_parameters_are_refused() -> Result<()> {
    let mut broker = Broker::start().await?;
    let end = broker.end_of("news").await?;
    for target in [
        format!("/channels/news/poll?cursor={end}&timeout=soon"),
        format!("/channels/news/poll?cursor={end}&timeout=-1"),
        "/channels/news/messages?limit=many".to_owned(),
        "/v1/sse".to_owned(),
        "/v1/poll".to_owned(),
    ] {
        let answer = ask(&broker, Method::GET, &target).await?;
        assert_problem(&answer, Code::InvalidRequest);
    }
    let unknown = ask(&broker, Method::GET, "/v1/poll?session=unknown").await?;
    assert_problem(&unknown, Code::SessionNotFound);
    let answer = broker
        .post("/v1/sessions/unknown/commands", JSON, b"[]".to_vec())
        .await?;
    assert_problem(&answer, Code::SessionNotFound);
    broker.check_alive().await
}

#[tokio::test]
async fn a_session_joins_only_so_many_channels() -> Result<()> {
    let mut broker = Broker::with(
        Settings::new()
            .channels_per_session(2)
            .script_access(DEFAULT),
    )
    .await?;
    for transport in Transport::ALL
        .into_iter()
        .filter(|transport| transport.is_envelope())
    {
        let mut session = broker.join(transport, &Join::channels(&["a", "b"])).await?;
        let subscribe = json!({ "type": "subscribe", "channel": "c" });
        let reply = session.envelope()?.command(subscribe).await?;
        assert_eq!(reply["code"], "too_many_channels", "{transport:?}: {reply}");
        let text = reply["message"].as_str().context("message")?;
        assert!(text.contains('2'), "{text}");
    }
    for transport in ["sse", "stream", "poll"] {
        let target = format!("/v1/{transport}?channel=a&channel=b&channel=c");
        assert_problem(
            &ask(&broker, Method::GET, &target).await?,
            Code::TooManyChannels,
        );
    }
    broker.check_alive().await
}

#[tokio::test]
async fn a_bad_command_is_answered_and_the_session_goes_on() -> Result<()> {
    let mut broker = Broker::with(Settings::new().script_access(DEFAULT)).await?;
    for transport in Transport::ALL
        .into_iter()
        .filter(|transport| transport.is_envelope())
    {
        let mut subscriber = broker.join(transport, &Join::channel("news")).await?;
        let session = subscriber.envelope()?;
        let cases = [
            (json!({ "type": "dance" }), Code::BadCommand),
            (json!({ "no": "type" }), Code::BadCommand),
            (json!({ "type": "subscribe" }), Code::BadCommand),
            (
                json!({ "type": "subscribe", "channel": "" }),
                Code::BadChannelName,
            ),
            (
                json!({ "type": "subscribe", "channel": "x", "cursor": "?" }),
                Code::BadCursor,
            ),
            (
                json!({ "type": "publish", "channel": "x" }),
                Code::BadCommand,
            ),
            (
                json!({ "type": "publish", "channel": "x", "data": 1, "event": "a\nb" }),
                Code::BadEventName,
            ),
            (
                json!({ "type": "unsubscribe", "channel": "x" }),
                Code::NotSubscribed,
            ),
        ];
        for (command, code) in cases {
            let reply = session.command(command.clone()).await?;
            assert_eq!(reply["type"], "error", "{transport:?}: {command} → {reply}");
            assert_eq!(
                reply["code"],
                code.as_str(),
                "{transport:?}: {command} → {reply}"
            );
            assert_eq!(
                reply["retryable"],
                code.retryable(),
                "{transport:?}: {reply}"
            );
        }
        broker.publisher().publish("news", "on").await?;
        assert_eq!(
            subscriber.message().await?.data,
            json!("on"),
            "{transport:?}"
        );
    }
    broker.check_alive().await
}

#[tokio::test]
async fn too_many_commands_at_once_are_refused_and_the_session_goes_on() -> Result<()> {
    let broker = Broker::with(Settings::new().key("limits.commands_per_frame", "2")).await?;
    let mut subscriber = broker
        .join(Transport::JsonWebSocket, &Join::channel("news"))
        .await?;
    let session = subscriber.envelope()?;
    let ping = json!({ "type": "ping", "id": 1 });
    session.send(&json!([ping, ping, ping])).await?;
    let error = frame(session.next().await?)?;
    assert_eq!(error["code"], "message_too_large", "{error}");
    let text = error["message"].as_str().context("message")?;
    assert!(text.contains("limits.commands_per_frame"), "{text}");
    session.send(&ping).await?;
    let answer = frame(session.next().await?)?;
    assert_eq!(answer, json!({ "type": "pong", "id": 1 }));
    Ok(())
}

#[tokio::test]
async fn a_command_without_an_id_is_answered_only_if_it_fails() -> Result<()> {
    let broker = Broker::start().await?;
    let mut subscriber = broker
        .join(Transport::JsonWebSocket, &Join::channel("news"))
        .await?;
    let session = subscriber.envelope()?;
    let batch = json!([
        { "type": "publish", "channel": "other", "data": 1 },
        { "type": "dance" },
        { "type": "ping", "id": "the last" },
    ]);
    session.send(&batch).await?;
    let error = frame(session.next().await?)?;
    assert_eq!((&error["type"], error.get("id")), (&json!("error"), None));
    let answer = frame(session.next().await?)?;
    assert_eq!(answer, json!({ "type": "pong", "id": "the last" }));
    Ok(())
}

fn frame(heard: Heard) -> Result<Value> {
    match heard {
        Heard::Frame(frame) => Ok(frame),
        other => anyhow::bail!("{other:?} is not a frame"),
    }
}

#[tokio::test]
async fn bytes_that_are_no_frame_end_a_websocket_with_their_code_or_are_answered() -> Result<()> {
    let mut broker = Broker::start().await?;
    let cases: [(&str, u8, &[u8], Code); 4] = [
        ("/v1/ws", 0x81, b"{", Code::BadJson),
        ("/v1/ws", 0x81, b"\xff", Code::BadUtf8),
        ("/channels/news/ws", 0x81, b"\xff", Code::BadUtf8),
        ("/channels/news/ws", 0x83, b"", Code::WebSocketProtocol),
    ];
    for (target, first, payload, code) in cases {
        let mut socket = Bare::connect(&broker).await?;
        socket.upgrade(target).await?;
        socket.send(&client_frame(first, payload)).await?;
        socket
            .send(&client_frame(0x88, &1000_u16.to_be_bytes()))
            .await?;
        let said = socket.to_end().await?;
        let closed = said
            .windows(2)
            .any(|bytes| bytes == code.close_code().to_be_bytes());
        let answered = String::from_utf8_lossy(&said).contains(code.as_str());
        assert!(
            closed || answered,
            "{target} {code}: {}",
            String::from_utf8_lossy(&said)
        );
    }
    let deep = "[".repeat(200_000);
    let mut session = broker
        .join(Transport::JsonWebSocket, &Join::channel("news"))
        .await?;
    session
        .envelope()?
        .send(&Value::String(deep.clone()))
        .await?;
    let mut socket = Bare::connect(&broker).await?;
    socket.upgrade("/v1/ws").await?;
    socket.send(&client_frame(0x81, deep.as_bytes())).await?;
    socket
        .send(&client_frame(0x88, &1000_u16.to_be_bytes()))
        .await?;
    socket.to_end().await?;
    broker.check_alive().await
}

#[tokio::test]
async fn a_websocket_address_without_an_upgrade_is_a_problem() -> Result<()> {
    let mut broker = Broker::start().await?;
    for target in ["/channels/news/ws", "/v1/ws"] {
        let answer = ask(&broker, Method::GET, target).await?;
        assert!((400..=499).contains(&answer.status), "{answer:?}");
        assert_eq!(
            answer.content_type, "application/problem+json",
            "{answer:?}"
        );
    }
    broker.check_alive().await
}

#[tokio::test]
async fn a_page_of_a_foreign_origin_is_refused() -> Result<()> {
    let broker = Broker::start().await?;
    for target in [
        "/channels/news/sse",
        "/channels/news/poll",
        "/v1/sse?session=new",
    ] {
        let request = broker.http().get(format!("{}{target}", broker.base()));
        let response = request
            .header("origin", "https://foreign.example")
            .send()
            .await?;
        assert_problem(&Answer::read(response).await?, Code::OriginNotAllowed);
    }
    Ok(())
}
