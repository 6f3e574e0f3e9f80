//! Joining with an engine that fails or takes its time, as one in the network does: at each of its steps, whatever happens to the
//! session meanwhile, nothing is left behind, and the next attempt succeeds.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use widecast_protocol::codec::{Codec, decode_commands};
use widecast_protocol::{Epoch, Offset};

use super::*;
use crate::engine::flaky::{Fault, PATIENCE};
use crate::engine::{ChannelQuery, Deliver, Directory, MemberStore};
use crate::session::index::SessionKey;
use crate::session::order::carry_out;
use crate::session::trial::Trial;
use crate::session::{Action, Inbound, Order, Selection};

impl Trial {
    fn break_at(&self, call: &'static str, fault: Fault) {
        self.engine
            .set_faults(move |at| (at == call).then_some(fault));
    }

    /// A request that comes to this call.
    fn request(&self, call: &str) -> JoinRequest {
        let place = Position {
            epoch: Epoch(1),
            offset: Offset(0),
        };
        JoinRequest {
            channel: self.channel.clone(),
            since: (call == "replay").then_some(place),
            history: (call == "history").then_some(1),
            presence: Some(Payload::text("me".to_owned())),
        }
    }

    /// Nothing is left of a session: no subscription here or at the engine, and no member.
    async fn looks_untouched(&self, case: &str) {
        self.engine.set_faults(|_| None);
        let here = self.worker.services.metrics.sessions.subscriptions.get();
        assert_eq!(here, 0, "{case}: in the registry");
        // A member that has left stays listed for its grace time.
        self.clock.pass(Duration::from_mins(1));
        self.engine.store.memory.sweep();
        let query = self.worker.services.member_query(None, None);
        let members = self
            .engine
            .store
            .memory
            .members(&self.channel, &query)
            .await;
        assert_eq!(members.unwrap().list.members, [], "{case}: members");
        // A channel that nobody hears and that has no members is not in use.
        let query = ChannelQuery {
            prefix: String::new(),
            after: None,
            limit: 1,
        };
        let channels = self.engine.store.memory.channels(query).await;
        assert_eq!(channels.unwrap(), [], "{case}: at the engine");
    }

    async fn let_others_run(&self) {
        for _ in 0..24 {
            tokio::task::yield_now().await;
        }
    }

    /// Whatever has happened, the session can join.
    async fn joins(&self, session: &Rc<Session>, case: &str) {
        let outcome = session.join(self.request("position")).await;
        let outcome = outcome
            .map_err(|refusal| format!("{case}: {refusal:?}"))
            .unwrap();
        assert_eq!(outcome.members.as_ref().unwrap().list.members.len(), 1);
        session.let_flow(outcome).await;
        session.leave(&self.channel);
        session.disappear(&self.channel).await;
        self.looks_untouched(case).await;
    }
}

/// The calls of joining, in the order in which they may come.
const CALLS: [&str; 6] = [
    "interested",
    "replay",
    "position",
    "history",
    "enter",
    "members",
];

#[actix_web::test]
async fn nothing_is_left_behind_when_the_engine_fails_at_any_step() {
    for call in CALLS {
        let trial = Trial::new();
        let session = trial.session();
        trial.break_at(call, Fault::Fails);
        let refusal = session.join(trial.request(call)).await.err().unwrap();
        assert_eq!(refusal.code, Code::EngineUnavailable, "{call}");
        trial.looks_untouched(call).await;
        trial.joins(&session, call).await;
    }
}

/// It waits at a step, before and behind what the engine does there; meanwhile something happens to the session.
async fn meanwhile(happens: impl AsyncFn(&Trial, Rc<Session>, &str)) {
    for call in CALLS {
        for fault in [Fault::WaitsBefore, Fault::WaitsBehind] {
            let trial = Trial::new();
            let session = trial.session();
            trial.break_at(call, fault);
            let case = format!("{call}, {fault:?}");
            happens(&trial, session, &case).await;
        }
    }
}

fn call_of(case: &str) -> &str {
    case.split(',').next().unwrap_or_default()
}

#[actix_web::test]
async fn a_session_that_loses_its_right_while_it_joins_has_not_joined() {
    meanwhile(async |trial, session, case| {
        let request = trial.request(call_of(case));
        let joining = actix_rt::spawn({
            let session = Rc::clone(&session);
            async move { session.join(request).await.err() }
        });
        trial.engine.reached.notified().await;
        // As when its token ends.
        assert!(session.leave(&trial.channel), "{case}");
        session.disappear(&trial.channel).await;
        trial.engine.set_faults(|_| None);
        trial.engine.go_on.notify_one();
        let refusal = joining.await.unwrap().unwrap();
        let codes = [Code::NotSubscribed, Code::Forbidden];
        assert!(codes.contains(&refusal.code), "{case}: {refusal:?}");
        trial.looks_untouched(case).await;
        trial.joins(&session, case).await;
    })
    .await;
}

