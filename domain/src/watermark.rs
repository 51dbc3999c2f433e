//! The contiguous settled prefix over completions that come out of order.

use crate::partition::Offset;
use std::collections::VecDeque;

/// Remembers which of the tracked offsets are not settled, and where the first of them is. `T`
/// goes with each offset, to say whose it is.
///
/// Memory is proportional to the distance, in tracked offsets, from the first unsettled one on.
#[derive(Clone, Debug)]
pub struct Watermark<T> {
    /// Ascending; the first is never settled.
    tracked: VecDeque<Tracked<T>>,
    unsettled: usize,
}

#[derive(Clone, Debug)]
struct Tracked<T> {
    offset: Offset,
    of: T,
    settled: bool,
}

impl<T> Default for Watermark<T> {
    fn default() -> Self {
        Self { tracked: VecDeque::new(), unsettled: 0 }
    }
}

impl<T> Watermark<T> {
    /// Starts to track `offset`.
    ///
    /// # Panics
    /// If it is not above all that were tracked before.
    pub fn track(&mut self, offset: Offset, of: T) {
        assert!(self.tracked.back().is_none_or(|last| last.offset < offset), "offsets are tracked in rising order");
        self.tracked.push_back(Tracked { offset, of, settled: false });
        self.unsettled += 1;
    }

    /// Settles `offset`.
    ///
    /// # Panics
    /// If it is not tracked, or was settled before.
    pub fn settle(&mut self, offset: Offset) {
        let at = self.tracked.binary_search_by_key(&offset, |tracked| tracked.offset);
        let tracked = at.ok().and_then(|at| self.tracked.get_mut(at));
        assert!(
            tracked.as_ref().is_some_and(|tracked| !tracked.settled),
            "offset {offset} was not waiting to be settled"
        );
        if let Some(tracked) = tracked {
            tracked.settled = true;
        }
        self.unsettled -= 1;
        while self.tracked.front().is_some_and(|first| first.settled) {
            self.tracked.pop_front();
        }
    }

    /// The first unsettled offset, and whose it is.
    #[must_use]
    pub fn first(&self) -> Option<(Offset, &T)> {
        self.tracked.front().map(|first| (first.offset, &first.of))
    }

    /// Whose offsets are not settled, by ascending offset; one with several comes several times.
    pub fn unsettled_of(&self) -> impl Iterator<Item = &T> {
        self.tracked.iter().filter(|tracked| !tracked.settled).map(|tracked| &tracked.of)
    }

    /// The offsets that are not settled, ascending, and whose they are.
    pub(crate) fn unsettled_with_offsets(&self) -> impl Iterator<Item = (Offset, &T)> {
        self.tracked.iter().filter(|tracked| !tracked.settled).map(|tracked| (tracked.offset, &tracked.of))
    }

    /// How many offsets are not settled.
    #[must_use]
    pub const fn unsettled(&self) -> usize {
        self.unsettled
    }

    /// Whether everything is settled.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.unsettled == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn it_says_the_same_as_a_plain_set_of_unsettled_offsets(steps in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 0..200)) {
            let mut watermark = Watermark::default();
            let mut unsettled = BTreeSet::new();
            let mut next = 0;
            for (settle, pick) in steps {
                if settle && !unsettled.is_empty() {
                    let offset = *pick.get(&unsettled.iter().copied().collect::<Vec<_>>());
                    unsettled.remove(&offset);
                    watermark.settle(Offset(offset));
                } else {
                    next += 1 + pick.index(3) as u64;
                    unsettled.insert(next);
                    watermark.track(Offset(next), next);
                }
                prop_assert_eq!(watermark.first().map(|(offset, of)| (offset.0, *of)), unsettled.first().map(|n| (*n, *n)));
                prop_assert_eq!(watermark.unsettled(), unsettled.len());
                prop_assert!(watermark.unsettled_of().eq(&unsettled));
                let with_offsets = watermark.unsettled_with_offsets().map(|(offset, of)| (offset.0, *of));
                prop_assert!(with_offsets.eq(unsettled.iter().map(|n| (*n, *n))));
            }
        }
    }

    #[test]
    #[should_panic(expected = "not waiting to be settled")]
    fn settling_twice_is_a_broken_invariant() {
        let mut watermark = Watermark::default();
        watermark.track(Offset(1), ());
        watermark.track(Offset(2), ());
        watermark.settle(Offset(2));
        watermark.settle(Offset(2));
    }
}
