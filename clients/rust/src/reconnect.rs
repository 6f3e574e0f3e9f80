//! The loop around the connections of a subscription or session.

use std::time::Duration;

use tokio::time::sleep;

use crate::backoff::Backoff;
use crate::error::Error;
use crate::event::{Disconnected, Event};
use crate::queue::{Item, Queue, ROOM_BYTES};

/// How a connection ended, or why there is none.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) error: Error,
    /// When the broker wants to see the client again.
    pub(crate) again_in: Option<Duration>,
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        let again_in = None;
        Self { error, again_in }
    }
}

/// The work that is done over connections, one after the other.
pub(crate) trait Conversation: Send + 'static {
    /// A connection over which the broker has accepted what was asked for.
    type Connection: Send;

    /// Connects, and asks for everything that is to be heard.
    fn connect(
        &mut self,
        queue: &Queue,
    ) -> impl Future<Output = Result<Self::Connection, End>> + Send;

    /// Hands on what comes until the connection ends.
    fn converse(
        &mut self,
        connection: Self::Connection,
        queue: &Queue,
    ) -> impl Future<Output = End> + Send;
}

/// Listens over this connection and those that follow it, until the broker refuses for good.
pub(crate) async fn run<C: Conversation>(
    mut conversation: C,
    mut connection: C::Connection,
    queue: Queue,
) {
    loop {
        let end = conversation.converse(connection, &queue).await;
        connection = match again(&mut conversation, &queue, end).await {
            Ok(connection) => connection,
            Err(error) => return queue.push(Item::last(error)),
        };
    }
}

/// Connects anew after an end, as often as it takes.
async fn again<C: Conversation>(
    conversation: &mut C,
    queue: &Queue,
    mut end: End,
) -> Result<C::Connection, Error> {
    let mut backoff = Backoff::default();
    loop {
        if end.error.is_final() {
            return Err(end.error);
        }
        let drawn = backoff.next(rand::random());
        // Not before a refusal says that the same can succeed.
        let at_least = end.error.retry_after().unwrap_or_default();
        let again_in = end.again_in.unwrap_or(drawn.max(at_least));
        let error = end.error;
        let disconnected = Disconnected { error, again_in };
        queue.push(Item::here(Event::Disconnected(disconnected)));
        sleep(again_in).await;
        // Waits for room in the queue, so that a reader that does not read collects no endless list of attempts.
        queue.room(ROOM_BYTES).await;
        end = match conversation.connect(queue).await {
            Ok(connection) => {
                queue.push(Item::here(Event::Reconnected));
                return Ok(connection);
            }
            Err(end) => end,
        };
    }
}
