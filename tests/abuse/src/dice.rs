//! Chance that repeats.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// What the variant of an abuse is made of.
pub struct Dice {
    random: StdRng,
    /// How strong the abuse is: 1 is for tests.
    scale: usize,
}

impl Dice {
    /// The dice of a seed.
    pub fn new(seed: u64, scale: usize) -> Self {
        let random = StdRng::seed_from_u64(seed);
        Self { random, scale }
    }

    /// So many, and more with a larger scale.
    pub fn many(&self, few: usize) -> usize {
        few * self.scale
    }

    /// A number of bytes, elements or the like, from 1 to `most`: each order of magnitude is as likely as any other.
    pub fn up_to(&mut self, most: usize) -> usize {
        let digits = most.max(1).ilog2() + 1;
        let below = 1_usize << self.random.random_range(1..=digits);
        self.random.random_range(1..=below.min(most.max(1)))
    }

    /// One of several.
    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.random.random_range(0..choices.len())]
    }
}
