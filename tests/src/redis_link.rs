//! The way from a broker to its Redis server, which fails as it is told to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::redis::RedisServer;
use crate::settings::Settings;

/// What a broker is not told by its server although its commands arrive there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    /// Everything comes.
    Nothing,
    /// Nothing comes on a connection that subscribes.
    Topics,
    /// Nothing comes at all.
    Everything,
}

/// How the command begins with which a connection subscribes.
const SUBSCRIBE: &[u8] = b"$9\r\nSUBSCRIBE\r\n";

/// A way to a server. Its connections end with it.
#[derive(Debug)]
pub struct RedisLink {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    silence: watch::Sender<Silence>,
    /// The connection that is to bring the last of so many bytes is cut behind them.
    bytes_until_cut: AtomicU64,
    cuts: watch::Sender<u64>,
}

impl RedisLink {
    /// A way to the server on which everything comes.
    ///
    /// # Errors
    /// When no port can be listened on.
    pub async fn to(server: &RedisServer) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            silence: watch::Sender::new(Silence::Nothing),
            bytes_until_cut: AtomicU64::new(u64::MAX),
            cuts: watch::Sender::new(0),
        });
        let place = SocketAddr::from(([127, 0, 0, 1], server.port()));
        let of_connections = Arc::clone(&shared);
        let accepting = tokio::spawn(async move {
            while let Ok((broker, _)) = listener.accept().await {
                let shared = Arc::clone(&of_connections);
                tokio::spawn(async move { shared.carry(broker, place).await });
            }
        });
        Ok(Self {
            address,
            shared,
            accepting,
        })
    }

    /// Settings of a broker that reaches its server by this way.
    pub fn settings(&self) -> Settings {
        Settings::new().key("engine.default.kind", "\"redis\"").key(
            "engine.default.url",
            format!("\"redis://{}\"", self.address),
        )
    }

    /// From now on the broker is not told this. What comes meanwhile is told when it ends, unless the connection has ended.
    pub fn silence(&self, silence: Silence) {
        self.shared.silence.send_replace(silence);
    }

    /// Cuts the connection that brings the last of so many bytes behind them.
    pub fn cut_behind(&self, bytes: u64) {
        self.shared.bytes_until_cut.store(bytes, Ordering::SeqCst);
    }

    /// Cuts all connections once.
    pub fn cut(&self) {
        self.shared.cut();
    }

    /// How often connections were cut.
    pub fn cuts(&self) -> u64 {
        *self.shared.cuts.borrow()
    }
}

impl Drop for RedisLink {
    fn drop(&mut self) {
        self.accepting.abort();
        self.shared.cut();
    }
}

fn subscribes_in(piece: &[u8]) -> bool {
    let mut places = piece.windows(SUBSCRIBE.len());
    places.any(|place| place.eq_ignore_ascii_case(SUBSCRIBE))
}

impl Shared {
    fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    async fn carry(&self, mut broker: TcpStream, place: SocketAddr) {
        let mut cuts = self.cuts.subscribe();
        let carrying = async {
            let Ok(mut server) = TcpStream::connect(place).await else {
                return;
            };
            let _ = (broker.set_nodelay(true), server.set_nodelay(true));
            let (mut from_broker, mut to_broker) = broker.split();
            let (mut from_server, mut to_server) = server.split();
            let subscribes = watch::Sender::new(false);
            let up = async {
                let mut piece = vec![0; 16 * 1024];
                while let Ok(count @ 1..) = from_broker.read(&mut piece).await {
                    if subscribes_in(&piece[..count]) {
                        subscribes.send_replace(true);
                    }
                    if to_server.write_all(&piece[..count]).await.is_err() {
                        return;
                    }
                }
            };
            let down = async {
                let mut piece = vec![0; 16 * 1024];
                while let Ok(count @ 1..) = from_server.read(&mut piece).await {
                    self.until_told(&subscribes).await;
                    let left = self.passes(count as u64);
                    let passing = &piece[..left.min(count)];
                    if to_broker.write_all(passing).await.is_err() {
                        return;
                    }
                    if left < count {
                        self.cut();
                        return;
                    }
                }
            };
            tokio::select! {
                () = up => {}
                () = down => {}
            }
        };
        tokio::select! {
            biased;
            _ = cuts.changed() => {}
            () = carrying => {}
        }
    }

    /// Ready when this connection may bring something.
    async fn until_told(&self, subscribes: &watch::Sender<bool>) {
        let mut silence = self.silence.subscribe();
        let may_tell = |silence: &Silence| match silence {
            Silence::Nothing => true,
            Silence::Topics => !*subscribes.borrow(),
            Silence::Everything => false,
        };
        // The sender is in `self`.
        let _ = silence.wait_for(may_tell).await;
    }

    /// So many bytes come: how many of them pass before the cut.
    fn passes(&self, count: u64) -> usize {
        let pass = |left: u64| match left {
            u64::MAX => None,
            left if left < count => Some(u64::MAX),
            left => Some(left - count),
        };
        let budget = &self.bytes_until_cut;
        match budget.fetch_update(Ordering::SeqCst, Ordering::SeqCst, pass) {
            Ok(left) => usize::try_from(left).unwrap_or(usize::MAX),
            Err(_) => usize::MAX,
        }
    }
}
