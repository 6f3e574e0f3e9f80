//! Every order in which a session may hear of its channels.

use std::future::poll_fn;

use super::*;
use crate::queue::{Reading, queue};

struct Session {
    channels: Channels,
    queue: Queue,
    reading: Reading,
}

fn name(text: &str) -> ChannelName {
    ChannelName::parse(text).unwrap()
}

fn frame(text: &str) -> Frame {
    Frame::read(text.as_bytes()).unwrap()
}

impl Session {
    fn new() -> Self {
        let (queue, reading) = queue();
        Self {
            channels: Channels::default(),
            queue,
            reading,
        }
    }

    /// The user's command was answered.
    fn answered(&mut self, command: Command, text: &str) {
        let mut frame = frame(text);
        self.channels.answered(command, &mut frame, &self.queue);
    }

    /// A frame comes that answers no command.
    fn take(&mut self, text: &str) {
        self.channels.take(frame(text), &self.queue).unwrap();
    }

    /// A message comes in the channel `a`.
    fn message(&mut self, offset: u64) {
        self.take(&format!(
            r#"{{"type":"message","channel":"a","data":1,"origin":"","offset":{offset},"epoch":"e","timestamp":1}}"#
        ));
    }

    /// The commands with which the next connection begins.
    fn commands(&self) -> Vec<String> {
        let commands = self.channels.commands().into_iter();
        commands.map(|(_, command)| command.to_json()).collect()
    }

    /// What was told since the last time.
    async fn told(&self) -> Vec<String> {
        self.queue.push(Item::here(Event::Reconnected));
        let mut told = Vec::new();
        loop {
            let item = poll_fn(|context| self.reading.poll_next(context)).await;
            match item.unwrap().event {
                Some(Ok(Event::Reconnected)) => return told,
                Some(Ok(Event::Message(message))) => told.push(message.cursor()),
                Some(Ok(other)) => told.push(format!("{other:?}")),
                Some(Err(error)) => told.push(error.to_string()),
                None => {}
            }
        }
    }
}

impl Session {
    /// A message of the session's own was published in the channel `a`.
    fn published(&mut self, offset: u64, duplicate: bool) {
        let answer = format!(
            r#"{{"type":"published","channel":"a","offset":{offset},"epoch":"e","duplicate":{duplicate}}}"#
        );
        self.channels.published(&frame(&answer), &self.queue);
    }

    /// Where the next connection begins.
    fn resumes_at(&self) -> String {
        let commands = self.channels.commands();
        commands[0].1.cursor.clone().unwrap()
    }
}

fn subscribe() -> Command {
    Command::about("subscribe", &name("a"))
}

