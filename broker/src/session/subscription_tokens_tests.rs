//! What becomes of a session whose subscription tokens end while the engine takes its time, and other tokens are shown meanwhile.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::time::Duration;

use tokio::time::timeout;
use widecast_protocol::Payload;

use super::*;
use crate::auth::{Grant, Words};
use crate::engine::MemberStore;
use crate::session::JoinRequest;
use crate::session::trial::Trial;

/// How long something takes at the most that happens at once.
const PATIENCE: Duration = Duration::from_mins(1);

fn name(text: &str) -> ChannelName {
    ChannelName::parse(text).unwrap()
}

/// What a token proves that gives all rights, and has ended or has not.
fn proof(has_ended: bool, info: Option<&str>) -> Arc<Proof> {
    let everything = BTreeMap::from([("*".to_owned(), Words::One("*".to_owned()))]);
    let hour = Duration::from_hours(1);
    let now = SystemTime::now();
    Arc::new(Proof {
        user: None,
        name: None,
        info: info.map(Payload::text),
        issued_at: None,
        expires_at: if has_ended { now - hour } else { now + hour },
        grant: Grant::read(&everything, None).unwrap(),
    })
}

/// Lists the session in a channel for which it shows a token.
async fn list(session: &Rc<Session>, channel: &str, info: Option<&str>) {
    session.show_subscription_token(&name(channel), proof(false, info));
    let request = JoinRequest {
        channel: name(channel),
        since: None,
        history: None,
        presence: Some(Payload::text("said")),
    };
    let outcome = session.join(request).await;
    session.let_flow(outcome.ok().unwrap()).await;
}

/// Waits until the session has been told of something as often as this.
async fn is_told(session: &Session, what: &str, times: usize) -> String {
    let mut told = String::new();
    let hearing = async {
        while told.matches(what).count() < times {
            let frames = poll_fn(|context| session.outbox().poll_take(context)).await;
            told += &String::from_utf8_lossy(&frames.concat());
        }
    };
    let heard = timeout(PATIENCE, hearing).await;
    assert!(heard.is_ok(), "{told}");
    told
}

#[actix_web::test]
async fn the_end_of_every_token_is_told_whatever_is_shown_meanwhile() {
    let trial = Trial::new();
    let session = trial.session_of(Subject::Anonymous);
    for channel in ["a", "b"] {
        list(&session, channel, None).await;
    }
    trial.engine.hold_up("exit");
    for channel in ["a", "b"] {
        session.show_subscription_token(&name(channel), proof(true, None));
    }
    timeout(PATIENCE, trial.engine.reached.notified())
        .await
        .unwrap();
    session.show_subscription_token(&name("c"), proof(false, None));
    tokio::task::yield_now().await;
    trial.engine.let_go();
    is_told(&session, r#""type":"unsubscribed""#, 2).await;
    assert!(session.joined_channels().is_empty());
}

#[actix_web::test]
async fn who_joins_again_hears_of_the_end_before() {
    let trial = Trial::new();
    let session = trial.session_of(Subject::Anonymous);
    list(&session, "a", None).await;
    trial.engine.hold_up("exit");
    session.show_subscription_token(&name("a"), proof(true, None));
    timeout(PATIENCE, trial.engine.reached.notified())
        .await
        .unwrap();
    is_told(&session, r#""type":"unsubscribed""#, 1).await;
    trial.engine.let_go();
}

#[actix_web::test]
async fn what_a_token_said_is_taken_back_whatever_is_shown_meanwhile() {
    let trial = Trial::new();
    let session = trial.session();
    list(&session, "a", Some("Ann")).await;
    trial.engine.hold_up("enter");
    session.show_subscription_token(&name("a"), proof(true, Some("Ann")));
    timeout(PATIENCE, trial.engine.reached.notified())
        .await
        .unwrap();
    session.show_subscription_token(&name("b"), proof(false, None));
    tokio::task::yield_now().await;
    trial.engine.let_go();
    let query = trial.worker.services.member_query(None, None);
    let taken_back = async {
        loop {
            let store = &trial.engine.store.memory;
            let members = store.members(&trial.channel, &query).await.unwrap();
            let shown = members.list.members.into_iter().map(|member| member.data);
            if shown.eq([Payload::text("said")]) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    assert!(timeout(PATIENCE, taken_back).await.is_ok());
}
