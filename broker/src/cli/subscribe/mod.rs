//! `widecast subscribe`: prints messages as they come, until as many have come as were asked for, or SIGINT or SIGTERM. The
//! client library listens, and resumes by itself after a cut; [`listening`] goes on with a new token when one ends.

mod listening;
mod printer;

use std::io::Write;
use std::pin::pin;

use futures_util::future::{Either, select};

use self::listening::listen;
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
