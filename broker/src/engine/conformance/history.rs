//! The history is read in pages.

use widecast_protocol::Position;

use super::{Stage, at, name, position, publish, texts};
use crate::engine::{HistoryOrder, HistoryQuery};

async fn assert_page(
    stage: &dyn Stage,
    query: HistoryQuery,
    expected: &[&str],
    continues: Position,
) {
    let page = stage.engine().history(&name("news"), query).await.unwrap();
    assert_eq!(texts(&page.messages), expected, "{query:?}");
    assert_eq!(page.position, continues, "{query:?}");
    assert!(page.recovered, "{query:?}");
}

pub(in crate::engine) async fn history_is_read_in_pages_in_both_directions(stage: &dyn Stage) {
    publish(stage, "news", &["a", "b", "c", "d", "e"]).await;
    let newest = position(stage, "news").await;
    let page = |since: Option<u64>, order| HistoryQuery {
        since: since.map(|offset| at(newest, offset)),
        limit: 2,
        order,
    };
    let forward = |since| page(since, HistoryOrder::OldestFirst);
    assert_page(stage, forward(None), &["d", "e"], at(newest, 5)).await;
    assert_page(stage, forward(Some(0)), &["a", "b"], at(newest, 2)).await;
    assert_page(stage, forward(Some(2)), &["c", "d"], at(newest, 4)).await;
    assert_page(stage, forward(Some(4)), &["e"], newest).await;
    assert_page(stage, forward(Some(5)), &[], newest).await;
    let backward = |since| page(since, HistoryOrder::NewestFirst);
    assert_page(stage, backward(None), &["e", "d"], at(newest, 4)).await;
    assert_page(stage, backward(Some(4)), &["c", "b"], at(newest, 2)).await;
    assert_page(stage, backward(Some(2)), &["a"], at(newest, 1)).await;
    assert_page(stage, backward(Some(1)), &[], at(newest, 1)).await;
}

pub(in crate::engine) async fn a_page_with_a_gap_starts_with_what_is_held(stage: &dyn Stage) {
    publish(stage, "news", &["a", "b", "c"]).await;
    let newest = position(stage, "news").await;
    let mut other = newest;
    other.epoch.0 ^= 1;
    for (order, expected, continues) in [
        (HistoryOrder::OldestFirst, ["a", "b"], at(newest, 2)),
        (HistoryOrder::NewestFirst, ["c", "b"], at(newest, 2)),
    ] {
        for since in [other, at(newest, 4)] {
            let query = HistoryQuery {
                since: Some(since),
                limit: 2,
                order,
            };
            let page = stage.engine().history(&name("news"), query).await.unwrap();
            assert_eq!(texts(&page.messages), expected);
            assert_eq!((page.position, page.recovered), (continues, false));
        }
    }
}
