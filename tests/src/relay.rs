//! A way to a broker that can be cut and mended, and that may be long: what a client goes through when the network fails and the
//! broker lives on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// How many bytes are passed on at once.
const PIECE_BYTES: usize = 16 * 1024;
/// How many pieces may be on their way where no window is set.
const PIECES: usize = 1024;

/// Passes connections on to a broker, as long as it is whole.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    way: watch::Sender<Way>,
    door: Arc<Door>,
    accepting: JoinHandle<()>,
}

/// What becomes of new connections.
#[derive(Debug, Default)]
struct Door {
    is_closed: AtomicBool,
    /// How many were turned away.
    refused: AtomicUsize,
}

/// What becomes of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Whole,
    Cut,
}

impl Relay {
    /// A way to the address, whole at first.
    ///
    /// # Errors
    /// When no port can be listened on.
    pub async fn to(broker: SocketAddr) -> Result<Self> {
        Self::long(broker, Duration::ZERO).await
    }

    /// A way to the address on which everything takes so long in each direction.
    ///
    /// # Errors
    /// When no port can be listened on.
    pub async fn long(broker: SocketAddr, one_way: Duration) -> Result<Self> {
        Self::slow(broker, one_way, PIECES * PIECE_BYTES).await
    }

    /// A way to the address on which everything takes so long in each direction, and no more than so many bytes are on their way.
    ///
    /// # Errors
    /// When no port can be listened on.
    pub async fn slow(broker: SocketAddr, one_way: Duration, window: usize) -> Result<Self> {
        let pieces = window.div_ceil(PIECE_BYTES);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (way, watched) = watch::channel(Way::Whole);
        let door = Arc::new(Door::default());
        let at_door = Arc::clone(&door);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if at_door.is_closed.load(Ordering::Acquire) {
                    at_door.refused.fetch_add(1, Ordering::AcqRel);
                    continue;
                }
                tokio::spawn(pass(client, broker, (one_way, pieces), watched.clone()));
            }
        });
        Ok(Self {
            address,
            way,
            door,
            accepting,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base of the HTTP addresses that lead to the broker.
    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Cuts every connection, and new ones as they come.
    pub fn cut(&self) {
        self.way.send_replace(Way::Cut);
    }

    /// Turns new connections away, or no longer; those that there are go on.
    pub fn refuse_new(&self, is_closed: bool) {
        self.door.is_closed.store(is_closed, Ordering::Release);
    }

    /// How many connections were turned away.
    pub fn refused(&self) -> usize {
        self.door.refused.load(Ordering::Acquire)
    }

    /// Lets new connections through again.
    pub fn mend(&self) {
        self.way.send_replace(Way::Whole);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn pass(
    mut client: TcpStream,
    broker: SocketAddr,
    (one_way, pieces): (Duration, usize),
    mut way: watch::Receiver<Way>,
) {
    let cut = async {
        // The relay is gone when there is nobody to cut it any more.
        let _ = way.wait_for(|way| *way == Way::Cut).await;
    };
    let through = async {
        let Ok(mut server) = TcpStream::connect(broker).await else {
            return;
        };
        // How a connection ends is for client and broker to notice.
        if one_way.is_zero() {
            let _ = copy_bidirectional(&mut client, &mut server).await;
        } else {
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            let there = carry(from_client, to_server, (one_way, pieces));
            let back = carry(from_server, to_client, (one_way, pieces));
            tokio::join!(there, back);
        }
    };
    tokio::select! {
        biased;
        () = cut => {}
        () = through => {}
    }
}

/// Carries bytes in one direction, each for so long and so many pieces at a time, until either side ends it.
async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    (one_way, pieces): (Duration, usize),
) {
    let (sent, mut arriving) = mpsc::channel::<(Instant, Vec<u8>)>(pieces);
    let read = async move {
        let mut piece = vec![0; PIECE_BYTES];
        while let Ok(count @ 1..) = from.read(&mut piece).await {
            let arrival = Instant::now() + one_way;
            if sent.send((arrival, piece[..count].to_vec())).await.is_err() {
                break;
            }
        }
    };
    let write = async move {
        while let Some((arrival, piece)) = arriving.recv().await {
            sleep_until(arrival).await;
            if to.write_all(&piece).await.is_err() {
                return;
            }
        }
        let _ = to.shutdown().await;
    };
    tokio::join!(read, write);
}
