//! Reading the body of a request: bounded in bytes and in time, as it comes and inflated.
//!
//! A body with `Content-Encoding: gzip` is inflated when it is there, to no more than its limit: a few bytes can become
//! gigabytes, and decoders of streams look after each chunk only.

use std::io;
use std::task::Poll;
use std::time::Duration;

use actix_web::error::PayloadError;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap};
use actix_web::{HttpMessage, HttpRequest, web};
use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, StreamExt};
use tokio::time::{Instant, timeout, timeout_at};
use widecast_protocol::Code;
use widecast_protocol::gzip::{self, GzipError};

use super::client_share::client_share;
use crate::config::{ByteCount, Config};
use crate::http::Problem;
use crate::memory_budget::{GIVEN_UP, Hold, NO_TURN, Part, Turn};
use crate::metrics::{Limit, Slowness};
use crate::net::{Pace, Patience};
use crate::offload::{LARGE_BYTES, offload};
use crate::session::Services;

/// The bounds of a body: a setting bounds its bytes, and the patience of the broker its time.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimit {
    /// The setting.
    limit: Limit,
    /// Its value.
    bytes: ByteCount,
    patience: Patience,
    /// How much all unfinished bodies and messages may have together.
    unfinished_bytes: ByteCount,
    /// How long a large body waits for its turn.
    wait: Duration,
}

impl BodyLimit {
    /// The bound of a body that is one message.
    pub fn message(config: &Config) -> Self {
        Self {
            limit: Limit::Message,
            bytes: config.limits.message_bytes,
            patience: Patience::body(&config.timeouts),
            unfinished_bytes: config.limits.unfinished_bytes,
            wait: config.timeouts.body,
        }
    }

    /// The bound of a body that is more than one message.
    pub fn request(config: &Config) -> Self {
        Self {
            limit: Limit::Request,
            bytes: config.limits.request_bytes,
            patience: Patience::body(&config.timeouts),
            unfinished_bytes: config.limits.unfinished_bytes,
            wait: config.timeouts.body,
        }
    }

    fn exceeded(self, actual: &str) -> Problem {
        let (setting, bytes) = (self.limit.setting(), self.bytes.get());
        let detail = format!("the body has {actual} bytes, {setting} allows {bytes}");
        Problem::new(Code::MessageTooLarge, detail)
    }
}

/// How a body is encoded, besides its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyEncoding {
    Identity,
    Gzip,
}

impl BodyEncoding {
    /// Its name in HTTP.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
        }
    }
}

/// The whole body, inflated if it is compressed.
///
/// # Errors
/// `message_too_large`, `unsupported_media_type` when it is encoded otherwise, `request_timeout` when it does not come
/// in time, `invalid_request` when it cannot be read or inflated, or `share_exceeded` when it would have to be inflated and the client's
/// address has made too much work.
pub async fn read_body(
    request: &HttpRequest,
    payload: web::Payload,
    limit: BodyLimit,
) -> Result<Bytes, Problem> {
    let body = read(request, payload, limit).await;
    body.inspect_err(|problem| {
        let services = request.app_data::<web::Data<Services>>();
        if let Some(services) = services.filter(|_| problem.code() == Code::MessageTooLarge) {
            services.metrics.limits.refused(limit.limit);
        }
    })
}

async fn read(
    request: &HttpRequest,
    mut payload: web::Payload,
    limit: BodyLimit,
) -> Result<Bytes, Problem> {
    let headers = request.headers();
    let encoding = encoding(headers)?;
    let announced = announced_bytes(headers);
    if let Some(announced) = announced.filter(|&bytes| bytes > limit.bytes.get()) {
        return Err(limit.exceeded(&announced.to_string()));
    }
    let services = request.app_data::<web::Data<Services>>();
    let services = services.map(|services| &***services);
    let mut body = BodyParts::default();
    let mut pace = Pace::begin(Instant::now(), limit.patience);
    let mut intake = None;
    loop {
        let part = next_part_soon(&mut payload, &pace, intake.as_ref()).await;
        let part = part.inspect_err(|problem| count_timeout(services, problem));
        let Some(part) = part? else {
            break;
        };
        pace.progress(Instant::now(), part.len());
        body.push(part);
        // A body that is whole has nothing more to wait for.
        if announced != Some(body.len() as u64) {
            let intake = intake.get_or_insert_with(|| Hold::of(Part::Unfinished));
            intake.hold(body.len(), limit.unfinished_bytes.get());
        }
        if body.len() > limit.bytes.as_usize() {
            return Err(limit.exceeded(&format!("at least {}", body.len())));
        }
    }
    // What it takes from now on is counted anew.
    drop(intake);
    let body = body.into_bytes();
    match encoding {
        BodyEncoding::Identity => {
            wait_for_turn(request, body.len(), body.len(), limit).await?;
            Ok(body)
        }
        BodyEncoding::Gzip => {
            let share = client_share(request);
            share.check_work()?;
            let most = body.len().saturating_mul(gzip::MOST_GROWTH);
            wait_for_turn(request, most.min(limit.bytes.as_usize()), body.len(), limit).await?;
            let inflated = offload(most, move || inflate(&body, limit)).await;
            // Where it went wrong is not known: as much may have been inflated as is allowed.
            let most = limit.bytes.as_usize();
            let bytes = inflated.as_ref().map_or(most, Bytes::len);
            share.charge_work(bytes);
            if let Some(turn) = request.extensions_mut().get_mut::<Turn>() {
                turn.shrink_to(bytes);
            }
            inflated
        }
    }
}

