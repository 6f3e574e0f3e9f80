//! Every order of events: messages that are published, come, are lost or leave the history, and clients that join, begin, read the
//! history, are full, leave and join again. Whatever the order, each client hears every message after the place where it began, once
//! and in order, or is told of a gap where the history no longer had them.

use std::collections::VecDeque;

use proptest::prelude::*;
use widecast_protocol::framing::Wire;
use widecast_protocol::{ChannelName, Epoch, Offset};

use super::*;
use crate::registry::testing::message;
use crate::registry::{CursorForm, FlushList, GapForm, OutboxForm};

/// How many clients there are.
const CLIENTS: usize = 2;
/// How many messages a reader is given at once.
const PORTION: u64 = 2;
/// More turns than any order of events leaves to do.
const TURNS: usize = 1000;

#[derive(Debug, Clone)]
enum Step {
    /// A message is published.
    Publish,
    /// The oldest message that is on its way reaches the shard.
    Arrive,
    /// The oldest message that is on its way is lost.
    Lose,
    /// The shard hears that something was lost.
    TellLoss,
    /// The history forgets its oldest message.
    Forget,
    /// The history is read to fill a hole.
    ReadFill,
    /// What was read to fill a hole reaches the subscriptions.
    GiveFill,
    /// Something happens to a client.
    Client(usize, ClientStep),
}

#[derive(Debug, Clone)]
enum ClientStep {
    /// It joins, if it has not; its subscription is in the registry.
    Join,
    /// It is found out where it begins: so many messages before the end.
    FindPlace(u64),
    /// Its messages flow.
    Begin,
    /// The history is read for it.
    Read,
    /// What was read is sent to it.
    Send,
    /// It takes what waits.
    Take,
    /// It leaves the channel.
    Leave,
}

fn step() -> impl Strategy<Value = Step> {
    let client = prop_oneof![
        3 => Just(ClientStep::Join),
        1 => Just(ClientStep::FindPlace(0)),
        1 => (0_u64..4).prop_map(ClientStep::FindPlace),
        3 => Just(ClientStep::Begin),
        3 => Just(ClientStep::Read),
        3 => Just(ClientStep::Send),
        3 => Just(ClientStep::Take),
        1 => Just(ClientStep::Leave),
    ];
    prop_oneof![
        8 => Just(Step::Publish),
        8 => Just(Step::Arrive),
        2 => Just(Step::Lose),
        2 => Just(Step::TellLoss),
        1 => Just(Step::Forget),
        2 => Just(Step::ReadFill),
        2 => Just(Step::GiveFill),
        20 => (0..CLIENTS, client).prop_map(|(index, step)| Step::Client(index, step)),
    ]
}

fn at(offset: u64) -> Position {
    Position {
        epoch: Epoch(1),
        offset: Offset(offset),
    }
}

fn channel() -> ChannelName {
    ChannelName::parse("a").unwrap()
}

/// A client, what it knows and what it has heard.
struct Client {
    outbox: Rc<Outbox>,
    key: Option<usize>,
    /// Where it begins, and whether nothing had been published after that.
    place: Option<(u64, bool)>,
    has_begun: bool,
    /// Everything up to here it has heard, or been told that it will not.
    heard: u64,
    /// What was read for it, and after which place.
    read: Option<(Behind, Position, Replay)>,
}

impl Client {
    /// An outbox that has room for one message, or for all.
    fn new(is_narrow: bool) -> Self {
        let list = FlushList::new(Metrics::new().deliveries);
        let form = OutboxForm {
            wire: Wire::RawSse,
            gap: GapForm::Told,
            cursors: CursorForm::OfEach,
        };
        Self {
            outbox: Outbox::new(
                list,
                if is_narrow { 100 } else { 1 << 20 },
                form,
                ConnectionId(1),
            ),
            key: None,
            place: None,
            has_begun: false,
            heard: 0,
            read: None,
        }
    }

