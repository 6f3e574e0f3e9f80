//! What a client knows is never ahead of what it was told, behind whichever byte its connection is cut, and it is told each message in
//! order and once, or a gap: streams of every form and polls, with several channels, gaps, drops and holes in them, of clients that
//! come again to one of two brokers, whose engine is slow and fails, and loses, delays and repeats messages on their way.

use std::cell::Cell;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};
use widecast_protocol::framing::Wire;
use widecast_protocol::framing::body::Page;
use widecast_protocol::{CommandId, Epoch, Offset, Position};

use super::simulated_client::{AGAIN, SimulatedClient};
use super::simulation::{
    HISTORY_AGE, NODES, Scene, SimulatedConnection, Simulation, counts, let_others_run,
    speaks_frames,
};
use crate::engine::flaky::Passage;
use crate::session::{CursorScope, Dialect};

/// An outbox in which a handful of messages may wait.
const A_HANDFUL: u64 = 1500;
/// An outbox in which more messages may wait than one write takes.
const MANY: u64 = 6000;

/// What happens, one thing after another.
#[derive(Debug, Clone)]
enum Step {
    /// Messages are published at a broker, perhaps by the client itself.
    Publish {
        node: usize,
        channel: usize,
        count: usize,
        bytes: usize,
        own: bool,
    },
    /// The next messages have this passage to a broker.
    Pass {
        node: usize,
        passage: Passage,
        count: usize,
    },
    /// What is on its way to a broker comes there, and it is told what was lost.
    Settle { node: usize },
    /// The client's socket takes so many bytes, or the client the answer to its poll.
    Write(usize),
    /// The client is told its place, as with each heartbeat.
    Beat,
    /// The history of all channels is over.
    Expire,
    /// The connection is cut, and the client comes back to a broker.
    Cut { node: usize },
    /// The client joins a channel once more: from where it is, or asking where that is.
    Again { channel: usize, from_known: bool },
}

fn step() -> impl Strategy<Value = Step> {
    let channel = || 0..3_usize;
    let node = || 0..NODES;
    let passage = prop_oneof![
        3 => Just(Passage::IsLost),
        1 => Just(Passage::IsDoubled),
        1 => Just(Passage::IsRepeated),
        1 => Just(Passage::IsDelayed),
    ];
    prop_oneof![
        2 => (node(), channel(), 20..60_usize).prop_map(
            |(node, channel, count)| Step::Publish { node, channel, count, bytes: 1, own: false }
        ),
        8 => (node(), channel(), 1..8_usize, 1..300_usize, any::<bool>()).prop_map(
            |(node, channel, count, bytes, own)| Step::Publish { node, channel, count, bytes, own }
        ),
        6 => (node(), passage, 1..6_usize)
            .prop_map(|(node, passage, count)| Step::Pass { node, passage, count }),
        2 => node().prop_map(|node| Step::Settle { node }),
        6 => prop_oneof![0..40_usize, 0..2000_usize].prop_map(Step::Write),
        2 => Just(Step::Beat),
        1 => Just(Step::Expire),
        1 => node().prop_map(|node| Step::Cut { node }),
        1 => (channel(), any::<bool>())
            .prop_map(|(channel, from_known)| Step::Again { channel, from_known }),
    ]
}

/// How a run begins, but for the channels; and whether the client comes from elsewhere.
fn scene() -> impl Strategy<Value = (Scene, bool)> {
    let outbox_bytes = prop_oneof![Just(A_HANDFUL), Just(MANY)];
    // Every other time the engine answers at once, as one in memory does.
    let slow = prop_oneof![2 => Just(0), 1 => Just(6), 1 => Just(16)];
    let failing = prop_oneof![Just(0), 1..3_u64];
    let parts = (outbox_bytes, slow, failing, any::<u64>());
    let scene = parts.prop_map(|(outbox_bytes, slow, failing, seed)| Scene {
        channels: 1,
        outbox_bytes,
        slow,
        failing,
        seed,
    });
    (scene, proptest::bool::weighted(0.3))
}

