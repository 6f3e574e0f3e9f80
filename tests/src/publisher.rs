//! Publishing over HTTP.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::address::address;
use crate::broker::Answer;
use crate::message_pack;

/// A client that publishes over HTTP, with a sender key or without.
#[derive(Debug, Clone)]
pub struct Publisher {
    http: reqwest::Client,
    base: String,
    sender: Option<String>,
}

/// The broker's answer to one publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The channel.
    pub channel: String,
    /// The place in the channel.
    pub offset: u64,
    /// The epoch of the place.
    pub epoch: String,
    /// How many subscribers it was handed to.
    pub subscribers: Option<u64>,
    /// Whether it had been published before with the same idempotency key.
    pub duplicate: bool,
}

impl Published {
    /// Reads the answer to one publication.
    ///
    /// # Errors
    /// When a field is missing or not of its type.
    pub fn from_object(object: &Value) -> Result<Self> {
        let read = || {
            Some(Self {
                channel: object["channel"].as_str()?.to_owned(),
                offset: object["offset"].as_u64()?,
                epoch: object["epoch"].as_str()?.to_owned(),
                subscribers: object["subscribers"].as_u64(),
                duplicate: object["duplicate"].as_bool()?,
            })
        };
        read().with_context(|| format!("not the answer to a publication: {object}"))
    }

    /// The cursor of a reader that has seen this message.
    pub fn cursor(&self) -> String {
        format!("{}-{}", self.epoch, self.offset)
    }
}

impl Publisher {
    pub(crate) fn new(http: reqwest::Client, base: String) -> Self {
        Self {
            http,
            base,
            sender: None,
        }
    }

    /// Publishes with a sender key from now on.
    #[must_use]
    pub fn sender(mut self, key: &str) -> Self {
        self.sender = Some(key.to_owned());
        self
    }

    /// Publishes JSON data.
    ///
    /// # Errors
    /// When the broker does not accept it.
    pub async fn publish(&self, channel: &str, data: impl Into<Value>) -> Result<Published> {
        let body = serde_json::to_vec(&data.into())?;
        self.publish_as(channel, "application/json", body).await
    }

    /// Publishes JSON data with an event name.
    ///
    /// # Errors
    /// When the broker does not accept it.
    pub async fn publish_event(
        &self,
        channel: &str,
        event: &str,
        data: impl Into<Value>,
    ) -> Result<Published> {
        let request = self.request(channel, &[("event".to_owned(), event.to_owned())])?;
        let request = request.header("content-type", "application/json");
        accepted(request.body(serde_json::to_vec(&data.into())?)).await
    }

    /// Publishes data as MessagePack; tagged objects become extensions.
    ///
    /// # Errors
    /// When the broker does not accept it.
    pub async fn publish_packed(&self, channel: &str, data: &Value) -> Result<Published> {
        let body = message_pack::encode(data)?;
        self.publish_as(channel, "application/msgpack", body).await
    }

    /// Publishes data as MessagePack that is compressed.
    ///
    /// # Errors
    /// When the broker does not accept it.
    pub async fn publish_compressed(&self, channel: &str, data: &Value) -> Result<Published> {
        let body = message_pack::encode_compressed(data)?;
        self.publish_as(channel, "application/msgpack", body).await
    }

    /// Publishes a body of a content type.
    ///
    /// # Errors
    /// When the broker does not accept it.
    pub async fn publish_as(
        &self,
        channel: &str,
        content_type: &str,
        body: Vec<u8>,
    ) -> Result<Published> {
        let request = self
            .request(channel, &[])?
            .header("content-type", content_type);
        accepted(request.body(body)).await
    }

    /// Publishes several messages of one channel with one request.
    ///
    /// # Errors
    /// When the broker does not accept every one of them.
    pub async fn publish_all(
        &self,
        channel: &str,
        data: impl IntoIterator<Item = Value>,
    ) -> Result<()> {
        let message = |data| json!({ "channels": [channel], "data": data });
        let messages: Vec<_> = data.into_iter().map(message).collect();
        let count = messages.len();
        let request = self.http.post(format!("{}/v1/publish", self.base));
        let request = request.json(&json!({ "messages": messages }));
        let answer = Answer::read(self.identified(request).send().await?).await?;
        let accepted = answer.body.to_string().matches("\"offset\":").count();
        if answer.status != 200 || accepted != count {
            bail!("{accepted} of {count} accepted: {answer:?}");
        }
        Ok(())
    }

    /// A request to publish on a channel, to be given a body.
    ///
    /// # Errors
    /// When the address cannot be made.
    pub fn request(
        &self,
        channel: &str,
        query: &[(String, String)],
    ) -> Result<reqwest::RequestBuilder> {
        let url = address(&self.base, &["channels", channel, "messages"], query)?;
        Ok(self.identified(self.http.post(url)))
    }

    fn identified(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match &self.sender {
            Some(key) => request.header("widecast-sender", key),
            None => request,
        }
    }
}

async fn accepted(request: reqwest::RequestBuilder) -> Result<Published> {
    let answer = Answer::read(request.send().await?).await?;
    if answer.status != 200 {
        bail!("not published: {answer:?}");
    }
    Published::from_object(&answer.body)
}
