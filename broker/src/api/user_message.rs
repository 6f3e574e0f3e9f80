//! `POST /v1/users/{user}/messages`: sends the body to every session of a user. For the operator only.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use widecast_protocol::Code;

use super::answer;
use super::content;
use super::operator::Operator;
use crate::http::{Caller, Problem, Query, path_segment, query};
use crate::session::{self, MessageToUser};

/// Where the user is in `/v1/users/{user}/messages`, split at `/`.
const SEGMENT: usize = 3;

#[derive(Debug, Deserialize)]
pub(super) struct UserMessageParameters {
    event: Option<String>,
    message_id: Option<String>,
}

#[derive(Serialize)]
struct UserMessageAnswer<'a> {
    user: &'a str,
    /// How many sessions of this node are sent it.
    sessions: usize,
    /// How many more the user has here, which have no frames.
    without_frames: usize,
    /// How many other nodes were told.
    other_nodes: usize,
}

pub(super) async fn send(
    request: HttpRequest,
    _: Operator,
    caller: Caller,
    parameters: Query<UserMessageParameters>,
    body: web::Payload,
) -> Result<HttpResponse, Problem> {
    let services = &caller.services;
    let user = path_segment(request.uri().path(), SEGMENT, "user", Code::InvalidRequest)?;
    let read = async {
        if user.is_empty() {
            let detail = "the user in the path is empty";
            return Err(Problem::new(Code::InvalidRequest, detail));
        }
        Ok(MessageToUser {
            user: user.as_ref().into(),
            event: query::event(parameters.0.event.as_deref())?,
            id: query::message_id(parameters.0.message_id.as_deref())?,
            payload: content::read(&request, body, &services.config).await?,
        })
    };
    let message = read.await.inspect_err(|problem: &Problem| {
        caller.audit("send_to_user", Some(&user), Err(problem.code()));
    })?;
    let sent = session::send_to_user(services, &caller.publisher, message).await;
    let told = sent.as_ref().map(|_| ()).map_err(|refusal| refusal.code);
    caller.audit("send_to_user", Some(&user), told);
    let outcome = sent?;
    answer::json(&UserMessageAnswer {
        user: &user,
        sessions: outcome.here.done,
        without_frames: outcome.here.impossible,
        other_nodes: outcome.other_nodes,
    })
}
