//! One HTTP client for each thing that is called: a pool of connections to one place.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::header::HeaderMap;
use hyper::{Request, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::crypto::ring::default_provider;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::timeout;
use widecast_protocol::error::chain;

use crate::config::CalledUrl;

/// How long an idle connection is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// How many idle connections are kept.
const MOST_IDLE: usize = 32;

/// Why there is no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The system's authorities cannot be used, by which a certificate is checked.
    #[error("the system's root certificates cannot be used: install its package ca-certificates")]
    NoAuthorities(#[source] io::Error),
    /// The request cannot be written.
    #[error("the request cannot be made")]
    NoRequest(#[from] hyper::http::Error),
    /// It cannot be reached, or broke off.
    #[error("no answer: {0}")]
    Unreachable(String),
    /// It took too long.
    #[error("no answer within {} ms", .0.as_millis())]
    TooSlow(Duration),
    /// The answer is too long.
    #[error("the answer has more than {0} bytes")]
    TooLong(usize),
    /// It answered with a status that is no success.
    #[error("the answer has the status {0}, expected 200")]
    Status(StatusCode),
}

/// An answer of status 200.
#[derive(Debug)]
pub struct Called {
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// A client of the library, with its connections.
type Connections = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// An HTTP client that calls one place. It follows no redirects: what it is to call is in the settings.
#[derive(Debug, Clone)]
pub struct HttpClient {
    /// Keeps idle connections.
    client: Connections,
    /// Makes a new connection for each request.
    anew: Connections,
    patience: Duration,
    most_bytes: usize,
}

impl HttpClient {
    /// A client for this URL that waits so long for an answer, of at most so many bytes.
    ///
    /// # Errors
    /// When certificates cannot be checked.
    pub fn new(url: &CalledUrl, patience: Duration, most_bytes: usize) -> Result<Self, CallError> {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(patience));
        let builder = HttpsConnectorBuilder::new();
        let builder = if url.is_secure() {
            builder.with_provider_and_native_roots(default_provider())
        } else {
            trusting_nobody().map(|config| builder.with_tls_config(config))
        };
        let connector = builder
            .map_err(CallError::NoAuthorities)?
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(MOST_IDLE)
            .build(connector.clone());
        let anew = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .build(connector);
        Ok(Self {
            client,
            anew,
            patience,
            most_bytes,
        })
    }

    /// Sends a request, and waits for the whole answer. A request whose connection ends without an answer is sent once more, over a
    /// new one: so it has to be one that does no harm twice.
    ///
    /// # Errors
    /// Why there is none that can be used.
    pub async fn call(&self, request: Request<Full<Bytes>>) -> Result<Called, CallError> {
        let answer = timeout(self.patience, self.answer(request)).await;
        answer.map_err(|_| CallError::TooSlow(self.patience))?
    }

    async fn answer(&self, request: Request<Full<Bytes>>) -> Result<Called, CallError> {
        let answer = match self.client.request(request.clone()).await {
            // A server closes a connection that has been idle for long, perhaps while this was on its way.
            Err(error) if has_ended(&error) => self.anew.request(request).await,
            answer => answer,
        };
        let answer = answer.map_err(|error| CallError::Unreachable(chain(&error)))?;
        if answer.status() != StatusCode::OK {
            return Err(CallError::Status(answer.status()));
        }
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, self.most_bytes).collect().await;
        let body = body.map_err(|error| {
            if error.is::<LengthLimitError>() {
                CallError::TooLong(self.most_bytes)
            } else {
                CallError::Unreachable(chain(&*error))
            }
        })?;
        Ok(Called {
            headers: head.headers,
            body: body.to_bytes(),
        })
    }
}

/// Whether the connection ended before the head of the answer had come.
fn has_ended(error: &ClientError) -> bool {
    let mut cause = error.source().filter(|_| !error.is_connect());
    while let Some(error) = cause {
        let http = error.downcast_ref::<hyper::Error>();
        let io = error.downcast_ref::<io::Error>().map(io::Error::kind);
        if http.is_some_and(hyper::Error::is_incomplete_message)
            || matches!(
                io,
                Some(
                    io::ErrorKind::ConnectionReset
                        | io::ErrorKind::BrokenPipe
                        | io::ErrorKind::UnexpectedEof
                )
            )
        {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The TLS configuration of a client that never uses TLS: it trusts nobody.
fn trusting_nobody() -> io::Result<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    Ok(builder
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    /// Answers each request that has a `true` at its number, and else closes the connection when it has read it.
    async fn serve(mut socket: TcpStream, answers: &[bool], asked: &AtomicUsize) -> io::Result<()> {
        loop {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(socket.read_u8().await?);
            }
            let number = asked.fetch_add(1, Ordering::Relaxed);
            if !answers[number] {
                return Ok(());
            }
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx";
            socket.write_all(answer).await?;
        }
    }

    #[tokio::test]
    async fn a_request_whose_connection_ends_without_an_answer_is_sent_once_more() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let accepting = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let asked = Arc::clone(&counted);
                tokio::spawn(async move {
                    serve(socket, &[true, false, true, false, false], &asked).await
                });
            }
        });
        let client = HttpClient::new(&CalledUrl::default(), Duration::from_mins(1), 100).unwrap();
        let call = async || {
            let request = Request::get(&url).body(Full::default()).unwrap();
            client.call(request).await
        };
        assert_eq!(call().await.unwrap().body, "x");
        assert_eq!(call().await.unwrap().body, "x");
        // Twice in a row it is no accident.
        assert!(matches!(call().await, Err(CallError::Unreachable(_))));
        assert_eq!(asked.load(Ordering::Relaxed), 5);
        accepting.abort();
    }
}
