//! The sender of a request, and the broker that it is sent to.

use std::fmt::Display;

use actix_web::{FromRequest, HttpRequest, dev, web};
use futures_util::future::LocalBoxFuture;
use serde::Deserialize;
use widecast_protocol::{ChannelName, Code, SenderKey};

use super::client_share::client_share;
use super::credential::{proven, shown_headers};
use super::header;
use super::problem::Problem;
use super::query::{Query, has_parameter};
use crate::auth::Principal;
use crate::config::Right;
use crate::session::{self, Publisher, Reader, Services};

/// The sender of a request, and the services it asks for.
pub struct Caller {
    /// The sender, as a publisher.
    pub publisher: Publisher,
    /// The broker.
    pub services: web::Data<Services>,
}

#[derive(Deserialize)]
struct SenderParameter {
    sender: Option<String>,
}

impl Caller {
    async fn of(request: &HttpRequest) -> Result<Self, Problem> {
        let services = request
            .app_data::<web::Data<Services>>()
            .ok_or_else(|| Problem::new(Code::Internal, "the services are missing"))?;
        let headers = shown_headers(request, &services.config);
        let principal = proven(request).await?;
        let publisher = Publisher {
            principal: session::admit(services, principal, &headers).await?,
            session: None,
            quota: None,
            sender: sender_key(request)?,
            share: client_share(request),
        };
        let services = services.clone();
        Ok(Self {
            publisher,
            services,
        })
    }

    /// The sender.
    pub fn principal(&self) -> &Principal {
        &self.publisher.principal
    }

    /// Who sends, as a reader.
    pub fn reader(&self) -> Reader<'_> {
        Reader {
            principal: &self.publisher.principal,
            share: &self.publisher.share,
        }
    }

    /// Counts a message of the sender's that was refused before it could be published, and writes it into the audit log. The channel
    /// is unknown where the message cannot be read.
    pub fn note_refused(&self, channel: Option<&ChannelName>, code: Code) {
        session::note_refused(&self.services, self.principal(), channel, code);
    }

    /// Writes into the audit log what the sender has asked for, as [`session::audit`].
    pub fn audit(
        &self,
        action: &'static str,
        object: Option<&dyn Display>,
        outcome: Result<(), Code>,
    ) {
        session::audit(&self.services, self.principal(), action, object, outcome);
    }

    /// Makes sure that the sender may do something on a channel, right after it has proved who it is.
    ///
    /// # Errors
    /// As [`session::require_of_proven`].
    pub fn require(&self, channel: &ChannelName, right: Right) -> Result<(), Problem> {
        session::require_of_proven(&self.services, &self.publisher.principal, channel, right)?;
        Ok(())
    }
}

impl FromRequest for Caller {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut dev::Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move { Self::of(&request).await })
    }
}

/// The sender key of a request: the header `Widecast-Sender`, else `?sender=`.
///
/// # Errors
/// `bad_sender_key` when there is one and it is not 16–64 visible ASCII characters.
pub fn sender_key(request: &HttpRequest) -> Result<Option<SenderKey>, Problem> {
    let parameter;
    let text = if let Some(header) = request.headers().get(&header::SENDER) {
        // A text that is not ASCII is no sender key, and the empty text is none either.
        Some(header.to_str().unwrap_or_default())
    } else if has_parameter(request.query_string(), "sender") {
        parameter = Query::<SenderParameter>::of(request)?.0.sender;
        parameter.as_deref()
    } else {
        None
    };
    text.map(SenderKey::parse)
        .transpose()
        .map_err(|error| Problem::new(Code::BadSenderKey, error.to_string()))
}
