//! HTTP: one pool of connections for all that a client asks, and the raw connections of its WebSockets.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Method, Request, Uri, header, http};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower_service::Service;
use widecast_protocol::SenderKey;
use widecast_protocol::error::chain;

use crate::address::BrokerUrl;
use crate::error::{Error, Refusal};
use crate::tls::{Authorities, tls};

/// How long a connection may take to be made, and a stream to begin.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// How long an answer may take: a broker that has too much to do lets publishers wait.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long an idle connection is kept: less than the broker keeps it, so that no request is sent while the broker closes it.
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);
/// The most that is read of a refusal.
const MAX_PROBLEM_BYTES: usize = 1024 * 1024;
/// The most that one answer may have: more than the largest history that a broker can be set to give.
const MAX_ANSWER_BYTES: usize = 1 << 30;
/// The header of the sender key.
pub(crate) const SENDER_HEADER: &str = "widecast-sender";
/// The header that tells the place that an answer begins at.
const CURSOR_HEADER: &str = "widecast-cursor";

/// A connection to the broker, over TLS or not.
pub(crate) type Wire = TokioIo<MaybeHttpsStream<TokioIo<TcpStream>>>;

/// The way to one broker.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    connector: HttpsConnector<HttpConnector>,
    base: BrokerUrl,
    sender: SenderKey,
    token: Option<BearerToken>,
}

/// The header by which a client proves who it is.
#[derive(Clone)]
pub(crate) struct BearerToken(String);

impl BearerToken {
    /// Takes a token or an API key.
    ///
    /// # Errors
    /// When no header can carry it.
    pub(crate) fn new(token: &str) -> Result<Self, Error> {
        let is_visible = |byte: u8| byte.is_ascii_graphic();
        if token.is_empty() || !token.bytes().all(is_visible) {
            return Err(Error::BadToken);
        }
        Ok(Self(format!("Bearer {token}")))
    }

    /// The value of the header `Authorization`.
    pub(crate) fn header(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(…)")
    }
}

impl Http {
    pub(crate) fn new(
        base: BrokerUrl,
        authorities: &Authorities,
        sender: SenderKey,
        token: Option<BearerToken>,
    ) -> Result<Self, Error> {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let connector = HttpsConnector::from((connector, tls(authorities)?));
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_timer(TokioTimer::new())
            .build(connector.clone());
        Ok(Self {
            client,
            connector,
            base,
            sender,
            token,
        })
    }

    pub(crate) fn base(&self) -> &BrokerUrl {
        &self.base
    }

    pub(crate) fn sender(&self) -> &SenderKey {
        &self.sender
    }

    pub(crate) fn token(&self) -> Option<&BearerToken> {
        self.token.as_ref()
    }

    /// A request for a path, to be given a body.
    pub(crate) fn request(&self, method: Method, path: &str) -> http::request::Builder {
        let request = Request::builder()
            .method(method)
            .uri(self.base.join(path))
            .header(SENDER_HEADER, self.sender.as_str());
        match &self.token {
            Some(token) => request.header(header::AUTHORIZATION, token.header()),
            None => request,
        }
    }

    /// A GET for a path, which prefers an answer of this type.
    pub(crate) fn get(&self, path: &str, accept: &str) -> http::request::Builder {
        self.request(Method::GET, path)
            .header(header::ACCEPT, accept)
    }

    /// Sends a request, and waits for the head of an answer that is no refusal.
    pub(crate) async fn send(
        &self,
        request: http::request::Builder,
        body: Bytes,
        patience: Duration,
    ) -> Result<HttpAnswer, Error> {
        let request = request.body(Full::new(body));
        let request = request.map_err(|error| self.unreachable(error.into()))?;
        let answer = timeout(patience, self.client.request(request)).await;
        let answer = answer.map_err(|_| self.no_answer(patience))?;
        let answer = answer.map_err(|error| self.unreachable(error.into()))?;
        let (head, body) = answer.into_parts();
        let cursor = head.headers.get(CURSOR_HEADER);
        let cursor = cursor.and_then(|value| value.to_str().ok());
        let mut answer = HttpAnswer {
            cursor: cursor.map(str::to_owned),
            body,
        };
        if head.status.is_success() {
            return Ok(answer);
        }
        let body = timeout(patience, answer.collect(MAX_PROBLEM_BYTES)).await;
        let body = body.ok().and_then(Result::ok).unwrap_or_default();
        Err(Error::Refused(Refusal::read(&head, &body)))
    }

    /// The whole body of an answer that ends by itself.
    pub(crate) async fn whole(
        &self,
        request: http::request::Builder,
        body: Bytes,
        patience: Duration,
    ) -> Result<Bytes, Error> {
        let mut answer = self.send(request, body, patience).await?;
        let whole = timeout(patience, answer.collect(MAX_ANSWER_BYTES)).await;
        whole.map_err(|_| self.no_answer(patience))?
    }

    /// A connection to the broker that nothing has been asked over yet.
    pub(crate) async fn wire(&self) -> Result<Wire, Error> {
        let uri: Result<Uri, _> = self.base.to_string().parse();
        let uri = uri.map_err(|error| self.unreachable(Box::new(error)))?;
        let wire = timeout(CONNECT_TIMEOUT, self.connector.clone().call(uri)).await;
        let wire = wire.map_err(|_| self.no_answer(CONNECT_TIMEOUT))?;
        wire.map(TokioIo::new)
            .map_err(|error| self.unreachable(error))
    }

    pub(crate) fn no_answer(&self, patience: Duration) -> Error {
        let url = self.base.to_string();
        Error::NoAnswer { url, patience }
    }

    /// Why there is no connection to the broker.
    pub(crate) fn unreachable(&self, source: Box<dyn StdError + Send + Sync>) -> Error {
        let url = self.base.to_string();
        if is_distrust(&*source) {
            return Error::Untrusted { url, source };
        }
        Error::Unreachable { url, source }
    }
}

/// Whether TLS failed because the certificate of the peer is not good.
fn is_distrust(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let tls = error.downcast_ref();
        if let Some(rustls::Error::InvalidCertificate(_)) = tls {
            return true;
        }
        // An I/O error hides the error in it from `source`.
        let hidden = error.downcast_ref().and_then(io::Error::get_ref);
        next = match hidden {
            Some(hidden) => Some(hidden),
            None => error.source(),
        };
    }
    false
}

/// An answer whose head has come.
#[derive(Debug)]
pub(crate) struct HttpAnswer {
    /// The place that the answer begins at, if the broker tells it.
    pub(crate) cursor: Option<String>,
    body: Incoming,
}

impl HttpAnswer {
    /// The next piece of the body, or nothing at its end. Cancel safe.
    pub(crate) async fn piece(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(Error::Cut(chain(&error))),
                // Trailers tell nothing.
                Some(Ok(frame)) => {
                    if let Ok(piece) = frame.into_data() {
                        return Ok(Some(piece));
                    }
                }
            }
        }
    }

    async fn collect(&mut self, most: usize) -> Result<Bytes, Error> {
        let mut read = Vec::new();
        while let Some(piece) = self.piece().await? {
            if read.len() + piece.len() > most {
                return Err(Error::Protocol("an answer that ends"));
            }
            read.extend_from_slice(&piece);
        }
        Ok(read.into())
    }
}