#[actix_web::test]
async fn a_session_that_ends_while_it_joins_leaves_nothing_behind() {
    meanwhile(async |trial, session, case| {
        let request = trial.request(call_of(case));
        let joining = actix_rt::spawn(async move {
            let outcome = session.join(request).await;
            drop(outcome);
        });
        trial.engine.reached.notified().await;
        joining.abort();
        assert!(joining.await.is_err(), "{case}");
        if call_of(case) == "interested" {
            // Somebody else waits for the answer, and then tells the engine that nobody hears the channel.
            trial.engine.go_on.notify_one();
            trial.let_others_run().await;
        }
        trial.looks_untouched(case).await;
        trial.joins(&trial.session(), case).await;
    })
    .await;
}

/// How often something waits as long as the engine may take, when it does not answer from this call on.
async fn waits(trial: &Trial, call: &'static str, work: impl Future<Output = ()>) -> u64 {
    let from = CALLS.iter().position(|known| *known == call);
    trial.engine.set_faults(move |at| {
        let place = CALLS.iter().position(|known| *known == at);
        (place.is_none() || place >= from).then_some(Fault::Hangs)
    });
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    work.await;
    let took = began.elapsed();
    tokio::time::resume();
    // Timers have whole milliseconds.
    took.as_secs() / PATIENCE.as_secs()
}

#[actix_web::test]
async fn joining_has_one_deadline_whatever_the_engine_does_not_answer() {
    for call in CALLS {
        let trial = Trial::new();
        let session = trial.session();
        let waits = waits(&trial, call, async {
            let refusal = session.join(trial.request(call)).await.err().unwrap();
            assert_eq!(refusal.code, Code::EngineUnavailable, "{call}");
        });
        assert_eq!(waits.await, 1, "{call}");
    }
}

fn commands(text: &'static str) -> Vec<Inbound> {
    let commands = decode_commands(Codec::Json, &Bytes::from_static(text.as_bytes()));
    let commands = commands.unwrap().into_iter();
    commands
        .map(|command| Inbound::Command(command.unwrap()))
        .collect()
}

#[actix_web::test]
async fn a_command_has_one_deadline_and_so_has_a_batch_that_is_not_answered() {
    let listed = r#"{"type":"subscribe","channel":"a","presence":1}"#;
    let again = r#"{"type":"subscribe","channel":"a","history":1}"#;
    let batch = r#"{"type":"batch","messages":[{"channel":"a","data":1},{"channel":"b","data":2},{"channel":"a","data":3}]}"#;
    for command in [listed, again, batch] {
        let trial = Trial::new();
        let session = trial.session();
        Rc::clone(&session).dispatch(commands(listed)).await;
        let waits = waits(&trial, "interested", async {
            Rc::clone(&session).dispatch(commands(command)).await;
            // The next has a deadline of its own.
            Rc::clone(&session).dispatch(commands(batch)).await;
        });
        assert_eq!(waits.await, 2, "{command}");
    }
}

#[actix_web::test]
async fn an_order_does_not_wait_for_each_session_when_the_engine_does_not_answer() {
    let trial = Trial::new();
    let sessions = [(); 3].map(|()| trial.session());
    for session in &sessions {
        let outcome = session.join(trial.request("position")).await;
        session.let_flow(outcome.ok().unwrap()).await;
    }
    let selection = Selection {
        channel: Some(trial.channel.clone()),
        ..Selection::default()
    };
    let reason = "no more".to_owned();
    let order = Order::now(selection, Action::Disconnect { reason });
    let waits = waits(&trial, "interested", async {
        assert_eq!(carry_out(&trial.worker, &order).await.done, 3);
    });
    assert_eq!(waits.await, 1);
}

#[actix_web::test]
async fn an_exit_that_is_under_way_does_not_take_away_who_has_come_back() {
    for fault in [Fault::WaitsBefore, Fault::WaitsBehind] {
        let trial = Trial::new();
        let session = trial.session();
        let listed = r#"{"type":"subscribe","channel":"a","presence":1}"#;
        Rc::clone(&session).dispatch(commands(listed)).await;
        trial.break_at("exit", fault);
        let leaving = r#"{"type":"unsubscribe","channel":"a"}"#;
        let mut back = commands(leaving);
        back.extend(commands(listed));
        let coming_back = actix_rt::spawn(Rc::clone(&session).dispatch(back));
        trial.engine.reached.notified().await;
        trial.let_others_run().await;
        trial.engine.set_faults(|_| None);
        trial.engine.go_on.notify_one();
        coming_back.await.unwrap();
        trial.clock.pass(Duration::from_mins(1));
        trial.engine.store.memory.sweep();
        let query = trial.worker.services.member_query(None, None);
        let members = trial
            .engine
            .store
            .memory
            .members(&trial.channel, &query)
            .await;
        assert_eq!(members.unwrap().list.members.len(), 1, "{fault:?}");
    }
}

