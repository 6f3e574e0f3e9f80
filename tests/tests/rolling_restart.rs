//! Three brokers with one Redis server are replaced one after the other, under load. Nobody notices more than a change of the
//! broker: every acknowledged message is heard once by everybody, in one order, without a gap.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures_util::future::try_join_all;
use tokio::sync::RwLock;
use widecast_tests::broker::{Answer, Signal};
use widecast_tests::{
    Broker, Heard, Join, PATIENCE, RedisServer, Subscriber, Transport, eventually, within,
};

/// Over how long clients are asked to come back.
const SPREAD: Duration = Duration::from_millis(500);

/// What everybody hears last.
const END: &str = "the end";

/// How many messages are published on three brokers and on two, at the least.
const STRETCH: u64 = 60;

struct Cluster {
    _redis: RedisServer,
    /// Who restarts a broker holds it alone; others go to the next one meanwhile, as a load balancer sends them.
    brokers: Vec<RwLock<Broker>>,
    bases: Vec<String>,
    http: reqwest::Client,
    published: AtomicU64,
    over: AtomicBool,
}

impl Cluster {
    async fn start() -> Result<Self> {
        let redis = RedisServer::start(&[]).await?;
        let settings = redis.settings().shutdown(SPREAD, Duration::from_secs(5));
        let mut brokers = Vec::new();
        for _ in 0..3 {
            brokers.push(Broker::with(settings.clone()).await?);
        }
        let cluster = Self {
            _redis: redis,
            bases: brokers.iter().map(Broker::base).collect(),
            brokers: brokers.into_iter().map(RwLock::new).collect(),
            http: reqwest::Client::builder().no_proxy().build()?,
            published: AtomicU64::new(0),
            over: AtomicBool::new(false),
        };
        for index in 0..cluster.bases.len() {
            cluster.ready(index).await?;
        }
        Ok(cluster)
    }

    async fn ready(&self, index: usize) -> Result<()> {
        let path = format!("{}/health/ready", self.bases[index]);
        eventually("the broker is ready", async || {
            let answer = self.http.get(&path).send().await;
            Ok(answer.is_ok_and(|answer| answer.status().is_success()))
        })
        .await
    }

    /// Joins at this broker, if it is there.
    async fn join(&self, index: usize, transport: Transport, cursor: &str) -> Option<Subscriber> {
        let broker = self.brokers[index].try_read().ok()?;
        let join = Join::channel("news").from(cursor);
        broker.join(transport, &join).await.ok()
    }

    /// Waits until so many more messages have been published.
    async fn stretch(&self) -> Result<()> {
        let end = self.published.load(Ordering::SeqCst) + STRETCH;
        eventually("some are published", async || {
            Ok(self.published.load(Ordering::SeqCst) >= end)
        })
        .await
    }

