//! A network that fails: a TCP proxy between one client and the broker, with a plan for each connection.

pub mod fault;
mod pump;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use rand::rngs::StdRng;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use self::fault::{Cut, Ending, Journey, Weather};
use self::pump::{End, Pump};

/// How long the other direction may go on when one has ended.
const REST: Duration = Duration::from_secs(3);

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
    /// A way to the broker in this weather, until it is calm.
    ///
    /// # Errors
    /// When no port can be listened on.
    pub async fn to(
        broker: SocketAddr,
        weather: Weather,
        random: StdRng,
        calm: watch::Receiver<bool>,
    ) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let accepting = tokio::spawn(accept(listener, broker, (weather, random), calm));
        Ok(Self { address, accepting })
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
    broker: SocketAddr,
    (weather, mut random): (Weather, StdRng),
    calm: watch::Receiver<bool>,
) {
    while let Ok((client, _)) = listener.accept().await {
        let fair = *calm.borrow();
        let weather = if fair { Weather::FAIR } else { weather };
        let journey = Journey::draw(weather, &mut random);
        tokio::spawn(carry(client, broker, journey, calm.clone()));
    }
}

async fn carry(
    mut client: TcpStream,
    broker: SocketAddr,
    journey: Journey,
    mut calm: watch::Receiver<bool>,
) {
    let Ok(mut broker) = connect(broker, journey.narrow).await else {
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

async fn connect(broker: SocketAddr, narrow: bool) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if narrow {
        socket.set_recv_buffer_size(4096)?;
    }
    Ok(socket.connect(broker).await?)
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
