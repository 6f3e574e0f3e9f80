//! A real broker: the binary as a process of its own, on a port of its own, with its log caught.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use crate::address::address;
use crate::deadline::{eventually, within};
use crate::join::Join;
use crate::metrics::Metrics;
use crate::publisher::Publisher;
use crate::settings::Settings;
use crate::subscriber::{Subscriber, Transport};
use crate::{cli, message_pack, test_engine};

/// A signal to a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// What a service manager sends.
    Terminate,
    /// What Ctrl-C sends.
    Interrupt,
    /// What a terminal sends when it is closed, and an administrator for new settings.
    HangUp,
    /// Halts the process as it is.
    Stop,
    /// Lets a halted process go on.
    Continue,
}

impl Signal {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Terminate => "TERM",
            Self::Interrupt => "INT",
            Self::HangUp => "HUP",
            Self::Stop => "STOP",
            Self::Continue => "CONT",
        }
    }
}

/// How a client reaches a broker: directly, or through something that stands before it.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// The client's HTTP connections.
    pub http: reqwest::Client,
    /// The base of the HTTP addresses.
    pub base: String,
}

/// A running broker. It is killed when this is dropped, and its log is then printed for the test runner to show on failure.
#[derive(Debug)]
pub struct Broker {
    child: Child,
    address: SocketAddr,
    log: Log,
    prints_log: bool,
    config: PathBuf,
    authorities: Option<String>,
    http: reqwest::Client,
    _directory: TempDir,
}

impl Broker {
    /// Starts a broker with its defaults, but more patience for clients that read nothing.
    ///
    /// # Errors
    /// When it does not come up in time.
    pub async fn start() -> Result<Self> {
        Self::with(Settings::new()).await
    }

    /// Starts a broker with the settings.
    ///
    /// # Errors
    /// When it does not come up in time.
    pub async fn with(settings: Settings) -> Result<Self> {
        Self::with_toml(&settings.patient().to_toml()).await
    }

    /// Starts a broker with a settings file of this text, in which `{directory}` stands for a directory of the broker's own.
    /// `TEST_ENGINE` in the environment (`disk`, `redis`, `sentinel`, `cluster`) says what its engine is, unless the text does.
    ///
    /// # Errors
    /// When it does not come up in time.
    pub async fn with_toml(text: &str) -> Result<Self> {
        Self::launched(text, None).await
    }

    /// Starts a broker that trusts the authorities in this PEM file, and not those of the system.
    ///
    /// # Errors
    /// When it does not come up in time.
    pub async fn trusting(authorities: &str, settings: Settings) -> Result<Self> {
        Self::launched(&settings.patient().to_toml(), Some(authorities.to_owned())).await
    }

