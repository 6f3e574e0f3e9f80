//! Level-triggered epoll, as thin as it can be: the floor and the load generator are both loops around this.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;

/// How many events one call fetches at most.
const BATCH: usize = 1024;

/// The sockets a loop waits for.
#[derive(Debug)]
pub struct Poller {
    epoll: OwnedFd,
}

/// The room for what one wait finds, kept by the loop so that waiting allocates nothing after the first time.
#[derive(Default)]
pub struct Events(Vec<Event>);

impl Poller {
    /// Waits for nothing yet.
    ///
    /// # Errors
    /// When the kernel has no descriptor left.
    pub fn new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        Ok(Self { epoll })
    }

    /// Waits for `source` to become readable, or to be closed by the peer; closing `source` ends that.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn add(&self, source: impl AsFd, token: usize) -> io::Result<()> {
        let data = EventData::new_u64(token as u64);
        epoll::add(&self.epoll, source, data, EventFlags::IN)?;
        Ok(())
    }

    /// Sleeps until a source is readable or the time is over; without a time, until a source is readable.
    ///
    /// # Errors
    /// When the kernel refuses; a signal is no error.
    pub fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        events.0.clear();
        events.0.reserve(BATCH);
        let timeout = timeout.map(|time| Timespec {
            tv_sec: time.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: time.subsec_nanos().into(),
        });
        match epoll::wait(&self.epoll, spare_capacity(&mut events.0), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Events {
    /// Whether the wait found nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tokens of the readable sources, in the order they became so.
    pub fn tokens(&self) -> impl Iterator<Item = usize> + '_ {
        // Tokens were made from `usize`, so they fit one again.
        self.0
            .iter()
            .map(|event| usize::try_from(event.data.u64()).unwrap_or(usize::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_source_is_found_by_its_token_while_it_is_readable() {
        let (mut near, far) = UnixStream::pair().unwrap();
        let poller = Poller::new().unwrap();
        let mut events = Events::default();
        poller.add(&far, 7).unwrap();
        poller.wait(&mut events, Some(Duration::ZERO)).unwrap();
        assert_eq!(events.tokens().count(), 0);
        near.write_all(b"x").unwrap();
        poller.wait(&mut events, None).unwrap();
        assert_eq!(events.tokens().collect::<Vec<_>>(), [7]);
    }
}
