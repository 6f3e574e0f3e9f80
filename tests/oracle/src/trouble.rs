//! What happens to the brokers, to the Redis servers that they share, and on the ways between them.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use widecast_tests::RedisCluster;

use crate::proxy::fault::Outage;
use crate::scope::{EngineKind, Feature, Scope};

/// Something that happens to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// How long after the beginning.
    pub at: Duration,
    /// The process.
    pub whom: Process,
    /// What happens.
    pub trouble: Trouble,
}

/// A process of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Process {
    /// The broker of this number.
    Broker(usize),
    /// The Redis server of this number, or the primary among those that are watched; that of the pair of this number in a cluster.
    Server(usize),
}

/// What happens to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// SIGSTOP, and SIGCONT after a while.
    Halt(Duration),
    /// SIGSTOP, while other things may happen.
    Stop,
    /// SIGCONT.
    GoOn,
    /// SIGKILL, and a new start after a while.
    Kill(Duration),
    /// SIGTERM, and a new start.
    Terminate,
    /// SIGKILL, and a new start when a replica has taken over.
    Replace,
    /// Its replica is ordered to take over.
    FailOver,
    /// The slot of a channel moves to the pair that is so many further.
    Move(usize),
    /// `FLUSHALL`: it forgets everything.
    Flush,
    /// It has no memory left, and refuses what would take more, while other things may happen.
    Fill,
    /// It has memory again.
    Drain,
    /// It evicts something of the channel of this number.
    Evict(usize, Evicted),
}

/// What a server evicts of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evicted {
    /// Its state: the channel begins a new epoch.
    State,
    /// Its history: the epoch goes on, and whoever needs the history is told a gap.
    History,
}

impl EngineKind {
    /// How many brokers share the channels.
    pub fn brokers(self) -> usize {
        match self {
            Self::Memory | Self::Disk => 1,
            Self::Redis | Self::Several | Self::Sentinel | Self::Cluster => 3,
        }
    }

    /// To how many servers and Sentinels each broker has a way.
    pub fn servers(self) -> usize {
        match self {
            Self::Memory | Self::Disk => 0,
            Self::Redis => 1,
            Self::Several => 3,
            // A primary, two replicas, and three Sentinels.
            Self::Sentinel => 6,
            Self::Cluster => 2 * RedisCluster::PAIRS,
        }
    }
}

/// What does not arrive for a while on the way of a broker to a server, whatever else happens meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disturbance {
    /// How long after the beginning.
    pub at: Duration,
    /// The number of the broker.
    pub broker: usize,
    /// The number of the server ([`crate::servers::Servers::ports`]).
    pub server: usize,
    /// What does not arrive.
    pub outage: Outage,
    /// For how long.
    pub pause: Duration,
}

/// What happens on the ways between brokers and servers.
pub fn disturbances(scope: &Scope, random: &mut StdRng) -> Vec<Disturbance> {
    let servers = scope.engine.servers();
    if servers == 0 || !scope.has(Feature::Server) || !scope.has(Feature::Faults) {
        return Vec::new();
    }
    // A broker does not need all of several servers at a time.
    let often = if servers > 1 { 3.0 } else { 1.0 };
    let often = often * scope.time.as_secs_f64() / 10.0;
    let disturbances = (0..count(often, random)).map(|_| Disturbance {
        at: scope.time.mul_f64(random.random_range(0.0..0.9)),
        broker: random.random_range(0..scope.engine.brokers()),
        server: random.random_range(0..servers),
        outage: [Outage::Up, Outage::Down, Outage::Both][random.random_range(0..3)],
        pause: Duration::from_millis(random.random_range(50..6000)),
    });
    disturbances.collect()
}

/// What happens in a run with so many channels.
pub fn events(scope: &Scope, channels: usize, random: &mut StdRng) -> Vec<Event> {
    let mut events = of_brokers(scope, random);
    if scope.has(Feature::Server) {
        events.extend(match scope.engine {
            EngineKind::Memory | EngineKind::Disk => Vec::new(),
            EngineKind::Redis | EngineKind::Several => {
                let mut events = of_servers(scope, random);
                if scope.has(Feature::Forgetting) {
                    events.extend(of_memory(scope, channels, random));
                }
                events
            }
            EngineKind::Sentinel => of_primaries(scope, 1, random),
            EngineKind::Cluster => of_primaries(scope, RedisCluster::PAIRS, random),
        });
    }
    events.sort_by_key(|event| event.at);
    events
}

fn of_brokers(scope: &Scope, random: &mut StdRng) -> Vec<Event> {
    let brokers = scope.engine.brokers();
    let event = |trouble, random: &mut StdRng| Event {
        at: scope.time.mul_f64(random.random_range(0.05..0.95)),
        // Drawn only where there are several, so that the seeds of the others go on meaning the same.
        whom: Process::Broker(if brokers > 1 {
            random.random_range(0..brokers)
        } else {
            0
        }),
        trouble,
    };
    let mut events = Vec::new();
    let often = scope.time.as_secs_f64() / 10.0;
    if scope.has(Feature::Halts) {
        for _ in 0..count(often * 1.5, random) {
            let pause = Duration::from_millis(random.random_range(20..1200));
            events.push(event(Trouble::Halt(pause), random));
        }
        if brokers > 1 {
            events.extend(long_halts(scope, random));
        }
    }
    if scope.has(Feature::Restarts) {
        for _ in 0..count(often * 0.6, random) {
            let kills = random.random_range(0..2) == 0;
            let pause = if brokers > 1 {
                Duration::from_millis(random.random_range(0..1500))
            } else {
                Duration::ZERO
            };
            let trouble = if kills {
                Trouble::Kill(pause)
            } else {
                Trouble::Terminate
            };
            events.push(event(trouble, random));
        }
    }
    events
}

