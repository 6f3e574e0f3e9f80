//! Whether publishers come together.

use std::sync::atomic::{AtomicU32, Ordering};

/// After a publisher that was alone, so many less one do not look for others.
const LOOKS_EVERY: u32 = 16;

/// Whether there were others when a publisher last looked for them. A look costs a turn of the worker, which is wasted where publications
/// come one by one.
#[derive(Debug, Default)]
pub(super) struct Company {
    /// How many publishers have come since others were found.
    alone: AtomicU32,
}

impl Company {
    /// Whether a publisher is to look for others.
    pub(super) fn is_expected(&self) -> bool {
        let alone = self.alone.fetch_add(1, Ordering::Relaxed);
        alone.is_multiple_of(LOOKS_EVERY)
    }

    /// There were others.
    pub(super) fn found(&self) {
        self.alone.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_alone_looks_seldom_and_who_is_not_always() {
        let company = Company::default();
        let looks = (0..32).filter(|_| company.is_expected()).count();
        assert_eq!(looks, 2);
        let looks = (0..32).filter(|_| {
            company.found();
            company.is_expected()
        });
        assert_eq!(looks.count(), 32);
    }
}
