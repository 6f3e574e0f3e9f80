//! Publishing over HTTP: single messages of every content type, batches, streams of lines, forms, idempotency keys.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use widecast_tests::broker::Answer;
use widecast_tests::heard::{binary, plain_numbers};
use widecast_tests::message_pack;
use widecast_tests::settings::DEFAULT;
use widecast_tests::socket::Bare;
use widecast_tests::{Broker, Join, Published, Settings, Subscriber, Transport};

const URL_ENCODED: &str = "application/x-www-form-urlencoded";

async fn started() -> Result<(Broker, Subscriber)> {
    let broker = Broker::start().await?;
    let subscriber = broker
        .join(Transport::JsonWebSocket, &Join::channel("news"))
        .await?;
    Ok((broker, subscriber))
}

#[tokio::test]
async fn the_answer_has_the_place_of_the_message_and_the_number_of_subscribers() -> Result<()> {
    let (broker, _first) = started().await?;
    let _second = broker
        .join(Transport::RawSse, &Join::channel("news"))
        .await?;
    let one = broker.publisher().publish("news", 1).await?;
    let two = broker.publisher().publish("news", 2).await?;
    assert_eq!((one.offset, two.offset), (1, 2));
    assert_eq!(one.epoch, two.epoch);
    assert_eq!(two.subscribers, Some(2));
    assert!(!two.duplicate);
    let nobody = broker.publisher().publish("other", 1).await?;
    assert_eq!((nobody.offset, nobody.subscribers), (1, Some(0)));
    Ok(())
}

#[tokio::test]
async fn every_body_may_be_compressed() -> Result<()> {
    let (broker, mut subscriber) = started().await?;
    let publisher = broker.publisher();
    let text = "spam ".repeat(10_000);
    let single = publisher
        .request("news", &[])?
        .header("content-type", "text/plain")
        .header("content-encoding", "gzip")
        .body(message_pack::gzip(text.as_bytes())?);
    assert_eq!(Answer::read(single.send().await?).await?.status, 200);
    assert!(subscriber.message().await?.data == json!(text));
    let batch =
        json!({ "messages": [{ "channel": "news", "data": 1 }, { "channel": "news", "data": 2 }] });
    let batch = broker
        .http()
        .post(format!("{}/v1/publish", broker.base()))
        .header("content-type", "application/json")
        .header("content-encoding", "gzip")
        .body(message_pack::gzip(batch.to_string().as_bytes())?);
    assert_eq!(Answer::read(batch.send().await?).await?.status, 200);
    assert_eq!(subscriber.data(2).await?, [json!(1), json!(2)]);
    let commands = json!([{ "type": "publish", "channel": "news", "data": 3 }]);
    let commands = broker
        .http()
        .post(format!("{}/v1/poll?session=new&timeout=0", broker.base()))
        .header("content-encoding", "gzip")
        .body(message_pack::gzip(commands.to_string().as_bytes())?);
    assert_eq!(Answer::read(commands.send().await?).await?.status, 200);
    assert_eq!(subscriber.data(1).await?, [json!(3)]);
    Ok(())
}

#[tokio::test]
async fn the_history_is_not_larger_for_being_compressed() -> Result<()> {
    let broker = Broker::with(Settings::new().history(DEFAULT, 100, 1 << 20)).await?;
    let text = json!("x".repeat(200_000));
    for _ in 0..10 {
        broker.publisher().publish_compressed("news", &text).await?;
    }
    let page = broker.get(&["channels", "news", "messages"], &[]).await?;
    let messages = page["messages"].as_array().context("a page")?;
    // Five of them fit into a mebibyte.
    assert_eq!(messages.len(), 5);
    assert!(messages.iter().all(|message| message["data"] == text));
    Ok(())
}

