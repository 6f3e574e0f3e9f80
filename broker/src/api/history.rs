//! `GET /channels/{channel}/messages`: past messages, page by page.

use actix_web::HttpResponse;
use serde::Deserialize;
use widecast_protocol::framing::body::Page;
use widecast_protocol::framing::pieces::Pieces;

use super::answer;
use crate::engine::{HistoryOrder, HistoryPage, HistoryQuery};
use crate::http::{Caller, ChannelPath, PiecesBody, Problem, Query, query};
use crate::offload::offload;
use crate::session;

#[derive(Debug, Deserialize)]
pub(super) struct HistoryParameters {
    since: Option<String>,
    limit: Option<String>,
    reverse: Option<String>,
}

pub(super) async fn history(
    caller: Caller,
    channel: ChannelPath,
    parameters: Query<HistoryParameters>,
) -> Result<HttpResponse, Problem> {
    let channel = channel.0;
    let HistoryParameters {
        since,
        limit,
        reverse,
    } = parameters.0;
    let limit = query::value("limit", limit.as_deref(), query::COUNT)?;
    let reverse = query::value("reverse", reverse.as_deref(), query::SWITCH)?;
    let query = HistoryQuery {
        since: query::position(since.as_deref(), &channel)?,
        limit: limit.unwrap_or(usize::MAX),
        order: match reverse {
            Some(true) => HistoryOrder::NewestFirst,
            Some(false) | None => HistoryOrder::OldestFirst,
        },
    };
    let page = session::history(&caller.services, caller.reader(), &channel, query).await?;
    let bytes = page.messages.iter().map(|message| message.weight_bytes());
    let pieces = offload(bytes.sum(), move || write(&page)).await;
    Ok(answer::body("application/json", PiecesBody(pieces)))
}

/// The messages are the lines that streams show, made once for all of them.
fn write(page: &HistoryPage) -> Pieces {
    let messages = page.messages.iter();
    let lines: Vec<_> = messages.map(|message| message.bytes(Page::WIRE)).collect();
    let page = Page {
        messages: &lines,
        cursor: &page.position,
        recovered: page.recovered,
    };
    page.encode()
}

#[cfg(test)]
mod tests {
    use crate::api::testing::TestBroker;
    use crate::config::Switch;

    const PATH: &str = "/channels/news/messages";

    async fn broker_with(messages: usize) -> TestBroker {
        let broker = TestBroker::new();
        for number in 1..=messages {
            let answer = broker
                .post(PATH, "application/json", number.to_string())
                .await;
            assert!(answer.starts_with("200 "), "{answer}");
        }
        broker
    }

    fn data(page: &str) -> Vec<u64> {
        let page: serde_json::Value =
            serde_json::from_str(page.split_once(' ').unwrap().1).unwrap();
        let messages = page["messages"].as_array().unwrap();
        messages
            .iter()
            .map(|message| message["data"].as_u64().unwrap())
            .collect()
    }

    #[actix_web::test]
    async fn a_page_has_messages_as_streams_show_them_and_a_cursor() {
        let broker = broker_with(2).await;
        insta::assert_snapshot!(broker.get(PATH).await, @r#"200 {"messages":[{"cursor":"EPOCH-1","channel":"news","offset":1,"origin":"","timestamp":1700000000000,"data":1},{"cursor":"EPOCH-2","channel":"news","offset":2,"origin":"","timestamp":1700000000000,"data":2}],"cursor":"EPOCH-2","recovered":true}"#);
        insta::assert_snapshot!(broker.get("/channels/empty/messages").await, @r#"200 {"messages":[],"cursor":"EPOCH-0","recovered":true}"#);
    }

    #[actix_web::test]
    async fn pages_follow_each_other_in_both_directions() {
        let broker = broker_with(5).await;
        let channel = widecast_protocol::ChannelName::parse("news").unwrap();
        let limits = broker.services.history_limits(&channel);
        let end = broker
            .services
            .engine
            .position(&channel, limits)
            .await
            .unwrap();
        let epoch = end.epoch;
        assert_eq!(
            data(&broker.get(&format!("{PATH}?since={epoch}-0&limit=3")).await),
            [1, 2, 3]
        );
        assert_eq!(
            data(&broker.get(&format!("{PATH}?since={epoch}-3&limit=3")).await),
            [4, 5]
        );
        assert_eq!(
            data(&broker.get(&format!("{PATH}?reverse=true&limit=2")).await),
            [5, 4]
        );
        assert_eq!(
            data(
                &broker
                    .get(&format!("{PATH}?reverse=true&limit=2&since={epoch}-4"))
                    .await
            ),
            [3, 2]
        );
        assert_eq!(data(&broker.get(&format!("{PATH}?limit=0")).await), [0; 0]);
    }

    #[actix_web::test]
    async fn a_text_that_is_no_cursor_is_refused() {
        let broker = broker_with(1).await;
        insta::assert_snapshot!(broker.get(&format!("{PATH}?since=yesterday")).await, @r#"400 {"type":"about:blank","title":"The cursor is not one that the broker made.","status":400,"detail":"expected a cursor as the broker gave it: <epoch>-<offset>, or <channel>=<epoch>-<offset>,…","code":"bad_cursor","retryable":false}"#);
        insta::assert_snapshot!(broker.get(&format!("{PATH}?since=other=a-1")).await, @r#"400 {"type":"about:blank","title":"The cursor is not one that the broker made.","status":400,"detail":"the cursor says nothing about news","code":"bad_cursor","retryable":false}"#);
        insta::assert_snapshot!(broker.get(&format!("{PATH}?limit=many&reverse=true")).await, @r#"400 {"type":"about:blank","title":"The request is not as the broker expects it.","status":400,"detail":"?limit= has to be a whole number","code":"invalid_request","retryable":false}"#);
    }

    #[actix_web::test]
    async fn a_switch_is_true_or_false() {
        insta::assert_snapshot!(TestBroker::new().get(&format!("{PATH}?reverse=1")).await, @r#"400 {"type":"about:blank","title":"The request is not as the broker expects it.","status":400,"detail":"?reverse= has to be true or false","code":"invalid_request","retryable":false}"#);
    }

    #[actix_web::test]
    async fn a_cursor_of_another_epoch_is_told() {
        let broker = broker_with(1).await;
        insta::assert_snapshot!(broker.get(&format!("{PATH}?since=0-1")).await, @r#"200 {"messages":[{"cursor":"EPOCH-1","channel":"news","offset":1,"origin":"","timestamp":1700000000000,"data":1}],"cursor":"EPOCH-1","recovered":false}"#);
    }

    #[actix_web::test]
    async fn a_namespace_may_keep_its_history_to_itself() {
        let broker = TestBroker::with(|config| config.namespaces.default.history = Switch::Off);
        insta::assert_snapshot!(broker.get(PATH).await, @r#"403 {"type":"about:blank","title":"The credentials do not allow this, or the namespace does not.","status":403,"detail":"the namespace of news does not allow history","code":"forbidden","retryable":false}"#);
    }
}
