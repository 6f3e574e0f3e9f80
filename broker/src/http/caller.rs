//! Who sends a request, and the broker it is sent to.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, dev, web};
use serde::Deserialize;
use widecast_protocol::{Code, SenderKey};

use super::edge::verified_origin;
use super::header::SENDER_HEADER;
use super::problem::Problem;
use super::query::Query;
use crate::session::{Publisher, Services};

/// The sender of a request, and the services it asks for.
pub struct Caller {
    /// Who sends, as a publisher.
    pub publisher: Publisher,
    /// The broker.
    pub services: web::Data<Services>,
}

#[derive(Deserialize)]
struct SenderParameter {
    sender: Option<String>,
}

impl Caller {
    fn of(request: &HttpRequest) -> Result<Self, Problem> {
        let services = request
            .app_data::<web::Data<Services>>()
            .ok_or_else(|| Problem::new(Code::Internal, "the services are missing"))?;
        let publisher = Publisher {
            origin: verified_origin(request),
            sender: sender_key(request)?,
        };
        let services = services.clone();
        Ok(Self {
            publisher,
            services,
        })
    }
}

impl FromRequest for Caller {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut dev::Payload) -> Self::Future {
        ready(Self::of(request))
    }
}

/// The sender key of a request: the header `Widecast-Sender`, else `?sender=`.
///
/// # Errors
/// `bad_sender_key` when there is one and it is not 16–64 visible ASCII characters.
pub fn sender_key(request: &HttpRequest) -> Result<Option<SenderKey>, Problem> {
    let parameter;
    let text = if let Some(header) = request.headers().get(SENDER_HEADER) {
        // What is not ASCII is no sender key; the empty text is none either.
        Some(header.to_str().unwrap_or_default())
    } else if request.query_string().contains("sender=") {
        parameter = Query::<SenderParameter>::of(request)?.0.sender;
        parameter.as_deref()
    } else {
        None
    };
    text.map(SenderKey::parse)
        .transpose()
        .map_err(|error| Problem::new(Code::BadSenderKey, error.to_string()))
}
