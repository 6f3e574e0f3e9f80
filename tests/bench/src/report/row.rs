//! One measured figure of the broker, with the floor's beside it.

/// What a figure has to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    /// At most so many times the floor's.
    TimesFloor(f64),
    /// At most so much more than the floor's.
    MoreThanFloor(f64),
    /// At most this.
    AtMost(f64),
    /// At least this.
    AtLeast(f64),
}

/// Whether a target was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// There is no target.
    None,
    /// It was met.
    Met,
    /// It was not.
    Missed,
}

/// One figure: the median over all rounds, and what it is the median of.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// What was done.
    pub scenario: String,
    /// What subscribers read, or how clients asked.
    pub wire: &'static str,
    /// What was measured, with its unit.
    pub measure: &'static str,
    /// The broker's figures, one for each round.
    pub broker: Vec<f64>,
    /// The floor's; empty where the floor has nothing to compare.
    pub floor: Vec<f64>,
    /// Things done in a second, the broker's and the floor's median; zero where that says nothing.
    pub per_second: [f64; 2],
    /// What the broker's figure has to be.
    pub target: Option<Target>,
}

impl Row {
    /// A row of the broker's figures alone.
    pub fn new(scenario: impl Into<String>, wire: &'static str, measure: &'static str) -> Self {
        Self {
            scenario: scenario.into(),
            wire,
            measure,
            broker: Vec::new(),
            floor: Vec::new(),
            per_second: [0.0; 2],
            target: None,
        }
    }

    /// The same with a target.
    #[must_use]
    pub fn with_target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    /// The broker's median.
    pub fn broker_median(&self) -> f64 {
        median(&self.broker).unwrap_or(f64::NAN)
    }

    /// The floor's median, where there is one.
    pub fn floor_median(&self) -> Option<f64> {
        median(&self.floor)
    }

    /// How many times the floor's median the broker's is.
    pub fn ratio(&self) -> Option<f64> {
        self.floor_median()
            .filter(|&floor| floor > 0.0)
            .map(|floor| self.broker_median() / floor)
    }

    /// Whether the target was met.
    pub fn verdict(&self) -> Verdict {
        let met = match self.target {
            None => return Verdict::None,
            Some(Target::TimesFloor(limit)) => self.ratio().is_some_and(|ratio| ratio <= limit),
            Some(Target::MoreThanFloor(limit)) => {
                let floor = self.floor_median();
                floor.is_some_and(|floor| self.broker_median() - floor <= limit)
            }
            Some(Target::AtMost(limit)) => self.broker_median() <= limit,
            Some(Target::AtLeast(limit)) => self.broker_median() >= limit,
        };
        if met { Verdict::Met } else { Verdict::Missed }
    }
}

/// The middle of some figures; of an even number the mean of the two in the middle.
pub(super) fn median(figures: &[f64]) -> Option<f64> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = sorted[(sorted.len() - 1) / 2];
    Some(f64::midpoint(lower, upper))
}

/// A count as a figure.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts here are far below 2^53, where f64 is exact"
)]
pub fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_stands_in_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn targets_are_judged_by_the_median() {
        let mut row = Row::new("a", "b", "µs").with_target(Target::TimesFloor(1.1));
        row.broker = vec![9.0, 1.05, 1.0];
        row.floor = vec![1.0];
        assert_eq!(row.verdict(), Verdict::Met);
        row.target = Some(Target::MoreThanFloor(0.1));
        assert_eq!(row.verdict(), Verdict::Met);
        row.target = Some(Target::MoreThanFloor(0.01));
        assert_eq!(row.verdict(), Verdict::Missed);
        row.target = Some(Target::AtMost(1.0));
        assert_eq!(row.verdict(), Verdict::Missed);
        row.target = Some(Target::AtLeast(1.0));
        assert_eq!(row.verdict(), Verdict::Met);
        row.target = None;
        assert_eq!(row.verdict(), Verdict::None);
    }

    #[test]
    fn without_a_floor_a_ratio_is_missed() {
        let mut row = Row::new("a", "b", "µs").with_target(Target::TimesFloor(1.1));
        row.broker = vec![1.0];
        assert_eq!(row.ratio(), None);
        assert_eq!(row.verdict(), Verdict::Missed);
    }
}
