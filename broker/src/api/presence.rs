//! `GET /channels/{channel}/presence`: who is here.

use actix_web::HttpResponse;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use widecast_protocol::{Code, Member};

use super::answer;
use crate::http::{Caller, ChannelPath, Problem, Query, query};
use crate::log_limit::LogLimit;
use crate::session;

#[derive(Serialize)]
struct PresenceAnswer<'a> {
    channel: &'a str,
    members: Vec<PresentMember>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Parameters {
    after: Option<String>,
    limit: Option<String>,
}

#[derive(Serialize)]
struct PresentMember {
    id: String,
    data: Box<RawValue>,
}

impl TryFrom<Member> for PresentMember {
    type Error = Problem;

    fn try_from(member: Member) -> Result<Self, Problem> {
        let data = serde_json::from_slice(&member.data.to_json()).map_err(|error| {
            static LINE: LogLimit = LogLimit::new();
            if let Some(times) = LINE.due() {
                tracing::error!(times, %error, "a member's data cannot be shown as JSON");
            }
            Problem::new(Code::Internal, "a member's data cannot be shown as JSON")
        })?;
        Ok(Self {
            id: member.id,
            data,
        })
    }
}

pub(super) async fn presence(
    caller: Caller,
    channel: ChannelPath,
    parameters: Query<Parameters>,
) -> Result<HttpResponse, Problem> {
    let channel = channel.0;
    let Parameters { after, limit } = parameters.0;
    let limit = query::value("limit", limit.as_deref(), query::COUNT)?;
    let services = &caller.services;
    let query = services.member_query(after, limit);
    let list = session::members(services, caller.reader(), &channel, &query).await?;
    let page = list.list;
    let members: Result<_, _> = page
        .members
        .into_iter()
        .map(PresentMember::try_from)
        .collect();
    answer::json(&PresenceAnswer {
        channel: channel.as_str(),
        members: members?,
        next: page.next,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::TestBroker;
    use crate::config::Switch;
    use crate::engine::{ConnectionId, PresenceEntry};
    use widecast_protocol::{ChannelName, Payload};

    const PATH: &str = "/channels/news/presence";

    #[actix_web::test]
    async fn the_answer_lists_the_members() {
        let broker = TestBroker::new();
        insta::assert_snapshot!(broker.get(PATH).await, @r#"200 {"channel":"news","members":[]}"#);
        let entry = PresenceEntry {
            connection: ConnectionId(1),
            member: Member {
                id: "m1".to_owned(),
                data: Payload::from_msgpack(&b"\x81\xa1a\xc4\x01\xff"[..]).unwrap(),
            },
        };
        let channel = ChannelName::parse("news").unwrap();
        broker.services.engine.enter(&channel, entry).await.unwrap();
        insta::assert_snapshot!(broker.get(PATH).await, @r#"200 {"channel":"news","members":[{"id":"m1","data":{"a":{"$type":"binary","value":"/w=="}}}]}"#);
    }

    #[actix_web::test]
    async fn a_namespace_may_keep_its_members_to_itself() {
        let broker = TestBroker::with(|config| config.namespaces.default.presence = Switch::Off);
        insta::assert_snapshot!(broker.get(PATH).await, @r#"403 {"type":"about:blank","title":"The credentials do not allow this, or the namespace does not.","status":403,"detail":"the namespace of news does not allow presence","code":"forbidden","retryable":false}"#);
    }
}
