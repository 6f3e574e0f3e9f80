//! Commands of sessions that cannot send over their own connection.

use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use serde_json::json;
use widecast_protocol::codec::{Codec, DecodeError, Refused, decode_commands};
use widecast_protocol::{Code, Command, SessionId};

use crate::http::{BodyLimit, Problem, read_body};
use crate::session::{Commands, Inbound, Listed, Services};

use super::streaming::uncached;

type Decoded = Result<Vec<Result<Command, Refused>>, DecodeError>;

/// What a session is to do about the commands of one frame or body.
pub(super) fn inbound_of(decoded: Decoded, most: usize) -> Vec<Inbound> {
    let commands = match decoded.and_then(|commands| no_more_than(most, commands)) {
        Ok(commands) => commands,
        Err(error) => return vec![Inbound::Unreadable(None, error)],
    };
    let inbound = |command| match command {
        Ok(command) => Inbound::Command(command),
        Err(Refused { id, error }) => Inbound::Unreadable(id, error),
    };
    commands.into_iter().map(inbound).collect()
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
    let limits = &services.config.limits;
    let body = read_body(request.headers(), body, BodyLimit::request(limits)).await?;
    let codec = match request.content_type() {
        "application/msgpack" | "application/x-msgpack" | "application/vnd.msgpack" => {
            Codec::MessagePack
        }
        _ => Codec::Json,
    };
    let most = limits.commands_per_frame;
    let commands = no_more_than(most, decode_commands(codec, &body)?)?;
    Ok(inbound_of(Ok(commands), most))
}

/// The session of this name.
pub(super) fn session(services: &Services, name: &str) -> Result<Listed, Problem> {
    let id = SessionId::parse(name).ok();
    let listed = id.and_then(|id| services.sessions.get(&id));
    listed.ok_or_else(session_not_found)
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
    let listed = session(&services, &name)?;
    let commands = body_commands(&request, body, &services).await?;
    let accepted = commands.len();
    listed
        .address
        .send(Commands(commands))
        .await
        .map_err(|_| session_not_found())?;
    Ok(uncached(&mut HttpResponse::Accepted()).json(json!({ "accepted": accepted })))
}
