//! `widecast config explain` says what the broker does, and why; and `widecast token inspect` whether it takes a token.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::Value;
use tempfile::TempDir;
use widecast_tests::broker::Answer;
use widecast_tests::guarded::{SECRET, key as api_key};
use widecast_tests::{Broker, cli};

/// A namespace for each rule; where nothing is given everybody has no right.
const NAMESPACES: &str = r#"
namespace.open.anonymous = ["subscribe", "history"]
namespace.users.user = ["publish", "presence"]
namespace.secret.anonymous = ["*"]
namespace.secret.user = ["*"]
namespace.secret.private = true
namespace.still.anonymous = ["*"]
namespace.still.publish = false
namespace.still.presence = false
"#;

/// A channel of each namespace.
const CHANNELS: [&str; 5] = ["news", "open:a", "users:a", "secret:a", "still:a"];

/// The rights in the order in which they are explained.
const RIGHTS: [&str; 4] = ["publish", "subscribe", "presence", "history"];

/// Settings in a file, and the credentials for them.
struct Table {
    text: String,
    file: PathBuf,
    secret: PathBuf,
    all: String,
    some: String,
    _directory: TempDir,
}

impl Table {
    async fn new() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let secret = directory.path().join("jwt.key");
        std::fs::write(&secret, SECRET)?;
        let (all, first) = api_key("all").await?;
        let (some, second) = api_key("some").await?;
        let keys = format!(
            "auth.api_key = [{{ name = \"all\", hash = \"{first}\", allow = {{ \"*\" = [\"*\"] }} }}, \
             {{ name = \"some\", hash = \"{second}\", allow = {{ \"still:*\" = [\"publish\"], \"n*\" = [\"history\"] }} }}]"
        );
        let text = format!(
            "auth.jwt.hmac_secret_file = \"{}\"\n{keys}\n{NAMESPACES}",
            secret.display()
        );
        let file = directory.path().join("widecast.toml");
        std::fs::write(&file, &text)?;
        Ok(Self {
            text,
            file,
            secret,
            all,
            some,
            _directory: directory,
        })
    }

    async fn token(&self, claims: &[&str]) -> Result<String> {
        let secret = self.secret.to_str().context("a path of text")?;
        let made = cli::run(&[&["token", "--secret-file", secret], claims].concat()).await?;
        ensure!(made.status == 0, "{made:?}");
        Ok(made.output.trim().to_owned())
    }

    /// What is explained with these settings and more.
    async fn explained(&self, channel: &str, shown: Option<&str>, more: &[&str]) -> Result<String> {
        let file = self.file.to_str().context("a path of text")?;
        let mut arguments = vec!["config", "explain", channel, "--config", file];
        if let Some(shown) = shown {
            arguments.extend(["--token", shown]);
        }
        arguments.extend(more);
        let run = cli::run(&arguments).await?;
        ensure!(run.status == 0, "{run:?}");
        Ok(run.output)
    }
}

