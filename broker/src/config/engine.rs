//! `[engine.NAME]`: where offsets, history and presence live.

use std::collections::BTreeMap;
use std::time::Duration;

use super::auth::FilePath;
use super::byte_count::ByteCount;
use super::error::ConfigError;
use super::redis::{KeyPrefix, RedisUrl};
use super::section::settings;
use super::value::Word;

settings! {
    /// An engine: where the messages of channels get their order, and where they are kept. `[engine.default]` is the engine of every
    /// namespace that does not choose another one by its `engine`. `docs/scaling.md` says which kind is for what.
    pub struct EngineSettings {
        /// The kind of the engine: `memory` (everything is forgotten when the broker ends), `disk` (messages outlive the broker) or `redis`
        /// (several brokers with the same Redis or Valkey server are one).
        kind: EngineKind, "kind" = EngineKind::Memory;
        /// Kind `disk`: the directory where the engine keeps its files, which no other process may use. It is made if it is not there.
        path: FilePath, "path" = FilePath::none();
        /// Kind `disk`: what an acknowledged message survives: `process` (the end of the broker, however it ends) or `power` (also
        /// that of the machine; each message waits until the disk has it).
        durability: Durability, "durability" = Durability::Process;
        /// Kind `disk`: how many bytes the messages of all channels may take on the disk; beyond that the oldest go first. What they
        /// replace is freed somewhat later, so the files may take up to twice as much.
        disk_bytes: ByteCount, "disk_bytes" = ByteCount::mebibytes(10 * 1024), within 1_048_576..=1_125_899_906_842_624;
        /// Kind `disk`: publications are refused while fewer bytes than this are free on the disk.
        free_bytes: ByteCount, "free_bytes" = ByteCount::mebibytes(128), within 0..=1_125_899_906_842_624;
        /// Kind `disk`: how much memory the engine may take for what it has read from its files. More makes reading the past from the disk
        /// cheaper; it is beside `limits.memory_bytes`.
        cache_bytes: ByteCount, "cache_bytes" = ByteCount::mebibytes(16), within 1_048_576..=1_099_511_627_776;
        /// Kind `redis`: the server, as `redis://[user[:password]@]host[:port][/database]`; or the Sentinels that know it, as
        /// `redis+sentinel://[user[:password]@]host[:port],…/primary[/database]` with the user and password of the server; or some nodes of
        /// a cluster, as `redis+cluster://[user[:password]@]host[:port],…`; `rediss…` for TLS.
        url: RedisUrl, "url" = RedisUrl::here();
        /// Kind `redis`: several servers instead of `url`, which share the channels; none is a cluster, which does that by itself. All
        /// brokers need the same ones, in any order; `?name=…` after a URL names a server whose address may change.
        urls: Vec<RedisUrl>, "urls" = Vec::new();
        /// Kind `redis`: a file with the password, instead of one in `url`. White space around it is left out. It is read again whenever the
        /// broker connects.
        password_file: FilePath, "password_file" = FilePath::none();
        /// Kind `redis`: a file with the password of the Sentinels, if they have one. It is read whenever they are asked.
        sentinel_secret_file: FilePath, "sentinel_secret_file" = FilePath::none();
        /// Kind `redis`: how many replicas have to have a message before its publisher is told that it is published.
        replicas_acknowledge: usize, "replicas_acknowledge" = 0, within 0..=16;
        /// Kind `redis`: how long these replicas may take before the publisher is told `engine_unavailable`.
        replicas_wait: Duration, "replicas_wait_ms" = Duration::from_secs(1), within 10..=60_000;
        /// Kind `redis`: what the names of all keys and topics begin with. Brokers with different ones do not hear each other.
        key_prefix: KeyPrefix, "key_prefix" = KeyPrefix::widecast();
        /// Kind `redis`: how long a request or command of a client waits for the server altogether, also for a connection, before the client
        /// is told `engine_unavailable`.
        timeout: Duration, "timeout_ms" = Duration::from_secs(5), within 100..=60_000;
        /// Kind `redis`: how many commands may wait for their answers, of each server or part of a cluster; clients are told
        /// `engine_unavailable` at once beyond that.
        queue: usize, "queue" = 16_384, within 1..=1_000_000;
        /// Kind `redis`: how long a broker that is not heard of any more still counts as running, and its members as present.
        lease: Duration, "lease_ms" = Duration::from_secs(12), within 2_000..=300_000;
        /// Kind `redis`: the server never loses what it has acknowledged (`appendfsync always`, no fail-over). Channels then keep their
        /// epochs when it is restarted. Where that is not true, messages are lost silently.
        trust_persistence: bool, "trust_persistence" = false;
    }
}

