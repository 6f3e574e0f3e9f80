//! The engines that the settings ask for.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use thiserror::Error;

use super::{
    Clock, Deliver, DiskEngine, DiskError, DiskSettings, Engine, EngineRouter, EphemeralChannels,
    MemoryEngine, MemorySettings, RedisEngine, RedisSettings, RedisStartError,
};
use crate::config::{Config, EngineKind, EngineSettings, NamespaceRules};
use crate::memory_budget::{Bounds, CHANNEL_BYTES};

/// Why an engine cannot be used.
#[derive(Debug, Error)]
pub enum EngineStartError {
    /// The files of a disk engine cannot be used.
    #[error("engine.{name}")]
    Disk {
        /// The name of the engine.
        name: String,
        /// Why.
        source: DiskError,
    },
    /// The server of a Redis engine cannot be used.
    #[error("engine.{name}")]
    Redis {
        /// The name of the engine.
        name: String,
        /// Why.
        source: RedisStartError,
    },
}

/// The engines that namespaces have chosen.
pub struct StartedEngines {
    /// All as one.
    pub engine: Arc<dyn Engine>,
    /// Each of them.
    pub each: Vec<NamedEngine>,
}

/// One of several engines.
pub struct NamedEngine {
    /// Its name in the settings. An engine of kind disk, and that in memory which goes with it for ephemeral messages, have the same.
    pub name: String,
    /// The engine.
    pub engine: Arc<dyn Engine>,
}

/// An engine that namespaces share: the name of its settings, and whether it is the one in memory that goes with them for
/// ephemeral messages.
type EngineKey<'a> = (&'a str, bool);

/// All that is wrong with the engines of the settings and can be known without asking anybody: files and directories are looked at,
/// but nothing is made, opened for writing or connected to. It concerns those that no namespace has chosen, too.
pub fn check(config: &Config) -> Vec<EngineStartError> {
    let mut errors = Vec::new();
    for (name, settings) in config.engines.all() {
        let name = || name.to_owned();
        match settings.kind {
            EngineKind::Memory => {}
            EngineKind::Disk => {
                let error = DiskEngine::check(settings.path.path()).err();
                errors.extend(error.map(|source| EngineStartError::Disk {
                    name: name(),
                    source,
                }));
            }
            EngineKind::Redis => {
                let memory = MemorySettings::default();
                let of_engine = redis_settings(settings, memory, ephemeral_in(config));
                let found = of_engine.errors(&urls_of(settings)).into_iter();
                errors.extend(found.map(|source| EngineStartError::Redis {
                    name: name(),
                    source,
                }));
            }
        }
    }
    errors
}

/// Starts the engines that namespaces have chosen.
///
/// # Errors
/// When one cannot be used.
///
/// # Panics
/// Outside an actix system.
pub async fn start(
    config: &Config,
    clock: &Arc<dyn Clock>,
    deliver: &Arc<dyn Deliver>,
) -> Result<StartedEngines, EngineStartError> {
    let chosen: BTreeSet<EngineKey<'_>> = config
        .namespaces
        .all()
        .map(|(_, rules)| key_of(config, rules))
        .collect();
    let bounds = Bounds::of(config);
    let memory = MemorySettings {
        // What is in memory of all engines has one bound.
        history_bytes: config.history.total_bytes.get() / chosen.len().max(1) as u64,
        idle_channels: idle_channels(&bounds),
        presence_grace: config.presence.grace,
        ..MemorySettings::default()
    };
    let shares = Shares {
        memory,
        // And so have the messages that wait for a disk.
        waiting_bytes: bounds.unwritten / disks(config, &chosen).max(1),
    };
    let mut engines: HashMap<EngineKey<'_>, Arc<dyn Engine>> = HashMap::new();
    for key in chosen {
        let engine = start_one(config, key, shares, clock, deliver).await?;
        engines.insert(key, engine);
    }
    let of = |rules: &NamespaceRules| engines.get(&key_of(config, rules)).cloned();
    let named = config.namespaces.named.iter();
    let namespaces: Vec<_> = named
        .filter_map(|(namespace, rules)| Some((namespace.clone(), of(rules)?)))
        .collect();
    // The settings were checked: each namespace's engine is there.
    let default = of(&config.namespaces.default);
    let default = default.unwrap_or_else(|| Arc::new(memory_engine(memory, clock, deliver)));
    let each = engines.iter().map(|(&(name, _), engine)| NamedEngine {
        name: name.to_owned(),
        engine: Arc::clone(engine),
    });
    Ok(StartedEngines {
        each: each.collect(),
        engine: match engines.len() {
            1 => default,
            _ => Arc::new(EngineRouter::new(default, namespaces)),
        },
    })
}

/// How much memory one engine may take.
#[derive(Debug, Clone, Copy)]
struct Shares {
    memory: MemorySettings,
    waiting_bytes: u64,
}

/// How many channels that nobody uses are remembered: with little memory fewer, since each takes some.
fn idle_channels(bounds: &Bounds) -> usize {
    let room = usize::try_from(bounds.idle_channels / CHANNEL_BYTES).unwrap_or(usize::MAX);
    room.min(MemorySettings::default().idle_channels)
}

