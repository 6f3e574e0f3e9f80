//! Everything that a run does, drawn from its seed: the broker's settings, who publishes and subscribes how, and what
//! goes wrong when.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use widecast_tests::Transport;
use widecast_tests::settings::{Settings, SlowConsumer};

use crate::judge::ChannelRules;
use crate::proxy::fault::Weather;
use crate::publisher::{Kind, Rhythm, Subject};
use crate::scope::{EngineKind, Feature, Scope};
use crate::seed::generator;
use crate::servers::ALWAYS;
use crate::subscriber::{Habit, Publishing, Spec};
use crate::trouble::{Disturbance, Event, Evicted, Trouble, disturbances, events};
use crate::visitor::{TRANSPORTS, Visit};

/// A run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The seed that all of this was drawn from.
    pub seed: u64,
    /// For how long there are publications and faults.
    pub time: Duration,
    /// What the broker is set to.
    pub broker: BrokerPlan,
    /// The channels.
    pub channels: Vec<String>,
    /// The subscribers, and the network of each.
    pub subscribers: Vec<(Spec, Weather)>,
    /// The publishers that are no sessions, and the network of each.
    pub publishers: Vec<(Kind, Subject, Weather)>,
    /// The members of a room, and the network of each.
    pub visitors: Vec<(Visit, Weather)>,
    /// The network between each broker and each Redis server.
    pub links: Vec<Vec<Weather>>,
    /// What happens on the ways between them.
    pub disturbances: Vec<Disturbance>,
    /// What happens to the brokers and the servers.
    pub events: Vec<Event>,
}

/// The broker's settings that differ from run to run.
#[derive(Debug, Clone, Copy)]
pub struct BrokerPlan {
    /// `server.workers`.
    pub workers: usize,
    /// `outbox.bytes`.
    pub outbox_bytes: usize,
    /// `outbox.send_buffer_bytes`.
    pub send_buffer_bytes: usize,
    /// `limits.message_bytes`.
    pub message_bytes: usize,
    /// Where the broker keeps its messages.
    pub engine: EngineKind,
}

/// A namespace of the runs: its name, how much history it keeps, and its rule for slow consumers.
const NAMESPACES: [(&str, usize, usize, SlowConsumer); 6] = [
    ("plain", 256, 1 << 20, SlowConsumer::Disconnect),
    ("deep", 4096, 16 << 20, SlowConsumer::Disconnect),
    ("tiny", 8, 16 << 10, SlowConsumer::Disconnect),
    ("none", 0, 0, SlowConsumer::Disconnect),
    ("drop", 256, 1 << 20, SlowConsumer::DropOldest),
    ("last", 64, 1 << 18, SlowConsumer::Latest),
];

/// What the names of channels end with: what has to be encoded is among it.
const ENDINGS: [&str; 4] = ["a", "b c", "d=1,e", "f/é%2F"];

impl Plan {
    /// The run of a seed.
    pub fn draw(seed: u64, scope: &Scope) -> Self {
        let random = &mut generator(seed, "plan");
        let channels = channels(scope, random);
        let broker = BrokerPlan {
            workers: random.random_range(1..=3),
            outbox_bytes: one_of(&[16 << 10, 16 << 10, 64 << 10, 1 << 20], random),
            send_buffer_bytes: one_of(&[4 << 10, 8 << 10, 32 << 10, 128 << 10], random),
            message_bytes: one_of(&[64 << 10, 1 << 20], random),
            engine: scope.engine,
        };
        let mut draft = Draft {
            seed,
            scope,
            channels: &channels,
            rhythm: rhythm(broker, scope, random),
        };
        let subscribers = draft.subscribers(random);
        let publishers = draft.publishers(&subscribers, random);
        let events = events(scope, channels.len(), random);
        let links = links(scope, random);
        // From generators of their own, so that the seeds go on meaning the same.
        let disturbances = disturbances(scope, &mut generator(seed, "the disturbances"));
        let visitors = draft.visitors(&mut generator(seed, "the visitors"));
        Self {
            seed,
            time: scope.time,
            broker,
            subscribers,
            publishers,
            visitors,
            links,
            disturbances,
            events,
            channels,
        }
    }