/// Waits until a body that takes `bytes` to carry out has its turn, if it is a large one; meanwhile it takes `kept`. The turn ends with the
/// request, unless somebody [takes](take_turn) it.
async fn wait_for_turn(
    request: &HttpRequest,
    bytes: usize,
    kept: usize,
    limit: BodyLimit,
) -> Result<(), Problem> {
    let Some(services) = request.app_data::<web::Data<Services>>() else {
        return Ok(());
    };
    if let Some(turn) = turn_of(services, bytes, kept, limit).await? {
        request.extensions_mut().insert(turn);
    }
    Ok(())
}

/// Waits until something that takes `bytes` to carry out has its turn; meanwhile it takes `kept`. What is not large needs none.
///
/// # Errors
/// `overloaded` when it has waited for as long as a body may pause, or is given up because too much waits.
pub async fn turn_of(
    services: &Services,
    bytes: usize,
    kept: usize,
    limit: BodyLimit,
) -> Result<Option<Turn>, Problem> {
    if bytes < LARGE_BYTES {
        return Ok(None);
    }
    let turns = &services.turns;
    if let Some(turn) = turns.try_take(bytes) {
        return Ok(Some(turn));
    }
    let mut intake = Hold::of(Part::Unfinished);
    intake.hold(kept, limit.unfinished_bytes.get());
    let waited = async {
        tokio::select! {
            biased;
            () = std::future::poll_fn(|context| intake.poll_given_up(context)) => {
                Err(Problem::new(Code::Overloaded, GIVEN_UP))
            }
            turn = turns.take(bytes) => Ok(Some(turn)),
        }
    };
    timeout(limit.wait, waited)
        .await
        .unwrap_or_else(|_| Err(Problem::new(Code::Overloaded, NO_TURN)))
}

/// The turn of a request whose body was large, for whoever carries it out beyond the end of the request.
pub fn take_turn(request: &HttpRequest) -> Option<Turn> {
    request.extensions_mut().remove::<Turn>()
}

fn inflate(body: &[u8], limit: BodyLimit) -> Result<Bytes, Problem> {
    match gzip::inflate(body, limit.bytes.as_usize()) {
        Ok(inflated) => Ok(inflated.into()),
        Err(GzipError::TooLarge { limit: most }) => {
            Err(limit.exceeded(&format!("inflated more than {most}")))
        }
        Err(error) => {
            let detail = format!("Content-Encoding is gzip, but the body {error}");
            Err(Problem::new(Code::InvalidRequest, detail))
        }
    }
}

/// The next part of a body that may take its time; `None` at its end. It never comes when the client has ended the connection before.
///
/// # Errors
/// `invalid_request` when the body is not as HTTP has it.
pub async fn next_part(payload: &mut web::Payload) -> Result<Option<Bytes>, Problem> {
    let part = payload.next().await;
    part.transpose().map_err(|error| unreadable(&error))
}

/// Counts a client whose body has not come in time, if that is the problem.
fn count_timeout(services: Option<&Services>, problem: &Problem) {
    if let Some(services) = services.filter(|_| problem.code() == Code::RequestTimeout) {
        services.metrics.connections.gave_up(Slowness::Body);
    }
}

/// A piece of a body that has not come whole, where the body as a whole may take its time: how long the rest of the piece may take, and that
/// it counts meanwhile.
pub struct UnfinishedPiece {
    pace: Pace,
    intake: Hold,
    limit: BodyLimit,
}

impl UnfinishedPiece {
    /// The first bytes of a piece have come.
    pub fn begin(limit: BodyLimit) -> Self {
        Self {
            pace: Pace::begin(Instant::now(), limit.patience),
            intake: Hold::of(Part::Unfinished),
            limit,
        }
    }

