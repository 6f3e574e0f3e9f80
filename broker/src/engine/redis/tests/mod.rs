mod announcements;
mod cluster;
mod cluster_nodes;
mod ephemeral;
mod faults;
mod given_up;
mod history;
mod losses;
mod moving_parts;
mod node;
mod nodes;
mod releases;
mod router;
mod sentinels;
mod server;
mod several;
mod stage;

use crate::engine::conformance::conformance_tests;
use stage::RedisStage;

conformance_tests!(RedisStage::new().await);
