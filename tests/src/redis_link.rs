//! The way from a broker to its Redis server, which fails as it is told to.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::redis::RedisServer;
use crate::settings::Settings;
use crate::translation::Translation;

/// What does not arrive although it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    /// Everything arrives.
    Nothing,
    /// Nothing that the server says on a connection that subscribes.
    Topics,
    /// Nothing that the server says.
    Everything,
    /// Nothing that the broker says.
    Commands,
    /// Nothing that the broker says on the connections that it has already.
    CommandsOnOldConnections,
}

/// How the name of the command ends with which a connection subscribes: `SSUBSCRIBE` in a cluster.
const SUBSCRIBE: &[u8] = b"SUBSCRIBE\r\n";

/// A way to a server. Its connections end with it.
#[derive(Debug)]
pub struct RedisLink {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    /// Where the broker finds servers of which it is told.
    host: Ipv4Addr,
    silence: watch::Sender<Silence>,
    /// How long each piece takes, either way.
    delay: watch::Sender<Duration>,
    /// The connection that is to bring the last of so many bytes is cut behind them.
    bytes_until_cut: AtomicU64,
    connections: AtomicU64,
    /// How many of them are open.
    open: watch::Sender<u64>,
    /// How many there had been when the silence began.
    old: AtomicU64,
    cuts: watch::Sender<u64>,
}

impl RedisLink {
    /// A way to the server on which everything comes.
    ///
    /// # Errors
    /// When no port can be listened on.
    pub async fn to(server: &RedisServer) -> Result<Self> {
        Self::from(Ipv4Addr::LOCALHOST, 0, server.port()).await
    }

    /// Ways to what listens on these ports, which begin at the same ports of another host: that of a broker which is to find all of it
    /// there.
    ///
    /// # Errors
    /// When a port cannot be listened on.
    pub async fn all(host: Ipv4Addr, ports: &[u16]) -> Result<Vec<Self>> {
        let mut links = Vec::new();
        for &port in ports {
            links.push(Self::from(host, port, port).await?);
        }
        Ok(links)
    }

    async fn from(host: Ipv4Addr, here: u16, port: u16) -> Result<Self> {
        let listener = TcpListener::bind((host, here)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            host,
            silence: watch::Sender::new(Silence::Nothing),
            delay: watch::Sender::new(Duration::ZERO),
            bytes_until_cut: AtomicU64::new(u64::MAX),
            connections: AtomicU64::new(0),
            open: watch::Sender::new(0),
            old: AtomicU64::new(0),
            cuts: watch::Sender::new(0),
        });
        let place = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let of_connections = Arc::clone(&shared);
        let accepting = tokio::spawn(async move {
            while let Ok((broker, _)) = listener.accept().await {
                let shared = Arc::clone(&of_connections);
                let number = shared.connections.fetch_add(1, Ordering::Relaxed);
                shared.open.send_modify(|open| *open += 1);
                tokio::spawn(async move {
                    shared.carry(broker, place, number).await;
                    shared.open.send_modify(|open| *open -= 1);
                });
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

    /// From now on this does not arrive. When it ends, everything does that was sent meanwhile, unless the connection has ended.
    pub fn silence(&self, silence: Silence) {
        self.shared.old.store(self.connections(), Ordering::Relaxed);
        self.shared.silence.send_replace(silence);
    }

    /// From now on each piece takes so long, either way.
    pub fn delay(&self, delay: Duration) {
        self.shared.delay.send_replace(delay);
    }

    /// Cuts the connection that brings the last of so many bytes behind them.
    pub fn cut_behind(&self, bytes: u64) {
        self.shared.bytes_until_cut.store(bytes, Ordering::SeqCst);
    }

    /// Cuts all connections once.
    pub fn cut(&self) {
        self.shared.cut();
    }

    /// How many connections there have been.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// How many connections are open.
    pub fn open(&self) -> u64 {
        *self.shared.open.borrow()
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

    async fn carry(&self, mut broker: TcpStream, place: SocketAddr, number: u64) {
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
                    let may_say = |silence: &Silence| match silence {
                        Silence::Commands => false,
                        Silence::CommandsOnOldConnections => {
                            number >= self.old.load(Ordering::Relaxed)
                        }
                        _ => true,
                    };
                    self.until_it_arrives(may_say).await;
                    if to_server.write_all(&piece[..count]).await.is_err() {
                        return;
                    }
                }
            };
            let down = async {
                let mut piece = vec![0; 16 * 1024];
                let mut translation = Translation::to(self.host);
                while let Ok(count @ 1..) = from_server.read(&mut piece).await {
                    if let Some(translation) = &mut translation {
                        translation.translate(&mut piece[..count]);
                    }
                    let may_tell = |silence: &Silence| match silence {
                        Silence::Topics => !*subscribes.borrow(),
                        Silence::Everything => false,
                        _ => true,
                    };
                    self.until_it_arrives(may_tell).await;
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

    /// Ready when a piece has arrived.
    async fn until_it_arrives(&self, may_arrive: impl FnMut(&Silence) -> bool) {
        let delay = *self.delay.borrow();
        if !delay.is_zero() {
            sleep(delay).await;
        }
        // The sender is in `self`.
        let _ = self.silence.subscribe().wait_for(may_arrive).await;
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
