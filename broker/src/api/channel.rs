//! `GET /channels/{channel}`: what the broker holds of one channel, in numbers.

use actix_web::HttpResponse;
use serde::Serialize;

use super::answer;
use crate::config::Right;
use crate::engine::ChannelInfo;
use crate::http::{Caller, ChannelPath, Problem};
use crate::session;

#[derive(Serialize)]
struct ChannelAnswer<'a> {
    channel: &'a str,
    subscribers: u64,
    members: u64,
    history: HistoryFigures,
    cursor: Option<String>,
}

#[derive(Serialize)]
struct HistoryFigures {
    messages: u64,
    bytes: u64,
}

impl<'a> ChannelAnswer<'a> {
    /// A channel that nobody uses is there all the same, and empty.
    fn new(channel: &'a str, subscribers: u64, info: Option<ChannelInfo>) -> Self {
        Self {
            channel,
            subscribers,
            members: info.map_or(0, |info| info.members),
            history: HistoryFigures {
                messages: info.map_or(0, |info| info.history_messages),
                bytes: info.map_or(0, |info| info.history_bytes),
            },
            cursor: info.map(|info| info.position.to_string()),
        }
    }
}

pub(super) async fn channel(caller: Caller, channel: ChannelPath) -> Result<HttpResponse, Problem> {
    let channel = channel.0;
    let right = Right::Subscribe;
    let info = session::channel_info(&caller.services, caller.principal(), &channel, right).await?;
    let subscribers = caller.services.routes.subscribers(&channel);
    answer::json(&ChannelAnswer::new(channel.as_str(), subscribers, info))
}

#[cfg(test)]
mod tests {
    use crate::api::testing::TestBroker;

    #[actix_web::test]
    async fn a_channel_is_told_in_numbers() {
        let broker = TestBroker::new();
        insta::assert_snapshot!(broker.get("/channels/news").await, @r#"200 {"channel":"news","subscribers":0,"members":0,"history":{"messages":0,"bytes":0},"cursor":null}"#);
        broker
            .post("/channels/news/messages", "text/plain", "x")
            .await;
        let answer = broker.get("/channels/news").await;
        assert!(
            answer.contains("\"history\":{\"messages\":1,\"bytes\":"),
            "{answer}"
        );
        assert!(answer.ends_with("\"cursor\":\"EPOCH-1\"}"), "{answer}");
    }
}