    fn destination(&self) -> Destination {
        Destination {
            outbox: Rc::clone(&self.outbox),
            sender: None,
            lane: self.outbox.lane(),
            policy: SlowConsumerPolicy::Disconnect,
            presence: None,
        }
    }
}

struct World {
    fanout: Fanout,
    metrics: Metrics,
    published: u64,
    /// The history no longer has messages up to here.
    forgotten: u64,
    on_the_way: VecDeque<u64>,
    is_loss_untold: bool,
    /// The holes that are being filled, each with what was read, once it was.
    fills: VecDeque<(Position, Option<Replay>)>,
    /// To where a hole reached that the history could not fill: all who were live then are told of it, also one that began in it.
    unfilled: u64,
    clients: Vec<Client>,
}

impl World {
    fn new(is_narrow: bool) -> Self {
        Self {
            fanout: Fanout::default(),
            metrics: Metrics::new(),
            published: 0,
            forgotten: 0,
            on_the_way: VecDeque::new(),
            is_loss_untold: false,
            fills: VecDeque::new(),
            unfilled: 0,
            clients: vec![Client::new(is_narrow), Client::new(false)],
        }
    }

    fn replay(&self, since: Position) -> Replay {
        let first = since.offset.0 + 1;
        let recovered = since.offset.0 >= self.forgotten;
        let last = if recovered {
            self.published.min(first + PORTION - 1)
        } else {
            self.published
        };
        let offsets = if recovered { first..last + 1 } else { 0..0 };
        Replay {
            messages: offsets.map(|offset| message("a", offset)).collect(),
            recovered,
            position: at(last),
            complete: last == self.published,
        }
    }

    fn go_on(&mut self, next: Next) {
        if let Next::Fill(since) = next {
            self.fills.push_back((since, None));
        }
    }

    fn run(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match step {
            Step::Publish => {
                self.published += 1;
                self.on_the_way.push_back(self.published);
            }
            Step::Arrive => {
                // A shard looks whether something was lost before it takes what comes.
                self.run(&Step::TellLoss)?;
                if let Some(offset) = self.on_the_way.pop_front()
                    && !self.fanout.is_empty()
                {
                    let next = self.fanout.arrived(&message("a", offset), &self.metrics);
                    self.go_on(next);
                }
            }
            Step::Lose => self.is_loss_untold |= self.on_the_way.pop_front().is_some(),
            Step::TellLoss => {
                if std::mem::take(&mut self.is_loss_untold) && !self.fanout.is_empty() {
                    let next = self.fanout.suspect_gap();
                    self.go_on(next);
                }
            }
            Step::Forget => self.forgotten = (self.forgotten + 1).min(self.published),
            Step::ReadFill => {
                if let Some(index) = self.fills.iter().position(|(_, read)| read.is_none()) {
                    self.fills[index].1 = Some(self.replay(self.fills[index].0));
                }
            }
            Step::GiveFill => {
                if let Some(index) = self.fills.iter().position(|(_, read)| read.is_some())
                    && let Some((since, Some(replay))) = self.fills.remove(index)
                    && !self.fanout.is_empty()
                {
                    if !replay.recovered {
                        self.unfilled = self.unfilled.max(replay.position.offset.0);
                    }
                    let next = self
                        .fanout
                        .fill(&channel(), (since, &replay), &self.metrics);
                    self.go_on(next);
                }
            }
            Step::Client(index, step) => self.run_client(*index, step)?,
        }
        Ok(())
    }

