//! `GET /channels`: the names of the channels in use. For the operator only.

use actix_web::HttpResponse;
use serde::{Deserialize, Serialize};
use widecast_protocol::{ChannelName, Code};

use super::answer;
use super::operator::Operator;
use crate::engine::ChannelQuery;
use crate::http::{Caller, Problem, Query, query};
use crate::session;

/// How many names one answer has at the most, and without `?limit=`.
const LIMIT: usize = 1000;

#[derive(Debug, Deserialize)]
pub(super) struct ChannelsParameters {
    prefix: Option<String>,
    after: Option<String>,
    limit: Option<String>,
}

#[derive(Serialize)]
struct ChannelsAnswer<'a> {
    channels: Vec<&'a str>,
    /// `after` for the next page, if there may be one.
    next: Option<&'a str>,
}

pub(super) async fn channels(
    _: Operator,
    caller: Caller,
    parameters: Query<ChannelsParameters>,
) -> Result<HttpResponse, Problem> {
    let ChannelsParameters {
        prefix,
        after,
        limit,
    } = parameters.0;
    let after = after
        .map(|name| ChannelName::parse(&name))
        .transpose()
        .map_err(|error| Problem::new(Code::BadChannelName, error.to_string()))?;
    let limit: Option<usize> = query::value("limit", limit.as_deref(), query::COUNT)?;
    let limit = limit.unwrap_or(LIMIT).clamp(1, LIMIT);
    let wanted = ChannelQuery {
        prefix: prefix.unwrap_or_default(),
        after,
        limit,
    };
    let names = session::channels(&caller.services, wanted).await?;
    let full = names.len() == limit;
    answer::json(&ChannelsAnswer {
        channels: names.iter().map(ChannelName::as_str).collect(),
        next: names.last().filter(|_| full).map(ChannelName::as_str),
    })
}

#[cfg(test)]
mod tests {
    use crate::api::testing::{TestBroker, shown};
    use actix_web::test::TestRequest;

    fn list(query: &str) -> TestRequest {
        TestRequest::get()
            .uri(&format!("/channels{query}"))
            .peer_addr("127.0.0.1:50000".parse().unwrap())
            .insert_header(("host", "localhost:8080"))
    }

    #[actix_web::test]
    async fn the_names_come_in_pages() {
        let broker = TestBroker::new();
        for name in ["b:1", "a", "b:2", "b:3"] {
            broker
                .post(&format!("/channels/{name}/messages"), "text/plain", "x")
                .await;
        }
        insta::assert_snapshot!(shown(broker.call(list("")).await).await, @r#"200 {"channels":["a","b:1","b:2","b:3"],"next":null}"#);
        insta::assert_snapshot!(shown(broker.call(list("?prefix=b:&limit=2")).await).await, @r#"200 {"channels":["b:1","b:2"],"next":"b:2"}"#);
        insta::assert_snapshot!(shown(broker.call(list("?prefix=b:&limit=2&after=b:2")).await).await, @r#"200 {"channels":["b:3"],"next":null}"#);
    }

    #[actix_web::test]
    async fn only_the_operator_may_ask() {
        let broker = TestBroker::new();
        let distant = list("").peer_addr("192.0.2.1:50000".parse().unwrap());
        insta::assert_snapshot!(shown(broker.call(distant).await).await, @r#"403 {"type":"about:blank","title":"The credentials do not allow this, or the namespace does not.","status":403,"detail":"only clients on the broker's own machine, without a proxy, may ask this","code":"forbidden","retryable":false}"#);
        for foreign in [
            list("").insert_header(("x-forwarded-for", "192.0.2.1")),
            list("").insert_header(("forwarded", "for=192.0.2.1")),
            list("").insert_header(("host", "evil.example:8080")),
        ] {
            assert_eq!(broker.call(foreign).await.status(), 403);
        }
    }
}
