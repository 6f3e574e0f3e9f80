//! A network that fails: a TCP proxy between one client and the brokers, or between a broker and its Redis server, with a plan for each
//! connection. Where there are several brokers it is a load balancer, too, which now and then leads to another one.

pub mod fault;
mod pump;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use self::fault::{Cut, Ending, Journey, Weather};
use self::pump::{End, Pump};

/// How long the other direction may go on when one has ended.
const REST: Duration = Duration::from_secs(3);

/// How many of a hundred connections lead to another broker than the one before.
const MOVES: u32 = 15;

/// How each side learns that the other has reset the connection.
const BROKEN: Cut = Cut {
    client: Ending::Reset,
    broker: Ending::Reset,
};

const FINISHED: Cut = Cut {
    client: Ending::Finish,
    broker: Ending::Finish,
};

/// A proxy; it is gone with its handle, and its connections with it.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// A way to the brokers in this weather, until it is calm.
    ///
    /// # Errors
    /// When no port can be listened on.
    pub async fn to(
        brokers: Vec<SocketAddr>,
        weather: Weather,
        random: StdRng,
        calm: watch::Receiver<bool>,
    ) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let accepting = tokio::spawn(accept(listener, brokers, (weather, random), calm));
        Ok(Self { address, accepting })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base of the HTTP addresses that lead to the broker.
    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(
    listener: TcpListener,
    brokers: Vec<SocketAddr>,
    (weather, mut random): (Weather, StdRng),
    calm: watch::Receiver<bool>,
) {
    let mut at = if brokers.len() > 1 {
        random.random_range(0..brokers.len())
    } else {
        0
    };
    while let Ok((client, _)) = listener.accept().await {
        let fair = *calm.borrow();
        let weather = if fair { Weather::FAIR } else { weather };
        let journey = Journey::draw(weather, &mut random);
        if brokers.len() > 1 && random.random_range(0..100) < MOVES {
            at += 1;
        }
        let order: Vec<_> = (0..brokers.len())
            .map(|behind| brokers[(at + behind) % brokers.len()])
            .collect();
        tokio::spawn(carry(client, order, journey, calm.clone()));
    }
}

async fn carry(
    mut client: TcpStream,
    brokers: Vec<SocketAddr>,
    journey: Journey,
    mut calm: watch::Receiver<bool>,
) {
    let Some(mut broker) = connect(brokers, journey.narrow).await else {
        return;
    };
    if client.set_nodelay(true).is_err() || broker.set_nodelay(true).is_err() {
        return;
    }
    let cut = {
        let (from_client, to_client) = client.split();
        let (from_broker, to_broker) = broker.split();
        let pump = |from, to, lane| Pump {
            from,
            to,
            lane,
            delay: journey.delay,
            narrow: journey.narrow,
            calm: calm.clone(),
        };
        let up = pump(from_client, to_broker, journey.up);
        let down = pump(from_broker, to_client, journey.down);
        tokio::select! {
            cut = both(up, down) => cut,
            cut = at_the_latest(journey.lifetime, calm.clone()) => cut,
        }
    };
    let mut calm_too = calm.clone();
    tokio::join!(
        end(client, cut.client, &mut calm),
        end(broker, cut.broker, &mut calm_too)
    );
}

/// Connects to the first broker that is there.
async fn connect(brokers: Vec<SocketAddr>, narrow: bool) -> Option<TcpStream> {
    for broker in brokers {
        let socket = TcpSocket::new_v4().ok()?;
        if narrow {
            socket.set_recv_buffer_size(4096).ok()?;
        }
        if let Ok(stream) = socket.connect(broker).await {
            return Some(stream);
        }
    }
    None
}

/// Carries both directions; gives how the connection ends.
async fn both(up: Pump<'_>, down: Pump<'_>) -> Cut {
    let (up, down) = (up.run(), down.run());
    tokio::pin!(up, down);
    let last = tokio::select! {
        end = &mut up => match end {
            End::Finished => timeout(REST, down).await,
            other => Ok(other),
        },
        end = &mut down => match end {
            End::Finished => timeout(REST, up).await,
            other => Ok(other),
        },
    };
    match last.unwrap_or(End::Finished) {
        End::Finished => FINISHED,
        End::Broken => BROKEN,
        End::Cut(cut) => cut,
    }
}

async fn at_the_latest(lifetime: Option<(Duration, Cut)>, mut calm: watch::Receiver<bool>) -> Cut {
    if let Some((lifetime, cut)) = lifetime {
        tokio::select! {
            biased;
            _ = calm.wait_for(|calm| *calm) => {}
            () = sleep(lifetime) => return cut,
        }
    }
    std::future::pending().await
}

/// Ends one side's connection.
async fn end(stream: TcpStream, ending: Ending, calm: &mut watch::Receiver<bool>) {
    if let Ending::Late(after) = ending {
        tokio::select! {
            () = sleep(after) => {}
            _ = calm.wait_for(|calm| *calm) => {}
        }
    }
    if ending != Ending::Finish {
        // When this fails the connection is gone already.
        let _ = stream.set_zero_linger();
    }
}
