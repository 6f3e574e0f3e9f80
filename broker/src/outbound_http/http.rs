//! One HTTP client for each thing that is called: a pool of connections to one place.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::header::HeaderMap;
use hyper::{Request, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
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

/// An HTTP client that calls one place. It follows no redirects: what it is to call is in the settings.
#[derive(Debug, Clone)]
pub struct HttpClient {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
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
            .build(connector);
        Ok(Self {
            client,
            patience,
            most_bytes,
        })
    }

    /// Sends a request, and waits for the whole answer.
    ///
    /// # Errors
    /// Why there is none that can be used.
    pub async fn call(&self, request: Request<Full<Bytes>>) -> Result<Called, CallError> {
        let answer = timeout(self.patience, self.answer(request)).await;
        answer.map_err(|_| CallError::TooSlow(self.patience))?
    }

    async fn answer(&self, request: Request<Full<Bytes>>) -> Result<Called, CallError> {
        let answer = self.client.request(request).await;
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

/// The TLS configuration of a client that never uses TLS: it trusts nobody.
fn trusting_nobody() -> io::Result<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    Ok(builder
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth())
}
