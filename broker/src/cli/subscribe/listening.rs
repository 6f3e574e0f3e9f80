//! Listens to the channels with one token after the other. When the broker no longer takes a token that is from a file, the file is
//! read again, and a subscription with what it holds then takes the channels up where they were left.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use widecast_client::{Disconnected, Error, Event, Events, Gap, Unsubscribed};
use widecast_protocol::error::chain;
use widecast_protocol::{Cursor, CursorVector, Position};

use super::printer::Printer;
use crate::cli::arguments::SubscribeArguments;
use crate::cli::error::CliError;

/// How often it is looked whether a file holds another token, while the last one is about to end or has ended.
const LOOK: Duration = Duration::from_millis(250);
/// How soon the broker is asked again whether it takes the token of a file.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// How seldom, in the end.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Whether more messages are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    More,
    NoMore,
}

/// What is listened to, and with which token.
struct Listening<'a> {
    arguments: SubscribeArguments,
    printer: Printer<'a>,
    /// How many messages are still to come, if that was said.
    left: Option<u64>,
    /// What the broker was shown last, and took.
    shown: Option<String>,
    /// Another one that it has not taken.
    untaken: Option<Untaken>,
}

/// A token that is to take the place of one that is still good, and that the broker has not taken when it was tried.
struct Untaken {
    token: String,
    waits: ExponentialBackoff,
    /// When it is tried again.
    due: Instant,
}

/// Prints what comes, until as many messages have come as were asked for.
///
/// # Errors
/// When the broker cannot be reached at first, refuses for good, or the output cannot be written.
pub(super) async fn listen(
    arguments: SubscribeArguments,
    printer: Printer<'_>,
) -> Result<(), CliError> {
    let left = arguments.count;
    if left == Some(0) {
        return Ok(());
    }
    let shown = arguments.broker.credential()?;
    let mut listening = Listening {
        arguments,
        printer,
        left,
        shown,
        untaken: None,
    };
    let cursor = listening.arguments.cursor.clone();
    let events = listening.connect(cursor.as_ref()).await;
    let events = events.map_err(|error| listening.arguments.broker.refused(error))?;
    listening.hear(events).await
}

