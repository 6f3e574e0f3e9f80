//! `/v1/revocations`: tokens that count no longer although their end has not come. For the operator only.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use widecast_protocol::Code;

use super::answer;
use super::json_body::json_body;
use super::operator::Operator;
use crate::auth::{Revocation, RevokedTokens};
use crate::http::{Caller, Problem, Query, path_segment, query};
use crate::session;

/// How many revocations one answer has at the most, and without `?limit=`.
const LIMIT: usize = 1000;

/// Where the id is in `/v1/revocations/{id}`, split at `/`.
const SEGMENT: usize = 3;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RevocationRequest {
    user: Option<String>,
    jti: Option<String>,
    /// In seconds since 1970-01-01 UTC.
    expires_at: Option<u64>,
}

impl RevocationRequest {
    fn tokens(&self) -> Result<RevokedTokens, Problem> {
        let id = match (&self.user, &self.jti) {
            (Some(user), None) => format!("user:{user}"),
            (None, Some(name)) => format!("jti:{name}"),
            _ => {
                let detail = "name either the user whose tokens are revoked, or the token (jti)";
                return Err(Problem::new(Code::InvalidRequest, detail));
            }
        };
        RevokedTokens::parse(&id).ok_or_else(|| {
            let detail = "the user, or the name of the token, has to have 1 to 255 bytes";
            Problem::new(Code::InvalidRequest, detail)
        })
    }

    fn revocation(&self, end_of_all: Option<SystemTime>) -> Result<Revocation, Problem> {
        Ok(Revocation {
            tokens: self.tokens()?,
            revoked_at: SystemTime::now(),
            expires_at: self.expires_at(end_of_all)?,
        })
    }

    fn expires_at(&self, end_of_all: Option<SystemTime>) -> Result<SystemTime, Problem> {
        let Some(seconds) = self.expires_at else {
            return end_of_all.ok_or_else(|| {
                let detail = "say in expires_at, in seconds since 1970, when the tokens have all ended; without it auth.jwt.max_lifetime_ms \
                              has to be set, which bounds how long tokens live";
                Problem::new(Code::InvalidRequest, detail)
            });
        };
        let time = UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
        time.filter(|time| *time > SystemTime::now())
            .ok_or_else(|| {
                let detail = format!(
                    "expires_at is {seconds}, expected a time to come, in seconds since 1970"
                );
                Problem::new(Code::InvalidRequest, detail)
            })
    }
}

#[derive(Serialize)]
struct ShownRevocation {
    id: String,
    #[serde(flatten)]
    tokens: ShownTokens,
    revoked_at: u64,
    expires_at: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum ShownTokens {
    User(String),
    Jti(String),
}

impl From<Revocation> for ShownRevocation {
    fn from(revocation: Revocation) -> Self {
        Self {
            id: revocation.tokens.to_string(),
            tokens: match &revocation.tokens {
                RevokedTokens::OfUser(user) => ShownTokens::User(user.to_string()),
                RevokedTokens::Named(name) => ShownTokens::Jti(name.to_string()),
            },
            revoked_at: seconds(revocation.revoked_at),
            expires_at: seconds(revocation.expires_at),
        }
    }
}

fn seconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

#[derive(Serialize)]
struct RevocationAnswer {
    #[serde(flatten)]
    revocation: ShownRevocation,
    /// For how many sessions of this node one of the tokens counted.
    sessions: usize,
    /// How many other nodes were told.
    other_nodes: usize,
}

/// `POST /v1/revocations`
pub(super) async fn revoke(
    request: HttpRequest,
    _: Operator,
    caller: Caller,
    body: web::Payload,
) -> Result<HttpResponse, Problem> {
    let services = &caller.services;
    let wanted = json_body(&request, body, &services.config).await;
    let end_of_all = services.auth.end_of_all_tokens();
    let revocation = wanted.and_then(|wanted: RevocationRequest| wanted.revocation(end_of_all));
    let revocation =
        revocation.inspect_err(|problem| caller.audit("revoke", None, Err(problem.code())))?;
    let tokens = revocation.tokens.clone();
    let revoked = session::revoke(services, revocation).await;
    let told = revoked.as_ref().map(|_| ()).map_err(|refusal| refusal.code);
    caller.audit("revoke", Some(&tokens), told);
    let (revocation, outcome) = revoked?;
    answer::json(&RevocationAnswer {
        revocation: revocation.into(),
        sessions: outcome.here.done,
        other_nodes: outcome.other_nodes,
    })
}

#[derive(Debug, Deserialize)]
pub(super) struct RevocationsParameters {
    after: Option<String>,
    limit: Option<String>,
}

#[derive(Serialize)]
struct RevocationsAnswer {
    revocations: Vec<ShownRevocation>,
    /// `after` for the next page, if there may be one.
    next: Option<String>,
}

/// `GET /v1/revocations`
pub(super) async fn list(
    _: Operator,
    caller: Caller,
    parameters: Query<RevocationsParameters>,
) -> Result<HttpResponse, Problem> {
    let RevocationsParameters { after, limit } = parameters.0;
    let after = after.as_deref().map(parse).transpose()?;
    let limit: Option<usize> = query::value("limit", limit.as_deref(), query::COUNT)?;
    let limit = limit.unwrap_or(LIMIT).clamp(1, LIMIT);
    let page = caller
        .services
        .auth
        .revocations()
        .page(after.as_ref(), limit);
    let is_full = page.len() == limit;
    let revocations: Vec<_> = page.into_iter().map(ShownRevocation::from).collect();
    let last = revocations.last().filter(|_| is_full);
    answer::json(&RevocationsAnswer {
        next: last.map(|last| last.id.clone()),
        revocations,
    })
}

/// `DELETE /v1/revocations/{id}`
pub(super) async fn take_back(
    request: HttpRequest,
    _: Operator,
    caller: Caller,
) -> Result<HttpResponse, Problem> {
    let path = request.uri().path();
    let id = path_segment(path, SEGMENT, "id of a revocation", Code::InvalidRequest)?;
    let services = &caller.services;
    let taken_back = session::take_revocation_back(services, &parse(&id)?).await;
    let told = match &taken_back {
        Ok(true) => Ok(()),
        Ok(false) => Err(Code::NotFound),
        Err(refusal) => Err(refusal.code),
    };
    caller.audit("take_revocation_back", Some(&id), told);
    if !taken_back? {
        let detail = format!("there is no revocation {id}, or no longer");
        return Err(Problem::new(Code::NotFound, detail));
    }
    Ok(answer::nothing())
}

fn parse(id: &str) -> Result<RevokedTokens, Problem> {
    RevokedTokens::parse(id).ok_or_else(|| {
        let detail = "the id of a revocation is user:… or jti:…, as the list has it";
        Problem::new(Code::InvalidRequest, detail)
    })
}
