//! One direction of a connection through the proxy: bytes, each after its delay, until a fault or the end.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};
use widecast_tests::translation::Translation;

use super::fault::{Cut, Fault, Lane, Outage};

/// How many pieces are under way at once, and of a narrow connection.
const PIECES: usize = 16;
const NARROW_PIECES: usize = 1;

/// How one direction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The sender has ended it.
    Finished,
    /// A side has reset the connection.
    Broken,
    /// The proxy cuts the connection.
    Cut(Cut),
}

/// A direction.
pub(super) struct Pump<'a> {
    pub(super) from: ReadHalf<'a>,
    pub(super) to: WriteHalf<'a>,
    pub(super) lane: Lane,
    pub(super) delay: Duration,
    /// Whether it holds as little as it can.
    pub(super) narrow: bool,
    /// What does not arrive for a while, on whatever connection.
    pub(super) outage: watch::Receiver<Option<Outage>>,
    /// Whether this direction is concerned.
    pub(super) stops: fn(Outage) -> bool,
    /// Becomes true when there are to be no more faults.
    pub(super) calm: watch::Receiver<bool>,
    /// What is put in the place of hosts.
    pub(super) translation: Option<Translation>,
}

impl Pump<'_> {
    /// Carries bytes until the end.
    pub(super) async fn run(self) -> End {
        let Self {
            mut from,
            to,
            lane,
            delay,
            narrow,
            outage,
            stops,
            calm,
            mut translation,
        } = self;
        let pieces = if narrow { NARROW_PIECES } else { PIECES };
        let (sender, receiver) = mpsc::channel(pieces);
        let mut writer = Writer {
            to,
            lane,
            outage,
            stops,
            calm,
            position: 0,
            closed: false,
        };
        let reading = async move {
            let mut buffer = [0; 4096];
            loop {
                match from.read(&mut buffer).await {
                    Ok(0) => return End::Finished,
                    Err(_) => return End::Broken,
                    Ok(length) => {
                        if let Some(translation) = &mut translation {
                            translation.translate(&mut buffer[..length]);
                        }
                        let piece = Bytes::copy_from_slice(&buffer[..length]);
                        if sender.send((Instant::now() + delay, piece)).await.is_err() {
                            return End::Broken;
                        }
                    }
                }
            }
        };
        tokio::pin!(reading);
        let writing = writer.write_all(receiver);
        tokio::pin!(writing);
        let read = tokio::select! {
            end = &mut reading => end,
            end = &mut writing => return end.unwrap_or(End::Broken),
        };
        // What is still under way arrives before the end does.
        writing.await.unwrap_or(read)
    }
}

struct Writer<'a> {
    to: WriteHalf<'a>,
    lane: Lane,
    outage: watch::Receiver<Option<Outage>>,
    stops: fn(Outage) -> bool,
    calm: watch::Receiver<bool>,
    position: u64,
    closed: bool,
}

impl Writer<'_> {
    /// Writes what comes; gives the end that it makes itself, if any.
    async fn write_all(&mut self, mut pieces: mpsc::Receiver<(Instant, Bytes)>) -> Option<End> {
        while let Some((at, piece)) = pieces.recv().await {
            sleep_until(at).await;
            if let Some(end) = self.write(piece).await {
                return Some(end);
            }
        }
        self.until_something_arrives().await;
        // Whether the other side is still there to learn of it does not matter.
        let _ = self.to.shutdown().await;
        None
    }

    async fn write(&mut self, mut piece: Bytes) -> Option<End> {
        while !piece.is_empty() {
            self.until_something_arrives().await;
            if let Some(cut) = self.faults().await {
                return Some(End::Cut(cut));
            }
            let (length, pause) = self.portion(piece.len());
            let portion = piece.split_to(length);
            self.position += length as u64;
            if !self.closed && self.to.write_all(&portion).await.is_err() {
                return Some(End::Broken);
            }
            if let Some(pause) = pause {
                self.pause(pause).await;
            }
        }
        None
    }

    /// Waits for the end of an outage, if there is one, but no longer than until all is to be calm.
    async fn until_something_arrives(&mut self) {
        let stops = self.stops;
        tokio::select! {
            biased;
            _ = self.outage.wait_for(|outage| !outage.is_some_and(stops)) => {}
            _ = self.calm.wait_for(|calm| *calm) => {}
        }
    }

    /// Lets everything happen that is due at this place.
    async fn faults(&mut self) -> Option<Cut> {
        while let Some(&(at, fault)) = self.lane.faults.front()
            && at <= self.position
            && !*self.calm.borrow()
        {
            self.lane.faults.pop_front();
            match fault {
                Fault::Stall(duration) => self.pause(duration).await,
                Fault::Cut(cut) => return Some(cut),
                Fault::HalfClose => {
                    self.closed = true;
                    let _ = self.to.shutdown().await;
                }
            }
        }
        None
    }

    /// How much is written next, and how long the pause behind it is.
    fn portion(&self, waiting: usize) -> (usize, Option<Duration>) {
        if *self.calm.borrow() {
            return (waiting, None);
        }
        let next = self.lane.faults.front().map(|&(at, _)| at - self.position);
        let upto_fault = next.and_then(|next| usize::try_from(next).ok());
        let most = waiting.min(upto_fault.unwrap_or(waiting)).max(1);
        if self.position < self.lane.single {
            return (1, None);
        }
        match self.lane.pace {
            Some((bytes, pause)) => (most.min(bytes), Some(pause)),
            None => (most, None),
        }
    }

    /// Waits, but no longer than until all is to be calm.
    async fn pause(&mut self, duration: Duration) {
        tokio::select! {
            () = sleep(duration) => {}
            _ = self.calm.wait_for(|calm| *calm) => {}
        }
    }
}