    async fn launched(text: &str, authorities: Option<String>) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let config = directory.path().join("widecast.toml");
        let engine = if text.contains("engine.") {
            Settings::new()
        } else {
            test_engine::settings().await?
        };
        write_settings(&config, &format!("{}\n{text}", engine.to_toml()))?;
        let log = Log::default();
        let place = "127.0.0.1:0";
        let (child, address) = launch(&config, place, authorities.as_ref(), &log).await?;
        Ok(Self {
            child,
            address,
            log,
            prints_log: true,
            config,
            authorities,
            http: reqwest::Client::builder().no_proxy().build()?,
            _directory: directory,
        })
    }

    /// Prints no log when it is dropped; [`Broker::log`] still has it.
    #[must_use]
    pub fn quiet(mut self) -> Self {
        self.prints_log = false;
        self
    }

    /// Kills the broker without a word, unless it has ended, and starts it again on the same port; what only memory held is lost.
    ///
    /// # Errors
    /// When it does not come up in time.
    pub async fn restart(&mut self) -> Result<()> {
        if self.child.id().is_some() {
            self.child.kill().await?;
        }
        let listen = self.address.to_string();
        let authorities = self.authorities.as_ref();
        let launched = launch(&self.config, &listen, authorities, &self.log).await?;
        (self.child, self.address) = launched;
        Ok(())
    }

    /// Kills it without a word; [`Broker::restart`] brings it back.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub async fn kill(&mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Gives it other settings, which hold from the next [`Broker::restart`] on.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn reconfigure(&self, settings: &Settings) -> Result<()> {
        write_settings(&self.config, &settings.clone().patient().to_toml())
    }

    /// Where it listens.
    pub fn socket_address(&self) -> SocketAddr {
        self.address
    }

    /// The base of its HTTP addresses.
    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// An HTTP client without connections of its own yet.
    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// The way to it without anything in between.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint {
            http: self.http.clone(),
            base: self.base(),
        }
    }

    /// A publisher without a sender key.
    pub fn publisher(&self) -> Publisher {
        Publisher::new(self.http.clone(), self.base())
    }

    /// Joins over a transport.
    ///
    /// # Errors
    /// When the broker refuses, or does not answer in time.
    pub async fn join(&self, transport: Transport, join: &Join) -> Result<Subscriber> {
        let what = format!("joining {:?} over {transport:?}", join.channels);
        within(&what, Subscriber::open(transport, self, join)).await
    }

    /// The answer to a GET, which must succeed, as JSON.
    ///
    /// # Errors
    /// When there is no answer, or not a good one.
    pub async fn get(&self, segments: &[&str], query: &[(&str, &str)]) -> Result<Value> {
        let query: Vec<_> = query
            .iter()
            .map(|&(k, v)| (k.to_owned(), v.to_owned()))
            .collect();
        let response = self
            .http
            .get(address(&self.base(), segments, &query)?)
            .send()
            .await?;
        let (status, body) = (response.status(), response.text().await?);
        if !status.is_success() {
            bail!("GET /{}: {status}: {body}", segments.join("/"));
        }
        serde_json::from_str(&body).with_context(|| body)
    }

    /// The cursor at the end of a channel, as a poll without a cursor gives it.
    ///
    /// # Errors
    /// When there is no answer, or not a good one.
    pub async fn end_of(&self, channel: &str) -> Result<String> {
        let answer = self.get(&["channels", channel, "poll"], &[]).await?;
        let cursor = answer["cursor"].as_str();
        Ok(cursor
            .with_context(|| format!("no cursor: {answer}"))?
            .to_owned())
    }

    /// How many subscribe to the channel.
    ///
    /// # Errors
    /// When there is no answer, or not a good one.
    pub async fn subscribers(&self, channel: &str) -> Result<u64> {
        let answer = self.get(&["channels", channel], &[]).await?;
        let count = answer["subscribers"].as_u64();
        count.with_context(|| format!("no count of subscribers: {answer}"))
    }

    /// The status with which it says whether it is ready.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn readiness(&self) -> Result<u16> {
        let path = format!("{}/health/ready", self.base());
        Ok(self.http.get(path).send().await?.status().as_u16())
    }

    /// Waits until it says with this status whether it is ready.
    ///
    /// # Errors
    /// When it does not answer, or not so.
    pub async fn until_readiness(&self, status: u16) -> Result<()> {
        eventually(&format!("the readiness is {status}"), async || {
            Ok(self.readiness().await? == status)
        })
        .await
    }

    /// All metrics as they are now.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn metrics(&self) -> Result<Metrics> {
        let response = self
            .http
            .get(format!("{}/metrics", self.base()))
            .send()
            .await?;
        Metrics::parse(&response.error_for_status()?.text().await?)
    }

    /// The memory that the process has resident.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn resident_bytes(&self) -> Result<u64> {
        self.status_bytes("VmRSS:")
    }

    /// The most memory that the process has had resident since it began, or since [`Self::forget_most_resident`].
    ///
    /// # Errors
    /// When the process has ended.
    pub fn most_resident_bytes(&self) -> Result<u64> {
        self.status_bytes("VmHWM:")
    }

    /// From now on [`Self::most_resident_bytes`] counts anew.
    ///
    /// # Errors
    /// When the process has ended, or the system does not let us.
    pub fn forget_most_resident(&self) -> Result<()> {
        let id = self.child.id().context("the broker has ended")?;
        Ok(std::fs::write(format!("/proc/{id}/clear_refs"), "5")?)
    }

    fn status_bytes(&self, field: &str) -> Result<u64> {
        let id = self.child.id().context("the broker has ended")?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kilobytes = kilobytes.with_context(|| format!("no {field}"))?;
        Ok(kilobytes.trim().parse::<u64>()? * 1024)
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// When the process has ended.
    pub async fn signal(&self, signal: Signal) -> Result<()> {
        let id = self.child.id().context("the broker has ended")?;
        // The shell's own `kill`: sending a signal otherwise takes unsafe code.
        let line = format!("kill -{} {id}", signal.name());
        let status = Command::new("sh").args(["-c", &line]).status().await?;
        if !status.success() {
            bail!("{line}: {status}");
        }
        Ok(())
    }

    /// Waits until the process has ended by itself.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        within("the end of the broker", async {
            Ok(self.child.wait().await?)
        })
        .await
    }

    /// Makes sure that it still runs and answers.
    ///
    /// # Errors
    /// When it has ended, or does not publish and deliver any more.
    pub async fn check_alive(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the broker has ended: {status}");
        }
        self.publisher().publish("alive", true).await?;
        if self.log.text().contains("panicked") {
            bail!("the broker panicked");
        }
        Ok(())
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// Posts a body to a path, with a content type and further headers.
    ///
    /// # Errors
    /// When there is no answer at all.
    pub async fn post(&self, path: &str, content_type: &str, body: Vec<u8>) -> Result<Answer> {
        let request = self.http.post(format!("{}{path}", self.base()));
        Answer::read(
            request
                .header("content-type", content_type)
                .body(body)
                .send()
                .await?,
        )
        .await
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if self.prints_log {
            eprintln!("--- the broker's log\n{}---", self.log.text());
        }
    }
}