#[tokio::test]
async fn the_content_type_decides_what_a_body_is() -> Result<()> {
    let (broker, mut subscriber) = started().await?;
    let packed = message_pack::encode(&json!({ "a": binary(&[1]) }))?;
    let cases: [(&str, &[u8], Value); 14] = [
        ("application/json", b" {\"a\": [1]} ", json!({ "a": [1] })),
        (
            "application/json; charset=utf-8",
            b"\"text\"",
            json!("text"),
        ),
        ("application/problem+json", b"[1]", json!([1])),
        (
            "application/vnd.example+json; charset=utf8",
            b"[2]",
            json!([2]),
        ),
        ("text/json", b"[3]", json!([3])),
        ("text/plain; charset=\"utf8\";", b"4", json!("4")),
        (URL_ENCODED, b"hello", json!("hello")),
        (URL_ENCODED, b"\"a=b\"", json!("a=b")),
        ("application/msgpack", &packed, json!({ "a": binary(&[1]) })),
        ("text/plain", "grüße\n".as_bytes(), json!("grüße\n")),
        ("text/plain; charset=UTF-8", b"{}", json!("{}")),
        (
            URL_ENCODED,
            b"a=1&b=%C3%A4+b",
            json!({ "a": "1", "b": "ä b" }),
        ),
        ("application/octet-stream", &[0, 255], binary(&[0, 255])),
        ("image/png", b"png", binary(b"png")),
    ];
    for (content_type, body, data) in cases {
        let published = broker
            .publisher()
            .publish_as("news", content_type, body.to_vec())
            .await;
        published.with_context(|| content_type.to_owned())?;
        assert_eq!(subscriber.message().await?.data, data, "{content_type}");
    }
    Ok(())
}

#[tokio::test]
async fn json_that_curl_sends_as_a_form_is_taken_as_json() -> Result<()> {
    let (broker, mut subscriber) = started().await?;
    let publisher = broker.publisher();
    for (body, data) in [
        ("{\"hello\":1}", json!({ "hello": 1 })),
        ("[1,2]", json!([1, 2])),
    ] {
        publisher
            .publish_as("news", URL_ENCODED, body.into())
            .await?;
        assert_eq!(subscriber.message().await?.data, data);
    }
    Ok(())
}

#[tokio::test]
async fn a_multipart_form_is_one_object_with_its_files_as_values() -> Result<()> {
    let (broker, mut subscriber) = started().await?;
    let file = reqwest::multipart::Part::bytes(vec![0, 1, 255]);
    let file = file.file_name("dot.png").mime_str("image/png")?;
    let form = reqwest::multipart::Form::new()
        .text("title", "Ein Punkt")
        .part("image", file);
    let request = broker.publisher().request("news", &[])?.multipart(form);
    let answer = Answer::read(request.send().await?).await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    let data = subscriber.message().await?.data;
    assert_eq!(data["title"], "Ein Punkt");
    let image = &data["image"];
    assert_eq!(image["$type"], "File", "{data}");
    let text = image.to_string();
    assert!(
        text.contains("dot.png") && text.contains("image/png"),
        "{data}"
    );
    assert!(text.contains("AAH/"), "the bytes as base64: {data}");
    Ok(())
}

#[tokio::test]
async fn an_empty_body_is_refused_as_json_and_good_as_text() -> Result<()> {
    let (broker, mut subscriber) = started().await?;
    let answer = broker
        .post("/channels/news/messages", "application/json", Vec::new())
        .await?;
    assert_eq!(
        (answer.status, &answer.body["code"]),
        (400, &json!("bad_json"))
    );
    broker
        .publisher()
        .publish_as("news", "text/plain", Vec::new())
        .await?;
    assert_eq!(subscriber.message().await?.data, json!(""));
    Ok(())
}

#[tokio::test]
async fn an_idempotency_key_makes_a_repetition_harmless() -> Result<()> {
    let (broker, mut subscriber) = started().await?;
    let publish = async |key: &str, data: &str| {
        let request = broker.publisher().request("news", &[])?;
        let request = request
            .header("idempotency-key", key)
            .header("content-type", "text/plain");
        let answer = Answer::read(request.body(data.to_owned()).send().await?).await?;
        Published::from_object(&answer.body)
    };
    let first = publish("key-1", "one").await?;
    let again = publish("key-1", "one").await?;
    let other = publish("key-2", "two").await?;
    assert_eq!(
        (first.duplicate, again.duplicate, other.duplicate),
        (false, true, false)
    );
    assert_eq!((first.offset, again.offset, other.offset), (1, 1, 2));
    assert_eq!(subscriber.data(2).await?, [json!("one"), json!("two")]);
    Ok(())
}

