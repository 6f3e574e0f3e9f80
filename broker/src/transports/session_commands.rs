//! `/v1/sessions/{session}/commands`: commands for sessions that cannot send over their own connection.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;
use widecast_protocol::framing::jsonp::Callback;
use widecast_protocol::{Code, SessionId};

use crate::http::Problem;
use crate::session::{Commands, Services, SessionHandle};

use super::common::inbound_commands::{SentCommands, body_commands, commands_of};
use super::common::streaming::uncached;
use super::jsonp;

/// Finds the session of this name, for a request with this callback.
///
/// # Errors
/// `session_not_found`; `forbidden` when a script asks for a session that was not opened by one, or anything else for one that was.
pub(super) fn session(
    services: &Services,
    name: &str,
    callback: Option<&Callback>,
) -> Result<SessionHandle, Problem> {
    let id = SessionId::parse(name).ok();
    let handle = id.and_then(|id| services.sessions.get(&id));
    let handle = handle.ok_or_else(session_not_found)?;
    if callback.is_none() && handle.dialect.is_script() {
        let detail = "the session was opened with callback=, and is for scripts alone";
        return Err(Problem::new(Code::Forbidden, detail));
    }
    if callback.is_some() && !handle.dialect.is_script() {
        let detail = "the session was opened without callback=, and is not for scripts";
        return Err(Problem::new(Code::Forbidden, detail));
    }
    Ok(handle)
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
    let handle = session(&services, &name, None)?;
    let commands = body_commands(&request, body, &services).await?;
    accept(&services, &handle, commands).await
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
        let handle = session(&services, &name, Some(&callback))?;
        let (codec, bytes) = jsonp::commands(&request)?;
        let commands = commands_of(codec, bytes, &services).await?;
        accept(&services, &handle, commands).await
    };
    jsonp::wrapped(&request, answer).await
}

async fn accept(
    services: &Services,
    handle: &SessionHandle,
    sent: SentCommands,
) -> Result<HttpResponse, Problem> {
    let accepted = sent.count;
    pass_on(services, handle, sent).await?;
    Ok(uncached(&mut HttpResponse::Accepted()).json(json!({ "accepted": accepted })))
}

/// Gives commands to their session, and waits until it has carried out those that came before.
///
/// # Errors
/// `share_exceeded` when too much waits for the session already; `session_not_found` when it is gone.
pub(super) async fn pass_on(
    services: &Services,
    handle: &SessionHandle,
    sent: SentCommands,
) -> Result<(), Problem> {
    let SentCommands { inbound, bytes, .. } = sent;
    let queued = services.quotas.queue(&handle.backlog, bytes)?;
    let commands = Commands { inbound, queued };
    let taken = handle.address.send(commands).await;
    taken.map_err(|_| session_not_found())
}