#[actix_web::test]
async fn when_all_channels_have_to_be_read_only_so_many_are_at_once() {
    const CHANNELS: usize = 40;
    let trial = Trial::new();
    let session = trial.session();
    let mut channels = Vec::new();
    for number in 0..CHANNELS {
        let channel = ChannelName::parse(&format!("c{number}")).unwrap();
        let request = JoinRequest {
            channel: channel.clone(),
            presence: None,
            ..trial.request("position")
        };
        let outcome = session.join(request).await;
        session.let_flow(outcome.ok().unwrap()).await;
        channels.push(channel);
    }
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    trial.engine.set_faults(move |at| {
        (at == "replay").then(|| {
            count.fetch_add(1, Ordering::Relaxed);
            Fault::WaitsBehind
        })
    });
    for channel in &channels {
        trial.worker.services.routes.lost(channel);
    }
    let mut answered = 0;
    while answered < CHANNELS {
        while asked.load(Ordering::Relaxed) < (answered + 16).min(CHANNELS) {
            tokio::task::yield_now().await;
        }
        trial.let_others_run().await;
        assert_eq!(asked.load(Ordering::Relaxed), (answered + 16).min(CHANNELS));
        trial.engine.go_on.notify_one();
        answered += 1;
    }
}

#[actix_web::test]
async fn what_channels_have_missed_is_read_at_once_up_to_a_bound() {
    const CHANNELS: usize = 60;
    let trial = Trial::new();
    let session = trial.polled_session();
    let mut outcomes = Vec::new();
    for number in 0..CHANNELS {
        let request = JoinRequest {
            channel: ChannelName::parse(&format!("c{number}")).unwrap(),
            since: None,
            history: Some(1),
            presence: None,
        };
        let channel = request.channel.clone();
        let message =
            format!(r#"{{"type":"publish","channel":"{channel}","data":"of {channel}."}}"#);
        Rc::clone(&trial.session())
            .dispatch(commands(message.leak()))
            .await;
        outcomes.push(session.join(request).await.ok().unwrap());
    }
    for outcome in outcomes {
        session.begin_to_hear(outcome);
    }
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    trial.engine.set_faults(move |at| {
        (at == "replay").then(|| {
            count.fetch_add(1, Ordering::Relaxed);
            Fault::WaitsBehind
        })
    });
    let catching_up = actix_rt::spawn({
        let session = Rc::clone(&session);
        async move { session.catch_up().await }
    });
    let (mut answered, mut most) = (0, 0);
    while answered < CHANNELS {
        trial.let_others_run().await;
        let waiting = asked.load(Ordering::Relaxed) - answered;
        assert!(waiting > 0);
        most = most.max(waiting);
        trial.engine.go_on.notify_one();
        answered += 1;
    }
    catching_up.await.unwrap();
    assert_eq!(most, 16);
    let heard = told(&session);
    for number in 0..CHANNELS {
        let message = format!("of c{number}.");
        assert_eq!(heard.matches(&message).count(), 1, "{message}");
    }
}

#[actix_web::test]
async fn what_has_room_for_nothing_is_not_read_by_several_at_once() {
    const CHANNELS: usize = 8;
    let trial = Trial::new();
    let session = trial.polled_session();
    let large = "x".repeat(session.outbox().limit_bytes() / 4 * 3);
    let mut outcomes = Vec::new();
    for number in 0..CHANNELS {
        let request = JoinRequest {
            channel: ChannelName::parse(&format!("c{number}")).unwrap(),
            since: None,
            history: Some(1),
            presence: None,
        };
        let channel = request.channel.clone();
        let message = format!(r#"{{"type":"publish","channel":"{channel}","data":"{large}"}}"#);
        Rc::clone(&trial.session())
            .dispatch(commands(message.leak()))
            .await;
        outcomes.push(session.join(request).await.ok().unwrap());
    }
    for outcome in outcomes {
        session.begin_to_hear(outcome);
    }
    let reads = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&reads);
    trial.engine.set_faults(move |at| {
        count.fetch_add(usize::from(at == "replay"), Ordering::Relaxed);
        None
    });
    session.catch_up().await;
    let mut heard = 0;
    while heard < CHANNELS {
        heard += session.outbox().take().len();
        trial.let_others_run().await;
    }
    // Four are read at first, of which one has room; then one after the other.
    assert!(reads.load(Ordering::Relaxed) <= CHANNELS + 3);
}

#[actix_web::test]
async fn an_order_to_leave_a_channel_reaches_a_session_that_is_about_to_join() {
    for call in ["interested", "position"] {
        let trial = Trial::new();
        let session = trial.polled_session();
        trial.break_at(call, Fault::WaitsBefore);
        let listed = r#"{"type":"subscribe","id":1,"channel":"a","presence":1}"#;
        let joining = actix_rt::spawn(Rc::clone(&session).dispatch(commands(listed)));
        trial.engine.reached.notified().await;
        session.list_keys([SessionKey::User("7".into())]);
        let selection = Selection {
            user: Some("7".into()),
            channel: Some(trial.channel.clone()),
            ..Selection::default()
        };
        let action = Action::Unsubscribe {
            channel: trial.channel.clone(),
            reason: "no more".to_owned(),
        };
        let order = Order::now(selection, action);
        assert_eq!(carry_out(&trial.worker, &order).await.done, 1, "{call}");
        // It is gone by now.
        assert_eq!(carry_out(&trial.worker, &order).await.done, 0, "{call}");
        trial.engine.set_faults(|_| None);
        trial.engine.go_on.notify_one();
        joining.await.unwrap();
        let frames = told(&session);
        let left = r#"{"type":"unsubscribed","channel":"a","code":"kicked"}"#;
        assert_eq!(frames.matches(left).count(), 1, "{call}: {frames}");
        let failed = r#"{"type":"error","id":1,"code":"not_subscribed""#;
        assert!(frames.contains(failed), "{call}: {frames}");
        trial.looks_untouched(call).await;
        trial.joins(&session, call).await;
    }
}

#[actix_web::test]
async fn only_gaps_that_somebody_is_told_of_are_counted() {
    let trial = Trial::new();
    let session = trial.polled_session();
    let gaps = || {
        let gaps = &trial.worker.services.metrics.gaps;
        gaps.count_told(&trial.channel, GapReason::ResumedTooLate)
    };
    let resuming = r#"{"type":"subscribe","channel":"a","cursor":"1-7","presence":1}"#;
    trial.break_at("enter", Fault::Fails);
    Rc::clone(&session).dispatch(commands(resuming)).await;
    assert!(told(&session).contains("engine_unavailable"));
    assert_eq!(gaps(), 0);
    trial.engine.set_faults(|_| None);
    Rc::clone(&session).dispatch(commands(resuming)).await;
    assert!(told(&session).contains(r#""recovered":false"#));
    assert_eq!(gaps(), 1);
}

/// What a session has been told since it was last asked, as text.
fn told(session: &Session) -> String {
    let frames = session.outbox().take().concat();
    String::from_utf8(frames).unwrap()
}

#[actix_web::test]
async fn a_refused_subscribe_leaves_the_session_where_it_was() {
    let long = "x".repeat(5000);
    let too_long =
        format!(r#"{{"type":"subscribe","channel":"a","history":1,"presence":"{long}"}}"#);
    let trial = Trial::new();
    let session = trial.polled_session();
    let joining = r#"{"type":"subscribe","channel":"a","presence":1}"#;
    Rc::clone(&session).dispatch(commands(joining)).await;
    told(&session);
    let refused = commands(too_long.leak());
    Rc::clone(&session).dispatch(refused).await;
    let answer = told(&session);
    assert!(answer.contains(r#""type":"error""#), "{answer}");
    assert!(!answer.contains("unsubscribed"), "{answer}");
    let message = r#"{"type":"publish","channel":"a","data":"still there"}"#;
    let other = trial.session();
    Rc::clone(&other).dispatch(commands(message)).await;
    trial.let_others_run().await;
    let heard = told(&session);
    assert!(heard.contains("still there"), "{heard}");
    let query = trial.worker.services.member_query(None, None);
    let members = trial
        .engine
        .store
        .memory
        .members(&trial.channel, &query)
        .await;
    assert_eq!(members.unwrap().list.members.len(), 1);
}

#[actix_web::test]
async fn a_session_that_cannot_join_again_is_told_that_it_has_left() {
    for call in ["interested", "position", "history"] {
        let trial = Trial::new();
        let session = trial.polled_session();
        let joining = r#"{"type":"subscribe","id":1,"channel":"a"}"#;
        let again = r#"{"type":"subscribe","id":2,"channel":"a","history":1}"#;
        for has_joined in [false, true] {
            if has_joined {
                Rc::clone(&session).dispatch(commands(joining)).await;
                told(&session);
            }
            trial.break_at(call, Fault::Fails);
            Rc::clone(&session).dispatch(commands(again)).await;
            let answer = told(&session);
            let left = r#"{"type":"unsubscribed","channel":"a","code":"engine_unavailable"}"#;
            assert_eq!(answer.contains(left), has_joined, "{call}: {answer}");
            assert!(
                answer.contains(r#""type":"error","id":2"#),
                "{call}: {answer}"
            );
            trial.looks_untouched(call).await;
        }
    }
}