    fn run_client(&mut self, index: usize, step: &ClientStep) -> Result<(), TestCaseError> {
        let client = &mut self.clients[index];
        match step {
            ClientStep::Join if client.key.is_none() && client.outbox.is_open() => {
                client.key = Some(self.fanout.join(client.destination()));
            }
            ClientStep::FindPlace(back) if client.key.is_some() && client.place.is_none() => {
                // One that resumes from a place that the history has lost is told so, and begins at the end.
                let since = self.published.saturating_sub(*back).max(self.forgotten);
                client.place = Some((since, since == self.published));
            }
            ClientStep::Begin if !client.has_begun => {
                if let (Some(key), Some((start, nothing_past))) = (client.key, client.place) {
                    // Whatever waits is of the subscription before.
                    client.outbox.take();
                    client.heard = start;
                    client.has_begun = true;
                    self.fanout.begin(key, &channel(), at(start), nothing_past);
                }
            }
            ClientStep::Read if client.read.is_none() => {
                let outbox = Rc::clone(&client.outbox);
                if outbox.has_room()
                    && let Some(behind) = outbox.turns().next()
                    && let Some(since) = self.fanout.begin_reading(&behind, &outbox)
                {
                    self.clients[index].read = Some((behind, since, self.replay(since)));
                }
            }
            ClientStep::Send => {
                if let Some((behind, since, replay)) = client.read.take() {
                    let (outbox, portion) = (&client.outbox, (since, &replay));
                    let turn = self
                        .fanout
                        .send_past(&behind, outbox, portion, &self.metrics);
                    if turn == Turn::Again {
                        outbox.turns().add(behind);
                    }
                }
            }
            ClientStep::Take => self.take(index)?,
            ClientStep::Leave => {
                self.take(index)?;
                let client = &mut self.clients[index];
                if let Some(key) = client.key.take() {
                    client.place = None;
                    client.has_begun = false;
                    self.fanout.leave(key);
                    if self.fanout.is_empty() {
                        self.fanout = Fanout::default();
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The client takes what waits: it is what comes next, or a gap that the history has.
    fn take(&mut self, index: usize) -> Result<(), TestCaseError> {
        let client = &mut self.clients[index];
        for bytes in client.outbox.take() {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if !client.has_begun {
                prop_assert!(false, "client {index} hears {text} before it has begun");
            }
            if let Some((_, offset)) = text.split_once("\ndata: a ") {
                let offset: u64 = offset.trim().parse().unwrap();
                let next = client.heard + 1;
                prop_assert_eq!(offset, next, "client {} hears another message", index);
                client.heard = offset;
            } else {
                let gap = text.strip_prefix("id: 1-");
                let gap = gap.and_then(|rest| rest.lines().next()?.parse::<u64>().ok());
                let gap = gap.expect("a gap with the place behind it");
                let is_lost = self.forgotten > client.heard || gap <= self.unfilled;
                prop_assert!(
                    gap > client.heard && is_lost,
                    "client {} is told of a gap from {} to {}, the history begins after {}",
                    index,
                    client.heard,
                    gap,
                    self.forgotten
                );
                client.heard = gap;
            }
        }
        if !client.outbox.is_open() {
            prop_assert_eq!(client.outbox.closed(), Some(Ended::SlowConsumer));
            prop_assert!(self.forgotten > client.heard);
            client.has_begun = false;
        }
        Ok(())
    }

    /// Lets everything come to rest, and looks that all clients have heard everything.
    fn settle(&mut self) -> Result<(), TestCaseError> {
        while !self.on_the_way.is_empty() {
            self.run(&Step::Arrive)?;
        }
        for index in 0..CLIENTS {
            self.run_client(index, &ClientStep::Begin)?;
        }
        self.run(&Step::TellLoss)?;
        for _ in 0..TURNS {
            for step in [Step::ReadFill, Step::GiveFill] {
                self.run(&step)?;
            }
            for index in 0..CLIENTS {
                for step in [ClientStep::Take, ClientStep::Read, ClientStep::Send] {
                    self.run_client(index, &step)?;
                }
            }
            let is_done = |client: &Client| !client.has_begun || client.heard == self.published;
            if self.fills.is_empty() && self.clients.iter().all(is_done) {
                return Ok(());
            }
        }
        let heard: Vec<_> = self.clients.iter().map(|client| client.heard).collect();
        prop_assert!(false, "{} were published, {heard:?} heard", self.published);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]
    #[test]
    fn every_client_hears_everything_once_in_any_order_of_events(
        is_narrow in any::<bool>(),
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut world = World::new(is_narrow);
        for step in &steps {
            world.run(step)?;
        }
        world.settle()?;
    }
}
