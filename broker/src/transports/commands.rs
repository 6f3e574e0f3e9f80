//! Commands of sessions that cannot send over their own connection.

use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use bytes::Bytes;
use serde_json::json;
use widecast_protocol::codec::{Codec, DecodeError, Refused, decode_commands};
use widecast_protocol::framing::jsonp::Callback;
use widecast_protocol::{Code, Command, SessionId};

use crate::http::{BodyLimit, Problem, read_body};
use crate::session::{Commands, Inbound, Listed, Services};

use super::jsonp;
use super::streaming::uncached;

type Decoded = Result<Vec<Result<Command, Refused>>, DecodeError>;

/// What a session is to do about the commands of one frame or body.
pub(super) fn inbound_of(decoded: Decoded, most: usize) -> Vec<Inbound> {
    let commands = match decoded.and_then(|commands| no_more_than(most, commands)) {
        Ok(commands) => commands,
        Err(error) => return vec![Inbound::Unreadable(None, error)],
    };
    commands.into_iter().map(inbound_one).collect()
}

/// What a session is to do about one command.
pub(super) fn inbound_one(command: Result<Command, Refused>) -> Inbound {
    match command {
        Ok(command) => Inbound::Command(command),
        Err(Refused { id, error }) => Inbound::Unreadable(id, error),
    }
}

fn no_more_than<T>(most: usize, commands: Vec<T>) -> Result<Vec<T>, DecodeError> {
    if commands.len() <= most {
        return Ok(commands);
    }
    Err(DecodeError::TooMany {
        what: "commands at once (limits.commands_per_frame)",
        limit: most,
    })
}

/// Reads the commands of a body. One that is not commands at all is a problem; single commands are answered by frames.
pub(super) async fn body_commands(
    request: &HttpRequest,
    body: web::Payload,
    services: &Services,
) -> Result<Vec<Inbound>, Problem> {
    let body = body_bytes(request, body, services).await?;
    commands_in(request, &body, services)
}

/// The same, where a body without any bytes has no commands.
pub(super) async fn body_commands_if_any(
    request: &HttpRequest,
    body: web::Payload,
    services: &Services,
) -> Result<Vec<Inbound>, Problem> {
    let body = body_bytes(request, body, services).await?;
    if body.is_empty() {
        return Ok(Vec::new());
    }
    commands_in(request, &body, services)
}

async fn body_bytes(
    request: &HttpRequest,
    body: web::Payload,
    services: &Services,
) -> Result<Bytes, Problem> {
    let limit = BodyLimit::request(&services.config);
    read_body(request.headers(), body, limit).await
}

fn commands_in(
    request: &HttpRequest,
    body: &Bytes,
    services: &Services,
) -> Result<Vec<Inbound>, Problem> {
    let codec = match request.content_type() {
        "application/msgpack" | "application/x-msgpack" | "application/vnd.msgpack" => {
            Codec::MessagePack
        }
        _ => Codec::Json,
    };
    commands_of(codec, body, services)
}

fn commands_of(codec: Codec, bytes: &Bytes, services: &Services) -> Result<Vec<Inbound>, Problem> {
    let most = services.config.limits.commands_per_frame;
    let commands = no_more_than(most, decode_commands(codec, bytes)?)?;
    Ok(inbound_of(Ok(commands), most))
}

/// The session of this name, for a request with this callback.
///
/// # Errors
/// `session_not_found`; `forbidden` when a script asks for a session that was not opened by one.
pub(super) fn session(
    services: &Services,
    name: &str,
    callback: Option<&Callback>,
) -> Result<Listed, Problem> {
    let id = SessionId::parse(name).ok();
    let listed = id.and_then(|id| services.sessions.get(&id));
    let listed = listed.ok_or_else(session_not_found)?;
    if callback.is_some() && !listed.dialect.is_script() {
        let detail = "the session was opened without callback=, and is not for scripts";
        return Err(Problem::new(Code::Forbidden, detail));
    }
    Ok(listed)
}

/// The answer for a session that is gone.
pub(super) fn session_not_found() -> Problem {
    let detail = "there is no such session, or no longer: open a new one with session=new";
    Problem::new(Code::SessionNotFound, detail)
}

/// `POST /v1/sessions/{session}/commands`: carried out in the session's order, and answered in its stream.
pub(super) async fn post(
    request: HttpRequest,
    name: web::Path<String>,
    body: web::Payload,
    services: web::Data<Services>,
) -> Result<HttpResponse, Problem> {
    let listed = session(&services, &name, None)?;
    let commands = body_commands(&request, body, &services).await?;
    accept(&listed, commands).await
}

/// `GET /v1/sessions/{session}/commands?callback=…`: the same for a session over JSONP, which can only load scripts.
pub(super) async fn get(
    request: HttpRequest,
    name: web::Path<String>,
    services: web::Data<Services>,
) -> Result<HttpResponse, Problem> {
    let answer = async {
        let callback = jsonp::callback(&request)?.ok_or_else(|| {
            let detail =
                "commands come by POST; by GET for sessions over JSONP only, with callback=";
            Problem::new(Code::InvalidRequest, detail)
        })?;
        let listed = session(&services, &name, Some(&callback))?;
        let (codec, bytes) = jsonp::commands(&request)?;
        accept(&listed, commands_of(codec, &bytes, &services)?).await
    };
    jsonp::wrapped(&request, answer).await
}

async fn accept(listed: &Listed, commands: Vec<Inbound>) -> Result<HttpResponse, Problem> {
    let accepted = commands.len();
    listed
        .address
        .send(Commands(commands))
        .await
        .map_err(|_| session_not_found())?;
    Ok(uncached(&mut HttpResponse::Accepted()).json(json!({ "accepted": accepted })))
}
