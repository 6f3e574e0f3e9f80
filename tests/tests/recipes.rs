//! The settings that the documentation shows: each is copied out of it, and a broker that has them does what the text says.

use anyhow::{Context, Result};
use reqwest::Method;
use serde_json::json;
use tempfile::TempDir;
use widecast_tests::guarded::{SECRET, key};
use widecast_tests::identity_provider::ProviderKey;
use widecast_tests::{Broker, cli};

const NEWS: &str = "/channels/news/messages";
const LISTEN: &str = "/channels/news/poll";

fn page(path: &str) -> Result<String> {
    let path = format!("{}/../{path}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).context(path)
}

/// The first settings on a page behind a mark.
fn settings(path: &str, mark: &str) -> Result<String> {
    let page = page(path)?;
    let (_, rest) = page
        .split_once(mark)
        .with_context(|| format!("{mark} in {path}"))?;
    let (_, rest) = rest.split_once("```toml\n").context("settings")?;
    let (settings, _) = rest.split_once("```").context("the end of the settings")?;
    Ok(settings.to_owned())
}

/// The settings of a recipe as the documentation has them.
fn recipe(name: &str) -> Result<String> {
    let mark = format!("<!-- recipe: {name} -->\n");
    settings("docs/authentication.md", &mark)
}

/// A broker that somebody has set up as the documentation says.
struct Followed {
    broker: Broker,
    /// The directory with the files that the settings name.
    directory: TempDir,
}

impl Followed {
    /// Starts it with settings in which some texts stand for what only the operator knows.
    async fn start(text: String, replaced: &[(&str, &str)]) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        std::fs::write(directory.path().join("jwt.key"), SECRET)?;
        Self::beside(directory, text, replaced).await
    }

    /// The same, where the files that the settings name are there already.
    async fn beside(directory: TempDir, text: String, replaced: &[(&str, &str)]) -> Result<Self> {
        let mut text = text;
        for file in ["jwt.key", "provider.jwks"] {
            let path = directory.path().join(file);
            text = text.replace(file, path.to_str().context("a path of text")?);
        }
        for (placeholder, value) in replaced {
            text = text.replace(placeholder, value);
        }
        std::fs::write(directory.path().join("widecast.toml"), &text)?;
        let broker = Broker::with_toml(&text).await?;
        Ok(Self { broker, directory })
    }

    fn file(&self, name: &str) -> Result<String> {
        let path = self.directory.path().join(name);
        Ok(path.to_str().context("a path of text")?.to_owned())
    }

    /// The status of the answer to a request with the body `x`.
    async fn status(&self, method: Method, path: &str, credential: Option<&str>) -> Result<u16> {
        let headers = credential.map(|it| ("authorization", format!("Bearer {it}")));
        self.status_with(method, path, headers.as_slice()).await
    }

    async fn status_with(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, String)],
    ) -> Result<u16> {
        let url = format!("{}{path}", self.broker.base());
        let mut request = self.broker.http().request(method, url);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        Ok(request.body("x").send().await?.status().as_u16())
    }

    /// A token that is signed with the secret.
    async fn signed(&self, arguments: &[&str]) -> Result<String> {
        let secret = self.file("jwt.key")?;
        let mut all = vec!["token", "--secret-file", &secret];
        all.extend(arguments);
        Ok(cli::run(&all).await?.output.trim().to_owned())
    }
}

#[tokio::test]
async fn the_ten_lines_of_the_front_page_are_safe_and_do_what_they_say() -> Result<()> {
    let text = settings("README.md", "## On the internet")?;
    let same = settings("docs/authentication.md", "## In ten lines")?;
    assert_eq!(text, same);
    assert!(text.lines().count() <= 10, "{text}");
    let (key, hash) = key("backend").await?;
    // The broker of the test is told on its command line to listen on loopback.
    let followed = Followed::start(text, &[("…", &hash)]).await?;
    let config = followed.file("widecast.toml")?;
    let check = cli::run(&["config", "check", "--config", &config]).await?;
    assert_eq!(check.status, 0, "on the public address: {check:?}");

    let backend = Some(key.as_str());
    assert_eq!(followed.status(Method::POST, NEWS, backend).await?, 200);
    assert_eq!(followed.status(Method::GET, NEWS, backend).await?, 200);
    assert_eq!(followed.status(Method::GET, LISTEN, backend).await?, 403);

    let origin = |origin: &str| ("origin", origin.to_owned());
    let listed = origin("https://example.com");
    for (method, path) in [
        (Method::POST, NEWS),
        (Method::GET, NEWS),
        (Method::GET, LISTEN),
    ] {
        let anonymous = [listed.clone()];
        let status = followed
            .status_with(method.clone(), path, &anonymous)
            .await?;
        assert_eq!(status, 401, "{method} {path}");
    }
    let token = followed
        .signed(&["--sub", "7", "--allow", "news=subscribe"])
        .await?;
    let bearer = ("authorization", format!("Bearer {token}"));
    let page = [listed, bearer.clone()];
    assert_eq!(followed.status_with(Method::GET, LISTEN, &page).await?, 200);
    assert_eq!(followed.status_with(Method::POST, NEWS, &page).await?, 403);
    let elsewhere = "/channels/secret/poll";
    assert_eq!(
        followed.status_with(Method::GET, elsewhere, &page).await?,
        403
    );
    let foreign = [origin("https://evil.example"), bearer];
    assert_eq!(
        followed.status_with(Method::GET, LISTEN, &foreign).await?,
        403
    );
    for operators in ["/metrics", "/channels", "/v1/nodes"] {
        assert_eq!(followed.status(Method::GET, operators, None).await?, 401);
        assert_eq!(followed.status(Method::GET, operators, backend).await?, 403);
    }
    Ok(())
}

