//! `POST /v1/disconnect` and `POST /v1/unsubscribe`: puts clients out. For the operator only.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use widecast_protocol::{ChannelName, Code, SessionId};

use super::answer;
use super::json_body::json_body;
use super::operator::Operator;
use crate::http::{Caller, Problem};
use crate::session::{self, Action, Order, Selection};

/// The reason that clients are told if the operator gives none.
const REASON: &str = "an operator has put the client out";

/// The longest reason, in bytes: it has to fit into a close frame
/// ([RFC 6455, section 5.5](https://www.rfc-editor.org/rfc/rfc6455#section-5.5)).
const REASON_BYTES: usize = 123;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct KickRequest {
    user: Option<String>,
    session: Option<String>,
    channel: Option<String>,
    reason: Option<String>,
}

impl KickRequest {
    fn selection(&self) -> Result<Selection, Problem> {
        let session = self.session.as_deref().map(SessionId::parse).transpose();
        let session = session.map_err(|_| {
            let detail = "session is not the name of one, as its welcome has it";
            Problem::new(Code::InvalidRequest, detail)
        })?;
        let channel = self.channel.as_deref().map(ChannelName::parse).transpose();
        Ok(Selection {
            user: self.user.as_deref().map(Into::into),
            session,
            channel: channel
                .map_err(|error| Problem::new(Code::BadChannelName, error.to_string()))?,
            token: None,
        })
    }

    fn reason(&self) -> Result<String, Problem> {
        let reason = self.reason.as_deref().unwrap_or(REASON);
        if reason.len() > REASON_BYTES {
            let actual = reason.len();
            let detail = format!("reason has {actual} bytes, {REASON_BYTES} are possible");
            return Err(Problem::new(Code::InvalidRequest, detail));
        }
        Ok(reason.to_owned())
    }

    fn disconnect(self) -> Result<Order, Problem> {
        let selection = self.selection()?;
        if selection.user.is_none() && selection.session.is_none() && selection.channel.is_none() {
            let detail =
                "name who is to be disconnected: a user, a session, or all who are in a channel";
            return Err(Problem::new(Code::InvalidRequest, detail));
        }
        let reason = self.reason()?;
        Ok(Order::now(selection, Action::Disconnect { reason }))
    }

    fn unsubscribe(self) -> Result<Order, Problem> {
        let selection = self.selection()?;
        let has_somebody = selection.user.is_some() || selection.session.is_some();
        let channel = selection.channel.clone().filter(|_| has_somebody);
        let channel = channel.ok_or_else(|| {
            // A user that was forgotten would mean everybody.
            let detail = "name the channel, and the user or session that is to leave it; /v1/disconnect puts all out who are in a channel";
            Problem::new(Code::InvalidRequest, detail)
        })?;
        let reason = self.reason()?;
        let action = Action::Unsubscribe { channel, reason };
        Ok(Order::now(selection, action))
    }
}

#[derive(Serialize)]
struct KickAnswer {
    /// How many sessions of this node it concerned.
    sessions: usize,
    /// How many other nodes were told.
    other_nodes: usize,
}

/// `POST /v1/disconnect`
pub(super) async fn disconnect(
    request: HttpRequest,
    _: Operator,
    caller: Caller,
    body: web::Payload,
) -> Result<HttpResponse, Problem> {
    let wanted = json_body(&request, body, &caller.services.config).await;
    let order = wanted.and_then(KickRequest::disconnect);
    carry_out(&caller, "disconnect", order).await
}

/// `POST /v1/unsubscribe`
pub(super) async fn unsubscribe(
    request: HttpRequest,
    _: Operator,
    caller: Caller,
    body: web::Payload,
) -> Result<HttpResponse, Problem> {
    let wanted = json_body(&request, body, &caller.services.config).await;
    let order = wanted.and_then(KickRequest::unsubscribe);
    carry_out(&caller, "unsubscribe", order).await
}

async fn carry_out(
    caller: &Caller,
    action: &'static str,
    order: Result<Order, Problem>,
) -> Result<HttpResponse, Problem> {
    let order = order.inspect_err(|problem| caller.audit(action, None, Err(problem.code())))?;
    let selection = order.selection.clone();
    let outcome = session::carry_out_everywhere(&caller.services, order).await;
    let told = outcome.as_ref().map(|_| ()).map_err(|refusal| refusal.code);
    caller.audit(action, Some(&selection), told);
    let outcome = outcome?;
    answer::json(&KickAnswer {
        sessions: outcome.here.done,
        other_nodes: outcome.other_nodes,
    })
}
