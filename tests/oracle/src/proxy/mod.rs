//! A network that fails: a TCP proxy between one client and the brokers, or between a broker and one of its Redis servers, with a plan
//! for each connection. Where there are several brokers it is a load balancer, too, which now and then leads to another one.

pub mod fault;
mod pump;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Result;
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use widecast_tests::translation::Translation;

use self::fault::{Cut, Ending, Journey, Outage, Weather};
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
    outage: watch::Sender<Option<Outage>>,
    accepting: JoinHandle<()>,
}

/// What all connections through a proxy have in common.
#[derive(Clone)]
struct Network {
    weather: Weather,
    outage: watch::Receiver<Option<Outage>>,
    /// Becomes true when there are to be no more faults.
    calm: watch::Receiver<bool>,
    /// Where those who come this way find the servers of which they are told.
    host: Ipv4Addr,
}

impl Proxy {
    /// A client's way to the brokers in this weather, until it is calm.
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
        Self::listen(listener, brokers, random, |outage| Network {
            weather,
            outage,
            calm,
            host: Ipv4Addr::LOCALHOST,
        })
    }

    /// A broker's way to the server on this port of the local host, in this weather, until it is calm: it begins at the same port of
    /// another host.
    ///
    /// # Errors
    /// When the port cannot be listened on there.
    pub async fn before(
        port: u16,
        host: Ipv4Addr,
        weather: Weather,
        random: StdRng,
        calm: watch::Receiver<bool>,
    ) -> Result<Self> {
        let listener = TcpListener::bind((host, port)).await?;
        let place = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self::listen(listener, vec![place], random, |outage| Network {
            weather,
            outage,
            calm,
            host,
        })
    }

    fn listen(
        listener: TcpListener,
        places: Vec<SocketAddr>,
        random: StdRng,
        network: impl FnOnce(watch::Receiver<Option<Outage>>) -> Network,
    ) -> Result<Self> {
        let address = listener.local_addr()?;
        let (outage, suffered) = watch::channel(None);
        let accepting = tokio::spawn(accept(listener, places, random, network(suffered)));
        Ok(Self {
            address,
            outage,
            accepting,
        })
    }

    /// The base of the HTTP addresses that lead to the broker.
    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Something does not arrive from a time on, for a while. Then everything does that was sent meanwhile.
    pub fn suffer(&self, outage: Outage, from: Instant, pause: Duration) {
        let suffering = self.outage.clone();
        tokio::spawn(async move {
            sleep_until(from).await;
            suffering.send_replace(Some(outage));
            sleep(pause).await;
            suffering.send_replace(None);
        });
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
    mut random: StdRng,
    network: Network,
) {
    let mut at = if brokers.len() > 1 {
        random.random_range(0..brokers.len())
    } else {
        0
    };
    while let Ok((client, _)) = listener.accept().await {
        let fair = *network.calm.borrow();
        let weather = if fair { Weather::FAIR } else { network.weather };
        let journey = Journey::draw(weather, &mut random);
        if brokers.len() > 1 && random.random_range(0..100) < MOVES {
            at += 1;
        }
        let order: Vec<_> = (0..brokers.len())
            .map(|behind| brokers[(at + behind) % brokers.len()])
            .collect();
        tokio::spawn(carry(client, order, journey, network.clone()));
    }
}

async fn carry(
    mut client: TcpStream,
    brokers: Vec<SocketAddr>,
    journey: Journey,
    mut network: Network,
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
        let pump = |from, to, lane, stops: fn(Outage) -> bool| Pump {
            from,
            to,
            lane,
            delay: journey.delay,
            narrow: journey.narrow,
            outage: network.outage.clone(),
            stops,
            calm: network.calm.clone(),
            translation: None,
        };
        let up = pump(from_client, to_broker, journey.up, Outage::stops_up);
        let mut down = pump(from_broker, to_client, journey.down, Outage::stops_down);
        down.translation = Translation::to(network.host);
        tokio::select! {
            cut = both(up, down) => cut,
            cut = at_the_latest(journey.lifetime, network.calm.clone()) => cut,
        }
    };
    let mut calm_too = network.calm.clone();
    tokio::join!(
        end(client, cut.client, &mut network.calm),
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::seed::generator;

    async fn read(stream: &mut TcpStream) -> String {
        let mut text = [0; 64];
        let count = stream.read(&mut text).await.unwrap();
        String::from_utf8_lossy(&text[..count]).into_owned()
    }

    #[tokio::test]
    async fn what_does_not_arrive_in_an_outage_arrives_afterwards() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = server.local_addr().unwrap().port();
        let calm = watch::Sender::new(false);
        let host = Ipv4Addr::new(127, 0, 0, 9);
        let random = generator(1, "proxy");
        let proxy = Proxy::before(port, host, Weather::FAIR, random, calm.subscribe());
        let proxy = proxy.await.unwrap();
        proxy.outage.send_replace(Some(Outage::Down));
        let mut broker = TcpStream::connect((host, port)).await.unwrap();
        let (mut connection, _) = server.accept().await.unwrap();
        broker.write_all(b"where?").await.unwrap();
        assert_eq!(read(&mut connection).await, "where?");
        connection.write_all(b"127.0.0.1").await.unwrap();
        let early = timeout(Duration::from_millis(50), read(&mut broker)).await;
        assert!(early.is_err(), "{early:?}");
        proxy.suffer(Outage::Up, Instant::now(), Duration::from_hours(1));
        assert_eq!(read(&mut broker).await, "127.0.0.9");
        broker.write_all(b"thanks").await.unwrap();
        calm.send_replace(true);
        assert_eq!(read(&mut connection).await, "thanks");
    }
}
