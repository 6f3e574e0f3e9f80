//! A server of the users' own, which the broker calls: the test decides what it answers, and it remembers what it was asked.

use std::fmt::{self, Write as _};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The path.
    pub path: String,
    /// The headers, their names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Asked {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let (_, value) = headers.find(|(found, _)| found == name)?;
        Some(value)
    }

    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// What a request is answered.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Headers beside the length.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
    /// How long the server thinks first.
    pub delay: Duration,
    /// What has to be open before it answers.
    pub gate: Option<Gate>,
}

/// Holds answers back until it is opened.
#[derive(Debug, Clone)]
pub struct Gate(watch::Sender<bool>);

impl Gate {
    /// A gate that is shut.
    pub fn shut() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Lets through what waits, and what comes.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    async fn opened(&self) {
        // It cannot fail: the sender is in `self`.
        let _ = self.0.subscribe().wait_for(|is_open| *is_open).await;
    }
}

impl Reply {
    /// An answer of this status, without a body.
    pub fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: String::new(),
            delay: Duration::ZERO,
            gate: None,
        }
    }

    /// An answer of status 200 with this body.
    pub fn body(body: impl fmt::Display) -> Self {
        Self {
            body: body.to_string(),
            ..Self::status(200)
        }
    }

    /// The same with a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same once a gate is open.
    #[must_use]
    pub fn behind(self, gate: &Gate) -> Self {
        Self {
            gate: Some(gate.clone()),
            ..self
        }
    }

    /// The same after so long.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }
}

type Answer = Arc<dyn Fn(&Asked) -> Reply + Send + Sync>;

struct State {
    answer: Mutex<Answer>,
    asked: Mutex<Vec<Asked>>,
}

/// A running server; it ends with this.
pub struct Backend {
    address: SocketAddr,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

impl Backend {
    /// A server on a port of its own that answers so.
    ///
    /// # Errors
    /// When no port can be listened on.
    pub async fn start(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Result<Self> {
        Self::at("127.0.0.1:0".parse()?, answer).await
    }

    /// The same at an address.
    ///
    /// # Errors
    /// When it cannot be listened on.
    pub async fn at(
        address: SocketAddr,
        answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    ) -> Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            answer: Mutex::new(Arc::new(answer)),
            asked: Mutex::default(),
        });
        let serving = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let state = Arc::clone(&serving);
                // A client may go in the middle.
                tokio::spawn(async move { serve(socket, &state).await.ok() });
            }
        });
        Ok(Self {
            address,
            state,
            accepting,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a path of it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// It answers so from now on.
    pub fn answers(&self, answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) {
        *lock(&self.state.answer) = Arc::new(answer);
    }

    /// What it was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.state.asked).clone()
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers the requests of one connection.
async fn serve(socket: TcpStream, state: &State) -> Result<()> {
    let mut socket = BufReader::new(socket);
    while let Some(asked) = read(&mut socket).await? {
        lock(&state.asked).push(asked.clone());
        let answer = Arc::clone(&lock(&state.answer));
        let reply = answer(&asked);
        tokio::time::sleep(reply.delay).await;
        if let Some(gate) = &reply.gate {
            gate.opened().await;
        }
        let Reply { status, body, .. } = &reply;
        let mut head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in &reply.headers {
            write!(head, "{name}: {value}\r\n")?;
        }
        socket
            .write_all(format!("{head}\r\n{body}").as_bytes())
            .await?;
    }
    Ok(())
}

async fn read(socket: &mut BufReader<TcpStream>) -> Result<Option<Asked>> {
    let mut line = String::new();
    if socket.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let path = line.split(' ').nth(1).context("a request line")?.to_owned();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        socket.read_line(&mut line).await?;
        let Some((name, value)) = line.trim().split_once(':') else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut asked = Asked {
        path,
        headers,
        body: String::new(),
    };
    let length = asked.header("content-length").unwrap_or("0").parse()?;
    let mut body = vec![0; length];
    socket.read_exact(&mut body).await?;
    asked.body = String::from_utf8(body)?;
    Ok(Some(asked))
}
