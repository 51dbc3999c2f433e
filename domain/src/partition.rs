//! Partitions and offsets: where an event's place in the log comes from.

use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use xxhash_rust::xxh3::xxh3_64;

/// The most partitions a store may have. Every partition costs a lease to renew, a watch on its
/// end, and a commit at each progress interval while it has something to commit; 1,024 is more than
/// the largest sensible number of workers.
pub const MAX_PARTITIONS: u32 = 1024;

/// One shard of the log: a number from 0 up to the store's number of partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Partition(pub u32);

impl Partition {
    /// The partition that `ordered_by` (an event's key or, without one, its id) belongs to among
    /// `partitions`: XXH3-64 with seed 0, modulo the number of partitions.
    ///
    /// This is pinned: a change would tear keys apart in every existing store. The test vectors
    /// below are those of the XXH3 reference implementation.
    ///
    /// # Panics
    /// If `partitions` is zero.
    #[must_use]
    pub fn of(ordered_by: &str, partitions: u32) -> Self {
        assert!(partitions > 0, "a store has at least one partition");
        let slot = xxh3_64(ordered_by.as_bytes()) % u64::from(partitions);
        Self(u32::try_from(slot).unwrap_or(0))
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How many bits of an offset number the events of one generation of the log: a million events a
/// second for twelve days between two losses of data, and sixteen million losses.
const SEQUENCE_BITS: u32 = 40;
/// The same where a restore began the generation: its number is a second of the clock, and four thousand million
/// events may come in a partition before it meets the next second's.
const RESTORED_SEQUENCE_BITS: u32 = 32;
/// The first generation that a restore may begin. Those below are counted, one for each loss; 2^24 of these are
/// what 2^16 of those would be, which no store comes to.
const FIRST_RESTORED: u64 = 1 << 24;
/// From where a restore counts seconds: the beginning of 2025. Its generations end with 2^31, in the year 2093, so
/// that every offset is below 2^63, where the integers of SQLite and of BSON end.
const RESTORES_COUNT_FROM: Timestamp = Timestamp::from_millis(1_735_689_600_000);

/// An event's position in its partition: strictly increasing, and dense while nothing was lost.
///
/// A store that has lost events it had acknowledged (a replica without them became the primary) goes
/// on in a new *generation*: the upper 24 bits. So no offset ever means two events, and the offsets of
/// one generation are dense. What number of events lies between two offsets is therefore not their
/// difference, but [`Offset::events_until`]. A store that was put back from a backup goes on in a new generation too
/// ([`Offset::of_restore`]).
///
/// As a position (`scanned`, `end`) it names the first offset that is *not* included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Offset(pub u64);

impl Offset {
    /// The first offset of a new partition.
    pub const ZERO: Self = Self(0);

    /// The offset after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The first offset of a store that is put back from a backup at `now`.
    ///
    /// What was given out after the backup was made is in no copy of it, and receivers remember it. So the generation
    /// is taken from the clock, to the second: later than all that this log has given out before, and another one than
    /// any other restore of the same backup gets, on whatever machine. `None` if the clock is not right: before the
    /// middle of 2025, or after 2092.
    #[must_use]
    pub const fn of_restore(now: Timestamp) -> Option<Self> {
        let seconds = now.as_millis().saturating_sub(RESTORES_COUNT_FROM.as_millis()) / 1000;
        if seconds < FIRST_RESTORED || seconds >= 1 << (63 - RESTORED_SEQUENCE_BITS) {
            return None;
        }
        Some(Self(seconds << RESTORED_SEQUENCE_BITS))
    }

    const fn sequence_bits(self) -> u32 {
        if self.0 >= FIRST_RESTORED << RESTORED_SEQUENCE_BITS { RESTORED_SEQUENCE_BITS } else { SEQUENCE_BITS }
    }

    /// The generation of the log that it belongs to: 0 until data is lost.
    #[must_use]
    pub const fn generation(self) -> u64 {
        self.0 >> self.sequence_bits()
    }

    /// Its number within its generation.
    #[must_use]
    pub const fn sequence(self) -> u64 {
        self.0 & ((1 << self.sequence_bits()) - 1)
    }

    /// The offset with this number in this generation.
    #[must_use]
    pub const fn in_generation(generation: u64, sequence: u64) -> Self {
        let bits = if generation >= FIRST_RESTORED { RESTORED_SEQUENCE_BITS } else { SEQUENCE_BITS };
        Self((generation << bits) | sequence)
    }

    /// How many events there may be from this offset up to the position `end`; zero if that is not
    /// later. Exact within a generation. Where a generation has ended between the two, it is not
    /// known at what number: then it is what `end`'s generation has below it.
    #[must_use]
    pub const fn events_until(self, end: Self) -> u64 {
        if end.0 <= self.0 {
            0
        } else if end.generation() == self.generation() {
            end.0 - self.0
        } else {
            end.sequence()
        }
    }

    /// How many events an operator is told of: [`Offset::events_until`], but never none while `end` is
    /// later. Where a generation has ended between the two, some may wait of which no number is known.
    pub const fn may_wait_until(self, end: Self) -> u64 {
        let events = self.events_until(end);
        if events == 0 && end.0 > self.0 { 1 } else { events }
    }

    /// Whether [`Offset::events_until`] knows the number: no generation has ended between the two.
    #[must_use]
    pub const fn is_counted_until(self, end: Self) -> bool {
        end.0 <= self.0 || end.generation() == self.generation()
    }

    /// Whether `later` is at most `most` - 1 numbers later in the same generation.
    #[must_use]
    pub(crate) const fn is_near(self, later: Self, most: u64) -> bool {
        self.generation() == later.generation() && later.0 >= self.0 && later.0 - self.0 < most
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_hash_is_xxh3_64_with_seed_zero() {
        // The first is the reference implementation's value for no input at all.
        assert_eq!(xxh3_64(b""), 0x2D06_8005_38D3_94C2);
        assert_eq!(xxh3_64(b"a"), 0xE6C6_32B6_1E96_4E1F);
        assert_eq!(xxh3_64(b"abc"), 0x78AF_5F94_892F_3950);
    }

    proptest! {
        #[test]
        fn what_lies_between_two_offsets_is_counted_in_events(a in 0_u64..3, x in 0_u64..1000, b in 0_u64..3, y in 0_u64..1000) {
            let (from, end) = (Offset::in_generation(a, x), Offset::in_generation(b, y));
            prop_assert_eq!((from.generation(), from.sequence()), (a, x));
            let expected = match b.cmp(&a) {
                std::cmp::Ordering::Less => 0,
                std::cmp::Ordering::Equal => y.saturating_sub(x),
                std::cmp::Ordering::Greater => y,
            };
            prop_assert_eq!(from.events_until(end), expected);
            prop_assert_eq!(from.next().events_until(end), if a == b { expected.saturating_sub(1) } else { expected });
        }
    }

    #[test]
    fn a_restore_begins_where_nothing_was_given_out_before() {
        let at = |seconds: u64| Timestamp::from_millis(1_735_689_600_000 + seconds * 1000);
        let (first, second) =
            (Offset::of_restore(at(60_000_000)).unwrap(), Offset::of_restore(at(60_000_001)).unwrap());
        assert_eq!((first.generation(), first.sequence()), (60_000_000, 0));
        assert_eq!(Offset::in_generation(first.generation(), 7), Offset(first.0 + 7));
        // A log that was never restored, and had 65,535 losses, is below both; so is what a million events a second
        // make of the first until the second.
        assert!(Offset::in_generation((1 << 16) - 1, (1 << 40) - 1) < first && first.0 + 1_000_000 < second.0);
        assert_eq!(Offset(5).events_until(Offset(second.0 + 3)), 3);
        assert_eq!(first.events_until(Offset(first.0 + 3)), 3);
        assert_eq!(first.events_until(Offset(second.0 + 9)), 9);
        assert!(first.is_counted_until(Offset(first.0 + 3)) && Offset(first.0 + 3).is_counted_until(first));
        assert!(!first.is_counted_until(second) && !Offset(5).is_counted_until(second));
    }

    #[test]
    fn a_clock_that_cannot_be_right_begins_no_generation() {
        for (millis, right) in [
            (0, false),
            (1_735_689_600_000, false),
            (1_752_466_816_000 - 1, false),
            (1_752_466_816_000, true),
            (1_735_689_600_000 + (1 << 31) * 1000 - 1, true),
            (1_735_689_600_000 + (1 << 31) * 1000, false),
            (u64::MAX, false),
        ] {
            let offset = Offset::of_restore(Timestamp::from_millis(millis));
            assert_eq!(offset.is_some(), right, "{millis}");
            assert!(offset.is_none_or(|offset| i64::try_from(offset.0).is_ok()));
        }
    }

    #[test]
    fn what_is_near_is_later_by_few_numbers_of_the_same_generation() {
        let ends = Offset::in_generation(0, (1 << 40) - 1);
        for (from, later, most, near) in [
            (Offset(10), Offset(10), 3, true),
            (Offset(10), Offset(12), 3, true),
            (Offset(10), Offset(13), 3, false),
            (Offset(10), Offset(10), 0, false),
            (Offset(10), Offset(9), 3, false),
            (ends, Offset::in_generation(1, 0), 3, false),
            (Offset::in_generation(1, 0), Offset::in_generation(1, 2), 3, true),
        ] {
            assert_eq!(from.is_near(later, most), near, "{most} from {from}: {later}");
        }
    }

    #[test]
    fn a_key_keeps_its_partition() {
        let found: Vec<u32> =
            ["", "order-1", "order-7", "customer/42", "日本"].map(|key| Partition::of(key, 8).0).into();
        assert_eq!(found, [2, 6, 3, 0, 0]);
        assert!((0..100).all(|n| Partition::of(&format!("k{n}"), 1) == Partition(0)));
    }
}
