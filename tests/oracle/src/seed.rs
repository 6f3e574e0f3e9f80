//! Chance that repeats: every actor of a run has a generator of its own, made from the run's seed and the actor's name, so
//! that what one decides does not depend on when another one is scheduled.

use rand::SeedableRng;
use rand::rngs::StdRng;

/// The generator of one actor.
pub fn generator(seed: u64, actor: &str) -> StdRng {
    // FNV-1a, so that names which differ give generators which differ.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for byte in actor.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    StdRng::seed_from_u64(hash)
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::generator;

    #[test]
    fn a_seed_and_a_name_give_the_same_numbers_again() {
        let numbers = |seed, name| generator(seed, name).random::<u64>();
        assert_eq!(numbers(1, "a"), numbers(1, "a"));
        assert_ne!(numbers(1, "a"), numbers(2, "a"));
        assert_ne!(numbers(1, "a"), numbers(1, "b"));
    }
}
