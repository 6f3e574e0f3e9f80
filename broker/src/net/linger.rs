//! The staged close of [RFC 9112, section 9.6](https://www.rfc-editor.org/rfc/rfc9112#section-9.6).
//!
//! A socket that is closed while bytes are unread is reset. A client that still sends then loses the answer that says why it
//! should stop: it sees a broken pipe instead of a 413. So after the answer only our direction is ended, and the bytes that
//! come are thrown away for as long as the client needs to notice.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::connection::Connection;

/// How long a client may go on sending, and how long it may pause: the same times as in nginx (`lingering_time`,
/// `lingering_timeout`).
const TIME: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_secs(5);

/// How many bytes are thrown away at the most. Many clients read the answer only when they have sent everything.
const BYTES: usize = 256 << 20;

/// How many bytes are thrown away before other connections have their turn.
const BYTES_PER_TURN: usize = 1 << 20;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; 64 << 10]);
}

impl Connection {
    /// Reads the bytes that are there, without waiting, and throws them away. Returns how many there were.
    pub(super) fn discard(&self) -> io::Result<usize> {
        SCRATCH.with_borrow_mut(|scratch| self.try_read(scratch))
    }
}

/// Throws away the bytes that come, until the client ends its direction, too, or has used up its time or bytes.
pub(super) async fn linger(connection: Rc<Connection>) {
    let end = Instant::now() + TIME;
    let (mut left, mut turn) = (BYTES, 0);
    while left > 0 {
        match connection.discard() {
            Ok(0) => return,
            Ok(count) => {
                left = left.saturating_sub(count);
                turn += count;
                if turn >= BYTES_PER_TURN {
                    turn = 0;
                    tokio::task::yield_now().await;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let pause = end.min(Instant::now() + PAUSE);
                let readable = std::future::poll_fn(|context| connection.poll_readable(context));
                if !matches!(timeout_at(pause, readable).await, Ok(Ok(()))) {
                    return;
                }
            }
            Err(_) => return,
        }
        if Instant::now() >= end {
            return;
        }
    }
}
