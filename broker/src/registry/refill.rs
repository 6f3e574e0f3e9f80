//! Fills the holes of channels from the history: a bounded number at once, and after failures at growing and different intervals,
//! so that the engine is not stormed when it comes back.

use std::rc::Rc;
use std::time::Duration;

use widecast_protocol::{ChannelName, Position};

use crate::engine::{Portion, retry_intervals};
use crate::log_limit::LogLimit;

use super::fanout::Next;
use super::shard::Shard;

/// How many channels of one shard are read at once.
pub(super) const REFILLS_AT_ONCE: usize = 16;

/// How much of the messages that a channel has missed is read at once.
const PORTION: Portion = Portion {
    messages: 1024,
    bytes: 4 << 20,
};

/// The shortest and the longest interval between two attempts; half of it is left to chance.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(250);
const LONGEST_INTERVAL: Duration = Duration::from_secs(15);

impl Shard {
    /// Reads the messages that a channel has missed from the history, until none is missing.
    pub(super) async fn refill(self: Rc<Self>, channel: ChannelName, mut since: Position) {
        // There is no last attempt: the subscribers wait for it.
        let mut intervals = retry_intervals(SHORTEST_INTERVAL, LONGEST_INTERVAL);
        loop {
            let replay = {
                // It is only closed when the shard is gone.
                let _turn = self.refills.acquire().await;
                if !self.channels.borrow().contains_key(&channel) {
                    return;
                }
                self.engine().replay(&channel, since, PORTION).await
            };
            let replay = match replay {
                Ok(replay) => replay,
                Err(error) => {
                    static LINE: LogLimit = LogLimit::new();
                    let interval = intervals.next().unwrap_or(LONGEST_INTERVAL);
                    if let Some(times) = LINE.due() {
                        tracing::warn!(
                            times,
                            channel.name = channel.as_str(),
                            error = &error as &dyn std::error::Error,
                            "messages are missing and the history cannot be read; trying again in {} ms",
                            interval.as_millis()
                        );
                    }
                    tokio::time::sleep(interval).await;
                    continue;
                }
            };
            let _made = self.make_past(&channel, &replay.messages).await;
            let next = match self.channels.borrow_mut().get_mut(&channel) {
                Some(fanout) => fanout.fill(&channel, (since, &replay), &self.metrics),
                None => Next::Nothing,
            };
            self.attend_to_those_behind();
            match next {
                Next::Nothing => return,
                Next::Fill(position) => since = position,
            }
        }
    }
}
