//! What the others in a channel are shown of a member while its credentials change.

use std::collections::BTreeMap;
use std::sync::Arc;

use widecast_protocol::Payload;

use super::*;
use crate::auth::{Grant, Proof, Words};
use crate::engine::MemberStore;
use crate::engine::flaky::Fault;
use crate::session::JoinRequest;
use crate::session::trial::Trial;

/// A session that is listed with what it says of itself.
async fn listed(trial: &Trial) -> Rc<Session> {
    let session = trial.session();
    let request = JoinRequest {
        channel: trial.channel.clone(),
        since: None,
        history: None,
        presence: Some(Payload::text("said")),
    };
    let outcome = session.join(request).await;
    session.let_flow(outcome.ok().unwrap()).await;
    session
}

/// The session's token says this of the user from now on.
async fn prove(session: &Rc<Session>, info: Option<&str>) {
    let everything = BTreeMap::from([("*".to_owned(), Words::One("*".to_owned()))]);
    let proof = Proof {
        user: Some(Arc::from("7")),
        name: None,
        info: info.map(Payload::text),
        issued_at: None,
        expires_at: SystemTime::now() + Duration::from_hours(1),
        grant: Grant::read(&everything, None).unwrap(),
    };
    let principal = session.principal().proving(Subject::User(Arc::new(proof)));
    session.change_principal(principal);
    session.leave_what_is_denied(None).await;
}

/// What the others are shown of whoever is listed.
async fn shown(trial: &Trial) -> Vec<String> {
    let query = trial.worker.services.member_query(None, None);
    let members = trial
        .engine
        .store
        .memory
        .members(&trial.channel, &query)
        .await;
    let members = members.unwrap().list.members.into_iter();
    let text = |data: Payload| data.as_text().unwrap_or_default().to_owned();
    members.map(|member| text(member.data)).collect()
}

#[actix_web::test]
async fn others_are_shown_what_the_token_says_for_as_long_as_it_counts() {
    let trial = Trial::new();
    let session = listed(&trial).await;
    assert_eq!(shown(&trial).await, ["said"]);
    for (info, expected) in [
        (Some("Ann"), "Ann"),
        (Some("Ann B."), "Ann B."),
        (None, "said"),
    ] {
        prove(&session, info).await;
        assert_eq!(shown(&trial).await, [expected]);
    }
    assert!(session.outbox().is_open());
}

#[actix_web::test]
async fn a_session_ends_that_cannot_be_shown_as_who_it_is() {
    let large = "x".repeat(1 << 20);
    for (info, fault) in [("Ann", Some(Fault::Fails)), (&*large, None)] {
        let trial = Trial::new();
        let session = listed(&trial).await;
        trial
            .engine
            .set_faults(move |at| fault.filter(|_| at == "enter"));
        prove(&session, Some(info)).await;
        assert!(!session.outbox().is_open());
    }
}

#[actix_web::test]
async fn who_has_left_meanwhile_is_not_listed_again() {
    let trial = Trial::new();
    let session = listed(&trial).await;
    trial
        .engine
        .set_faults(|at| (at == "enter").then_some(Fault::WaitsBefore));
    let proving = actix_rt::spawn({
        let session = Rc::clone(&session);
        async move { prove(&session, Some("Ann")).await }
    });
    trial.engine.reached.notified().await;
    session.unlist_member(&trial.channel).await;
    trial.engine.go_on.notify_one();
    proving.await.unwrap();
    trial.clock.pass(Duration::from_mins(1));
    trial.engine.store.memory.sweep();
    assert!(shown(&trial).await.is_empty());
    assert!(session.outbox().is_open());
}
