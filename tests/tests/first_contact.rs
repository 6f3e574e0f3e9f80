//! What the broker says to somebody who starts it for the first time, and to its operator about pages it refuses.

use anyhow::Result;
use reqwest::header::{HOST, ORIGIN};
use widecast_tests::{Broker, Settings, eventually};

#[tokio::test]
async fn the_log_says_where_all_is_and_what_others_need() -> Result<()> {
    let broker = Broker::start().await?;
    eventually("the greeting", async || {
        Ok(broker.log().contains("only this machine can connect"))
    })
    .await?;
    let log = broker.log();
    for part in [
        "read the settings file ",
        "widecast.toml",
        &format!("the demos are at {}/demos/", broker.base()),
        "server.allowed_origins",
        "--allow-public-without-authentication",
    ] {
        assert!(log.contains(part), "{part}");
    }
    assert!(!log.contains("there is no authentication"));
    Ok(())
}

#[tokio::test]
async fn a_refused_origin_is_logged_once_with_the_setting_that_allows_it() -> Result<()> {
    let broker = Broker::start().await?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    let url = format!("{}/channels/news/poll", broker.base());
    for (header, value) in [
        (ORIGIN, "https://app.example"),
        (ORIGIN, "https://app.example"),
        (ORIGIN, "null"),
        (HOST, "push.example"),
        (HOST, "push.example"),
    ] {
        let answer = http.get(&url).header(header, value).send().await?;
        assert_eq!(answer.status(), 403, "{value}");
    }
    for (shown, cure) in [
        (
            "the origin \"https://app.example\";",
            "\"https://app.example\"",
        ),
        ("the origin \"null\" ", "\"null\""),
        ("the name \"push.example\";", "\"https://push.example\""),
    ] {
        let lines = || -> Vec<String> {
            let log = broker.log();
            let lines = log.lines().filter(|line| line.contains(shown));
            lines.map(str::to_owned).collect()
        };
        eventually(shown, async || Ok(!lines().is_empty())).await?;
        let lines = lines();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains("WARN"), "{lines:?}");
        let setting = format!("add {cure} to server.allowed_origins");
        assert!(lines[0].contains(&setting), "{lines:?}");
    }
    Ok(())
}

#[tokio::test]
async fn an_allowed_origin_is_not_logged() -> Result<()> {
    let settings = Settings::new().key("server.allowed_origins", "[\"https://app.example\"]");
    let broker = Broker::with(settings).await?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    let url = format!("{}/channels/news/poll", broker.base());
    let answer = http.get(&url).header(ORIGIN, "https://app.example");
    assert_eq!(answer.send().await?.status(), 200);
    assert!(!broker.log().contains("refused"));
    Ok(())
}