#[tokio::test]
async fn a_batch_has_a_result_for_each_message_and_a_bad_one_stops_no_other() -> Result<()> {
    let (broker, mut subscriber) = started().await?;
    let batch = json!({ "messages": [
        { "channels": ["news", "other"], "data": 1 },
        { "channels": [""], "data": 2 },
        { "channels": ["news"] },
        { "channels": ["news"], "data": 3, "event": "bad\nname" },
        { "channels": ["news"], "data": 4, "event": "good", "idempotency_key": "k" },
        { "channels": ["news"], "data": 5, "idempotency_key": "k" },
        { "channels": ["news"], "data": 6, "message_id": "m" },
        { "channels": ["news"], "data": 7, "message_id": "m" },
    ] });
    for (content_type, body) in [
        ("application/json", serde_json::to_vec(&batch)?),
        ("application/msgpack", message_pack::encode(&batch)?),
    ] {
        let answer = broker.post("/v1/publish", content_type, body).await?;
        assert_eq!(answer.status, 200, "{answer:?}");
        let results = answer.body["results"].as_array().context("results")?;
        assert_eq!(results.len(), 8, "{:#}", answer.body);
        let codes: Vec<_> = results.iter().map(|result| found(result, "code")).collect();
        assert_eq!(
            codes[1],
            Some(json!("bad_channel_name")),
            "{:#}",
            answer.body
        );
        assert_eq!(codes[3], Some(json!("bad_event_name")), "{:#}", answer.body);
        assert!(codes[2].is_some(), "data is missing: {:#}", answer.body);
        assert_eq!((&codes[0], &codes[4], &codes[5]), (&None, &None, &None));
        assert_eq!(found(&results[5], "duplicate"), Some(json!(true)));
        assert_eq!(found(&results[7], "duplicate"), Some(json!(true)));
    }
    let heard = [json!(1), json!(4), json!(6), json!(1)];
    assert_eq!(subscriber.data(4).await?, heard);
    Ok(())
}

/// The first field of that name, at any depth.
fn found(value: &Value, name: &str) -> Option<Value> {
    match value {
        Value::Object(fields) => {
            let deeper = || fields.values().find_map(|value| found(value, name));
            fields.get(name).cloned().or_else(deeper)
        }
        Value::Array(items) => items.iter().find_map(|value| found(value, name)),
        _ => None,
    }
}

#[tokio::test]
async fn a_message_is_published_once_on_a_channel_that_is_named_twice() -> Result<()> {
    let (broker, mut subscriber) = started().await?;
    let batch = json!({ "messages": [{ "channels": ["news", "b", "news"], "data": 1 }] });
    for (content_type, body) in [
        ("application/json", serde_json::to_vec(&batch)?),
        ("application/msgpack", message_pack::encode(&batch)?),
        (
            "application/x-ndjson",
            serde_json::to_vec(&batch["messages"][0])?,
        ),
    ] {
        let answer = broker.post("/v1/publish", content_type, body).await?;
        assert_eq!(answer.status, 200, "{answer:?}");
        let text = answer.body.to_string();
        assert_eq!(text.matches("offset").count(), 2, "{text}");
    }
    broker.publisher().publish("news", "end").await?;
    let heard = [json!(1), json!(1), json!(1), json!("end")];
    assert_eq!(subscriber.data(4).await?, heard);
    Ok(())
}

#[tokio::test]
async fn no_event_runs_a_handler_of_the_page_for_its_connection() -> Result<()> {
    let (broker, mut subscriber) = started().await?;
    for event in ["error", "open"] {
        let request = broker
            .publisher()
            .request("news", &[("event".to_owned(), event.to_owned())])?;
        let answer = Answer::read(request.body("1").send().await?).await?;
        assert_eq!(answer.status, 400, "{answer:?}");
        assert_eq!(answer.body["code"], "bad_event_name", "{answer:?}");
        let batch = json!({ "messages": [{ "channel": "news", "data": 1, "event": event }] });
        let batch = serde_json::to_vec(&batch)?;
        let answer = broker
            .post("/v1/publish", "application/json", batch)
            .await?;
        assert_eq!(
            found(&answer.body, "code"),
            Some(json!("bad_event_name")),
            "{answer:?}"
        );
    }
    // What the events without a name are called is no name.
    let publisher = broker.publisher();
    publisher.publish_event("news", "message", 1).await?;
    publisher.publish_event("news", "Error", 2).await?;
    let first = subscriber.message().await?;
    assert_eq!((first.data, first.event), (json!(1), None));
    let second = subscriber.message().await?;
    assert_eq!(second.event.as_deref(), Some("Error"));
    Ok(())
}

