//! What the server's clock shows at a moment of this node, and the other way round.
//!
//! Nodes tell one another moments by the clock that all of them can read, the server's: what their own clocks show does not matter. It is
//! read when a connection begins and with every heartbeat. Nobody knows when exactly within a reading the server has looked at its clock,
//! so that a moment that is told and read again may come out later than it was, by as long as the two readings took, but not earlier.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis::RedisResult;

use super::connection::Server;

/// A reading that took longer than the one before takes its place when that is older than this. The server's clock may have been set
/// meanwhile.
const RENEW_AFTER: Duration = Duration::from_secs(10);

/// The server's clock, as it was read.
#[derive(Debug, Default)]
pub(super) struct ServerClock(Mutex<Option<Reading>>);

#[derive(Debug, Clone, Copy)]
struct Reading {
    /// The server has looked at its clock between these two.
    from: Instant,
    till: Instant,
    /// What it showed: the time since 1970.
    shown: Duration,
}

impl Reading {
    fn took(&self) -> Duration {
        self.till - self.from
    }
}

impl ServerClock {
    /// Reads the clock of the server of a new connection.
    pub(super) async fn begin(&self, server: &Server) -> RedisResult<()> {
        let reading = read(server).await?;
        *self.reading() = Some(reading);
        Ok(())
    }

    /// Reads it again.
    pub(super) async fn read(&self, server: &Server) -> RedisResult<()> {
        self.note(read(server).await?);
        Ok(())
    }

    fn note(&self, reading: Reading) {
        let mut known = self.reading();
        let is_better = known.is_none_or(|known| {
            reading.took() <= known.took() || reading.till - known.till > RENEW_AFTER
        });
        if is_better {
            *known = Some(reading);
        }
    }

    /// What the server's clock shows at a moment, in microseconds since 1970; nothing before it was read.
    pub(super) fn at(&self, moment: Instant) -> Option<u64> {
        let Reading { from, shown, .. } = (*self.reading())?;
        let shown = match moment.checked_duration_since(from) {
            Some(later) => shown + later,
            None => shown.saturating_sub(from - moment),
        };
        u64::try_from(shown.as_micros()).ok()
    }

    /// The moment at which the server's clock has shown so many microseconds since 1970. It is not in the future.
    pub(super) fn moment(&self, micros: u64) -> Option<Instant> {
        let Reading { till, shown, .. } = (*self.reading())?;
        let asked = Duration::from_micros(micros);
        let moment = match asked.checked_sub(shown) {
            Some(later) => till.checked_add(later),
            None => till.checked_sub(shown.saturating_sub(asked)),
        };
        Some(moment?.min(Instant::now()))
    }

    fn reading(&self) -> MutexGuard<'_, Option<Reading>> {
        // No code that can panic runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read(server: &Server) -> RedisResult<Reading> {
    let from = Instant::now();
    let (seconds, micros): (u64, u64) = server.ask(&redis::cmd("TIME")).await?;
    Ok(Reading {
        from,
        till: Instant::now(),
        shown: Duration::from_secs(seconds) + Duration::from_micros(micros),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn reading(from: Instant, took: Duration, shown: Duration) -> Reading {
        Reading {
            from,
            till: from + took,
            shown,
        }
    }

    /// The clock of a node that has read it once.
    fn clock(from: Instant, took: Duration, shown: Duration) -> ServerClock {
        let clock = ServerClock::default();
        clock.note(reading(from, took, shown));
        clock
    }

    #[test]
    fn a_moment_that_is_told_is_not_earlier_for_who_reads_it_and_later_by_no_more_than_reading_took()
     {
        let begin = Instant::now().checked_sub(HOUR).unwrap();
        let at = |milliseconds| Duration::from_millis(milliseconds);
        // The server's clock showed an hour at `begin`; each node has read it at another time, and knows not when exactly.
        for looked in [0, 5, 10] {
            let teller = clock(begin, at(10), HOUR + at(looked));
            let reader = clock(begin + at(700), at(20), HOUR + at(700 + 2 * looked));
            for given in [0, 3, 500, 900] {
                let given = begin + at(given);
                let told = teller.at(given).unwrap();
                let read = reader.moment(told).unwrap();
                assert!(read >= given);
                assert!(read <= given + at(30));
            }
        }
    }

    #[test]
    fn no_moment_is_in_the_future_and_none_is_known_before_the_clock_was_read() {
        let clock = ServerClock::default();
        assert_eq!(clock.at(Instant::now()), None);
        assert_eq!(clock.moment(1), None);
        clock.note(reading(Instant::now(), Duration::ZERO, HOUR));
        let tomorrow = u64::try_from((24 * HOUR).as_micros()).unwrap();
        assert!(clock.moment(tomorrow).unwrap() <= Instant::now());
        assert!(clock.moment(0).unwrap() < Instant::now());
    }

    #[test]
    fn the_shorter_reading_counts_until_it_is_old() {
        let begin = Instant::now();
        let clock = clock(begin, Duration::from_millis(1), HOUR);
        let shown = || clock.at(begin).unwrap();
        let before = shown();
        let slow = Duration::from_secs(2);
        clock.note(reading(begin + slow, slow, 2 * HOUR));
        assert_eq!(shown(), before);
        clock.note(reading(begin + RENEW_AFTER, slow, 2 * HOUR));
        assert!(shown() > before);
    }
}
