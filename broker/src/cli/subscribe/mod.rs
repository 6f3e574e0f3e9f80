//! `widecast subscribe`: prints messages as they come, until as many have come as were asked for, or SIGINT or SIGTERM. The
//! client library listens, and resumes by itself after a cut.

mod printer;

use std::io::Write;
use std::pin::pin;

use futures_util::future::{Either, select};
use widecast_client::{Disconnected, Event, Events, Gap};

use self::printer::{Naming, Printer};
use super::arguments::SubscribeArguments;
use super::error::CliError;
use crate::shutdown;

/// Prints the messages of channels as they come, until as many have come as were asked for, or SIGINT or SIGTERM.
///
/// # Errors
/// When the broker cannot be reached at first, refuses for good, or the output cannot be written.
pub fn subscribe(
    arguments: SubscribeArguments,
    output: &mut dyn Write,
    notices: &mut dyn Write,
) -> Result<(), CliError> {
    let printer = Printer {
        form: arguments.output,
        naming: Naming::of(&arguments.channels),
        output,
        notices,
    };
    actix_rt::System::new().block_on(async {
        let caught = shutdown::signal();
        let interrupted = caught.map_err(|error| CliError::System("wait for signals", error))?;
        let listening = pin!(listen(arguments, printer));
        match select(listening, pin!(interrupted)).await {
            Either::Left((ended, _)) => ended,
            Either::Right(_) => Ok(()),
        }
    })
}

async fn listen(arguments: SubscribeArguments, mut printer: Printer<'_>) -> Result<(), CliError> {
    let mut left = arguments.count;
    if left == Some(0) {
        return Ok(());
    }
    let mut events = connect(&arguments).await?;
    while let Some(event) = events.next().await {
        match event? {
            Event::Message(message) => {
                printer.message(&message, || events.cursor())?;
                left = left.map(|left| left.saturating_sub(1));
                if left == Some(0) {
                    return Ok(());
                }
            }
            Event::Direct(message) => {
                printer.notice(&format!("a message to this user: {}", message.json()));
            }
            Event::Gap(gap) => printer.notice(&gap_told(&gap)),
            Event::Disconnected(cut) => printer.notice(&cut_told(&cut)),
            Event::Reconnected => printer.notice("connected again"),
            // A channel that is no longer heard ends the command: what is asked for cannot be had.
            Event::Unsubscribed(left) => match left.error {
                Some(error) => return Err(error.into()),
                None => return Ok(()),
            },
            _ => {}
        }
    }
    Ok(())
}

async fn connect(arguments: &SubscribeArguments) -> Result<Events, CliError> {
    let client = arguments.broker.client()?;
    let channels = arguments.channels.iter();
    let mut subscribe = client
        .subscribe(channels.map(widecast_protocol::ChannelName::as_str))
        .transport(arguments.transport.into());
    if let Some(cursor) = &arguments.cursor {
        subscribe = subscribe.cursor(&cursor.to_string());
    }
    if let Some(messages) = arguments.history {
        subscribe = subscribe.history(messages);
    }
    Ok(subscribe.connect().await?)
}

fn gap_told(gap: &Gap) -> String {
    let channel = gap.channel.as_deref();
    let whose = channel.map_or_else(String::new, |name| format!(" of {name}"));
    let cursor = &gap.cursor;
    format!("gap: messages{whose} were lost before the cursor {cursor}")
}

fn cut_told(cut: &Disconnected) -> String {
    let reason = widecast_protocol::error::chain(&cut.error);
    let wait = cut.again_in.as_millis();
    format!("connection lost ({reason}), trying again in {wait} ms")
}