impl Simulation {
    async fn take(
        &self,
        step: Step,
        mut link: SimulatedConnection,
        cuts: &mut Vec<SimulatedClient>,
    ) -> SimulatedConnection {
        let named = |channel: usize| &self.channels[channel % self.channels.len()];
        match step {
            Step::Publish {
                node,
                channel,
                count,
                bytes,
                own,
            } => {
                let own = own && !counts(link.client.dialect);
                for _ in 0..count {
                    self.publish(node, named(channel), bytes, own).await;
                }
            }
            Step::Pass {
                node,
                passage,
                count,
            } => self.set_passage(node, passage, count),
            Step::Settle { node } => self.settle(node),
            Step::Write(most) => link.read(self, most, cuts),
            Step::Beat => link.beat(),
            Step::Expire => self.clock.pass(HISTORY_AGE + Duration::from_secs(1)),
            Step::Cut { node } => link = self.connect(link.hang_up(), node, cuts).await,
            Step::Again {
                channel,
                from_known,
            } => {
                let channel = named(channel);
                let known = link.client.known.get(channel).copied();
                // Where a channel may have been refused, the client cannot ask where it is there.
                let from_known = from_known || self.fails;
                if speaks_frames(link.client.dialect) && !link.is_over() {
                    let known = known.filter(|_| from_known);
                    let id = known.map(|_| CommandId::Number(AGAIN));
                    let asked = known.map(|known| (channel.clone(), known));
                    link.client.asked.extend(asked);
                    link.subscribe(channel, known, id, cuts).await;
                }
            }
        }
        let_others_run().await;
        if link.is_over() {
            // What is written before the end may still arrive.
            link.read(self, usize::MAX / 2, cuts);
            link = link.come_again(self, cuts).await;
        }
        link
    }
}

/// Everything that messages may do on their way to a broker, and a client there that is told each of them once.
async fn is_told_each_once(dialect: Dialect) {
    let simulation = Simulation::new(&Scene {
        channels: 1,
        outbox_bytes: MANY,
        slow: 0,
        failing: 0,
        seed: 0,
    });
    let channel = &simulation.channels[0];
    let client = SimulatedClient::new(dialect, &simulation.channels, &simulation.own);
    let cuts = &mut Vec::new();
    let mut link = simulation.connect(client, 0, cuts).await;
    link.read_all(&simulation, cuts).await;
    for passage in [
        Passage::Arrives,
        Passage::IsLost,
        Passage::IsDoubled,
        Passage::IsRepeated,
        Passage::IsDelayed,
    ] {
        simulation.set_passage(0, passage, 1);
        for _ in 0..2 {
            simulation.publish(1, channel, 1, false).await;
        }
        link.read_all(&simulation, cuts).await;
        let is_told = link.is_up_to_date(&simulation).await;
        let waits = passage == Passage::IsDelayed;
        assert_eq!(is_told, !waits, "{dialect:?}, {passage:?}");
        simulation.settle(0);
        link.read_all(&simulation, cuts).await;
        let is_told = link.is_up_to_date(&simulation).await;
        assert!(is_told, "{dialect:?}, {passage:?}");
    }
    // The last message of all is lost, and nothing comes behind it.
    simulation.set_passage(0, Passage::IsLost, 1);
    simulation.publish(1, channel, 1, false).await;
    simulation.settle(0);
    link.read_all(&simulation, cuts).await;
    assert!(link.is_up_to_date(&simulation).await, "{dialect:?}, last");
    assert_eq!(simulation.filled_holes(), 2, "{dialect:?}");
    assert_eq!(link.client.gaps, 0, "{dialect:?}");
}

#[test]
fn whatever_messages_do_on_their_way_every_transport_tells_each_once() {
    let wires = [
        Wire::RawWebSocket,
        Wire::ValueWebSocket,
        Wire::ObjectWebSocket,
        Wire::RawSse,
        Wire::ObjectSse,
        Wire::RawNdjson,
        Wire::JsonWebSocket,
        Wire::MessagePackWebSocket,
        Wire::JsonSse,
        Wire::JsonNdjson,
        Wire::MessagePackStream,
    ];
    let mut dialects = wires.map(Dialect::connected).to_vec();
    dialects.push(Dialect::polled(Page::WIRE));
    for dialect in dialects {
        actix_rt::System::new().block_on(is_told_each_once(dialect));
    }
}

