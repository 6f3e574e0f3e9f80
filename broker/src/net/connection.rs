//! One TCP connection, shared by the HTTP dispatcher and, once detached, the session that writes to it.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::connection_io::{Dispatch, Terms};
use super::refusal::RequestRefusal;
use crate::limits::{Held, Share, Shares};
use crate::metrics::Slowness;

/// The number of open connections, and the limit for it.
#[derive(Debug, Clone)]
pub struct Connections {
    counts: Arc<Counts>,
    limit: usize,
    metrics: crate::metrics::Connections,
}

#[derive(Debug, Default)]
struct Counts {
    open: AtomicUsize,
    /// Those of them that were accepted before the broker began to take leave.
    awaited: AtomicUsize,
    is_leaving: AtomicBool,
}

impl Connections {
    /// A count that starts at zero.
    pub fn new(limit: usize, metrics: crate::metrics::Connections) -> Self {
        Self {
            counts: Arc::default(),
            limit,
            metrics,
        }
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.counts.open.load(Ordering::Relaxed)
    }

    /// From now on each answer is the last of its connection, and who connects is not waited for.
    pub fn leave(&self) {
        self.counts.is_leaving.store(true, Ordering::Release);
    }

    /// Whether the broker takes leave of its clients.
    pub(super) fn is_leaving(&self) -> bool {
        self.counts.is_leaving.load(Ordering::Acquire)
    }

    /// How many connections are open that were accepted before [`Self::leave`].
    pub fn awaited(&self) -> usize {
        self.counts.awaited.load(Ordering::Relaxed)
    }

    /// The client of a connection that is not counted yet was waited for in vain.
    pub(super) fn gave_up(&self, slowness: Slowness) {
        self.metrics.gave_up(slowness);
    }

    /// Counts one more, unless the limit is reached.
    fn enter(&self) -> Option<ConnectionPlace> {
        let counts = &self.counts;
        if counts.open.fetch_add(1, Ordering::Relaxed) >= self.limit {
            counts.open.fetch_sub(1, Ordering::Relaxed);
            self.metrics.refused();
            return None;
        }
        self.metrics.accepted.inc();
        self.metrics.open.inc();
        let is_awaited = !self.is_leaving();
        if is_awaited {
            counts.awaited.fetch_add(1, Ordering::Relaxed);
        }
        Some(ConnectionPlace {
            counts: Arc::clone(counts),
            metrics: self.metrics.clone(),
            is_awaited,
        })
    }
}

/// One connection that is counted until this is dropped.
struct ConnectionPlace {
    counts: Arc<Counts>,
    metrics: crate::metrics::Connections,
    is_awaited: bool,
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        self.counts.open.fetch_sub(1, Ordering::Relaxed);
        if self.is_awaited {
            self.counts.awaited.fetch_sub(1, Ordering::Relaxed);
        }
        self.metrics.open.dec();
    }
}

/// The part of the broker that reads and writes the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// The dispatcher.
    Dispatcher,
    /// The dispatcher still writes the head of its answer, but reads nothing more.
    Leaving,
    /// A session: the dispatcher sees the end of the stream and writes into nothing.
    Session,
}

/// How the other end has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HangUp {
    /// It sends nothing more, but may still read.
    Ended,
    /// It neither sends nor reads.
    Gone,
}

/// A TCP connection.
pub struct Connection {
    pub(super) stream: TcpStream,
    peer: SocketAddr,
    owner: Cell<Owner>,
    /// What the dispatcher needs of the connection, until it is a session's.
    pub(super) dispatch: RefCell<Option<Box<Dispatch>>>,
    /// Set when the dispatcher has handed all its bytes to the kernel while leaving.
    head_written: Cell<bool>,
    /// The task that waits for `head_written`.
    leaving: RefCell<Option<Waker>>,
    place: ConnectionPlace,
    /// The share of the client at the other end; none if a proxy is there, which asks for many.
    share: Option<Share>,
    /// The connection's part in the share of its address.
    _part: Held,
}

impl Connection {
    /// Takes an accepted socket, unless there are as many connections as there may be, of all clients or of those at its
    /// address.
    ///
    /// # Errors
    /// Gives the socket back, with the refusal for its client if the client is still there.
    pub(super) fn accept(
        stream: TcpStream,
        peer: SocketAddr,
        connections: &Connections,
        shares: &Shares,
        terms: Terms,
    ) -> Result<Rc<Self>, (TcpStream, RequestRefusal)> {
        let share = shares.of_peer(peer.ip());
        let part = match share.connect() {
            Ok(part) => part,
            Err(exceeded) => return Err((stream, RequestRefusal::Share(exceeded))),
        };
        let Some(place) = connections.enter() else {
            return Err((stream, RequestRefusal::TooManyConnections));
        };
        Ok(Rc::new(Self {
            stream,
            peer,
            owner: Cell::new(Owner::Dispatcher),
            dispatch: RefCell::new(Some(Box::new(Dispatch::new(terms)))),
            head_written: Cell::new(false),
            leaving: RefCell::new(None),
            place,
            share: (!shares.trusts(peer.ip())).then_some(share),
            _part: part,
        }))
    }