/// An HTTP answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The content type, without parameters.
    pub content_type: String,
    /// After how many seconds it asks for another try.
    pub retry_after: Option<u64>,
    /// The body: JSON and MessagePack as what they say, anything else as text.
    pub body: Value,
}

impl Answer {
    /// Reads the answer.
    ///
    /// # Errors
    /// When the connection breaks, the body is not what its content type says, or a refusal for now does not say when to come back.
    pub async fn read(response: reqwest::Response) -> Result<Self> {
        let status = response.status().as_u16();
        let header = response.headers().get("content-type");
        let content_type = header
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let content_type = content_type
            .split(';')
            .next()
            .unwrap_or_default()
            .to_owned();
        let retry_after = response.headers().get("retry-after");
        let retry_after = retry_after
            .map(|seconds| anyhow::Ok(seconds.to_str()?.parse()?))
            .transpose()?;
        let bytes = response.bytes().await?;
        let body = if content_type.ends_with("msgpack") {
            message_pack::decode(&bytes)?
        } else if content_type.ends_with("json") && !content_type.contains("ndjson") {
            serde_json::from_slice(&bytes)?
        } else {
            String::from_utf8_lossy(&bytes).into()
        };
        let is_for_now = matches!(status, 429 | 503) && body["retryable"] == true;
        if is_for_now && retry_after.is_none_or(|seconds| seconds == 0) {
            bail!("{status} without a time to come back after: {body}");
        }
        Ok(Self {
            status,
            content_type,
            retry_after,
            body,
        })
    }
}

/// Writes a settings file, in which `{directory}` stands for its own directory.
fn write_settings(config: &Path, text: &str) -> Result<()> {
    let directory = config.parent().context("the file is in a directory")?;
    let text = text.replace("{directory}", &directory.display().to_string());
    Ok(std::fs::write(config, text)?)
}

async fn launch(
    config: &PathBuf,
    listen: &str,
    authorities: Option<&String>,
    log: &Log,
) -> Result<(Child, SocketAddr)> {
    let mut command = cli::command(&["serve", "--listen", listen, "--config"]).await?;
    if let Some(file) = authorities {
        command.env("SSL_CERT_FILE", file);
    }
    let mut child = command.arg(config).stdout(Stdio::null()).spawn()?;
    let (told, mut address) = watch::channel(None);
    let stderr = child.stderr.take().context("standard error is piped")?;
    tokio::spawn(log.clone().catch(stderr, told));
    let up = async {
        // Ends with an error when the process has closed its standard error.
        let address = address.wait_for(Option::is_some).await?;
        (*address).context("just seen")
    };
    let address = within("the broker's start", up).await;
    Ok((child, address.with_context(|| log.text())?))
}

/// The lines a broker has logged.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl Log {
    fn text(&self) -> String {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    async fn catch(self, stderr: impl AsyncRead + Unpin, told: watch::Sender<Option<SocketAddr>>) {
        let mut lines = BufReader::new(stderr).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if told.borrow().is_none()
                && let Some(address) = listening(&line)
            {
                told.send_replace(Some(address));
            }
            let mut text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            text.push_str(&line);
            text.push('\n');
        }
    }
}

/// The address in `listening on http://127.0.0.1:8080`, wherever it stands in a log line.
fn listening(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("listening on http://")?;
    let end = rest.find(|c: char| !c.is_ascii_digit() && !".:[]abcdef".contains(c));
    rest[..end.unwrap_or(rest.len())].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::listening;

    #[test]
    fn the_address_is_found_in_a_log_line() {
        let line = "2026-01-01T00:00:00Z  INFO listening on http://127.0.0.1:1234 workers=2";
        assert_eq!(listening(line).map(|a| a.port()), Some(1234));
        assert_eq!(listening("http://127.0.0.1:1234"), None);
    }
}