/// How many of the engines have a disk.
fn disks(config: &Config, chosen: &BTreeSet<EngineKey<'_>>) -> u64 {
    let is_disk = |(name, is_ephemeral): &&EngineKey<'_>| {
        let settings = config.engines.get(name).filter(|_| !is_ephemeral);
        settings.is_some_and(|settings| settings.kind == EngineKind::Disk)
    };
    chosen.iter().filter(is_disk).count() as u64
}

/// The engine of a namespace.
fn key_of<'a>(config: &Config, rules: &'a NamespaceRules) -> EngineKey<'a> {
    let name = rules.engine.as_str();
    let settings = config.engines.get(name);
    let is_disk = settings.is_some_and(|settings| settings.kind == EngineKind::Disk);
    // Nothing of an ephemeral message is worth writing to a disk.
    (name, is_disk && rules.ephemeral.is_on())
}

async fn start_one(
    config: &Config,
    (name, is_ephemeral): EngineKey<'_>,
    shares: Shares,
    clock: &Arc<dyn Clock>,
    deliver: &Arc<dyn Deliver>,
) -> Result<Arc<dyn Engine>, EngineStartError> {
    let Shares {
        memory,
        waiting_bytes,
    } = shares;
    let in_memory = EngineSettings::default();
    let settings = config.engines.get(name).filter(|_| !is_ephemeral);
    let settings = settings.unwrap_or(&in_memory);
    match settings.kind {
        EngineKind::Memory => {
            let engine = Arc::new(memory_engine(memory, clock, deliver));
            actix_rt::spawn(engine.run_upkeep());
            Ok(engine)
        }
        EngineKind::Disk => {
            let settings = DiskSettings {
                path: settings.path.path().to_owned(),
                durability: settings.durability,
                disk_bytes: settings.disk_bytes.get(),
                free_bytes: settings.free_bytes.get(),
                cache_bytes: settings.cache_bytes.get(),
                waiting_bytes,
                memory,
            };
            let engine = DiskEngine::open(settings, Arc::clone(clock), Arc::clone(deliver));
            let engine = engine.map_err(|source| EngineStartError::Disk {
                name: name.to_owned(),
                source,
            })?;
            actix_rt::spawn(engine.memory().run_upkeep());
            Ok(Arc::new(engine))
        }
        EngineKind::Redis => {
            let engine = start_redis(settings, memory, ephemeral_in(config), deliver).await;
            let engine = engine.map_err(|source| EngineStartError::Redis {
                name: name.to_owned(),
                source,
            })?;
            Ok(engine)
        }
    }
}

/// Which channels are ephemeral.
fn ephemeral_in(config: &Config) -> EphemeralChannels {
    let is_so = |rules: &NamespaceRules| rules.ephemeral.is_on();
    let named = config.namespaces.named.iter();
    EphemeralChannels {
        named: named
            .map(|(name, rules)| (name.clone(), is_so(rules)))
            .collect(),
        others: is_so(&config.namespaces.default),
    }
}

/// The URLs of several servers that share the channels, if there are any.
fn urls_of(settings: &EngineSettings) -> Vec<String> {
    let urls = settings.urls.iter();
    urls.map(|url| url.as_str().to_owned()).collect()
}

fn redis_settings(
    settings: &EngineSettings,
    memory: MemorySettings,
    ephemeral: EphemeralChannels,
) -> RedisSettings {
    RedisSettings {
        url: settings.url.as_str().to_owned(),
        servers: String::new(),
        password_file: settings.password_file.file().cloned(),
        sentinel_secret_file: settings.sentinel_secret_file.file().cloned(),
        key_prefix: settings.key_prefix.as_str().to_owned(),
        timeout: settings.timeout,
        queue: settings.queue,
        replicas: settings.replicas_acknowledge,
        replicas_wait: settings.replicas_wait,
        trust_persistence: settings.trust_persistence,
        lease: settings.lease,
        idle_grace: memory.idle_grace,
        presence_grace: memory.presence_grace,
        idempotency_window: memory.idempotency_window,
        ephemeral,
    }
}

async fn start_redis(
    settings: &EngineSettings,
    memory: MemorySettings,
    ephemeral: EphemeralChannels,
    deliver: &Arc<dyn Deliver>,
) -> Result<Arc<dyn Engine>, RedisStartError> {
    let urls = urls_of(settings);
    let settings = redis_settings(settings, memory, ephemeral);
    if urls.is_empty() && settings.names_cluster() {
        let engine = RedisEngine::start_cluster(&settings, deliver).await?;
        return Ok(Arc::new(engine));
    }
    if urls.is_empty() {
        let engine = RedisEngine::start(settings, Arc::clone(deliver)).await?;
        return Ok(Arc::new(engine));
    }
    let engine = RedisEngine::start_several(&settings, &urls, deliver).await?;
    Ok(Arc::new(engine))
}

fn memory_engine(
    settings: MemorySettings,
    clock: &Arc<dyn Clock>,
    deliver: &Arc<dyn Deliver>,
) -> MemoryEngine {
    MemoryEngine::new(settings, Arc::clone(clock), Arc::clone(deliver))
}