    /// The address of the other end, or of the client for whom a proxy has passed the connection on.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The client was waited for in vain.
    pub(super) fn gave_up(&self, slowness: Slowness) {
        self.place.metrics.gave_up(slowness);
    }

    /// The share in which all requests of the connection count; none if each may be from another client, because a trusted proxy is at
    /// the other end.
    pub fn share(&self) -> Option<&Share> {
        self.share.as_ref()
    }

    /// The local address of the connection.
    ///
    /// # Errors
    /// When the socket is already gone.
    pub fn local(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    /// Reads what is there, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.try_read(buffer)
    }

    /// Becomes ready when something can be read, or the other end has closed. Only the newest caller is woken.
    pub fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_read_ready(context)
    }

    /// Writes what the kernel takes, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when the kernel takes nothing.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.try_write(bytes)
    }

    /// Writes what the kernel takes of several buffers, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when the kernel takes nothing.
    pub fn try_write_vectored(&self, buffers: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.stream.try_write_vectored(buffers)
    }

    /// Waits until the kernel takes bytes again.
    ///
    /// # Errors
    /// When the socket has failed.
    pub async fn writable(&self) -> io::Result<()> {
        self.stream.writable().await
    }

    /// Ends our direction behind the bytes that the kernel already has; the other end can still send.
    pub fn finish_writing(&self) {
        let _ = SockRef::from(&self.stream).shutdown(std::net::Shutdown::Write);
    }

    /// Drops the connection with a reset, so that the kernel throws away what a client that does not read was sent.
    pub fn reset(&self) {
        let socket = SockRef::from(&self.stream);
        let _ = socket.set_linger(Some(Duration::ZERO));
        let _ = socket.shutdown(std::net::Shutdown::Both);
    }

    /// Bounds how long sent bytes may stay unacknowledged before the kernel gives the connection up: how a dead peer of a
    /// one-way stream is noticed (RFC 5482).
    pub fn limit_unacknowledged(&self, time: Duration) {
        #[cfg(target_os = "linux")]
        let _ = SockRef::from(&self.stream).set_tcp_user_timeout(Some(time));
        #[cfg(not(target_os = "linux"))]
        let _ = time;
    }

    /// The part of the broker that reads and writes.
    pub(super) fn owner(&self) -> Owner {
        self.owner.get()
    }

    /// Whether its next answer is its last: the broker takes leave of its clients, or the head of the request was long.
    pub(super) fn has_last_answer(&self) -> bool {
        self.place.counts.is_leaving.load(Ordering::Acquire) || self.has_long_head()
    }

    /// Whether the other end has ended its direction, although something may be left to read, or the connection is gone.
    pub(super) fn is_hung_up(&self) -> Option<HangUp> {
        let ready = self.stream.ready(Interest::READABLE | Interest::ERROR);
        let ready = ready.now_or_never()?.ok()?;
        if ready.is_error() || ready.is_write_closed() {
            Some(HangUp::Gone)
        } else {
            ready.is_read_closed().then_some(HangUp::Ended)
        }
    }

    /// Whether the dispatcher still has the whole connection.
    pub(super) fn is_attached(&self) -> bool {
        self.owner.get() == Owner::Dispatcher
    }

    /// The dispatcher reads nothing more from now on.
    pub(super) fn begin_leaving(&self) {
        self.owner.set(Owner::Leaving);
        self.head_written.set(false);
    }

    /// Ready once the kernel has the head that the dispatcher wrote. Then the session owns the socket; it is given the bytes
    /// that came behind the request.
    pub(super) fn poll_left(&self, context: &mut Context<'_>) -> Poll<Bytes> {
        if self.head_written.get() {
            self.owner.set(Owner::Session);
            let dispatch = self.dispatch.take();
            let early = dispatch.map_or_else(Bytes::new, |dispatch| dispatch.into_early());
            return Poll::Ready(early);
        }
        *self.leaving.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    }

    /// The dispatcher has handed all its bytes to the kernel.
    pub(super) fn flushed(&self) {
        if self.owner.get() == Owner::Leaving
            && !self.head_written.replace(true)
            && let Some(waker) = self.leaving.borrow_mut().take()
        {
            waker.wake();
        }
    }
}
