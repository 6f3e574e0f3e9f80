//! Bytes that many share, that are counted for as long as somebody has them, and that are found again until then.
//!
//! A message stays in the history for minutes, its forms are needed for as long as somebody has yet to be sent them. So the
//! message knows of its forms, but keeps none of them alive.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;

/// The sum of all bytes that are held.
static HELD_BYTES: AtomicUsize = AtomicUsize::new(0);

/// How much memory all wire forms take that somebody has now, in bytes: each counts once, however many share it.
pub fn held_form_bytes() -> usize {
    HELD_BYTES.load(Ordering::Relaxed)
}

/// Bytes that count until nobody has them any more.
#[derive(Debug)]
struct Counted(Bytes);

impl Counted {
    fn new(bytes: Bytes) -> Arc<Self> {
        // Only the sum matters.
        HELD_BYTES.fetch_add(bytes.len(), Ordering::Relaxed);
        Arc::new(Self(bytes))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        HELD_BYTES.fetch_sub(self.0.len(), Ordering::Relaxed);
    }
}

/// An owner of shared bytes, from which a `Bytes` is made.
struct Owner(Arc<Counted>);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.0.0
    }
}

/// A table in which shared bytes are found again, by the index of their kind.
#[derive(Debug)]
pub(crate) struct HeldForms<const N: usize>(Mutex<[Weak<Counted>; N]>);

impl<const N: usize> HeldForms<N> {
    /// Nothing has been made.
    pub(crate) const fn new() -> Self {
        Self(Mutex::new([const { Weak::new() }; N]))
    }

    /// The bytes of a form, if somebody has them; else they are made. Who makes them keeps nobody waiting: should two make the same
    /// at once, all share those of the first.
    pub(crate) fn get_or_make(&self, form: usize, make: impl FnOnce() -> Bytes) -> Bytes {
        if let Some(found) = self.forms()[form].upgrade() {
            return Bytes::from_owner(Owner(found));
        }
        let new = Counted::new(make());
        let mut forms = self.forms();
        let shared = forms[form].upgrade().unwrap_or_else(|| {
            forms[form] = Arc::downgrade(&new);
            new
        });
        drop(forms);
        Bytes::from_owner(Owner(shared))
    }

    fn forms(&self) -> MutexGuard<'_, [Weak<Counted>; N]> {
        // Nothing under the lock can panic, so the table is whole in any case.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_made_once_while_somebody_has_them_and_again_when_nobody_has() {
        let forms = HeldForms::<2>::new();
        let make = || Bytes::from(vec![7; 100]);
        let first = forms.get_or_make(1, make);
        let part = first.slice(90..);
        let address = first.as_ptr();
        drop(first);
        let again = forms.get_or_make(1, || unreachable!("a part of it is still there"));
        assert_eq!(again.as_ptr(), address);
        drop((again, part));
        let mut is_anew = false;
        let new = forms.get_or_make(1, || {
            is_anew = true;
            make()
        });
        assert!(is_anew);
        assert_eq!(new, make());
    }

    #[test]
    fn bytes_that_somebody_has_are_counted_once() {
        // Far more than the other tests of this process hold at the same time.
        const SIZE: usize = 64 << 20;
        let forms = HeldForms::<1>::new();
        let first = forms.get_or_make(0, || vec![0; SIZE].into());
        let second = forms.get_or_make(0, Bytes::new);
        let held = held_form_bytes();
        assert!((SIZE..2 * SIZE).contains(&held), "{held}");
        drop(first);
        assert!(held_form_bytes() >= SIZE);
        drop(second);
        assert!(held_form_bytes() < SIZE);
    }
}
