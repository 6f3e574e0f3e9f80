mod announcements;
mod faults;
mod history;
mod node;
mod nodes;
mod sentinels;
mod server;
mod several;
mod stage;

use crate::engine::conformance::conformance_tests;
use stage::RedisStage;

conformance_tests!(RedisStage::new().await);
