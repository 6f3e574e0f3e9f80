//! What pages of other sites can do without asking: show images, load scripts, frame and link. None of it opens a session or
//! publishes anything, unless a namespace allows it; and no answer is taken for what it is not.

use anyhow::{Context, Result};
use widecast_tests::{Broker, Guarded, Settings};

const CROSS_SITE: (&str, &str) = ("sec-fetch-site", "cross-site");

async fn get(
    broker: &Broker,
    path: &str,
    headers: &[(&'static str, &'static str)],
) -> Result<reqwest::Response> {
    let mut request = broker.http().get(format!("{}{path}", broker.base()));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Ok(request.send().await?)
}

#[tokio::test]
async fn an_image_on_another_page_opens_no_session() -> Result<()> {
    // The namespace of the demos allows JSONP.
    let broker = Broker::with(Settings::new().key("server.demos", "false")).await?;
    let cursor = broker.end_of("a").await?;
    let poll = format!("/channels/a/poll?timeout=20&cursor={cursor}");
    for path in [
        "/channels/a/sse",
        "/channels/a/stream",
        &poll,
        "/v1/sse?channel=a",
        "/v1/sse?session=new",
        "/v1/stream?session=new",
        "/v1/poll?session=new",
        "/v1/poll?session=new&callback=f",
    ] {
        for mode in ["no-cors", "navigate"] {
            let mode = ("sec-fetch-mode", mode);
            let refused = get(&broker, path, &[CROSS_SITE, mode]).await?;
            let status = refused.status().as_u16();
            if path.contains("callback") {
                let script = refused.text().await?;
                assert!(script.contains("forbidden"), "{path}: {script}");
            } else {
                assert_eq!(status, 403, "{path}");
            }
        }
    }
    let metrics = broker.metrics().await?;
    assert!(metrics.sum(&["widecast_sessions_opened_total"]) < 1.0);
    let publish = broker
        .http()
        .post(format!("{}/channels/a/messages", broker.base()))
        .header(CROSS_SITE.0, CROSS_SITE.1)
        .body("1");
    assert_eq!(publish.send().await?.status(), 403);
    let ping = get(&broker, "/channels/a/publish.gif?data=1", &[CROSS_SITE]).await?;
    assert_eq!(ping.status(), 403);

    // Who asks, who is no page, and the pages of the site itself are served as before.
    let same = ("sec-fetch-site", "same-origin");
    let origin = ("origin", "http://localhost:3000");
    for headers in [&[][..], &[same], &[CROSS_SITE, origin]] {
        let served = get(&broker, "/channels/a/sse", headers).await?;
        assert_eq!(served.status(), 200, "{headers:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_cookie_goes_with_no_image_and_no_script_whatever_they_say_of_themselves() -> Result<()> {
    let guarded =
        Guarded::with(|settings| settings.key("namespace.default.image_ping", "true")).await?;
    let token = guarded.token(&["news=*"], 600).await?;
    let cookie = format!("session_token={token}");
    let ask = async |path: &str, headers: &[(&'static str, &'static str)]| {
        let mut request = guarded
            .broker
            .http()
            .get(format!("{}{path}", guarded.broker.base()))
            .header("cookie", &cookie);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await?.text().await
    };
    let listed = ("origin", "https://a.example");
    let same = ("sec-fetch-site", "same-origin");
    let cors = ("sec-fetch-mode", "cors");
    for headers in [
        &[listed, cors, ("sec-fetch-dest", "image")][..],
        &[listed, cors, ("sec-fetch-dest", "empty")],
        &[listed],
        &[same],
    ] {
        let ping = ask("/channels/news/publish.gif?data=x", headers).await?;
        assert!(ping.contains("unauthorized"), "{headers:?}: {ping}");
        let script = ask("/channels/news/poll?timeout=0&callback=f", headers).await?;
        assert!(script.contains("unauthorized"), "{headers:?}: {script}");
        let opened = ask(
            "/v1/poll?session=new&channel=news&timeout=0&callback=f",
            headers,
        );
        let opened = opened.await?;
        assert!(!opened.contains("subscribed"), "{headers:?}: {opened}");
    }
    // What the page asks for itself has it.
    let page = ask("/channels/news/messages", &[listed, cors]).await?;
    assert!(page.contains("\"messages\":[]"), "{page}");
    Ok(())
}

#[tokio::test]
async fn only_a_poll_can_be_loaded_as_a_script() -> Result<()> {
    let broker = Broker::with(Settings::new().script_access("default")).await?;
    let no_cors = ("sec-fetch-mode", "no-cors");
    for path in [
        "/channels/a/sse?callback=f",
        "/channels/a/stream?callback=f",
        "/v1/sse?channel=a&callback=f",
        "/v1/sse?session=new&callback=f",
        "/v1/stream?session=new&callback=f",
    ] {
        let refused = get(&broker, path, &[CROSS_SITE, no_cors]).await?;
        assert_eq!(refused.status(), 403, "{path}");
    }
    // A form can be sent without asking, too.
    let url = format!("{}/v1/poll?session=new&callback=f", broker.base());
    let form = broker.http().post(url).header(CROSS_SITE.0, CROSS_SITE.1);
    assert_eq!(form.send().await?.status(), 403);
    let metrics = broker.metrics().await?;
    assert!(metrics.sum(&["widecast_sessions_opened_total"]) < 1.0);
    Ok(())
}

#[tokio::test]
async fn a_namespace_can_allow_scripts_and_image_pings() -> Result<()> {
    let broker = Broker::with(Settings::new().script_access("default")).await?;
    for path in [
        "/channels/a/publish.gif?data=1",
        "/channels/a/poll?callback=f",
        "/v1/poll?session=new&callback=f",
        "/client/widecast.iife.js",
        "/client/widecast.js",
        "/client/widecast.legacy.js",
    ] {
        let served = get(&broker, path, &[CROSS_SITE, ("sec-fetch-mode", "no-cors")]).await?;
        assert_eq!(served.status(), 200, "{path}");
        let policy = served.headers().get("cross-origin-resource-policy");
        assert_eq!(policy.context("a policy")?, "cross-origin", "{path}");
        if path.contains("callback") {
            assert!(!served.text().await?.contains("error"), "{path}");
        }
    }
    let metrics = broker.metrics().await?;
    assert!(metrics.value("widecast_messages_published_total") >= 1.0);
    Ok(())
}

#[tokio::test]
async fn no_answer_is_guessed_at_or_given_to_other_sites() -> Result<()> {
    let broker = Broker::start().await?;
    broker.publisher().publish("a", 1).await?;
    for path in [
        "/channels/a",
        "/channels/a/messages",
        "/channels/a/sse",
        "/channels/a/poll",
        "/v1/poll?session=x",
        "/metrics",
        "/health/live",
        "/nowhere",
        "/demos/",
    ] {
        let answer = get(&broker, path, &[]).await?;
        let header = |name| answer.headers().get_all(name).iter().collect::<Vec<_>>();
        assert_eq!(header("x-content-type-options"), ["nosniff"], "{path}");
        assert_eq!(
            header("cross-origin-resource-policy"),
            ["same-site"],
            "{path}"
        );
    }
    let refused = get(
        &broker,
        "/channels/a",
        &[("origin", "https://evil.example")],
    )
    .await?;
    assert_eq!(refused.status(), 403);
    assert_eq!(
        refused
            .headers()
            .get("x-content-type-options")
            .context("nosniff")?,
        "nosniff"
    );
    Ok(())
}
