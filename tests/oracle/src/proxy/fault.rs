//! What goes wrong with a connection, drawn before it begins.

use std::collections::VecDeque;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;

/// How bad the network of one client is, or that between a broker and one of its Redis servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weather {
    /// The time that a byte takes, each way.
    pub delay: Duration,
    /// How many of a hundred connections are cut.
    pub cuts: u32,
    /// How many of a hundred connections stand still for a while.
    pub stalls: u32,
    /// How many of a hundred connections are read slowly, through small buffers.
    pub slow: u32,
    /// How many of a hundred connections begin byte by byte.
    pub split: u32,
}

impl Weather {
    /// No fault at all.
    pub const FAIR: Self = Self {
        delay: Duration::ZERO,
        cuts: 0,
        stalls: 0,
        slow: 0,
        split: 0,
    };

    /// The weather between a broker and a Redis server: nobody could work with one that is cut all the time.
    pub fn draw_of_server(random: &mut StdRng) -> Self {
        const DELAYS: [u64; 6] = [0, 0, 0, 1, 5, 30];
        Self {
            delay: Duration::from_millis(DELAYS[random.random_range(0..DELAYS.len())]),
            cuts: random.random_range(0..=40),
            stalls: random.random_range(0..=40),
            slow: 0,
            split: random.random_range(0..=10),
        }
    }

    /// The weather of one client.
    pub fn draw(random: &mut StdRng) -> Self {
        const DELAYS: [u64; 8] = [0, 0, 0, 0, 0, 5, 20, 60];
        Self {
            delay: Duration::from_millis(DELAYS[random.random_range(0..DELAYS.len())]),
            cuts: random.random_range(0..=90),
            stalls: random.random_range(0..=50),
            slow: random.random_range(0..=50),
            split: random.random_range(0..=20),
        }
    }
}

/// What does not arrive on any connection of a way, nor on those that are made meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outage {
    /// What is sent towards the server.
    Up,
    /// What the server sends.
    Down,
    /// Neither.
    Both,
}

impl Outage {
    pub(super) fn stops_up(self) -> bool {
        self != Self::Down
    }

    pub(super) fn stops_down(self) -> bool {
        self != Self::Up
    }
}

/// What happens to one connection.
#[derive(Debug, Clone)]
pub struct Journey {
    /// The time that a byte takes, each way.
    pub delay: Duration,
    /// Whether the buffer towards the broker is as small as the kernel allows.
    pub narrow: bool,
    /// From the client to the broker.
    pub up: Lane,
    /// From the broker to the client.
    pub down: Lane,
    /// When it is cut at the latest.
    pub lifetime: Option<(Duration, Cut)>,
}

/// One direction of a connection.
#[derive(Debug, Clone, Default)]
pub struct Lane {
    /// So many bytes go one by one.
    pub single: u64,
    /// So many bytes go at once, with a pause behind them.
    pub pace: Option<(usize, Duration)>,
    /// What happens before which byte.
    pub faults: VecDeque<(u64, Fault)>,
}

/// What happens before a byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing moves for a while.
    Stall(Duration),
    /// The direction ends, the other one goes on.
    HalfClose,
    /// The connection ends.
    Cut(Cut),
}

/// How each side learns of the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// How the client learns of it.
    pub client: Ending,
    /// How the broker learns of it.
    pub broker: Ending,
}

/// The end of a connection, as one side sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// A reset.
    Reset,
    /// A proper end.
    Finish,
    /// Nothing at first, and a reset later.
    Late(Duration),
}

impl Journey {
    /// What happens to the next connection in this weather.
    pub fn draw(weather: Weather, random: &mut StdRng) -> Self {
        let mut of_hundred = |many: u32| random.random_range(0..100) < many;
        let slow = of_hundred(weather.slow);
        let split = of_hundred(weather.split);
        let stalls = of_hundred(weather.stalls);
        let cuts = of_hundred(weather.cuts);
        let mut journey = Self {
            delay: weather.delay,
            narrow: slow || stalls,
            up: Lane::default(),
            down: Lane::default(),
            lifetime: None,
        };
        if slow {
            let (bytes, pause) = (random.random_range(200..6000), random.random_range(5..200));
            journey.down.pace = Some((bytes, Duration::from_millis(pause)));
        }
        if split {
            journey.down.single = random.random_range(1..1500);
            journey.up.single = random.random_range(1..300);
        }
        if stalls {
            for _ in 0..random.random_range(1..6) {
                let pause = Duration::from_millis(random.random_range(50..2500));
                let lane = journey.lane(random.random_bool(0.8));
                let at = position(random);
                lane.faults.push_back((at, Fault::Stall(pause)));
            }
        }
        if cuts {
            journey.draw_cut(random);
        }
        for lane in [&mut journey.up, &mut journey.down] {
            lane.faults.make_contiguous().sort_by_key(|&(at, _)| at);
        }
        journey
    }

    /// A cut at a place or after a time; whatever comes first.
    fn draw_cut(&mut self, random: &mut StdRng) {
        let cut = Cut {
            client: Ending::draw_of_client(random),
            broker: Ending::draw(random),
        };
        if random.random_bool(0.5) {
            let after = Duration::from_millis(random.random_range(1..6000));
            self.lifetime = Some((after, cut));
        }
        let half = random.random_bool(0.15);
        let fault = if half {
            Fault::HalfClose
        } else {
            Fault::Cut(cut)
        };
        let at = position(random);
        let lane = self.lane(random.random_bool(0.8));
        lane.faults.push_back((at, fault));
    }

    fn lane(&mut self, down: bool) -> &mut Lane {
        if down { &mut self.down } else { &mut self.up }
    }
}

impl Ending {
    fn draw(random: &mut StdRng) -> Self {
        match random.random_range(0..5) {
            0 | 1 => Self::Reset,
            2 | 3 => Self::Finish,
            _ => Self::Late(Duration::from_millis(random.random_range(1..2000))),
        }
    }

    /// A client that is not told waits for nothing until its patience ends, so that is rare.
    fn draw_of_client(random: &mut StdRng) -> Self {
        if random.random_bool(0.7) {
            Self::Reset
        } else {
            Self::Finish
        }
    }
}

/// Before which byte: small numbers as likely as large ones.
fn position(random: &mut StdRng) -> u64 {
    let magnitude = random.random_range(0.0..19.0_f64);
    let position = magnitude.exp2();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 1 and 2^19"
    )]
    let position = position as u64;
    position
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::generator;

    #[test]
    fn fair_weather_has_no_faults_and_a_seed_repeats_the_others() {
        let fair = Journey::draw(Weather::FAIR, &mut generator(1, "x"));
        assert!(fair.down.faults.is_empty() && fair.lifetime.is_none() && !fair.narrow);
        let weather = Weather::draw(&mut generator(7, "weather"));
        let draw = || format!("{:?}", Journey::draw(weather, &mut generator(7, "journey")));
        assert_eq!(draw(), draw());
    }
}
