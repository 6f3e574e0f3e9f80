//! The bytes of an answer that shares large parts with others.

use std::collections::VecDeque;

use bytes::Bytes;

/// A part of so many bytes is a piece of its own. To copy a smaller one costs less than to keep it apart.
const SHARED_BYTES: usize = 16 << 10;

/// The bytes of an answer, in pieces that follow each other: the large ones are shared with everybody else who is sent them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pieces(VecDeque<Bytes>);

impl Pieces {
    /// How many bytes the pieces have that are left.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }
}

impl Iterator for Pieces {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        self.0.pop_front()
    }
}

/// The large parts of an answer that is being written, each with the place in what is written where it belongs.
#[derive(Debug, Default)]
pub(super) struct Shared(Vec<(usize, Bytes)>);

impl Shared {
    /// Adds `part`, which is a part of `whole`, behind what is written: copies it, or remembers its place.
    pub(super) fn add(&mut self, written: &mut Vec<u8>, whole: &Bytes, part: &[u8]) {
        if part.len() < SHARED_BYTES {
            written.extend_from_slice(part);
        } else {
            self.0.push((written.len(), whole.slice_ref(part)));
        }
    }

    /// The whole answer.
    pub(super) fn insert_into(self, written: Vec<u8>) -> Pieces {
        let mut rest = Bytes::from(written);
        let mut pieces = VecDeque::with_capacity(2 * self.0.len() + 1);
        let mut before = 0;
        for (place, shared) in self.0 {
            pieces.push_back(rest.split_to(place - before));
            pieces.push_back(shared);
            before = place;
        }
        pieces.push_back(rest);
        Pieces(pieces)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_pieces_are_what_was_added_and_large_parts_are_not_copied(sizes in prop::collection::vec(0..3 * SHARED_BYTES, 0..8)) {
            let (mut shared, mut written, mut expected) = (Shared::default(), Vec::new(), Vec::new());
            let mut wholes = Vec::new();
            for (letter, size) in (b'a'..).zip(sizes) {
                let whole = Bytes::from(vec![letter; size + 2]);
                written.push(b',');
                expected.push(b',');
                shared.add(&mut written, &whole, &whole[1..=size]);
                expected.extend_from_slice(&whole[1..=size]);
                wholes.push(whole);
            }
            let pieces = shared.insert_into(written);
            prop_assert_eq!(pieces.bytes(), expected.len());
            let addresses: Vec<_> = pieces.clone().map(|piece| piece.as_ptr()).collect();
            for whole in wholes.iter().filter(|whole| whole.len() - 2 >= SHARED_BYTES) {
                prop_assert!(addresses.contains(&whole[1..].as_ptr()));
            }
            prop_assert_eq!(pieces.flatten().collect::<Vec<u8>>(), expected);
        }
    }
}
