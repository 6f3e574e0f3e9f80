mod announcements;
mod faults;
mod node;
mod nodes;
mod server;
mod stage;

use crate::engine::conformance::conformance_tests;
use stage::RedisStage;

conformance_tests!(RedisStage::new().await);