#[tokio::test]
async fn lines_are_published_and_acknowledged_as_they_come() -> Result<()> {
    let (broker, mut subscriber) = started().await?;
    let (send, receive) = tokio::sync::mpsc::channel::<Result<String, std::io::Error>>(1);
    let lines = futures_util::stream::unfold(receive, async |mut receive| {
        receive.recv().await.map(|line| (line, receive))
    });
    let request = broker.http().post(format!("{}/v1/publish", broker.base()));
    let request = request.header("content-type", "application/x-ndjson");
    let answer = tokio::spawn(request.body(reqwest::Body::wrap_stream(lines)).send());
    for number in 0..3 {
        let line = json!({ "channels": ["news"], "data": [number] });
        send.send(Ok(format!("{line}\n"))).await?;
        // Heard while the request is still being sent.
        assert_eq!(subscriber.message().await?.data, json!([number]));
    }
    send.send(Ok("{\"channels\":[\"news\"],\n\n".to_owned()))
        .await?;
    send.send(Ok("{\"channels\":[\"news\"],\"data\":\"last\"}".to_owned()))
        .await?;
    drop(send);
    let text = answer.await??.error_for_status()?.text().await?;
    assert_eq!(subscriber.message().await?.data, json!("last"));
    let lines = text.lines().filter(|line| !line.is_empty());
    let results: Vec<Value> = lines.map(serde_json::from_str).collect::<Result<_, _>>()?;
    let offsets: Vec<_> = results
        .iter()
        .map(|result| found(result, "offset"))
        .collect();
    let expected = [
        Some(json!(1)),
        Some(json!(2)),
        Some(json!(3)),
        None,
        Some(json!(4)),
    ];
    assert_eq!(offsets, expected, "{text}");
    assert_eq!(found(&results[3], "code"), Some(json!("bad_json")));
    Ok(())
}

#[tokio::test]
async fn an_image_ping_publishes_where_the_namespace_allows_it() -> Result<()> {
    let broker = Broker::with(Settings::new().script_access("pixel")).await?;
    let mut subscriber = broker
        .join(Transport::RawSse, &Join::channel("pixel:a"))
        .await?;
    let get = async |path: &str| {
        Answer::read(
            broker
                .http()
                .get(format!("{}{path}", broker.base()))
                .send()
                .await?,
        )
        .await
    };
    let image = get("/channels/pixel:a/publish.gif?data=clicked").await?;
    assert_eq!(
        (image.status, image.content_type.as_str()),
        (200, "image/gif")
    );
    assert!(
        image
            .body
            .as_str()
            .is_some_and(|body| body.starts_with("GIF89a"))
    );
    assert_eq!(subscriber.message().await?.data, json!("clicked"));
    let query = "page=%2Fhome&x=1&event=view&sender=0123456789abcdef";
    get(&format!("/channels/pixel:a/publish.gif?{query}")).await?;
    let view = subscriber.message().await?;
    assert_eq!(view.data, json!({ "page": "/home", "x": "1" }));
    assert_eq!(view.event.as_deref(), Some("view"));
    let refused = get("/channels/news/publish.gif?data=clicked").await?;
    assert_eq!(
        (refused.status, &refused.body["code"]),
        (403, &json!("forbidden"))
    );
    Ok(())
}

#[tokio::test]
async fn a_message_is_given_as_the_file_that_it_is() -> Result<()> {
    let broker = Broker::with(Settings::new().history(DEFAULT, 2, 1 << 20)).await?;
    let publisher = broker.publisher();
    publisher.publish("a/b", "gone").await?;
    let png = b"\x89PNG".to_vec();
    publisher
        .publish_as("a/b", "image/png", png.clone())
        .await?;
    let blob = json!({ "type": "text/html", "bytes": binary(b"<script>") });
    let blob = json!({ "$type": "Blob", "value": blob });
    let last = publisher.publish("a/b", blob).await?;
    let get = async |place: &str| {
        let url = format!("{}/channels/a%2Fb/messages/{place}", broker.base());
        broker.http().get(url).send().await
    };
    let image = get("2").await?;
    assert_eq!(image.headers()["content-type"], "image/png");
    assert_eq!(image.bytes().await?, png);
    let page = get(&last.cursor()).await?;
    let headers = page.headers();
    assert_eq!(headers["content-type"], "text/html");
    assert_eq!(
        headers["content-security-policy"],
        "sandbox; default-src 'none'"
    );
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["widecast-cursor"], last.cursor());
    assert_eq!(page.bytes().await?, "<script>");
    for (place, status, code) in [
        ("1", 410, "history_lost"),
        ("0-2", 410, "history_lost"),
        ("4", 404, "not_found"),
        ("0", 400, "invalid_request"),
        ("two", 400, "invalid_request"),
    ] {
        let answer = Answer::read(get(place).await?).await?;
        let told = (answer.status, &answer.body["code"]);
        assert_eq!(told, (status, &json!(code)), "{answer:?}");
    }
    Ok(())
}