    /// The broker's settings.
    pub fn settings(&self) -> Settings {
        let mut settings = Settings::new()
            .workers(self.broker.workers)
            .outbox_bytes(self.broker.outbox_bytes, self.broker.send_buffer_bytes)
            .message_bytes(self.broker.message_bytes)
            .heartbeat(Duration::from_secs(1), Duration::from_secs(2))
            .shutdown(Duration::from_millis(200), Duration::from_millis(1500))
            .poll_session_idle(Duration::from_secs(10))
            .presence_grace(Duration::from_millis(300))
            .script_access("default")
            .key("poll.timeout_ms", "2000");
        for (name, messages, bytes, policy) in NAMESPACES {
            settings = settings
                .history(name, messages, bytes)
                .slow_consumer(name, policy);
        }
        match self.broker.engine {
            EngineKind::Memory => settings,
            EngineKind::Disk => settings.disk(),
            // Where the server is, only the stage knows.
            EngineKind::Redis
            | EngineKind::Several
            | EngineKind::Sentinel
            | EngineKind::Cluster => settings
                .key("engine.default.kind", "\"redis\"")
                .key("engine.default.timeout_ms", "2000")
                .key("engine.default.lease_ms", "4000"),
        }
    }

    /// The rules of the channels.
    pub fn rules(&self) -> BTreeMap<String, ChannelRules> {
        let channels = self.channels.iter().enumerate();
        let rules = channels.filter_map(|(number, channel)| {
            let (namespace, _) = channel.split_once(':')?;
            let found = NAMESPACES.iter().find(|(name, ..)| *name == namespace)?;
            let &(_, messages, bytes, policy) = found;
            let evicts = Trouble::Evict(number, Evicted::History);
            let rules = ChannelRules {
                history_messages: messages as u64,
                history_bytes: bytes as u64,
                drops: policy != SlowConsumer::Disconnect,
                evicted: self.events.iter().any(|event| event.trouble == evicts),
            };
            Some((channel.clone(), rules))
        });
        rules.collect()
    }
}

/// What subscribers and publishers are drawn with.
struct Draft<'a> {
    seed: u64,
    scope: &'a Scope,
    channels: &'a [String],
    rhythm: Rhythm,
}

