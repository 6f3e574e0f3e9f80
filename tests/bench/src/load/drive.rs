//! Publishing to a swarm, with so many publications in flight, and counting what comes back.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::exchange::Exchange;
use super::swarm::{Swarm, with_headers};
use crate::form::MARK;

/// How long nothing may happen before the run counts as failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// How a run goes.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How many publications may be in flight. One is in flight until it is answered and all its deliveries have arrived.
    pub window: usize,
    /// The run ends after so many publications, or after `time`.
    pub messages: u64,
    /// The run ends after so long, or after `messages`.
    pub time: Duration,
    /// The pause from one publication to the next; zero: as fast as the window allows.
    pub interval: Duration,
    /// The size of a payload.
    pub payload_bytes: usize,
}

/// What happened.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// How many messages were published.
    pub messages: u64,
    /// How many deliveries arrived: exactly one for each message and subscriber of its channel.
    pub deliveries: u64,
    /// From the first publication to the last delivery.
    pub elapsed: Duration,
    /// From each publication to each of its deliveries, in no order; only of runs with an interval.
    pub latencies: Vec<Duration>,
}

/// Keep-alive connections to publish on, one publication at a time each.
#[derive(Debug)]
pub struct Publishers {
    exchanges: Vec<Exchange>,
    /// One complete request for each channel.
    requests: Vec<Vec<u8>>,
}

impl Publishers {
    /// Connects as many publishers as a window needs, for the channels of a swarm.
    ///
    /// # Errors
    /// When the server is not there.
    pub fn connect(swarm: &Swarm, plan: &Plan) -> Result<Self> {
        let mut text = "x".repeat(plan.payload_bytes.saturating_sub(1));
        text.push(char::from(MARK));
        let request = |channel: &String| {
            let request = swarm.plan.form.publication(channel, &text);
            with_headers(&request, &swarm.plan.headers).into_bytes()
        };
        let mut exchanges = Vec::with_capacity(plan.window);
        for index in 0..plan.window {
            let exchange = Exchange::connect(swarm.plan.publish_to)?;
            swarm.poller.add(&exchange, swarm.len() + index)?;
            exchanges.push(exchange);
        }
        Ok(Self {
            exchanges,
            requests: swarm.channels().iter().map(request).collect(),
        })
    }
}

/// Publishes to the channels of a swarm in turn until the plan is done and everything has arrived.
///
/// # Errors
/// When a delivery is missing, there is one too many, or the server ends a connection.
pub fn drive(swarm: &mut Swarm, publishers: &mut Publishers, plan: &Plan) -> Result<Outcome> {
    let channels = swarm.channels().len();
    let mut run = Run {
        plan,
        deliveries_per_message: (swarm.len() / channels) as u64,
        heard_before: (0..swarm.len()).map(|index| swarm.heard(index)).collect(),
        start: Instant::now(),
        answered: 0,
        sent_at: Vec::new(),
        outcome: Outcome::default(),
    };
    while run.goes_on() {
        run.publish(publishers)?;
        let patience = run.sleep();
        swarm.poller.wait(&mut swarm.events, Some(patience))?;
        if swarm.events.is_empty() && patience == PATIENCE {
            run.fail_for_silence()?;
        }
        let events = std::mem::take(&mut swarm.events);
        for token in events.tokens() {
            run.read(swarm, publishers, token)?;
        }
        swarm.events = events;
        run.check_count()?;
    }
    run.outcome.elapsed = run.start.elapsed();
    Ok(run.outcome)
}

struct Run<'a> {
    plan: &'a Plan,
    deliveries_per_message: u64,
    heard_before: Vec<u64>,
    start: Instant,
    answered: u64,
    /// When each message was sent; kept only where latency is asked for.
    sent_at: Vec<Instant>,
    outcome: Outcome,
}

impl Run<'_> {
    fn wants_more(&self) -> bool {
        self.outcome.messages < self.plan.messages && self.start.elapsed() < self.plan.time
    }

    fn goes_on(&self) -> bool {
        self.wants_more() || self.progress() < self.expected()
    }

    /// Answers and deliveries so far.
    fn progress(&self) -> u64 {
        self.answered + self.outcome.deliveries
    }

    fn expected(&self) -> u64 {
        self.outcome.messages + self.owed()
    }

    fn in_flight(&self) -> u64 {
        let delivered = self.outcome.deliveries / self.deliveries_per_message.max(1);
        self.outcome.messages - delivered.min(self.answered)
    }

    /// Sends what the window and the clock allow.
    fn publish(&mut self, publishers: &mut Publishers) -> Result<()> {
        while self.wants_more() && self.in_flight() < self.plan.window as u64 && self.is_due() {
            let Some(exchange) = publishers.exchanges.iter_mut().find(|one| !one.is_busy()) else {
                return Ok(());
            };
            let turn = self.outcome.messages % publishers.requests.len() as u64;
            if !self.plan.interval.is_zero() {
                self.sent_at.push(Instant::now());
            }
            // Below the number of requests, so it fits.
            exchange.send(&publishers.requests[usize::try_from(turn)?])?;
            self.outcome.messages += 1;
        }
        Ok(())
    }

    fn next_due(&self) -> Instant {
        let sent = u32::try_from(self.outcome.messages).unwrap_or(u32::MAX);
        self.start + self.plan.interval.saturating_mul(sent)
    }

    fn is_due(&self) -> bool {
        self.plan.interval.is_zero() || Instant::now() >= self.next_due()
    }

    /// How long nothing may happen; up to the next publication if only the clock holds it back.
    fn sleep(&self) -> Duration {
        if self.plan.interval.is_zero() || !self.wants_more() {
            return PATIENCE;
        }
        self.next_due()
            .saturating_duration_since(Instant::now())
            .clamp(Duration::from_micros(100), PATIENCE)
    }

    fn read(&mut self, swarm: &mut Swarm, publishers: &mut Publishers, token: usize) -> Result<()> {
        if token < swarm.len() {
            let messages = swarm.read(token)?;
            self.outcome.deliveries += messages;
            if !self.plan.interval.is_zero() {
                self.note_latencies(swarm.heard(token) - self.heard_before[token], messages);
            }
            return Ok(());
        }
        let exchange = &mut publishers.exchanges[token - swarm.len()];
        if exchange.receive(&mut swarm.buffer)?.is_some() {
            self.answered += 1;
        }
        Ok(())
    }

    /// The newest `count` of `heard` messages have just arrived. All channels are one here, so the nth heard is the nth sent.
    fn note_latencies(&mut self, heard: u64, count: u64) {
        let now = Instant::now();
        for nth in heard - count..heard {
            let sent = usize::try_from(nth)
                .ok()
                .and_then(|nth| self.sent_at.get(nth));
            if let Some(&sent) = sent {
                self.outcome.latencies.push(now - sent);
            }
        }
    }

    fn owed(&self) -> u64 {
        self.outcome.messages * self.deliveries_per_message
    }

    fn check_count(&self) -> Result<()> {
        if self.outcome.deliveries > self.owed() {
            bail!(
                "{} deliveries arrived, only {} were owed",
                self.outcome.deliveries,
                self.owed()
            );
        }
        Ok(())
    }

    fn fail_for_silence(&self) -> Result<()> {
        bail!(
            "{} of {} deliveries and {} of {} answers have arrived, and no more for ten seconds",
            self.outcome.deliveries,
            self.owed(),
            self.answered,
            self.outcome.messages
        )
    }
}
