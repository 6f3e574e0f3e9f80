//! The engine on a server of its own, whose time passes when it is told to.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::server::{RedisServer, try_ask};
use crate::engine::conformance::{Heard, IDEMPOTENCY_WINDOW, IDLE_GRACE, PRESENCE_GRACE, Stage};
use crate::engine::redis::scripts::Scripts;
use crate::engine::redis::topology::Topology;
use crate::engine::{Engine, EphemeralChannels, RedisEngine, RedisSettings};

/// The time of the server, and what has passed besides.
pub(super) fn clock(prefix: &str) -> String {
    format!(
        "
local function now_us()
  local time = redis.call('TIME')
  local passed = tonumber(redis.call('GET', '{prefix}:passed') or 0)
  return time[1] * 1000000 + time[2] + passed * 1000
end

local function now_ms()
  return math.floor(now_us() / 1000)
end
"
    )
}

/// What is alive for less time than passes is gone.
const PASS: &str = "
redis.call('INCRBY', ARGV[2] .. ':passed', ARGV[1])
for _, key in ipairs(redis.call('KEYS', ARGV[2] .. ':*')) do
  local left = redis.call('PTTL', key)
  if left >= 0 then
    redis.call('PEXPIRE', key, left - tonumber(ARGV[1]))
  end
end
";

pub(super) struct RedisStage {
    _server: RedisServer,
    stage: PassingTime,
}

/// An engine whose time passes when it is told to.
pub(super) struct PassingTime {
    engine: RedisEngine,
    heard: Arc<Heard>,
    /// The only server of all its keys, and what they begin with.
    url: String,
    prefix: String,
}

pub(super) fn settings(server: &RedisServer) -> RedisSettings {
    RedisSettings {
        url: server.url(),
        idle_grace: IDLE_GRACE,
        presence_grace: PRESENCE_GRACE,
        idempotency_window: IDEMPOTENCY_WINDOW,
        // A busy machine must not look like one that is down.
        timeout: Duration::from_secs(30),
        ..RedisSettings::default()
    }
}

/// The channels of the namespace `pointers`.
pub(super) fn pointers() -> EphemeralChannels {
    EphemeralChannels {
        named: [("pointers".to_owned(), true)].into(),
        others: false,
    }
}

impl RedisStage {
    pub(super) async fn new() -> Self {
        let server = RedisServer::start(&[]).await;
        let settings = settings(&server);
        let topology = Topology::new(&settings).unwrap();
        let stage = PassingTime::start(topology, settings, server.url()).await;
        Self {
            _server: server,
            stage,
        }
    }
}

impl PassingTime {
    pub(super) async fn start(topology: Topology, settings: RedisSettings, url: String) -> Self {
        let (heard, prefix) = (Arc::new(Heard::default()), settings.key_prefix.clone());
        let scripts = Scripts::new(&clock(&prefix));
        let engine = RedisEngine::start_at(topology, settings, heard.clone(), scripts).await;
        Self {
            engine: engine.unwrap(),
            heard,
            url,
            prefix,
        }
    }
}

impl Stage for RedisStage {
    fn engine(&self) -> &dyn Engine {
        self.stage.engine()
    }

    fn heard(&self) -> &Heard {
        self.stage.heard()
    }

    fn pass(&self, time: Duration) -> BoxFuture<'_, ()> {
        self.stage.pass(time)
    }
}

impl Stage for PassingTime {
    fn engine(&self) -> &dyn Engine {
        &self.engine
    }

    fn heard(&self) -> &Heard {
        &self.heard
    }

    fn pass(&self, time: Duration) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            // The engine lets no more time pass between two looks at the channels that it uses.
            let mut left = time;
            while !left.is_zero() {
                let slice = left.min(IDLE_GRACE / 4);
                left -= slice;
                let slice = slice.as_millis().to_string();
                let words = ["EVAL", PASS, "0", &slice, &self.prefix];
                try_ask::<()>(&self.url, &words).await.unwrap();
                let shared = &self.engine.shared;
                shared.look_at_due(None).await;
                shared.beat().await.unwrap();
                shared.touch().await.unwrap();
            }
        })
    }
}