#[tokio::test]
async fn each_rule_is_named_by_what_gives_or_takes_a_right() -> Result<()> {
    let table = Table::new().await?;
    let rights = ["--allow", "news=publish", "--allow", "n*=publish,history"];
    let joins = ["--sub", "7", "--subscribe-to", "news"];
    let token = table.token(&[&joins[..], &rights].concat()).await?;
    let nobody = table.token(&["--allow", "other=*"]).await?;
    insta::assert_snapshot!(table.explained("open:a", None, &[]).await?, @"
    somebody without credentials on open:a, by the rules of namespace.open:
    publish   refused (unauthorized): publish on open:a needs a token or an API key
    subscribe allowed: the namespace gives it to everybody (anonymous)
    presence  refused (unauthorized): presence on open:a needs a token or an API key
    history   allowed: the namespace gives it to everybody (anonymous)
    ");
    insta::assert_snapshot!(table.explained("news", Some(&token), &[]).await?, @"
    the user 7 on news, by the rules of namespace.default:
    publish   allowed: the token gives it (channels: n*, news)
    subscribe allowed: the token gives it (subscribe_to)
    presence  refused (forbidden): the token does not allow presence on news
    history   allowed: the token gives it (channels: n*)
    ");
    insta::assert_snapshot!(table.explained("users:a", Some(&nobody), &[]).await?, @"
    somebody with a token without user on users:a, by the rules of namespace.users:
    publish   allowed: the namespace gives it to every user (user)
    subscribe refused (forbidden): the token does not allow subscribe on users:a
    presence  allowed: the namespace gives it to every user (user)
    history   refused (forbidden): the token does not allow history on users:a
    ");
    insta::assert_snapshot!(table.explained("secret:a", None, &[]).await?, @"
    somebody without credentials on secret:a, by the rules of namespace.secret:
    publish   refused (unauthorized): publish on secret:a needs a token: its namespace is private
    subscribe refused (unauthorized): subscribe on secret:a needs a token: its namespace is private
    presence  refused (unauthorized): presence on secret:a needs a token: its namespace is private
    history   refused (unauthorized): history on secret:a needs a token: its namespace is private
    ");
    insta::assert_snapshot!(table.explained("still:a", Some(&token), &[]).await?, @"
    the user 7 on still:a, by the rules of namespace.still:
    publish   refused (forbidden): the namespace of still:a does not allow publish
    subscribe allowed: the namespace gives it to everybody (anonymous)
    presence  refused (forbidden): the namespace of still:a does not allow presence
    history   allowed: the namespace gives it to everybody (anonymous)
    ");
    insta::assert_snapshot!(table.explained("still:a", Some(&table.some), &[]).await?, @"
    the API key some on still:a, by the rules of namespace.still:
    publish   allowed: the API key gives it (allow: still:*)
    subscribe refused (forbidden): the API key some does not allow subscribe on still:a
    presence  refused (forbidden): the API key some does not allow presence on still:a
    history   refused (forbidden): the API key some does not allow history on still:a
    ");
    Ok(())
}

#[tokio::test]
async fn the_hook_is_told_of_where_it_is_asked() -> Result<()> {
    let table = Table::new().await?;
    let token = table.token(&["--sub", "7"]).await?;
    let secret = format!("auth.hook.secret_file={}", table.secret.display());
    let hook = [
        "--set",
        "auth.hook.url=http://127.0.0.1:1/",
        "--set",
        &secret,
    ];
    let last = async |shown: Option<&str>| {
        let explained = table.explained("open:a", shown, &hook).await?;
        let (_, behind) = explained.split_once("\nhistory ").context("the rights")?;
        let lines = behind.split_once('\n').map(|(_, lines)| lines.to_owned());
        lines.context("a line")
    };
    let refuses = "auth.hook.url is set: what is allowed, the hook may still refuse\n";
    assert_eq!(last(Some(&token)).await?, refuses);
    let names =
        "and it may name the user, who then has what the namespace gives to every user (user)\n";
    assert_eq!(last(None).await?, format!("{refuses}{names}"));
    // It is not asked about API keys.
    assert_eq!(last(Some(&table.all)).await?, "");
    Ok(())
}

#[tokio::test]
async fn without_authentication_only_the_namespace_takes_something_away() -> Result<()> {
    let off = ["--set", "namespace.default.publish=false"];
    let explained = cli::run(&[&["config", "explain", "news"], &off[..]].concat()).await?;
    insta::assert_snapshot!(explained.output, @"
    anybody (no authentication is configured) on news, by the rules of namespace.default:
    publish   refused (forbidden): the namespace of news does not allow publish
    subscribe allowed: no authentication is configured
    presence  allowed: no authentication is configured
    history   allowed: no authentication is configured
    ");
    Ok(())
}

#[tokio::test]
async fn an_inspected_token_is_taken_or_refused_as_the_broker_does() -> Result<()> {
    let table = Table::new().await?;
    let token = table.token(&["--sub", "7"]).await?;
    let setting = format!("auth.jwt.hmac_secret_file={}", table.secret.display());
    let inspected = cli::run(&["token", "inspect", &token, "--set", &setting]).await?;
    assert!(inspected.output.contains("\"sub\":\"7\""), "{inspected:?}");
    assert!(inspected.output.contains("takes it"), "{inspected:?}");
    let inspected = cli::run(&["token", "inspect", &token]).await?;
    assert!(inspected.output.contains("refuses it"), "{inspected:?}");
    Ok(())
}

/// The outcome of each right as it is explained: nothing where it is allowed, else the code.
fn outcomes(explained: &str) -> Result<Vec<Option<String>>> {
    let outcome = |right: &&str| {
        let mut lines = explained.lines();
        let line = lines.find_map(|line| line.strip_prefix(&format!("{right:9} ")));
        let verdict = line.with_context(|| format!("no line for {right}: {explained}"))?;
        if verdict.starts_with("allowed: ") {
            return Ok(None);
        }
        let code = verdict
            .strip_prefix("refused (")
            .and_then(|it| it.split_once("): "));
        Ok(Some(code.context("a code")?.0.to_owned()))
    };
    RIGHTS.iter().map(outcome).collect()
}

/// The same as the broker does it.
async fn done(broker: &Broker, channel: &str, shown: Option<&str>) -> Result<Vec<Option<String>>> {
    let address = format!("{}/channels/{channel}", broker.base());
    let http = broker.http();
    let mut outcomes = Vec::new();
    for request in [
        http.post(format!("{address}/messages")).body("x"),
        http.get(format!("{address}/poll?timeout=0")),
        http.get(format!("{address}/presence")),
        http.get(format!("{address}/messages")),
    ] {
        let request = match shown {
            Some(shown) => request.bearer_auth(shown),
            None => request,
        };
        let answer = Answer::read(request.send().await?).await?;
        outcomes.push(match (answer.status, &answer.body["code"]) {
            (200, Value::Null) => None,
            (_, code) => Some(code.as_str().context("a code")?.to_owned()),
        });
    }
    Ok(outcomes)
}

#[tokio::test]
async fn what_is_explained_is_what_the_broker_does() -> Result<()> {
    let table = Table::new().await?;
    let broker = Broker::with_toml(&table.text).await?;
    let rules = [
        "--allow",
        "*:a=subscribe",
        "--allow",
        "still:{sub}=*",
        "--allow",
        "secret:*=history",
    ];
    let credentials = [
        ("nothing", None),
        (
            "a token without user",
            Some(table.token(&["--allow", "news=*"]).await?),
        ),
        (
            "a token",
            Some(table.token(&[&["--sub", "a"], &rules[..]].concat()).await?),
        ),
        (
            "one that joins",
            Some(
                table
                    .token(&["--sub", "a", "--subscribe-to", "secret:{sub}"])
                    .await?,
            ),
        ),
        ("an API key for all", Some(table.all.clone())),
        ("an API key for some", Some(table.some.clone())),
    ];
    let (table, broker, credentials) = (&table, &broker, &credentials);
    let cases = CHANNELS
        .into_iter()
        .flat_map(|channel| credentials.iter().map(move |it| (channel, it)));
    let compared = stream::iter(cases).map(|(channel, (name, shown))| async move {
        let explained = table.explained(channel, shown.as_deref(), &[]).await?;
        let done = done(broker, channel, shown.as_deref()).await?;
        assert_eq!(
            outcomes(&explained)?,
            done,
            "{name} on {channel}: {explained}"
        );
        anyhow::Ok(done)
    });
    let all: Vec<_> = compared.buffer_unordered(4).try_collect().await?;
    // The table has outcomes of every kind.
    let all: Vec<_> = all.iter().flatten().map(Option::as_deref).collect();
    for outcome in [None, Some("unauthorized"), Some("forbidden")] {
        assert!(all.contains(&outcome), "{outcome:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_channel_whose_name_is_too_long_is_explained_to_nobody() -> Result<()> {
    let short = "limits.channel_name_bytes=3";
    let refused = cli::run(&["config", "explain", "news", "--set", short]).await?;
    let told = "the channel name has 4 bytes, limits.channel_name_bytes allows 3";
    assert!(refused.errors.contains(told), "{refused:?}");
    Ok(())
}
