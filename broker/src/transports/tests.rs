//! What a client knows is never ahead of what it was told, behind whichever byte its connection is cut: streams of every
//! form, with several channels, gaps, drops and holes in them, of clients that come again.

use std::cell::Cell;
use std::sync::atomic::Ordering;
use std::time::Duration;

use proptest::prelude::*;
use widecast_protocol::framing::Wire;
use widecast_protocol::{CommandId, Epoch, Offset, Position};

use super::simulated_client::{AGAIN, SimulatedClient};
use super::simulation::{
    HISTORY_AGE, SimulatedConnection, Simulation, counts, let_others_run, speaks_frames,
};
use crate::engine::Deliver;
use crate::session::{CursorScope, Dialect};

/// An outbox in which a handful of messages may wait.
const A_HANDFUL: u64 = 1500;
/// An outbox in which more messages may wait than one write takes.
const MANY: u64 = 6000;

/// What happens, one thing after another.
#[derive(Debug, Clone)]
enum Step {
    /// Messages are published, perhaps by the client itself.
    Publish {
        channel: usize,
        count: usize,
        bytes: usize,
        own: bool,
    },
    /// Messages are lost on their way from the engine, which knows it.
    Lose { channel: usize, count: usize },
    /// Messages reach this node twice.
    Double { channel: usize, count: usize },
    /// The client's socket takes so many bytes.
    Write(usize),
    /// The history of all channels is over.
    Expire,
    /// The connection is cut, and the client comes back.
    Cut,
    /// The client joins a channel once more: from where it is, or asking where that is.
    Again { channel: usize, from_known: bool },
}

fn step() -> impl Strategy<Value = Step> {
    let channel = || 0..3_usize;
    prop_oneof![
        2 => (channel(), 20..60_usize).prop_map(
            |(channel, count)| Step::Publish { channel, count, bytes: 1, own: false }
        ),
        8 => (channel(), 1..8_usize, 1..300_usize, any::<bool>()).prop_map(
            |(channel, count, bytes, own)| Step::Publish { channel, count, bytes, own }
        ),
        1 => (channel(), 1..8_usize).prop_map(|(channel, count)| Step::Lose { channel, count }),
        1 => (channel(), 1..8_usize).prop_map(|(channel, count)| Step::Double { channel, count }),
        6 => prop_oneof![0..40_usize, 0..2000_usize].prop_map(Step::Write),
        1 => Just(Step::Expire),
        1 => Just(Step::Cut),
        1 => (channel(), any::<bool>())
            .prop_map(|(channel, from_known)| Step::Again { channel, from_known }),
    ]
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
                channel,
                count,
                bytes,
                own,
            } => {
                let own = own && !counts(link.client.dialect);
                for _ in 0..count {
                    self.publish(named(channel), bytes, own).await;
                }
            }
            Step::Lose { channel, count } => {
                self.delivery.loses.store(true, Ordering::Relaxed);
                for _ in 0..count {
                    self.publish(named(channel), 1, false).await;
                }
                self.delivery.loses.store(false, Ordering::Relaxed);
                self.delivery.lost(named(channel));
            }
            Step::Double { channel, count } => {
                self.delivery.doubles.store(true, Ordering::Relaxed);
                for _ in 0..count {
                    self.publish(named(channel), 1, false).await;
                }
                self.delivery.doubles.store(false, Ordering::Relaxed);
            }
            Step::Write(most) => link.read(most, cuts),
            Step::Expire => self.clock.pass(HISTORY_AGE + Duration::from_secs(1)),
            Step::Cut => link = self.connect(link.client, cuts).await,
            Step::Again {
                channel,
                from_known,
            } => {
                let channel = named(channel);
                let known = link.client.known.get(channel).copied();
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
            link.read(usize::MAX / 2, cuts);
            link = self.connect(link.client, cuts).await;
        }
        link
    }
}

/// Runs the steps, then cuts the connection behind every byte at which the client knew something new, and lets it come back.
async fn run(dialect: Dialect, steps: Vec<Step>) -> usize {
    let several = dialect.scope() == CursorScope::SeveralChannels || speaks_frames(dialect);
    let outbox_bytes = if steps.len().is_multiple_of(2) {
        A_HANDFUL
    } else {
        MANY
    };
    let channels = if several { 3 } else { 1 };
    // Every other time the engine answers at once, as one in memory does.
    let slow_calls = [0, 3, 0, 9][steps.len() / 2 % 4];
    let simulation = Simulation::new(channels, outbox_bytes, slow_calls);
    let mut client = SimulatedClient::new(dialect, &simulation.channels, &simulation.own);
    if steps.len().is_multiple_of(3) {
        let elsewhere = Position {
            epoch: Epoch(51),
            offset: Offset(9),
        };
        client = client.knows(&simulation.channels[0], elsewhere);
    }
    let mut cuts = vec![client.clone()];
    let mut link = simulation.connect(client, &mut cuts).await;
    for step in steps {
        link = simulation.take(step, link, &mut cuts).await;
    }
    let told = link.drain(&simulation, &mut cuts).await;
    for cut in cuts {
        let further = &mut Vec::new();
        let link = simulation.connect(cut, further).await;
        link.drain(&simulation, further).await;
    }
    told.gaps
}

fn holds_for(dialect: Dialect) {
    let gaps = Cell::new(0);
    let config = ProptestConfig::default();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        // More when somebody asks for more by PROPTEST_CASES.
        cases: if config.cases > 256 { config.cases } else { 16 },
        failure_persistence: None,
        ..config
    });
    let steps = proptest::collection::vec(step(), 1..60);
    let result = runner.run(&steps, |steps| {
        let told = actix_rt::System::new().block_on(run(dialect, steps));
        gaps.set(gaps.get() + told);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{dialect:?}: {error}");
    }
    let tells = dialect.wire().tells_gaps();
    assert!(
        gaps.get() > 0 || !tells,
        "{dialect:?} was never told of a gap"
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
