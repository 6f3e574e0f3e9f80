//! Tells the operator of refused web pages: each origin once, with the setting that would let it in.
//!
//! Anybody can open pages of any origin, so the memory of refused origins is bounded: made-up origins cannot fill the memory
//! or the log.

use std::collections::HashSet;
use std::sync::{LazyLock, Mutex, PoisonError};

/// How many origins are told of before the log stays silent.
const MAX_ORIGINS: usize = 100;
/// How much of an origin is remembered and shown: more than any name on the web has.
const MAX_LENGTH: usize = 300;

static TOLD: LazyLock<Mutex<Told>> = LazyLock::new(Mutex::default);

/// Logs that the pages of an origin were refused.
pub(super) fn tell_origin(origin: &str) {
    tell(origin, |origin| {
        let whose = match origin {
            "null" => " (a local file, or a frame that is sandboxed)",
            _ => "",
        };
        format!(
            "refused a web page of the origin {origin:?}{whose}; to let its pages connect, add {origin:?} to server.allowed_origins"
        )
    });
}

/// Logs that requests to a name were refused, since a foreign page could have pointed it at this machine.
pub(super) fn tell_name(host: &str) {
    tell(host, |host| {
        format!(
            "refused a request to the name {host:?}; if it is the broker's own, behind a proxy, add {:?} to server.allowed_origins",
            format!("https://{host}")
        )
    });
}

fn tell(what: &str, say: impl FnOnce(&str) -> String) {
    let shown: String = what.chars().take(MAX_LENGTH).collect();
    let verdict = TOLD
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .judge(&shown);
    match verdict {
        Verdict::New => tracing::warn!("{}", say(&shown)),
        Verdict::Last => tracing::warn!("{}; further refusals are not logged", say(&shown)),
        Verdict::Known => {}
    }
}

/// Whether a refusal is worth a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It is.
    New,
    /// It is, and no other will be.
    Last,
    /// It is not: it was logged before, or enough was logged.
    Known,
}

/// The origins that were told of so far.
#[derive(Debug, Default)]
struct Told(HashSet<String>);

impl Told {
    fn judge(&mut self, what: &str) -> Verdict {
        if self.0.len() >= MAX_ORIGINS || self.0.contains(what) {
            return Verdict::Known;
        }
        self.0.insert(what.to_owned());
        if self.0.len() == MAX_ORIGINS {
            Verdict::Last
        } else {
            Verdict::New
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_origin_is_told_once_and_no_more_than_a_hundred() {
        let mut told = Told::default();
        assert_eq!(told.judge("https://a.example"), Verdict::New);
        assert_eq!(told.judge("https://a.example"), Verdict::Known);
        let verdicts = (1..MAX_ORIGINS).map(|number| told.judge(&format!("https://{number}")));
        let verdicts: Vec<Verdict> = verdicts.collect();
        assert_eq!(verdicts.last(), Some(&Verdict::Last));
        assert_eq!(
            verdicts.iter().filter(|v| **v == Verdict::New).count(),
            MAX_ORIGINS - 2
        );
        assert_eq!(told.judge("https://another.example"), Verdict::Known);
    }
}