    /// The next part of the body, while `kept` bytes of the piece are kept; `None` at the body's end.
    ///
    /// # Errors
    /// `request_timeout` when it does not come in time, `overloaded` when the piece is given up because too much is unfinished,
    /// `invalid_request` when the body is not as HTTP has it.
    pub async fn next_part(
        &mut self,
        payload: &mut web::Payload,
        kept: usize,
        services: &Services,
    ) -> Result<Option<Bytes>, Problem> {
        self.intake.hold(kept, self.limit.unfinished_bytes.get());
        let part = next_part_soon(payload, &self.pace, Some(&self.intake)).await;
        let part = part.inspect_err(|problem| count_timeout(Some(services), problem))?;
        let bytes = part.as_ref().map_or(0, Bytes::len);
        self.pace.progress(Instant::now(), bytes);
        Ok(part)
    }
}

async fn next_part_soon(
    payload: &mut web::Payload,
    pace: &Pace,
    intake: Option<&Hold>,
) -> Result<Option<Bytes>, Problem> {
    // Nearly always the part is there already, and needs no timer.
    if !intake.is_some_and(Hold::is_given_up)
        && let Some(part) = next_part(payload).now_or_never()
    {
        return part;
    }
    let given_up = std::future::poll_fn(|context| match intake {
        Some(intake) => intake.poll_given_up(context),
        None => Poll::Pending,
    });
    let part = async {
        tokio::select! {
            biased;
            () = given_up => Err(Problem::new(Code::Overloaded, GIVEN_UP)),
            part = next_part(payload) => part,
        }
    };
    timeout_at(pace.deadline(), part).await.unwrap_or_else(|_| {
        let detail = "the body came more slowly than timeouts.body_ms and timeouts.least_bytes_per_second allow";
        Err(Problem::new(Code::RequestTimeout, detail))
    })
}

/// Refuses a body with a `Content-Encoding`, where it is read part by part.
///
/// # Errors
/// `unsupported_media_type` when it has one.
pub fn refuse_compressed(headers: &HeaderMap) -> Result<(), Problem> {
    if encoding(headers)? == BodyEncoding::Identity {
        return Ok(());
    }
    let detail = "Content-Encoding is gzip: send a stream of lines uncompressed";
    Err(Problem::unsupported_encoding(
        detail,
        BodyEncoding::Identity,
    ))
}

/// How the body is encoded: the field is a list, which may stand in several lines and have empty items
/// ([RFC 9110, section 5.6.1](https://www.rfc-editor.org/rfc/rfc9110#section-5.6.1)), and `identity` changes nothing.
fn encoding(headers: &HeaderMap) -> Result<BodyEncoding, Problem> {
    let fields = headers.get_all(CONTENT_ENCODING);
    let fields = fields.map(|field| field.to_str().unwrap_or("?"));
    let items = fields.flat_map(|field| field.split(',')).map(str::trim);
    let items = items.map(str::to_ascii_lowercase);
    let codings: Vec<_> = items
        .filter(|item| !item.is_empty() && item != "identity")
        .collect();
    match codings.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => Ok(BodyEncoding::Identity),
        // https://www.rfc-editor.org/rfc/rfc9110#section-8.4.1.3
        ["gzip" | "x-gzip"] => Ok(BodyEncoding::Gzip),
        _ => {
            let codings = codings.join(", ");
            let detail =
                format!("Content-Encoding is {codings}: send the body as gzip or as it is");
            Err(Problem::unsupported_encoding(detail, BodyEncoding::Gzip))
        }
    }
}

fn announced_bytes(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn unreadable(error: &PayloadError) -> Problem {
    let detail = match error {
        PayloadError::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
            format!("Transfer-Encoding is chunked, but the chunks are not valid: {error}")
        }
        error => format!("the body cannot be read: {error}"),
    };
    Problem::new(Code::InvalidRequest, detail)
}

/// The parts that have come. Nearly every body comes in one, which is then not copied.
#[derive(Default)]
struct BodyParts {
    first: Bytes,
    all: BytesMut,
}

impl BodyParts {
    fn push(&mut self, chunk: Bytes) {
        if self.len() == 0 {
            self.first = chunk;
            return;
        }
        if self.all.is_empty() {
            self.all.extend_from_slice(&self.first);
        }
        self.all.extend_from_slice(&chunk);
    }

    fn len(&self) -> usize {
        self.first.len().max(self.all.len())
    }

    fn into_bytes(self) -> Bytes {
        if self.all.is_empty() {
            self.first
        } else {
            self.all.freeze()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_the_sum_of_its_parts() {
        let mut body = BodyParts::default();
        for part in ["", "a", "", "bc", "d"] {
            body.push(Bytes::from_static(part.as_bytes()));
        }
        assert_eq!(body.len(), 4);
        assert_eq!(body.into_bytes(), "abcd");
    }
}