impl Listening<'_> {
    /// Connects with the token in `shown`.
    async fn connect(&self, cursor: Option<&Cursor>) -> Result<Events, Error> {
        let arguments = &self.arguments;
        let client = arguments.broker.client(self.shown.as_deref())?;
        let channels = arguments.channels.iter();
        let mut subscribe = client
            .subscribe(channels.map(widecast_protocol::ChannelName::as_str))
            .transport(arguments.transport.into());
        if let Some(cursor) = cursor {
            subscribe = subscribe.cursor(&cursor.to_string());
        } else if let Some(messages) = arguments.history {
            subscribe = subscribe.history(messages);
        }
        subscribe.connect().await
    }

    async fn hear(&mut self, mut events: Events) -> Result<(), CliError> {
        let has_file = self.arguments.broker.token_file().is_some();
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The token is about to end, or may be the reason why the connection was lost.
        let mut is_ending = false;
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                _ = looks.tick(), if is_ending => {
                    if let Some(renewed) = self.renew(&events).await {
                        events = renewed;
                        is_ending = false;
                    }
                    continue;
                }
            };
            let (error, cursor) = match event {
                None => return Ok(()),
                Some(Ok(Event::TokenRequired(asked))) if asked.channel.is_none() => {
                    is_ending = has_file;
                    continue;
                }
                Some(Ok(Event::Unsubscribed(left))) => {
                    let cursor = self.cursor_with(&events, &left);
                    let Some(error) = left.error else {
                        return Ok(());
                    };
                    (error, cursor)
                }
                Some(Ok(event)) => {
                    match event {
                        Event::Disconnected(_) => is_ending = has_file,
                        Event::Reconnected => is_ending = false,
                        _ => {}
                    }
                    match self.print(event, &events)? {
                        Asked::More => continue,
                        Asked::NoMore => return Ok(()),
                    }
                }
                Some(Err(error)) => (error, cursor_of(&events)),
            };
            // A channel that is no longer heard ends the command, unless another token may bring it back.
            if !self.arguments.broker.is_renewable(&error) {
                return Err(error.into());
            }
            events = self.take_up(cursor).await?;
            is_ending = false;
        }
    }

    fn print(&mut self, event: Event, events: &Events) -> Result<Asked, CliError> {
        let printer = &mut self.printer;
        match event {
            Event::Message(message) => {
                printer.message(&message, || events.cursor())?;
                self.left = self.left.map(|left| left.saturating_sub(1));
                if self.left == Some(0) {
                    return Ok(Asked::NoMore);
                }
            }
            Event::Direct(message) => {
                printer.notice(&format!("a message to this user: {}", message.json()));
            }
            Event::Gap(gap) => printer.notice(&gap_told(&gap)),
            Event::Disconnected(cut) => printer.notice(&cut_told(&cut)),
            Event::Reconnected => printer.notice("connected again"),
            _ => {}
        }
        Ok(Asked::More)
    }

    /// Takes the channels up with another token of the file while the last one is still good. If that fails, they are still heard, and
    /// the same is tried again, less often each time.
    async fn renew(&mut self, events: &Events) -> Option<Events> {
        let another = self.another()?;
        let untaken = self.untaken.take();
        let mut waits = match untaken {
            Some(untaken) if untaken.token == another => {
                if Instant::now() < untaken.due {
                    self.untaken = Some(untaken);
                    return None;
                }
                untaken.waits
            }
            _ => waits(),
        };
        let began = Instant::now();
        let before = self.shown.replace(another.clone());
        match self.connect(cursor_of(events).as_ref()).await {
            Ok(renewed) => {
                self.tell_of_new_token();
                Some(renewed)
            }
            Err(error) => {
                self.shown = before;
                // Nothing was printed meanwhile: the next attempt leaves at least as much time for that.
                let at_least = began.elapsed().max(error.retry_after().unwrap_or_default());
                let wait = waits.next().unwrap_or(LONGEST_WAIT).max(at_least);
                self.untaken = Some(Untaken {
                    token: another,
                    waits,
                    due: Instant::now() + wait,
                });
                None
            }
        }
    }

    /// What the file holds, if that is not what the broker was shown last.
    fn another(&self) -> Option<String> {
        let held = self.arguments.broker.credential().ok()??;
        (Some(&held) != self.shown.as_ref()).then_some(held)
    }

    async fn wait_for_another(&self) {
        while self.another().is_none() {
            sleep(LOOK).await;
        }
    }

    /// Takes the channels up from the cursor with what the file holds, as often as it takes: at once if it is another token than the
    /// one that was refused. The same is tried again, too, because the broker may yet learn of the key that it is signed with.
    async fn take_up(&mut self, cursor: Option<Cursor>) -> Result<Events, CliError> {
        let mut waits = waits();
        let before = self.shown.clone();
        let mut told = String::new();
        let mut is_due = self.another().is_some();
        loop {
            let mut at_least = Duration::ZERO;
            let trouble = match self.arguments.broker.credential() {
                Err(error) => Some(error.to_string()),
                Ok(held) if is_due => {
                    self.shown = held;
                    match self.connect(cursor.as_ref()).await {
                        Ok(events) if self.shown == before => {
                            self.printer.notice("connected again");
                            return Ok(events);
                        }
                        Ok(events) => {
                            self.tell_of_new_token();
                            return Ok(events);
                        }
                        Err(error) if self.is_final(&error) => return Err(error.into()),
                        Err(error) => {
                            at_least = error.retry_after().unwrap_or_default();
                            Some(chain(&error))
                        }
                    }
                }
                Ok(_) => None,
            };
            if let Some(trouble) = trouble.filter(|trouble| *trouble != told) {
                self.tell_of_trouble(&trouble);
                told = trouble;
            }
            let wait = waits.next().unwrap_or(LONGEST_WAIT).max(at_least);
            // Another token is tried at once.
            let _ = timeout(wait, self.wait_for_another()).await;
            is_due = true;
        }
    }

    /// Whether nothing that may come to be in the file changes the answer.
    fn is_final(&self, error: &Error) -> bool {
        let is_refused = error.code().is_some() && !error.is_retryable();
        is_refused && !self.arguments.broker.is_renewable(error)
    }

    fn tell_of_new_token(&mut self) {
        let file = self.file();
        let text = format!("going on with the new token in {file}");
        self.printer.notice(&text);
    }

    fn tell_of_trouble(&mut self, trouble: &str) {
        let file = self.file();
        let text = format!(
            "nothing is heard now ({trouble}): put a valid token into {file}; trying again until the broker takes it"
        );
        self.printer.notice(&text);
    }

    fn file(&self) -> String {
        let file = self.arguments.broker.token_file();
        file.map_or_else(String::new, |file| file.display().to_string())
    }

    /// The place in all channels, also in the one that was left.
    fn cursor_with(&self, events: &Events, left: &Unsubscribed) -> Option<Cursor> {
        let others = cursor_of(events);
        let place = left.cursor.as_deref().map(Position::parse);
        let place = place.and_then(Result::ok);
        let mut all = CursorVector::new();
        for channel in &self.arguments.channels {
            let known = if channel.as_str() == left.channel {
                place
            } else {
                others.as_ref().and_then(|cursor| cursor.position(channel))
            };
            if let Some(place) = known {
                all.set(channel, place);
            }
        }
        all.first().is_some().then_some(Cursor::Several(all))
    }
}

/// How long is waited between attempts: longer each time.
fn waits() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(FIRST_WAIT)
        .with_max_delay(LONGEST_WAIT)
        .without_max_times()
        .with_jitter()
        .build()
}

/// The place behind the last event that was read.
fn cursor_of(events: &Events) -> Option<Cursor> {
    // The client makes it, or has it from the broker, whose cursors can be read.
    Cursor::parse(&events.cursor()?).ok()
}

fn gap_told(gap: &Gap) -> String {
    let channel = gap.channel.as_deref();
    let whose = channel.map_or_else(String::new, |name| format!(" of {name}"));
    let cursor = &gap.cursor;
    format!("gap: messages{whose} were lost before the cursor {cursor}")
}

fn cut_told(cut: &Disconnected) -> String {
    let reason = chain(&cut.error);
    let wait = cut.again_in.as_millis();
    format!("connection lost ({reason}), trying again in {wait} ms")
}