/// The engines by name.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EngineSections {
    /// The engine of namespaces that choose none.
    pub default: EngineSettings,
    /// The other engines.
    pub named: BTreeMap<String, EngineSettings>,
}

impl EngineSections {
    /// The name of the engine of namespaces that choose none.
    pub const DEFAULT: &'static str = "default";

    /// The engine of this name.
    pub fn get(&self, name: &str) -> Option<&EngineSettings> {
        match name {
            Self::DEFAULT => Some(&self.default),
            name => self.named.get(name),
        }
    }

    /// The engine of this name, to be changed; a new one has the defaults of the settings.
    pub(super) fn entry(&mut self, name: &str) -> &mut EngineSettings {
        match name {
            Self::DEFAULT => &mut self.default,
            name => self.named.entry(name.to_owned()).or_default(),
        }
    }

    /// Every engine with its name.
    pub fn all(&self) -> impl Iterator<Item = (&str, &EngineSettings)> {
        let named = self
            .named
            .iter()
            .map(|(name, settings)| (name.as_str(), settings));
        std::iter::once((Self::DEFAULT, &self.default)).chain(named)
    }

    /// What is wrong with the engines, each by itself and together.
    pub(super) fn errors(&self) -> Vec<ConfigError> {
        let mut errors = Vec::new();
        let mut paths = BTreeMap::new();
        for (name, settings) in self.all() {
            if let Some(lacks) = settings.contradicts_fail_over() {
                errors.push(ConfigError::UnusableEngine {
                    name: name.to_owned(),
                    lacks,
                });
            }
            if settings.kind != EngineKind::Disk {
                continue;
            }
            let lacks = if settings.path.is_none() {
                "is of kind disk and has no path: set engine.NAME.path to a directory".to_owned()
            } else if let Some(other) = paths.insert(settings.path.path(), name) {
                format!("has the path of engine.{other}: each engine needs a directory of its own")
            } else {
                continue;
            };
            errors.push(ConfigError::UnusableEngine {
                name: name.to_owned(),
                lacks,
            });
        }
        errors
    }
}

impl EngineSettings {
    /// What is wrong when another server may take the place of one that is trusted to lose nothing.
    fn contradicts_fail_over(&self) -> Option<String> {
        let mut urls = self.urls.iter().chain([&self.url]);
        let has_fail_over = self.kind == EngineKind::Redis && urls.any(RedisUrl::has_fail_over);
        let contradicts = has_fail_over && self.trust_persistence;
        contradicts.then(|| {
            "has trust_persistence = true and Sentinels or a cluster: a replica that takes over may lack messages that were heard, which would then be lost \
             silently; take trust_persistence away"
                .to_owned()
        })
    }
}

/// The kind of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineKind {
    /// Everything is in the memory of the broker.
    Memory,
    /// Messages are on a disk of the broker's machine.
    Disk,
    /// Several brokers share a Redis or Valkey server.
    Redis,
}

impl EngineKind {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Redis => "redis",
        }
    }
}

impl Word for EngineKind {
    const EXPECTED: &'static str = "memory, disk or redis";

    fn read(text: &str) -> Option<Self> {
        match text {
            "memory" => Some(Self::Memory),
            "disk" => Some(Self::Disk),
            "redis" => Some(Self::Redis),
            _ => None,
        }
    }

    fn text(&self) -> String {
        self.name().to_owned()
    }
}

/// What an acknowledged message survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The end of the process: the operating system has the message.
    Process,
    /// The end of the machine: the disk has the message.
    Power,
}

impl Word for Durability {
    const EXPECTED: &'static str = "process or power";

    fn read(text: &str) -> Option<Self> {
        match text {
            "process" => Some(Self::Process),
            "power" => Some(Self::Power),
            _ => None,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Process => "process".to_owned(),
            Self::Power => "power".to_owned(),
        }
    }
}

/// The name of an engine, as a namespace chooses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineName(String);

impl EngineName {
    /// The engine of namespaces that choose none.
    pub(super) fn default_engine() -> Self {
        Self(EngineSections::DEFAULT.to_owned())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Word for EngineName {
    const EXPECTED: &'static str = "the name of an engine, as in [engine.NAME]";

    fn read(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}