#[tokio::test]
async fn a_channel_is_resumed_behind_the_last_message() {
    let mut session = Session::new();
    session.answered(
        subscribe(),
        r#"{"type":"subscribed","channel":"a","cursor":"e-4","recovered":true}"#,
    );
    assert_eq!(
        session.commands(),
        [r#"{"type":"subscribe","channel":"a","cursor":"e-4"}"#]
    );
    session.message(5);
    assert_eq!(
        session.commands(),
        [r#"{"type":"subscribe","channel":"a","cursor":"e-5"}"#]
    );
    assert_eq!(session.told().await, ["e-5"]);
}

#[tokio::test]
async fn a_channel_whose_past_is_still_to_come_stays_where_it_is() {
    let mut session = Session::new();
    session
        .channels
        .add(name("a"), Some(Position::parse("e-2").unwrap()), None);
    let again = frame(r#"{"type":"subscribed","channel":"a","cursor":"e-2","recovered":true}"#);
    session.channels.rejoined(&name("a"), again, &session.queue);
    // Cut before the past has come: it is asked for again.
    assert_eq!(
        session.commands(),
        [r#"{"type":"subscribe","channel":"a","cursor":"e-2"}"#]
    );
    assert!(session.told().await.is_empty());
}

#[tokio::test]
async fn a_cursor_that_is_lost_is_a_gap() {
    let mut session = Session::new();
    session
        .channels
        .add(name("a"), Some(Position::parse("e-2").unwrap()), None);
    let lost = frame(r#"{"type":"subscribed","channel":"a","cursor":"f-9","recovered":false}"#);
    session.channels.rejoined(&name("a"), lost, &session.queue);
    assert_eq!(
        session.commands(),
        [r#"{"type":"subscribe","channel":"a","cursor":"f-9"}"#]
    );
    let told = session.told().await;
    assert!(told.len() == 1 && told[0].contains("f-9"), "{told:?}");
    // Whoever stopped before the gap is told of it again.
    assert_eq!(session.channels.starts()[&name("a")].to_string(), "e-2");
}

#[tokio::test]
async fn messages_that_were_dropped_are_a_gap() {
    let mut session = Session::new();
    session.answered(
        subscribe(),
        r#"{"type":"subscribed","channel":"a","cursor":"e-0","recovered":true}"#,
    );
    session.take(r#"{"type":"gap","channel":"a","cursor":"e-7","recovered":false}"#);
    session.message(8);
    let told = session.told().await;
    assert!(
        told.len() == 2 && told[0].contains("e-7") && told[1] == "e-8",
        "{told:?}"
    );
    assert_eq!(
        session.commands(),
        [r#"{"type":"subscribe","channel":"a","cursor":"e-8"}"#]
    );
}

#[tokio::test]
async fn a_channel_that_was_left_is_not_joined_again() {
    let mut session = Session::new();
    session.answered(
        subscribe(),
        r#"{"type":"subscribed","channel":"a","cursor":"e-0","recovered":true}"#,
    );
    let leave = Command::about("unsubscribe", &name("a"));
    session.answered(leave, r#"{"type":"unsubscribed","channel":"a"}"#);
    // A message that was on its way.
    session.message(1);
    assert_eq!(session.channels.count(), 0);
    session.answered(
        subscribe(),
        r#"{"type":"subscribed","channel":"a","cursor":"e-1","recovered":true}"#,
    );
    session.take(r#"{"type":"unsubscribed","channel":"a","code":"forbidden"}"#);
    assert_eq!(session.channels.count(), 0);
    let told = session.told().await;
    assert!(
        told[1].contains("Unsubscribed") && told[1].contains("forbidden"),
        "{told:?}"
    );
    // It can be taken up again where it was left.
    assert!(told[1].contains(r#"cursor: Some("e-1")"#), "{told:?}");
}

#[tokio::test]
async fn a_session_that_is_listed_so_unless_the_channel_is_joined_anew() {
    const SUBSCRIBED: &str =
        r#"{"type":"subscribed","channel":"a","cursor":"e-0","recovered":true}"#;
    let mut session = Session::new();
    let listed = Command {
        presence: serde_json::from_str("1").ok(),
        ..subscribe()
    };
    session.answered(listed, SUBSCRIBED);
    session.answered(subscribe(), SUBSCRIBED);
    let with_presence = r#"{"type":"subscribe","channel":"a","cursor":"e-0","presence":1}"#;
    assert_eq!(session.commands(), [with_presence]);
    let anew = Command {
        cursor: Some("e-0".to_owned()),
        ..subscribe()
    };
    session.answered(anew, SUBSCRIBED);
    assert_eq!(
        session.commands(),
        [r#"{"type":"subscribe","channel":"a","cursor":"e-0"}"#]
    );
}

#[tokio::test]
async fn after_a_cut_the_members_are_told_anew() {
    let mut session = Session::new();
    session
        .channels
        .add(name("a"), None, serde_json::from_str("1").ok());
    let again = r#"{"type":"subscribed","channel":"a","cursor":"e-0","recovered":true,"members":[{"id":"m","data":1}]}"#;
    session
        .channels
        .rejoined(&name("a"), frame(again), &session.queue);
    session.take(r#"{"type":"leave","channel":"a","member":{"id":"m","data":1}}"#);
    let told = session.told().await;
    assert!(
        told.len() == 2 && told[0].contains("Members") && told[1].contains("Left"),
        "{told:?}"
    );
}

#[tokio::test]
async fn the_token_of_a_channel_is_shown_again_until_it_is_renewed() {
    let mut session = Session::new();
    let subscribe = |token: Option<&str>| Command {
        token: token.map(str::to_owned),
        ..Command::about("subscribe", &name("a"))
    };
    let joined = r#"{"type":"subscribed","channel":"a","cursor":"e-3","recovered":true}"#;
    for (token, shown) in [(Some("t1"), "t1"), (None, "t1"), (Some("t2"), "t2")] {
        session.answered(subscribe(token), joined);
        let command =
            format!(r#"{{"type":"subscribe","channel":"a","cursor":"e-3","token":"{shown}"}}"#);
        assert_eq!(session.commands(), [command]);
    }
}

#[tokio::test]
async fn a_channel_that_the_token_names_goes_on_from_its_place_with_the_token() {
    let mut session = Session::new();
    assert_eq!(session.channels.places_of_named(), None);
    session.take(r#"{"type":"subscribed","channel":"a","cursor":"e-3","recovered":true}"#);
    session.message(4);
    // Whoever shows the token says where it goes on, and does not ask for the channel itself.
    assert_eq!(session.channels.places_of_named().as_deref(), Some("a=e-4"));
    assert_eq!(session.commands(), [""; 0]);
    session.take(r#"{"type":"subscribed","channel":"a","cursor":"e-9","recovered":false}"#);
    assert_eq!(session.channels.places_of_named().as_deref(), Some("a=e-9"));
    let command = Command::about("subscribe", &name("a"));
    session.answered(
        command,
        r#"{"type":"subscribed","channel":"a","cursor":"e-9","recovered":true}"#,
    );
    assert_eq!(session.channels.places_of_named(), None);
    assert_eq!(session.commands().len(), 1);
}

#[tokio::test]
async fn a_session_goes_on_behind_its_own_messages_once_it_has_heard_those_before_them() {
    let mut session = Session::new();
    // In a channel that it does not hear.
    session.published(1, false);
    session.answered(
        subscribe(),
        r#"{"type":"subscribed","channel":"a","cursor":"e-4","recovered":true}"#,
    );
    session.published(5, false);
    session.published(6, false);
    assert_eq!(session.resumes_at(), "e-6");
    // The message of somebody else is still on its way.
    session.published(8, false);
    session.published(9, false);
    assert_eq!(session.resumes_at(), "e-6");
    session.message(7);
    assert_eq!(session.resumes_at(), "e-9");
    session.published(11, false);
    session.published(13, false);
    session.message(10);
    assert_eq!(session.resumes_at(), "e-10");
    session.message(12);
    assert_eq!(session.resumes_at(), "e-13");
    assert_eq!(session.told().await, ["e-7", "e-10", "e-12"]);
}

#[tokio::test]
async fn a_message_that_was_published_before_may_be_of_somebody_else() {
    let mut session = Session::new();
    session.answered(
        subscribe(),
        r#"{"type":"subscribed","channel":"a","cursor":"e-4","recovered":true}"#,
    );
    session.published(5, true);
    assert_eq!(session.resumes_at(), "e-4");
}

#[tokio::test]
async fn the_messages_of_a_batch_have_their_places_and_another_epoch_has_others() {
    let mut session = Session::new();
    session.answered(
        subscribe(),
        r#"{"type":"subscribed","channel":"a","cursor":"e-4","recovered":true}"#,
    );
    let batch = r#"{"type":"batch","results":[
        {"type":"published","channel":"a","offset":5,"epoch":"e","duplicate":false},
        {"type":"error","code":"forbidden","message":"m","retryable":false},
        {"type":"published","channel":"a","offset":6,"epoch":"e","duplicate":false}]}"#;
    session.channels.published(&frame(batch), &session.queue);
    assert_eq!(session.resumes_at(), "e-6");
    let other = r#"{"type":"published","channel":"a","offset":7,"epoch":"f","duplicate":false}"#;
    session.channels.published(&frame(other), &session.queue);
    assert_eq!(session.resumes_at(), "e-6");
}
