//! Changes of an input: of its bytes, and of the pieces that its kind is made of.

use proptest::prelude::*;
use proptest::sample::{Index, select};

/// The most changes of one input: beyond some, little of what made it interesting is left.
const MOST_CHANGES: usize = 6;
/// The most bytes of one arbitrary insertion.
const MOST_INSERTED: usize = 12;
/// How often a stretch is repeated at most: enough to reach bounds of depth and number.
const MOST_REPEATS: usize = 200;
/// No change makes an input longer than this; bounds of size have tests of their own.
const MOST_BYTES: usize = 64 * 1024;

/// One change. Places are relative, so that it fits any input.
#[derive(Clone, Debug)]
pub enum Mutation {
    /// Turns one bit over.
    Flip(Index, u8),
    /// Puts another byte in.
    Set(Index, u8),
    /// Ends here.
    Truncate(Index),
    /// Takes a stretch out.
    Delete(Index, Index),
    /// Repeats a stretch.
    Repeat(Index, Index, usize),
    /// Inserts bytes: arbitrary ones, or a piece of what such inputs are made of.
    Insert(Index, Vec<u8>),
    /// Replaces a stretch by a piece.
    Replace(Index, Index, Vec<u8>),
    /// Goes on with the rest of another input.
    Splice(Index, Vec<u8>, Index),
    /// Exchanges two stretches around the middle one of three places.
    Swap(Index, Index, Index),
}

impl Mutation {
    /// Applies it.
    pub fn apply(&self, bytes: &mut Vec<u8>) {
        let place = |index: &Index, bytes: &[u8]| index.index(bytes.len() + 1);
        let stretch = |a: &Index, b: &Index, bytes: &[u8]| {
            let (a, b) = (place(a, bytes), place(b, bytes));
            a.min(b)..a.max(b)
        };
        match self {
            Self::Flip(at, bit) if !bytes.is_empty() => {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << (bit % 8);
            }
            Self::Set(at, byte) if !bytes.is_empty() => {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            Self::Flip(..) | Self::Set(..) => {}
            Self::Truncate(at) => bytes.truncate(place(at, bytes)),
            Self::Delete(a, b) => drop(bytes.drain(stretch(a, b, bytes))),
            Self::Repeat(a, b, times) => {
                let range = stretch(a, b, bytes);
                let again = bytes[range.clone()].repeat(*times);
                bytes.splice(range.end..range.end, again);
            }
            Self::Insert(at, piece) => {
                let at = place(at, bytes);
                bytes.splice(at..at, piece.iter().copied());
            }
            Self::Replace(a, b, piece) => drop(bytes.splice(stretch(a, b, bytes), piece.iter().copied())),
            Self::Splice(at, other, from) => {
                bytes.truncate(place(at, bytes));
                bytes.extend_from_slice(&other[place(from, other)..]);
            }
            Self::Swap(a, b, c) => {
                let mut places = [place(a, bytes), place(b, bytes), place(c, bytes)];
                places.sort_unstable();
                bytes[places[0]..places[2]].rotate_left(places[1] - places[0]);
            }
        }
        bytes.truncate(MOST_BYTES);
    }
}

fn mutation(seeds: Vec<Vec<u8>>, pieces: &'static [&'static [u8]]) -> impl Strategy<Value = Mutation> {
    let at = any::<Index>;
    let piece = move || {
        prop_oneof![
            3 => select(pieces).prop_map(<[u8]>::to_vec),
            1 => prop::collection::vec(any::<u8>(), 1..MOST_INSERTED),
        ]
    };
    prop_oneof![
        3 => (at(), 0..8_u8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        2 => (at(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        1 => at().prop_map(Mutation::Truncate),
        2 => (at(), at()).prop_map(|(a, b)| Mutation::Delete(a, b)),
        1 => (at(), at(), 1..MOST_REPEATS).prop_map(|(a, b, times)| Mutation::Repeat(a, b, times)),
        4 => (at(), piece()).prop_map(|(at, piece)| Mutation::Insert(at, piece)),
        3 => (at(), at(), piece()).prop_map(|(a, b, piece)| Mutation::Replace(a, b, piece)),
        2 => (at(), select(seeds), at()).prop_map(|(at, other, from)| Mutation::Splice(at, other, from)),
        1 => (at(), at(), at()).prop_map(|(a, b, c)| Mutation::Swap(a, b, c)),
    ]
}

/// One of `seeds` with up to six changes, and which one it was. `pieces` is what inputs of the kind
/// are made of: brackets, names, bounds.
///
/// # Panics
/// If there is no seed or no piece.
pub fn mutated(
    seeds: Vec<Vec<u8>>,
    pieces: &'static [&'static [u8]],
) -> impl Strategy<Value = (usize, Vec<u8>)> + Clone {
    let which = 0..seeds.len();
    let changes = prop::collection::vec(mutation(seeds.clone(), pieces), 0..MOST_CHANGES).boxed();
    (which, changes).prop_map(move |(which, changes)| {
        let mut bytes = seeds[which].clone();
        for change in &changes {
            change.apply(&mut bytes);
        }
        (which, bytes)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::test_runner::{Config, TestRunner};
    use std::cell::Cell;

    #[test]
    fn changes_reach_bytes_bounds_and_other_inputs() {
        let seeds = vec![b"first input".to_vec(), b"second".to_vec()];
        let (same, changed, longer) = (Cell::new(0), Cell::new(0), Cell::new(0));
        let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(500) });
        runner
            .run(&mutated(seeds.clone(), &[b"{", b"}"]), |(which, bytes)| {
                let count = if bytes == seeds[which] { &same } else { &changed };
                count.set(count.get() + 1);
                longer.set(longer.get() + usize::from(bytes.len() > 200));
                prop_assert!(bytes.len() <= MOST_BYTES);
                Ok(())
            })
            .unwrap();
        assert!(same.get() > 0 && changed.get() > 300 && longer.get() > 0, "{same:?} {changed:?} {longer:?}");
    }
}