#[tokio::test]
async fn a_backend_publishes_and_everybody_listens() -> Result<()> {
    let (key, hash) = key("x").await?;
    let followed = Followed::start(recipe("backend-publishes")?, &[("HASH", &hash)]).await?;
    assert_eq!(followed.status(Method::POST, NEWS, Some(&key)).await?, 200);
    assert_eq!(followed.status(Method::POST, NEWS, None).await?, 401);
    assert_eq!(followed.status(Method::GET, LISTEN, None).await?, 200);
    Ok(())
}

#[tokio::test]
async fn logged_in_users_talk_to_each_other() -> Result<()> {
    let followed = Followed::start(recipe("logged-in-users")?, &[]).await?;
    let user = followed.signed(&["--sub", "7"]).await?;
    assert_eq!(followed.status(Method::POST, NEWS, Some(&user)).await?, 200);
    assert_eq!(
        followed.status(Method::GET, LISTEN, Some(&user)).await?,
        200
    );
    assert_eq!(followed.status(Method::POST, NEWS, None).await?, 401);
    assert_eq!(followed.status(Method::GET, LISTEN, None).await?, 401);
    Ok(())
}

#[tokio::test]
async fn each_user_has_a_private_channel() -> Result<()> {
    let (key, hash) = key("x").await?;
    let followed = Followed::start(recipe("private-channels")?, &[("HASH", &hash)]).await?;
    let user = ["--sub", "7", "--allow", "user:{sub}=subscribe"];
    let user = followed.signed(&user).await?;
    let get = async |path| followed.status(Method::GET, path, Some(&user)).await;
    assert_eq!(get("/channels/user:7/poll").await?, 200);
    assert_eq!(get("/channels/user:8/poll").await?, 403);
    let mine = "/channels/user:7/messages";
    assert_eq!(followed.status(Method::POST, mine, Some(&key)).await?, 200);
    assert_eq!(followed.status(Method::POST, mine, Some(&user)).await?, 403);
    Ok(())
}

#[tokio::test]
async fn pages_of_another_company_come_with_tokens_of_its_provider() -> Result<()> {
    const ISSUER: &str = "https://login.example/";
    let provider = ProviderKey::new("1")?;
    let directory = tempfile::tempdir()?;
    std::fs::write(directory.path().join("jwt.key"), SECRET)?;
    let keys = directory.path().join("provider.jwks");
    std::fs::write(keys, ProviderKey::set(&[&provider]))?;
    let followed = Followed::beside(directory, recipe("third-party")?, &[]).await?;
    let token = |issuer: &str, audience: &str| {
        let channels = json!({ "news": ["subscribe"] });
        provider.signed(json!({ "sub": "7", "iss": issuer, "aud": audience, "channels": channels }))
    };
    let status = async |path: &str, origin: &str, token: &str| {
        let headers = [
            ("origin", origin.to_owned()),
            ("authorization", format!("Bearer {token}")),
        ];
        followed.status_with(Method::GET, path, &headers).await
    };
    let good = token(ISSUER, "widecast")?;
    let partner = "https://partner.example";
    assert_eq!(status(LISTEN, partner, &good).await?, 200);
    assert_eq!(status("/channels/other/poll", partner, &good).await?, 403);
    assert_eq!(status(LISTEN, "https://evil.example", &good).await?, 403);
    let from_others = token("https://elsewhere.example/", "widecast")?;
    let for_others = token(ISSUER, "another")?;
    let claims = ["--sub", "7", "--allow", "news=subscribe"];
    let named = ["--issuer", ISSUER, "--audience", "widecast"];
    let with_a_secret = followed.signed(&[claims, named].concat()).await?;
    let forged = ProviderKey::new("1")?.token("7", &json!({ "news": ["subscribe"] }))?;
    for refused in [from_others, for_others, with_a_secret, forged] {
        assert_eq!(status(LISTEN, partner, &refused).await?, 401, "{refused}");
    }
    Ok(())
}

#[tokio::test]
async fn machines_have_keys_for_what_each_of_them_does() -> Result<()> {
    let (sensors, hash) = key("sensors").await?;
    let (archive, other) = key("archive").await?;
    let hashes = [("HASH", hash.as_str()), ("OTHER", &other)];
    let followed = Followed::start(recipe("machines")?, &hashes).await?;
    let measured = "/channels/measured:a/messages";
    for (who, may_publish, may_read) in [(&sensors, 200, 403), (&archive, 403, 200)] {
        let published = followed.status(Method::POST, measured, Some(who)).await?;
        assert_eq!(published, may_publish);
        let read = followed.status(Method::GET, measured, Some(who)).await?;
        assert_eq!(read, may_read);
    }
    Ok(())
}
