//! How long a transfer may take whose bytes come or go in pieces: there is a longest pause between two pieces, and a least
//! rate over all.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::config::TimeoutSettings;

/// How patient the broker is with a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// The longest pause.
    pub pause: Duration,
    /// The bytes a second that have to come on the average, once the first pause is used up; 0 for any.
    pub least_rate: u64,
}

impl Patience {
    /// The patience for the body of a request.
    pub fn body(timeouts: &TimeoutSettings) -> Self {
        Self::of(timeouts, timeouts.body)
    }

    /// The patience for an unfinished WebSocket message.
    pub fn message(timeouts: &TimeoutSettings) -> Self {
        Self::of(timeouts, timeouts.message)
    }

    /// The patience for a client that receives an answer.
    pub fn answer(timeouts: &TimeoutSettings) -> Self {
        Self::of(timeouts, timeouts.answer)
    }

    fn of(timeouts: &TimeoutSettings, pause: Duration) -> Self {
        Self {
            pause,
            least_rate: timeouts.least_rate.into(),
        }
    }
}

/// The deadline of a transfer. Each piece puts the deadline off by the time that the piece may take at the least rate, but
/// never beyond the longest pause: so a byte now and then does not keep a transfer open.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    deadline: Instant,
    patience: Patience,
}

impl Pace {
    /// A transfer begins now.
    pub fn begin(now: Instant, patience: Patience) -> Self {
        let deadline = now + patience.pause;
        Self { deadline, patience }
    }

    /// A piece of so many bytes has come or gone.
    pub fn progress(&mut self, now: Instant, bytes: usize) {
        if bytes == 0 {
            return;
        }
        let Patience { pause, least_rate } = self.patience;
        let longest = now + pause;
        let nanoseconds = (bytes as u64)
            .saturating_mul(1_000_000_000)
            .checked_div(least_rate);
        self.deadline = nanoseconds.map_or(longest, |nanoseconds| {
            longest.min(self.deadline + Duration::from_nanos(nanoseconds))
        });
    }

    /// When the transfer is given up.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }
}

/// A timer that is made when it is first needed, and may be asked for another time at each poll.
#[derive(Debug, Default)]
pub struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Ready once it is `at`.
    pub fn poll(&mut self, at: Instant, context: &mut Context<'_>) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if at < sleep.deadline() {
            sleep.as_mut().reset(at);
        }
        loop {
            std::task::ready!(sleep.as_mut().poll(context));
            if at <= sleep.deadline() {
                return Poll::Ready(());
            }
            // The time was put off since the timer was set; to set it only now is cheaper than to set it each time.
            sleep.as_mut().reset(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        pause: Duration::from_secs(30),
        least_rate: 1000,
    };

    #[test]
    fn a_pause_ends_it() {
        let now = Instant::now();
        let pace = Pace::begin(now, PATIENCE);
        assert_eq!(pace.deadline(), now + PATIENCE.pause);
    }

    #[test]
    fn a_byte_now_and_then_is_not_enough() {
        let begin = Instant::now();
        let mut pace = Pace::begin(begin, PATIENCE);
        let mut now = begin;
        while now < pace.deadline() {
            pace.progress(now, 1);
            now += Duration::from_secs(1);
        }
        assert!(now - begin <= Duration::from_secs(31));
    }

    #[test]
    fn the_least_rate_is_enough_for_ever_and_saves_up_no_more_than_a_pause() {
        let begin = Instant::now();
        let mut pace = Pace::begin(begin, PATIENCE);
        for second in 0..3600 {
            let now = begin + Duration::from_secs(second);
            assert!(now < pace.deadline());
            pace.progress(now, 1000);
        }
        let now = begin + Duration::from_hours(1);
        pace.progress(now, 1 << 30);
        assert_eq!(pace.deadline(), now + PATIENCE.pause);
    }

    #[test]
    fn without_a_least_rate_any_byte_puts_the_end_off() {
        let begin = Instant::now();
        let patience = Patience {
            least_rate: 0,
            ..PATIENCE
        };
        let mut pace = Pace::begin(begin, patience);
        let now = begin + Duration::from_secs(29);
        pace.progress(now, 1);
        assert_eq!(pace.deadline(), now + PATIENCE.pause);
    }

    #[tokio::test(start_paused = true)]
    async fn an_alarm_rings_at_the_newest_time() {
        let begin = Instant::now();
        let mut alarm = Alarm::default();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut ring = async |seconds| {
            std::future::poll_fn(|context| alarm.poll(at(seconds), context)).await;
            Instant::now()
        };
        assert_eq!(ring(5).await, at(5));
        assert_eq!(ring(20).await, at(20));
        let mut alarm = Alarm::default();
        std::future::poll_fn(|context| {
            assert!(alarm.poll(at(60), context).is_pending());
            alarm.poll(at(40), context)
        })
        .await;
        assert_eq!(Instant::now(), at(40));
    }
}
