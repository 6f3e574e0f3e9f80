//! What is measured. Each scenario drives the broker and the floor in turn, in several rounds, and gives rows.

mod bench;
mod calibrate;
mod channels;
mod connect;
mod disk;
mod fan_out;
mod guarded;
mod heal;
mod join;
mod latency;
mod memory;
mod nodes;
mod peers;
mod polling;
mod publish;
mod slow;

pub use bench::{Bench, Contender, Effort};

use anyhow::Result;

use crate::report::Row;

/// A scenario and its name on the command line.
pub struct Scenario {
    /// What it is called.
    pub name: &'static str,
    /// Runs it.
    pub run: fn(&Bench) -> Result<Vec<Row>>,
}

/// Every scenario, in the order of `all`.
pub const ALL: &[Scenario] = &[
    Scenario {
        name: "fan-out",
        run: fan_out::run,
    },
    Scenario {
        name: "channels",
        run: channels::run,
    },
    Scenario {
        name: "publish",
        run: publish::run,
    },
    Scenario {
        name: "latency",
        run: latency::run,
    },
    Scenario {
        name: "connect",
        run: connect::run,
    },
    Scenario {
        name: "memory",
        run: memory::run,
    },
    Scenario {
        name: "poll",
        run: polling::run,
    },
    Scenario {
        name: "slow",
        run: slow::run,
    },
];

/// The broker with authentication and limits beside the broker without.
pub const GUARDED: Scenario = Scenario {
    name: "guarded",
    run: guarded::run,
};

/// Another broker beside ours.
pub const PEERS: Scenario = Scenario {
    name: "peers",
    run: peers::run,
};

/// Two nodes on a Redis server, beside Centrifugo's.
pub const NODES: Scenario = Scenario {
    name: "nodes",
    run: nodes::run,
};

/// The disk engine beside the memory engine.
pub const DISK: Scenario = Scenario {
    name: "disk",
    run: disk::run,
};

/// Nodes whose Redis server is restarted.
pub const HEAL: Scenario = Scenario {
    name: "heal",
    run: heal::run,
};

/// A node that is added to busy ones.
pub const JOIN: Scenario = Scenario {
    name: "join",
    run: join::run,
};

/// Floor against floor: what the tool itself gets wrong.
pub const CALIBRATE: Scenario = Scenario {
    name: "calibrate",
    run: calibrate::run,
};