impl Draft<'_> {
    fn subscribers(&mut self, random: &mut StdRng) -> Vec<(Spec, Weather)> {
        let mut transports: Vec<_> = Transport::ALL.into();
        let more = (0..3).map(|_| one_of(&Transport::ALL, random));
        transports.extend(more.collect::<Vec<_>>());
        transports.retain(|transport| match transport {
            Transport::ValueWebSocket => self.scope.has(Feature::Json),
            session if session.is_envelope() => self.scope.has(Feature::Sessions),
            _ => self.scope.has(Feature::Raw),
        });
        let numbered = transports.into_iter().enumerate();
        numbered
            .map(|(number, transport)| {
                let spec = self.subscriber(number, transport, random);
                (spec, self.weather(random))
            })
            .collect()
    }

    fn subscriber(&self, number: usize, transport: Transport, random: &mut StdRng) -> Spec {
        let name = format!("s{number}:{transport:?}");
        let several = match transport {
            Transport::RawWebSocket | Transport::ValueWebSocket | Transport::ObjectWebSocket => {
                false
            }
            raw if !raw.is_envelope() => {
                self.scope.has(Feature::Several) && random.random_bool(0.6)
            }
            _ => random.random_bool(0.8),
        };
        let channels = some_of(self.channels, several, random);
        // The key of a plain WebSocket is nobody else's: it counts, and has to hear everything.
        let plain = matches!(
            transport,
            Transport::RawWebSocket | Transport::ValueWebSocket
        );
        let keyed = !plain && random.random_bool(0.7);
        let sender = keyed.then(|| format!("sender-key-of-subscriber-{number}"));
        let publishes = transport.is_envelope()
            && transport != Transport::EnvelopeJsonp
            && sender.is_some()
            && random.random_bool(0.6);
        let publishing = publishes.then(|| Publishing {
            subject: self.subject(&format!("s{number}"), sender.clone(), random),
            seed: self.seed,
        });
        Spec {
            name,
            transport,
            channels,
            sender,
            echo: random.random_bool(0.1),
            history: random.random_bool(0.3).then(|| random.random_range(1..300)),
            packed: random.random_bool(0.5),
            habit: match random.random_range(0..3) {
                0 => Habit::OneByOne,
                1 if self.scope.has(Feature::Leaving) => Habit::Leaves,
                _ => Habit::Stays,
            },
            publishing,
        }
    }

    fn publishers(
        &self,
        subscribers: &[(Spec, Weather)],
        random: &mut StdRng,
    ) -> Vec<(Kind, Subject, Weather)> {
        let keys: Vec<_> = subscribers
            .iter()
            .filter_map(|(spec, _)| spec.sender.clone())
            .collect();
        let mut kinds: Vec<_> = Kind::ALL.into();
        kinds.push(Kind::Http);
        kinds.retain(|kind| *kind != Kind::ValueWebSocket || self.scope.has(Feature::Json));
        let numbered = kinds.into_iter().enumerate();
        let publisher = |(number, kind)| {
            let sender = match random.random_range(0..10) {
                0..=4 if !keys.is_empty() => Some(keys[random.random_range(0..keys.len())].clone()),
                5..=7 => Some(format!("sender-key-of-publisher-{number}")),
                _ => None,
            };
            let subject = self.subject(&format!("p{number}"), sender, random);
            (kind, subject, self.weather(random))
        };
        numbered.map(publisher).collect()
    }

    /// One of them stays in any case, to see the others.
    fn visitors(&self, random: &mut StdRng) -> Vec<(Visit, Weather)> {
        let mut visitors = Vec::new();
        if !self.scope.has(Feature::Presence) {
            return visitors;
        }
        let room = &self.channels[random.random_range(0..self.channels.len())];
        for member in 0..random.random_range(2..=4) {
            for connection in 0..random.random_range(1..=3) {
                let visit = Visit {
                    name: format!("v{member}.{connection}"),
                    member: format!("member-{member}"),
                    room: room.clone(),
                    transport: one_of(&TRANSPORTS, random),
                    stays: random.random_bool(0.4) || visitors.is_empty(),
                };
                visitors.push((visit, self.weather(random)));
            }
        }
        visitors
    }

    fn subject(&self, name: &str, sender: Option<String>, random: &mut StdRng) -> Subject {
        Subject {
            name: name.to_owned(),
            channels: some_of(self.channels, true, random),
            sender,
            rhythm: self.rhythm,
            keyed: random.random_range(0..=100),
        }
    }

    fn weather(&self, random: &mut StdRng) -> Weather {
        if random.random_bool(0.15) || !self.scope.has(Feature::Faults) {
            return Weather::FAIR;
        }
        Weather::draw(random)
    }
}

fn channels(scope: &Scope, random: &mut StdRng) -> Vec<String> {
    let mut channels = Vec::new();
    for (name, messages, _, policy) in NAMESPACES {
        let drops = policy != SlowConsumer::Disconnect;
        let left_out = (drops && !scope.has(Feature::Drops))
            || (messages < 256 && !drops && !scope.has(Feature::ShortHistories));
        if !left_out && random.random_bool(0.7) {
            channels.push(format!("{name}:{}", one_of(&ENDINGS, random)));
        }
    }
    channels.push(ALWAYS.to_owned());
    channels
}

fn links(scope: &Scope, random: &mut StdRng) -> Vec<Vec<Weather>> {
    let fair = !scope.has(Feature::Server) || !scope.has(Feature::Faults);
    // Where there are several, a broker needs most of them.
    let often_fair = if scope.engine.servers() > 1 { 0.6 } else { 0.3 };
    let mut link = || {
        if fair || random.random_bool(often_fair) {
            Weather::FAIR
        } else {
            Weather::draw_of_server(random)
        }
    };
    let mut links = Vec::new();
    for _ in 0..scope.engine.brokers() {
        links.push((0..scope.engine.servers()).map(|_| link()).collect());
    }
    links
}

