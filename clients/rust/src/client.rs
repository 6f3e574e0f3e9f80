//! The client: an address, what is trusted there, and the key that the client is known by.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use widecast_protocol::SenderKey;

use crate::address::BrokerUrl;
use crate::batch::Batch;
use crate::data::Data;
use crate::error::Error;
use crate::http::{BearerToken, Http};
use crate::message::Member;
use crate::nodes::{Node, nodes};
use crate::publish::{Publish, Way};
use crate::read::{ReadHistory, members};
use crate::session::{OpenSession, random_key};
use crate::subscribe::Subscribe;
use crate::tls::Authorities;

/// A client of one broker. Clones are the same client: they share connections, and do not hear each other's messages.
///
/// ```no_run
/// # async fn example() -> Result<(), widecast_client::Error> {
/// use widecast_client::Client;
///
/// let client = Client::new("http://127.0.0.1:8080")?;
/// client.publish("news", &"hello").await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Client {
    http: Arc<Http>,
}

/// Builds a [`Client`] that needs more than an address.
#[derive(Debug)]
pub struct ClientBuilder {
    url: Result<BrokerUrl, Error>,
    authorities: Option<PathBuf>,
    sender_key: Option<String>,
    token: Option<String>,
}

impl ClientBuilder {
    /// For an `https://` address: trusts the authorities in this PEM file, and not those of the system.
    #[must_use]
    pub fn authorities(mut self, file: impl AsRef<Path>) -> Self {
        self.authorities = Some(file.as_ref().to_owned());
        self
    }

    /// Sets the key by which the broker knows the client, 16 to 64 visible ASCII characters that nobody can guess. Without it
    /// the client makes up one of its own. A process that is to be the same client after a restart keeps its key.
    #[must_use]
    pub fn sender_key(mut self, key: &str) -> Self {
        self.sender_key = Some(key.to_owned());
        self
    }

    /// Proves to the broker who the client is, in all that it asks: an API key, or a token. Where a token has to be renewed while a
    /// session lasts, open the session with [`OpenSession::token`].
    #[must_use]
    pub fn token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// Makes the client. It connects when it is asked for something.
    ///
    /// # Errors
    /// When the address, the key or the token cannot be used, or no authorities can be read.
    pub fn build(self) -> Result<Client, Error> {
        let url = self.url?;
        let key = self.sender_key.unwrap_or_else(random_key);
        let key = SenderKey::parse(&key).map_err(Error::BadName)?;
        let authorities = match self.authorities {
            _ if !url.is_tls() => Authorities::None,
            Some(file) => Authorities::File(file),
            None => Authorities::System,
        };
        let token = self.token.as_deref().map(BearerToken::new).transpose()?;
        let http = Arc::new(Http::new(url, &authorities, key, token)?);
        Ok(Client { http })
    }
}

impl Client {
    /// A client of the broker at this address: `http://host:port`, or `https://…` where a proxy adds TLS.
    ///
    /// # Errors
    /// When this is no address, or an `https://` address on a system without certificates of authorities.
    pub fn new(url: &str) -> Result<Self, Error> {
        Self::builder(url).build()
    }

    /// Begins to build a client that needs more than an address.
    #[must_use]
    pub fn builder(url: &str) -> ClientBuilder {
        ClientBuilder {
            url: url.parse(),
            authorities: None,
            sender_key: None,
            token: None,
        }
    }

    /// The address of the broker.
    pub fn url(&self) -> &BrokerUrl {
        self.http.base()
    }

    /// Publishes any value that serde can write. Awaiting the [`Publish`] sends it.
    pub fn publish<T: Serialize + ?Sized>(&self, channel: &str, value: &T) -> Publish<'_> {
        Publish::new(Way::Http(self), channel, Data::of(value))
    }

    /// Publishes data that has a form already: text, bytes, JSON or MessagePack.
    pub fn publish_data(&self, channel: &str, data: Data) -> Publish<'_> {
        Publish::new(Way::Http(self), channel, Ok(data))
    }

    /// Publishes many messages with one request.
    pub fn batch(&self) -> Batch<'_> {
        Batch::new(Way::Http(self))
    }

    /// Asks for past messages of a channel. Awaiting the [`ReadHistory`] asks.
    pub fn history(&self, channel: &str) -> ReadHistory<'_> {
        ReadHistory::new(Way::Http(self), channel)
    }

    /// Asks which brokers share an engine with this one. Only an operator may.
    ///
    /// # Errors
    /// When the broker cannot be reached or refuses.
    pub async fn nodes(&self) -> Result<Vec<Node>, Error> {
        nodes(self).await
    }

    /// Asks who is present in a channel.
    ///
    /// # Errors
    /// When the broker cannot be reached or refuses.
    pub async fn presence(&self, channel: &str) -> Result<Vec<Member>, Error> {
        members(Way::Http(self), channel).await
    }

    /// Subscribes to channels. [`Subscribe::connect`] connects.
    pub fn subscribe<C: AsRef<str>>(&self, channels: impl IntoIterator<Item = C>) -> Subscribe {
        Subscribe::new(self.clone(), channels)
    }

    /// Opens a session, which joins and leaves channels and publishes over one connection. [`OpenSession::connect`] connects.
    pub fn session(&self) -> OpenSession {
        OpenSession::new(self.clone())
    }

    pub(crate) fn http(&self) -> &Arc<Http> {
        &self.http
    }
}

#[cfg(test)]
mod tests {
    use std::future::IntoFuture;

    use super::*;

    fn is_send<T: Send>(value: T) -> T {
        value
    }

    #[test]
    fn the_futures_of_the_client_can_move_between_threads() {
        let client = Client::new("http://127.0.0.1:1").unwrap();
        drop(is_send(client.publish("a", &1).into_future()));
        drop(is_send(client.batch().send()));
        drop(is_send(client.history("a").into_future()));
        drop(is_send(client.subscribe(["a"]).connect()));
        drop(is_send(client.session().connect()));
    }

    #[test]
    fn an_address_that_cannot_be_used_is_refused_at_once() {
        let error = Client::new("localhost:8080").unwrap_err().to_string();
        assert!(error.contains("http://127.0.0.1:8080"), "{error}");
        let short = Client::builder("http://a").sender_key("short").build();
        assert!(matches!(short, Err(Error::BadName(_))));
        // No authorities are read for a broker that is called without TLS.
        let nowhere = Client::builder("http://a").authorities("/nowhere.pem");
        assert!(nowhere.build().is_ok());
    }
}
