//! Who is in a channel, and which channels there are.

use widecast_protocol::{Member, Payload};

use super::{PRESENCE_GRACE, Stage, listen, name, position, publish};
use crate::engine::{
    ChannelQuery, ConnectionId, HistoryLimits, MemberQuery, PresenceChange, PresenceEntry,
};

fn member(id: &str, data: &str) -> Member {
    Member {
        id: id.to_owned(),
        data: Payload::text(data),
    }
}

async fn enter(stage: &dyn Stage, connection: u64, member: Member) {
    let entry = PresenceEntry {
        connection: ConnectionId(connection),
        member,
    };
    stage.engine().enter(&name("news"), entry).await.unwrap();
}

async fn exit(stage: &dyn Stage, connection: u64) {
    let connection = ConnectionId(connection);
    let exited = stage.engine().exit(&name("news"), connection).await;
    exited.unwrap();
}

pub(in crate::engine) const EVERYBODY: MemberQuery = MemberQuery {
    after: None,
    limit: usize::MAX,
    bytes: usize::MAX,
    watcher: None,
};

pub(in crate::engine) async fn members_join_once_and_leave_after_the_grace_time(stage: &dyn Stage) {
    use PresenceChange::{Joined, Left};
    listen(stage, "news").await;
    let (ann, bob) = (member("ann", ""), member("bob", ""));
    enter(stage, 1, bob.clone()).await;
    enter(stage, 2, ann.clone()).await;
    enter(stage, 3, ann.clone()).await;
    let list = stage
        .engine()
        .members(&name("news"), &EVERYBODY)
        .await
        .unwrap();
    // Who has the list knows the changes so far.
    assert_eq!(stage.heard().newest_change(), Some(list.changes));
    let joins = [Joined(bob.clone()), Joined(ann.clone())];
    assert_eq!(stage.heard().take_changes(), joins);
    assert_eq!(list.list.members, [ann.clone(), bob.clone()]);
    exit(stage, 2).await;
    stage.pass(2 * PRESENCE_GRACE).await;
    assert_eq!(stage.heard().take_changes(), []);
    exit(stage, 3).await;
    stage.pass(PRESENCE_GRACE / 2).await;
    enter(stage, 4, ann.clone()).await;
    stage.pass(2 * PRESENCE_GRACE).await;
    assert_eq!(stage.heard().take_changes(), []);
    exit(stage, 4).await;
    exit(stage, 1).await;
    stage.pass(2 * PRESENCE_GRACE).await;
    let list = stage
        .engine()
        .members(&name("news"), &EVERYBODY)
        .await
        .unwrap();
    assert_eq!(list.list.members, []);
    assert_eq!(stage.heard().newest_change(), Some(list.changes));
    assert_eq!(stage.heard().take_changes(), [Left(ann), Left(bob)]);
}

pub(in crate::engine) async fn changed_data_is_told(stage: &dyn Stage) {
    use PresenceChange::{Changed, Joined};
    listen(stage, "news").await;
    enter(stage, 1, member("ann", "idle")).await;
    enter(stage, 1, member("ann", "typing")).await;
    let told = stage.heard().take_changes();
    let expected = [
        Joined(member("ann", "idle")),
        Changed(member("ann", "typing")),
    ];
    assert_eq!(told, expected);
}

pub(in crate::engine) async fn channels_in_use_are_listed_in_pages(stage: &dyn Stage) {
    let engine = stage.engine();
    publish(stage, "room:2", &["a"]).await;
    engine.interested(&name("room:1")).await.unwrap();
    engine.interested(&name("other")).await.unwrap();
    position(stage, "room:unused").await;
    let entry = PresenceEntry {
        connection: ConnectionId(1),
        member: member("ann", ""),
    };
    engine.enter(&name("room:3"), entry).await.unwrap();
    let query = |after: Option<&str>| ChannelQuery {
        prefix: "room:".to_owned(),
        after: after.map(name),
        limit: 2,
    };
    let first = engine.channels(query(None)).await.unwrap();
    assert_eq!(first, [name("room:1"), name("room:2")]);
    let second = engine.channels(query(Some("room:2"))).await.unwrap();
    assert_eq!(second, [name("room:3")]);
    engine.uninterested(&name("room:1"));
    let first = engine.channels(query(None)).await.unwrap();
    assert_eq!(first, [name("room:2"), name("room:3")]);
}

pub(in crate::engine) async fn what_is_held_of_a_channel_can_be_asked(stage: &dyn Stage) {
    let (engine, news) = (stage.engine(), name("news"));
    assert_eq!(engine.channel_info(&news).await.unwrap(), None);
    publish(stage, "news", &["a", "b"]).await;
    enter(stage, 1, member("ann", "")).await;
    let info = engine.channel_info(&news).await.unwrap().unwrap();
    assert_eq!(info.position, position(stage, "news").await);
    assert_eq!((info.history_messages, info.members), (2, 1));
    assert!(info.history_bytes > 2);
    stage.pass(HistoryLimits::default().age).await;
    let info = engine.channel_info(&news).await.unwrap().unwrap();
    assert_eq!((info.history_messages, info.history_bytes), (0, 0));
    engine.health().await.unwrap();
}
