//! `[log]`: what the broker writes to standard error.

use tracing_subscriber::EnvFilter;

use super::namespace::Switch;
use super::section::settings;
use super::value::Word;

settings! {
    /// The log that the broker writes to standard error.
    pub struct LogSettings {
        /// What is logged: `error`, `warn`, `info`, `debug`, `trace` or `off`, also per module
        /// (`info,widecast::session=debug`).
        filter: LogFilter, "filter" = LogFilter("info,actix_server=warn".to_owned());
        /// `text` for people, `json` for machines: one object a line.
        format: LogFormat, "format" = LogFormat::Text;
        /// Whether the log says who did what, whatever `filter` says: a line for each authentication, subscription, publication and
        /// reading, and for what operators do, with the API key, user, address, channel and outcome.
        audit: Switch, "audit" = Switch::Off;
    }
}

/// What is logged, in the language of `tracing_subscriber`'s `EnvFilter`; valid by construction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilter(String);

impl LogFilter {
    /// The filter as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Word for LogFilter {
    const EXPECTED: &'static str =
        "error, warn, info, debug, trace or off, or a list such as info,widecast::session=debug";

    fn read(text: &str) -> Option<Self> {
        let known = |part: &str| {
            let level = part.rsplit_once('=').map_or(part, |(_, level)| level);
            matches!(level, "error" | "warn" | "info" | "debug" | "trace" | "off")
        };
        let valid = text.split(',').all(known) && EnvFilter::builder().parse(text).is_ok();
        valid.then(|| Self(text.to_owned()))
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Word for LogFormat {
    const EXPECTED: &'static str = "text or json";

    fn read(text: &str) -> Option<Self> {
        match text {
            "text" => Some(Self::Text),
            "json" => Some(Self::Json),
            _ => None,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::Json => "json".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_filter_is_a_level_or_a_list_of_targets_with_levels() {
        for good in [
            "info",
            "off",
            "info,widecast::session=debug",
            "widecast=trace",
        ] {
            assert!(LogFilter::read(good).is_some(), "{good}");
        }
        for bad in ["", "verbose", "info,", "widecast=loud", "widecast"] {
            assert!(LogFilter::read(bad).is_none(), "{bad}");
        }
    }
}
