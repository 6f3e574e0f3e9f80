//! The forms that a worker has made last. They are kept for a moment although no outbox holds them any more, because other
//! workers need the same message a moment later, and many clients resume from the same place after a cut.

use std::cell::RefCell;
use std::collections::VecDeque;

use bytes::Bytes;
use widecast_protocol::Forms;

/// How much is kept on each worker.
const KEPT_BYTES: usize = 1 << 20;
/// The size of the largest form that is kept. A larger one would push out forms that cost more to make than itself.
const LARGEST_BYTES: usize = 64 << 10;

thread_local! {
    static RECENT: RefCell<Recent> = RefCell::default();
}

/// Forms in the order in which they were made.
#[derive(Debug, Default)]
struct Recent {
    forms: VecDeque<Bytes>,
    bytes: usize,
}

impl Recent {
    fn keep(&mut self, form: &Bytes) {
        if form.len() > LARGEST_BYTES {
            return;
        }
        self.bytes += form.len();
        self.forms.push_back(form.clone());
        while self.bytes > KEPT_BYTES
            && let Some(oldest) = self.forms.pop_front()
        {
            self.bytes -= oldest.len();
        }
    }
}

/// Keeps the forms of a message for a moment.
pub(super) fn keep(forms: &Forms<'_>) {
    RECENT.with_borrow_mut(|recent| {
        for form in forms.made() {
            recent.keep(form);
        }
    });
}

/// Lets go of all that this worker keeps.
pub fn forget() {
    RECENT.take();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept_up_to_a_bound_and_large_ones_never() {
        let mut recent = Recent::default();
        recent.keep(&Bytes::from(vec![0; LARGEST_BYTES + 1]));
        assert!(recent.forms.is_empty());
        for byte in 0..40 {
            recent.keep(&Bytes::from(vec![byte; LARGEST_BYTES]));
        }
        assert_eq!(recent.bytes, KEPT_BYTES);
        assert_eq!(recent.forms.len(), KEPT_BYTES / LARGEST_BYTES);
        assert_eq!(recent.forms.back().map(|form| form[0]), Some(39));
    }
}