/// Runs the steps, then cuts the connection behind every byte at which the client knew something new, and lets it come back.
async fn run(
    dialect: Dialect,
    (mut scene, from_elsewhere): (Scene, bool),
    steps: Vec<Step>,
) -> usize {
    tokio::time::pause();
    let several = dialect.scope() == CursorScope::SeveralChannels || speaks_frames(dialect);
    scene.channels = if several { 3 } else { 1 };
    let simulation = Simulation::new(&scene);
    let mut client = SimulatedClient::new(dialect, &simulation.channels, &simulation.own);
    if from_elsewhere {
        let elsewhere = Position {
            epoch: Epoch(51),
            offset: Offset(9),
        };
        client = client.knows(&simulation.channels[0], elsewhere);
    }
    let mut cuts = vec![client.clone()];
    let mut link = simulation.connect(client, 0, &mut cuts).await;
    for step in steps {
        link = simulation.take(step, link, &mut cuts).await;
    }
    let told = link.drain(&simulation, &mut cuts).await;
    for (number, cut) in cuts.into_iter().enumerate() {
        let further = &mut Vec::new();
        let link = simulation.connect(cut, number % NODES, further).await;
        link.drain(&simulation, further).await;
    }
    told.gaps
}

fn holds_for(dialect: Dialect) {
    let mut config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    // More when somebody asks for more by PROPTEST_CASES.
    if config.cases <= 256 {
        config.cases = 16;
    }
    let seed = match config.rng_seed {
        RngSeed::Random => rand::random(),
        RngSeed::Fixed(seed) => seed,
    };
    config.rng_seed = RngSeed::Fixed(seed);
    let gaps = Cell::new(0);
    let runs = (scene(), proptest::collection::vec(step(), 1..60));
    let result = TestRunner::new(config).run(&runs, |(scene, steps)| {
        let told = actix_rt::System::new().block_on(run(dialect, scene, steps));
        gaps.set(gaps.get() + told);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{dialect:?}, PROPTEST_RNG_SEED={seed} shows it again: {error}");
    }
    let tells = dialect.wire().tells_gaps();
    assert!(
        gaps.get() > 0 || !tells,
        "{dialect:?} was never told of a gap, seed {seed}"
    );
}

#[test]
fn an_event_stream_of_one_channel_can_be_cut_anywhere() {
    for wire in [Wire::RawSse, Wire::ObjectSse] {
        holds_for(Dialect::connected(wire));
    }
}

#[test]
fn an_event_stream_of_several_channels_can_be_cut_anywhere() {
    for wire in [Wire::RawSse, Wire::ObjectSse] {
        holds_for(Dialect::connected(wire).covering(CursorScope::SeveralChannels));
    }
}

#[test]
fn a_stream_of_lines_of_one_channel_can_be_cut_anywhere() {
    holds_for(Dialect::connected(Wire::RawNdjson));
}

#[test]
fn a_stream_of_lines_of_several_channels_can_be_cut_anywhere() {
    holds_for(Dialect::connected(Wire::RawNdjson).covering(CursorScope::SeveralChannels));
}

#[test]
fn a_raw_websocket_can_be_cut_anywhere_and_counted_from_its_head() {
    for wire in [Wire::RawWebSocket, Wire::ValueWebSocket] {
        holds_for(Dialect::connected(wire));
    }
}

#[test]
fn a_websocket_of_message_objects_can_be_cut_anywhere() {
    holds_for(Dialect::connected(Wire::ObjectWebSocket));
}

#[test]
fn sessions_can_be_cut_anywhere_on_every_wire() {
    for wire in [
        Wire::JsonWebSocket,
        Wire::MessagePackWebSocket,
        Wire::JsonSse,
        Wire::JsonNdjson,
        Wire::MessagePackStream,
    ] {
        holds_for(Dialect::connected(wire));
    }
}

#[test]
fn polls_of_one_channel_can_be_given_up_anywhere() {
    holds_for(Dialect::polled(Page::WIRE));
}

#[test]
fn polls_of_several_channels_can_be_given_up_anywhere() {
    holds_for(Dialect::polled(Page::WIRE).covering(CursorScope::SeveralChannels));
}
