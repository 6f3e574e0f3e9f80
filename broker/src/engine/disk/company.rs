//! Whether publications come together, so that it is worth looking for others before one is written.

use std::sync::atomic::{AtomicU32, Ordering};

/// After so many publications that were written alone, the next ones do not look for others; but one of as many does.
const ALONE: u32 = 16;

/// What has been seen of it.
#[derive(Default)]
pub(super) struct Company {
    /// How many writes in a row were of one publication.
    alone: AtomicU32,
}

impl Company {
    /// So many publications are written together.
    pub(super) fn note(&self, together: usize) {
        // One at a time writes. After so many that the number begins anew, a few look for others in vain.
        let alone = self.alone.load(Ordering::Relaxed).wrapping_add(1);
        let alone = if together > 1 { 0 } else { alone };
        self.alone.store(alone, Ordering::Relaxed);
    }

    /// Whether the next publication looks for others that have come with it. That costs the worker another round, which is nothing where
    /// it saves writes, and as much as a write where nobody else publishes.
    pub(super) fn is_expected(&self) -> bool {
        let alone = self.alone.load(Ordering::Relaxed);
        alone < ALONE || alone.is_multiple_of(ALONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(writes: &[usize]) -> Company {
        let company = Company::default();
        for &together in writes {
            company.note(together);
        }
        company
    }

    #[test]
    fn at_first_and_after_company_it_is_expected() {
        assert!(Company::default().is_expected());
        assert!(after(&[1]).is_expected());
        assert!(after(&[1; 15]).is_expected());
        assert!(after(&[&[1; 100][..], &[2]].concat()).is_expected());
    }

    #[test]
    fn who_publishes_alone_looks_for_others_now_and_then() {
        let looks = (16..176).filter(|&writes| after(&vec![1; writes]).is_expected());
        assert_eq!(looks.count(), 10);
    }
}