fn rhythm(broker: BrokerPlan, scope: &Scope, random: &mut StdRng) -> Rhythm {
    let large = if scope.has(Feature::Large) {
        random.random_range(0..6)
    } else {
        0
    };
    let bursts = one_of(&[0, 20, 50, 200], random);
    // Much at once and little in between, or the other way round.
    let least = if bursts == 200 { 250 } else { 20 };
    Rhythm {
        pause: Duration::from_millis(random.random_range(least..least + 150)),
        bursts,
        burst: one_of(&[5, 40, 120], random),
        large,
        large_bytes: broker.message_bytes - 4096,
    }
}

fn one_of<T: Copy>(all: &[T], random: &mut StdRng) -> T {
    all[random.random_range(0..all.len())]
}

/// One of the channels, or several.
fn some_of(channels: &[String], several: bool, random: &mut StdRng) -> Vec<String> {
    let one = channels[random.random_range(0..channels.len())].clone();
    if !several {
        return vec![one];
    }
    let mut some: Vec<_> = channels
        .iter()
        .filter(|_| random.random_bool(0.6))
        .cloned()
        .collect();
    if !some.contains(&one) {
        some.push(one);
    }
    some
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_gives_the_same_plan_again() {
        let scope = Scope {
            time: Duration::from_secs(20),
            without: Vec::new(),
            engine: EngineKind::Memory,
        };
        let draw = |seed| format!("{:?}", Plan::draw(seed, &scope));
        assert_eq!(draw(3), draw(3));
        assert_ne!(draw(3), draw(4));
    }

    #[test]
    fn what_is_left_out_is_in_no_plan() {
        let scope = Scope {
            time: Duration::from_secs(20),
            without: vec![Feature::Drops, Feature::Restarts, Feature::Faults],
            engine: EngineKind::Memory,
        };
        for seed in 0..20 {
            let plan = Plan::draw(seed, &scope);
            assert!(plan.rules().values().all(|rules| !rules.drops));
            let halts = |event: &Event| matches!(event.trouble, Trouble::Halt(_));
            assert!(plan.events.iter().all(halts));
            let fair = |(_, weather): &(_, Weather)| *weather == Weather::FAIR;
            assert!(plan.subscribers.iter().all(fair));
        }
    }

    #[test]
    fn whatever_can_happen_to_single_servers_and_their_brokers_happens() {
        for engine in [EngineKind::Redis, EngineKind::Several] {
            let scope = Scope {
                time: Duration::from_secs(5),
                without: Vec::new(),
                engine,
            };
            let (mut troubles, mut whom) = (BTreeSet::new(), BTreeSet::new());
            for seed in 0..40 {
                for event in Plan::draw(seed, &scope).events {
                    let trouble = format!("{:?}", event.trouble);
                    let name = trouble.split('(').next();
                    let evicted = trouble.rsplit(' ').next().filter(|_| name == Some("Evict"));
                    troubles.extend(evicted.or(name).map(str::to_owned));
                    whom.insert(format!("{:?}", event.whom));
                }
            }
            let troubles: Vec<_> = troubles.iter().map(String::as_str).collect();
            let all = [
                "Drain",
                "Fill",
                "Flush",
                "GoOn",
                "Halt",
                "History)",
                "Kill",
                "State)",
                "Stop",
                "Terminate",
            ];
            assert_eq!(troubles, all);
            assert_eq!(whom.len(), engine.brokers() + engine.servers());
        }
    }

    #[test]
    fn each_broker_has_a_way_to_each_server_and_all_of_them_are_disturbed() {
        let mut scope = Scope {
            time: Duration::from_secs(20),
            without: Vec::new(),
            engine: EngineKind::Cluster,
        };
        let mut disturbed = BTreeSet::new();
        for seed in 0..40 {
            let plan = Plan::draw(seed, &scope);
            let links: Vec<_> = plan.links.iter().map(Vec::len).collect();
            assert_eq!(links, [6, 6, 6]);
            let ways = plan.disturbances.iter();
            disturbed.extend(ways.map(|way| (way.broker, way.server)));
        }
        assert_eq!(disturbed.len(), 18);
        scope.without.push(Feature::Faults);
        assert_eq!(Plan::draw(0, &scope).disturbances, []);
    }
}