    /// Replaces all brokers, one after the other.
    async fn restart_all(&self) -> Result<()> {
        self.stretch().await?;
        for (index, broker) in self.brokers.iter().enumerate() {
            broker.read().await.signal(Signal::Terminate).await?;
            {
                let mut broker = broker.write().await;
                let status = broker.ended().await?;
                ensure!(status.success(), "{status}");
                self.stretch().await?;
                broker.restart().await?;
            }
            self.ready(index).await?;
            self.stretch().await?;
        }
        self.over.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// Publishes a message at one broker after the other until one acknowledges it.
    async fn publish(&self, text: &str, first: usize) -> Result<()> {
        let publishing = async {
            for index in (0..self.bases.len()).cycle().skip(first) {
                let url = format!("{}/channels/news/messages", self.bases[index]);
                let request = self.http.post(url).body(text.to_owned());
                let request = request.header("content-type", "text/plain");
                let request = request.header("idempotency-key", text.replace(' ', "-"));
                let Ok(response) = request.send().await else {
                    // It ends, or is not there: whether it has published nobody knows.
                    continue;
                };
                let Ok(answer) = Answer::read(response).await else {
                    continue;
                };
                match answer.status {
                    200 => return Ok(()),
                    503 => {}
                    status => bail!("{status}: {:?}", answer.body),
                }
            }
            bail!("the brokers come one after the other for ever")
        };
        within("publishing", publishing).await
    }

    /// Publishes for as long as brokers are replaced; returns what was acknowledged.
    async fn publish_all(&self, name: &str, first: usize) -> Result<Vec<String>> {
        let mut acknowledged = Vec::new();
        for number in 0.. {
            if self.over.load(Ordering::SeqCst) {
                break;
            }
            let text = format!("{name} {number}");
            self.publish(&text, first + number).await?;
            self.published.fetch_add(1, Ordering::SeqCst);
            acknowledged.push(text);
        }
        Ok(acknowledged)
    }

    /// Listens until the end, wherever it can; returns what it has heard, and how often it went to another broker.
    async fn listen(
        &self,
        transport: Transport,
        first: usize,
        start: &str,
    ) -> Result<(Vec<String>, usize)> {
        let mut listener = Listener {
            cursor: start.to_owned(),
            heard: Vec::new(),
        };
        let (mut at, mut moves) = (first, 0);
        loop {
            let joined = within("a broker that takes a client", async {
                loop {
                    at = (at + 1) % self.bases.len();
                    if let Some(joined) = self.join(at, transport, &listener.cursor).await {
                        return Ok(joined);
                    }
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            });
            match listener.listen(joined.await?).await? {
                Next::End => return Ok((listener.heard, moves)),
                Next::Elsewhere(after) => {
                    moves += 1;
                    tokio::time::sleep(after).await;
                }
            }
        }
    }
}

/// What comes after a session.
enum Next {
    End,
    /// Another broker, after so long.
    Elsewhere(Duration),
}

/// One client over all its sessions.
struct Listener {
    cursor: String,
    heard: Vec<String>,
}

impl Listener {
    async fn listen(&mut self, mut session: Subscriber) -> Result<Next> {
        loop {
            let heard = tokio::time::timeout(PATIENCE, session.listen()).await;
            match heard.context("nothing is heard any more")? {
                Ok(Heard::Message(message)) => {
                    let cursor = session.cursor().context("a cursor")?;
                    let (epoch, offset) = place(&self.cursor)?;
                    ensure!(
                        place(&cursor)? == (epoch, offset + 1),
                        "heard {cursor} after {}",
                        self.cursor
                    );
                    self.cursor = cursor;
                    let text = message.data.as_str().context("a text")?.to_owned();
                    if text == END {
                        return Ok(Next::End);
                    }
                    self.heard.push(text);
                }
                Ok(Heard::Frame(frame)) if frame["type"] == "goodbye" => {
                    ensure!(frame["reconnect"] == true, "{frame}");
                    let after = frame["reconnect_after_ms"].as_u64();
                    let after = Duration::from_millis(after.context("when to come back")?);
                    ensure!(after <= SPREAD, "{frame}");
                    return Ok(Next::Elsewhere(after));
                }
                Ok(Heard::Frame(_)) => {}
                Ok(Heard::Gap { .. }) => bail!("a gap after {}", self.cursor),
                Ok(Heard::Closed { code, reason }) => {
                    bail!("closed without a goodbye: {code:?} {reason}")
                }
                Err(error) => return Err(error.context("cut without a goodbye")),
            }
        }
    }
}

fn place(cursor: &str) -> Result<(String, u64)> {
    // Sessions have the channel before the place.
    let place = cursor.rsplit_once('=').map_or(cursor, |(_, place)| place);
    let (epoch, offset) = place.split_once('-').context("a place")?;
    Ok((epoch.to_owned(), offset.parse()?))
}

#[tokio::test]
async fn brokers_are_replaced_one_after_the_other_and_nobody_loses_anything() -> Result<()> {
    let cluster = Cluster::start().await?;
    let start = cluster.brokers[0].read().await.end_of("news").await?;
    let transports = [Transport::JsonWebSocket, Transport::EnvelopeSse];
    let listeners = (0..6).map(|index| cluster.listen(transports[index % 2], index / 2, &start));
    let publishing = async {
        let publishers = ["a", "b", "c"].into_iter().enumerate();
        let publishers = publishers.map(|(index, name)| cluster.publish_all(name, index));
        let acknowledged = try_join_all(publishers).await?.concat();
        cluster.publish(END, 0).await?;
        Ok::<_, anyhow::Error>(acknowledged)
    };
    let (listened, acknowledged, ()) =
        tokio::try_join!(try_join_all(listeners), publishing, cluster.restart_all(),)?;
    for (heard, moves) in &listened {
        assert!(*moves >= 1, "every broker was replaced");
        assert_eq!(heard.len(), acknowledged.len());
        assert_eq!(heard, &listened[0].0, "all hear one order");
    }
    let mut heard = listened[0].0.clone();
    heard.sort_unstable();
    let mut acknowledged = acknowledged;
    acknowledged.sort_unstable();
    assert_eq!(heard, acknowledged);
    Ok(())
}
