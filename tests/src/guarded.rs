//! A broker with authentication, and the credentials for it.

use anyhow::{Context, Result, bail};
use reqwest::Method;
use serde_json::Value;
use tempfile::TempDir;
use widecast_protocol::Code;

use crate::broker::{Answer, Broker};
use crate::cli;
use crate::join::Join;
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::subscriber::{Subscriber, Transport};

/// The secret that the tokens of tests are signed with.
pub const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A broker that takes tokens and the keys of two backends, with a namespace of each kind.
pub struct Guarded {
    /// The broker.
    pub broker: Broker,
    /// The API key of a backend that publishes everywhere.
    pub backend: String,
    /// The API key of one that may only ask, and operate.
    pub observer: String,
    /// The path of the file with the secret.
    pub secret: String,
    _directory: TempDir,
}

impl Guarded {
    /// Starts it.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start() -> Result<Self> {
        Self::with(|settings| settings).await
    }

    /// Starts it with more settings.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn with(more: impl FnOnce(Settings) -> Settings) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let secret = directory.path().join("jwt.key");
        std::fs::write(&secret, SECRET)?;
        let secret = secret.to_str().context("a path of text")?.to_owned();
        let (backend, first) = key("backend").await?;
        let (observer, second) = key("observer").await?;
        let keys = format!(
            "[{{ name = \"backend\", hash = \"{first}\", allow = {{ \"*\" = [\"*\"] }} }}, \
             {{ name = \"observer\", hash = \"{second}\", operator = true, allow = {{ \"open:*\" = [\"history\"] }} }}]"
        );
        let settings = Settings::new()
            .key("auth.jwt.hmac_secret_file", format!("{secret:?}"))
            .key("auth.jwt.leeway_ms", "0")
            .key("auth.cookie", "\"session_token\"")
            .key("auth.api_key", keys)
            .key("server.allowed_origins", "[\"https://a.example\"]")
            .key("namespace.default.jsonp", "true")
            .key("namespace.open.anonymous", "[\"subscribe\", \"history\"]")
            .key("namespace.users.user", "[\"*\"]")
            .key("namespace.secret.anonymous", "[\"*\"]")
            .key("namespace.secret.private", "true");
        Ok(Self {
            broker: Broker::with(more(settings)).await?,
            backend,
            observer,
            secret,
            _directory: directory,
        })
    }

    /// A token for `7` with these rights, valid for so many seconds.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn token(&self, allow: &[&str], seconds: u32) -> Result<String> {
        self.token_with(&["--sub", "7"], allow, seconds).await
    }

    /// A token with these claims and rights, valid for so many seconds.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn token_with(
        &self,
        claims: &[&str],
        allow: &[&str],
        seconds: u32,
    ) -> Result<String> {
        let seconds = seconds.to_string();
        let mut arguments = vec!["token", "--secret-file", &self.secret];
        arguments.extend(["--expires-in", &seconds]);
        arguments.extend(claims);
        for rule in allow {
            arguments.extend(["--allow", rule]);
        }
        let run = cli::run(&arguments).await?;
        if run.status != 0 {
            bail!("{}", run.errors);
        }
        Ok(run.output.trim().to_owned())
    }

    /// Joins with a token for `news` that ends soon, in `least` seconds. On a busy machine the first ones may have ended before.
    ///
    /// # Errors
    /// When no such token lasts until it has joined.
    pub async fn join_for_short(
        &self,
        transport: Transport,
        join: Join,
        least: u32,
    ) -> Result<(Subscriber, String)> {
        for factor in [1, 2, 4, 8, 16] {
            let seconds = least * factor;
            let token = self.token(&["news=subscribe"], seconds).await?;
            if let Ok(joined) = self
                .broker
                .join(transport, &join.clone().token(&token))
                .await
            {
                return Ok((joined, token));
            }
        }
        bail!("{transport:?}: no token was valid for long enough to join");
    }

    /// Sends a request with the body `x`.
    ///
    /// # Errors
    /// When it is not answered.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        credential: Option<&str>,
    ) -> Result<Answer> {
        let url = format!("{}{path}", self.broker.base());
        let mut request = self.broker.http().request(method, url).body("x");
        if let Some(credential) = credential {
            request = request.bearer_auth(credential);
        }
        Answer::read(request.send().await?).await
    }

    /// Publishes `x`.
    ///
    /// # Errors
    /// When it is not answered.
    pub async fn publish(&self, channel: &str, credential: Option<&str>) -> Result<Answer> {
        let path = format!("/channels/{channel}/messages");
        self.ask(Method::POST, &path, credential).await
    }

    /// Reads the metrics, as the operator.
    ///
    /// # Errors
    /// When they are refused, or cannot be read.
    pub async fn metrics(&self) -> Result<Metrics> {
        let url = format!("{}/metrics", self.broker.base());
        let request = self.broker.http().get(url).bearer_auth(&self.observer);
        let answer = request.send().await?.error_for_status()?;
        Metrics::parse(&answer.text().await?)
    }

    /// Has the operator ask for something, and gives the answer, which has to be good.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn operate(&self, path: &str, body: &Value) -> Result<Value> {
        let url = format!("{}{path}", self.broker.base());
        let request = self.broker.http().post(url).json(body);
        let answer = Answer::read(request.bearer_auth(&self.observer).send().await?).await?;
        if answer.status != 200 {
            bail!("{path} {body}: {answer:?}");
        }
        Ok(answer.body)
    }
}

/// Makes an API key; gives it with its hash.
///
/// # Errors
/// When it cannot be made.
pub async fn key(name: &str) -> Result<(String, String)> {
    let output = cli::run(&["key", name]).await?.output;
    let mut words = output.split_whitespace().map(|word| word.trim_matches('"'));
    let key = words.find(|word| word.starts_with("wck_"));
    let hash = words.skip_while(|word| *word != "hash").nth(2);
    let found = key.zip(hash).with_context(|| output.clone())?;
    Ok((found.0.to_owned(), found.1.to_owned()))
}

/// An answer is the refusal with this code.
///
/// # Panics
/// When it is not.
#[track_caller]
pub fn assert_refused(answer: &Answer, code: Code) {
    assert_eq!(answer.body["code"], code.as_str(), "{answer:?}");
    assert_eq!(answer.status, code.http_status(), "{answer:?}");
}