#[tokio::test]
async fn the_history_is_given_in_pages() -> Result<()> {
    let broker = Broker::start().await?;
    let numbers: Vec<Value> = (1..=10).map(Value::from).collect();
    broker
        .publisher()
        .publish_all("news", numbers.clone())
        .await?;
    let page =
        async |query: &[(&str, &str)]| broker.get(&["channels", "news", "messages"], query).await;
    let data = |page: &Value| -> Vec<Value> {
        let messages = page["messages"].as_array().into_iter().flatten();
        messages
            .map(|message| plain_numbers(message["data"].clone()))
            .collect()
    };
    assert_eq!(data(&page(&[]).await?), numbers);
    assert_eq!(
        data(&page(&[("limit", "3"), ("reverse", "true")]).await?),
        [10, 9, 8]
    );
    let mut all = Vec::new();
    let mut since = broker.end_of("empty").await?;
    let first = page(&[("limit", "1")]).await?;
    let cursor = first["cursor"].as_str().context("a cursor")?;
    cursor
        .split_once('-')
        .map(|(epoch, _)| format!("{epoch}-0"))
        .context("epoch-offset")?
        .clone_into(&mut since);
    for _ in 0..4 {
        let next = page(&[("since", &since), ("limit", "3")]).await?;
        next["cursor"]
            .as_str()
            .context("a cursor")?
            .clone_into(&mut since);
        all.extend(data(&next));
    }
    assert_eq!(all, numbers);
    Ok(())
}

#[tokio::test]
async fn the_origin_is_stamped_by_the_broker() -> Result<()> {
    let (broker, mut subscriber) = started().await?;
    let request = broker.publisher().request("news", &[])?;
    let request = request.header("origin", "http://localhost:3000");
    let request = request.header("content-type", "application/json");
    let body = json!({ "origin": "https://forged.example" }).to_string();
    let answer = Answer::read(request.body(body).send().await?).await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        subscriber.message().await?.origin.as_deref(),
        Some("http://localhost:3000")
    );
    broker.publisher().publish("news", 1).await?;
    assert_eq!(subscriber.message().await?.origin.as_deref(), Some(""));
    Ok(())
}

#[tokio::test]
async fn a_sender_key_is_shown_to_nobody() -> Result<()> {
    const KEY: &str = "sender-key-of-mine";
    let broker = Broker::start().await?;
    let mut streams = Vec::new();
    for target in ["/channels/news/sse", "/channels/news/stream"] {
        let mut stream = Bare::connect(&broker).await?;
        stream.get(target, "").await?;
        stream.until(b"\r\n\r\n").await?;
        streams.push(stream);
    }
    let cursor = broker.end_of("news").await?;
    broker
        .publisher()
        .sender(KEY)
        .publish("news", "the end")
        .await?;
    for stream in &mut streams {
        let said = String::from_utf8(stream.until(b"the end").await?)?;
        assert!(!said.contains(KEY), "{said}");
    }
    let poll = broker
        .get(&["channels", "news", "poll"], &[("cursor", &cursor)])
        .await?;
    let history = broker.get(&["channels", "news", "messages"], &[]).await?;
    for answer in [poll, history] {
        assert_eq!(answer["messages"][0]["data"], "the end");
        assert!(!answer.to_string().contains(KEY), "{answer}");
    }
    assert!(!broker.log().contains(KEY));
    Ok(())
}

#[tokio::test]
async fn health_and_metrics_answer() -> Result<()> {
    let (broker, mut subscriber) = started().await?;
    for path in ["/health/live", "/health/ready"] {
        let response = broker
            .http()
            .get(format!("{}{path}", broker.base()))
            .send()
            .await?;
        assert_eq!(response.status(), 200, "{path}");
    }
    broker.publisher().publish("news", 1).await?;
    subscriber.message().await?;
    let metrics = broker.metrics().await?;
    assert!(metrics.sum(&["widecast_sessions"]) >= 1.0);
    assert!(
        metrics
            .families()
            .iter()
            .all(|name| name.starts_with("widecast_"))
    );
    Ok(())
}
