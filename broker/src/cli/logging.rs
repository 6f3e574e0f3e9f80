//! Sets up what is logged: to standard error, as the settings say.

use std::error::Error;
use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use super::log_writer::{LogEnd, LogWriter};
use crate::config::{LogFormat, LogSettings};

/// Starts logging for the whole process; to be called once. What is given back is kept until the process ends: dropping
/// it waits for the last lines.
///
/// # Errors
/// When logging was started before, or the system gives no thread.
pub fn start_logging(settings: &LogSettings) -> Result<LogEnd, Box<dyn Error + Send + Sync>> {
    let writer = LogWriter::start(io::stderr())?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter(settings))
        .with_writer(writer.clone())
        // It would say so on standard error, and panic where that cannot be written to.
        .log_internal_errors(false)
        .with_ansi(io::IsTerminal::is_terminal(&io::stderr()));
    match settings.format {
        LogFormat::Text => builder.finish().try_init()?,
        LogFormat::Json => builder.json().flatten_event(true).finish().try_init()?,
    }
    Ok(LogEnd(writer))
}

fn filter(settings: &LogSettings) -> EnvFilter {
    let filter = settings.filter.as_str();
    if settings.audit.is_on() {
        // What is named last of the same target counts.
        return EnvFilter::new(format!("{filter},widecast::audit=info"));
    }
    EnvFilter::new(filter)
}