/// Halts of brokers that are longer than their leases: the others take them for gone, and then they are back.
fn long_halts(scope: &Scope, random: &mut StdRng) -> Vec<Event> {
    let mut events = Vec::new();
    for _ in 0..count(scope.time.as_secs_f64() / 10.0 * 0.5, random) {
        let whom = Process::Broker(random.random_range(0..scope.engine.brokers()));
        let pause = Duration::from_millis(random.random_range(4500..5500));
        let begins = early(scope, whom, Trouble::Stop, random);
        events.extend([begins, begins.ends(Trouble::GoOn, pause)]);
    }
    events
}

/// Something that goes on for long: it begins so early that the run does not become much longer.
fn early(scope: &Scope, whom: Process, trouble: Trouble, random: &mut StdRng) -> Event {
    Event {
        at: scope.time.mul_f64(random.random_range(0.05..0.2)),
        whom,
        trouble,
    }
}

impl Event {
    /// What ends this after a while.
    fn ends(self, trouble: Trouble, pause: Duration) -> Self {
        Self {
            at: self.at + pause,
            trouble,
            ..self
        }
    }
}

fn of_servers(scope: &Scope, random: &mut StdRng) -> Vec<Event> {
    let event = |trouble, random: &mut StdRng| Event {
        at: scope.time.mul_f64(random.random_range(0.05..0.95)),
        whom: one_of_servers(scope, random),
        trouble,
    };
    let mut events = Vec::new();
    let often = scope.time.as_secs_f64() / 10.0;
    if scope.has(Feature::Halts) {
        for _ in 0..count(often, random) {
            let pause = Duration::from_millis(random.random_range(20..3000));
            events.push(event(Trouble::Halt(pause), random));
        }
    }
    if scope.has(Feature::Restarts) {
        for _ in 0..count(often * 0.8, random) {
            let pause = Duration::from_millis(random.random_range(0..1500));
            events.push(event(Trouble::Kill(pause), random));
        }
    }
    events
}

fn one_of_servers(scope: &Scope, random: &mut StdRng) -> Process {
    Process::Server(random.random_range(0..scope.engine.servers()))
}

/// What servers forget that go on, and when they are full.
fn of_memory(scope: &Scope, channels: usize, random: &mut StdRng) -> Vec<Event> {
    let event = |trouble, random: &mut StdRng| Event {
        at: scope.time.mul_f64(random.random_range(0.05..0.95)),
        whom: one_of_servers(scope, random),
        trouble,
    };
    let mut events = Vec::new();
    let often = scope.time.as_secs_f64() / 10.0;
    for _ in 0..count(often * 0.5, random) {
        events.push(event(Trouble::Flush, random));
    }
    for _ in 0..count(often, random) {
        let evicted = [Evicted::State, Evicted::History][random.random_range(0..2)];
        let channel = random.random_range(0..channels);
        events.push(event(Trouble::Evict(channel, evicted), random));
    }
    for _ in 0..count(often * 0.5, random) {
        let whom = one_of_servers(scope, random);
        let pause = Duration::from_millis(random.random_range(50..4000));
        let begins = early(scope, whom, Trouble::Fill, random);
        events.extend([begins, begins.ends(Trouble::Drain, pause)]);
    }
    events
}

/// What happens to primaries whose replicas can take over, which takes some seconds.
fn of_primaries(scope: &Scope, pairs: usize, random: &mut StdRng) -> Vec<Event> {
    let event = |trouble, random: &mut StdRng| Event {
        at: scope.time.mul_f64(random.random_range(0.05..0.7)),
        whom: Process::Server(random.random_range(0..pairs)),
        trouble,
    };
    let mut events = Vec::new();
    let often = scope.time.as_secs_f64() / 10.0;
    if scope.has(Feature::Halts) {
        for _ in 0..count(often * 0.5, random) {
            let pause = Duration::from_millis(random.random_range(20..6000));
            events.push(event(Trouble::Halt(pause), random));
        }
    }
    if scope.has(Feature::Restarts) {
        events.push(event(Trouble::Replace, random));
        for _ in 0..count(often * 0.3, random) {
            let pause = Duration::from_millis(random.random_range(0..1500));
            events.push(event(Trouble::Kill(pause), random));
        }
    }
    for _ in 0..count(often * 0.5, random) {
        events.push(event(Trouble::FailOver, random));
    }
    if pairs > 1 {
        for _ in 0..=count(often * 0.5, random) {
            let further = random.random_range(1..pairs);
            events.push(event(Trouble::Move(further), random));
        }
    }
    events
}

/// A count with this mean: its whole part, and perhaps one more.
fn count(mean: f64, random: &mut StdRng) -> usize {
    let mut count = 0;
    let mut rest = mean * 2.0 * random.random::<f64>();
    while rest >= 1.0 || random.random_bool(rest.max(0.0)) {
        count += 1;
        rest = (rest - 1.0).max(0.0);
    }
    count
}
