//! The history of attempts, for people. It is added by [`crate::ProgressStore::commit`].

mod encoded;

pub use encoded::{decoded_history, encoded_history};

use crate::StoreError;
use async_trait::async_trait;
use laneway_domain::{History, Partition, Timestamp};

/// The most records of one page. Each has 4 KiB as a rule, and at most some 400 KiB.
pub const MAX_HISTORY_PAGE: usize = 64;
/// The most bytes of the records of one page beside the first: a store that answers one thing after the other is
/// kept for about a millisecond.
pub const MAX_HISTORY_PAGE_BYTES: usize = 1 << 20;

/// Where a record of the history stands among those of its partition: by when its commit was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HistoryPlace {
    /// When the commit was made, by the clock of the worker that made it. Nothing in the record ended later.
    pub at: Timestamp,
    /// The epoch of the lease that it was made under.
    pub epoch: u64,
    /// [`History::number`].
    pub number: u64,
}

/// What one commit told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryRecord {
    /// Where it stands.
    pub place: HistoryPlace,
    /// What was told, or why that cannot be read.
    pub told: Result<History, String>,
}

/// Which records of a partition are meant, and in which order they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistoryRange {
    /// All, the latest first.
    Latest,
    /// Those that stand before this one, the latest first.
    Before(HistoryPlace),
    /// Those that stand behind this one, the earliest first.
    After(HistoryPlace),
}

/// How much of the history is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryBounds {
    /// Records of before this moment go.
    pub since: Timestamp,
    /// The oldest records go until a partition's have no more bytes than this together.
    pub max_bytes: u64,
}

/// How much history a partition has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistorySize {
    /// How many records.
    pub records: u64,
    /// How many bytes these have, as [`encoded_history`] writes them.
    pub bytes: u64,
}

/// The history of all partitions.
///
/// - A commit's history must be stored with it, in the same step, under its partition, [`HistoryPlace::at`], the
///   lease's epoch and its number, and the same commit again must add nothing.
/// - It must need no durable write of its own.
/// - Progress must not depend on it: a record that cannot be read is told as such, and changes nothing.
#[async_trait]
pub trait HistoryStore: Send + Sync {
    /// The first records of a range, at most `most` and at most [`MAX_HISTORY_PAGE`]. Fewer, but one at least, where these have more than [`MAX_HISTORY_PAGE_BYTES`]: only an
    /// empty page is the last one.
    async fn history(
        &self,
        partition: Partition,
        range: HistoryRange,
        most: usize,
    ) -> Result<Vec<HistoryRecord>, StoreError>;

    /// Removes at most `most` of the oldest records that the bounds do not keep, and returns how many.
    async fn trim_history(&self, partition: Partition, bounds: HistoryBounds, most: usize)
    -> Result<usize, StoreError>;

    /// How much history there is of a partition.
    async fn history_size(&self, partition: Partition) -> Result<HistorySize, StoreError>;
}
