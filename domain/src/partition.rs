//! Partitions and offsets: where an event's place in the log comes from.

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

/// An event's position in its partition: strictly increasing, and dense while nothing was lost.
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

    /// How many offsets lie from `earlier` up to this one; zero if this one is not later.
    #[must_use]
    pub const fn distance_from(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
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

    #[test]
    fn the_hash_is_xxh3_64_with_seed_zero() {
        // The first is the reference implementation's value for no input at all.
        assert_eq!(xxh3_64(b""), 0x2D06_8005_38D3_94C2);
        assert_eq!(xxh3_64(b"a"), 0xE6C6_32B6_1E96_4E1F);
        assert_eq!(xxh3_64(b"abc"), 0x78AF_5F94_892F_3950);
    }

    #[test]
    fn a_key_keeps_its_partition() {
        let found: Vec<u32> =
            ["", "order-1", "order-7", "customer/42", "日本"].map(|key| Partition::of(key, 8).0).into();
        assert_eq!(found, [2, 6, 3, 0, 0]);
        assert!((0..100).all(|n| Partition::of(&format!("k{n}"), 1) == Partition(0)));
    }
}
