//! The store of progress and of the leases that fence it.

use crate::{CommitError, StoreError};
use async_trait::async_trait;
use laneway_domain::{Commit, Cut, Cuts, DestinationName, LaneKey, Partition, PartitionProgress, Timestamp};
use std::fmt;
use std::time::Duration;

/// What tells one worker process from all others, also from its own earlier runs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub String);

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The right to work on a partition for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The partition.
    pub partition: Partition,
    /// The fencing epoch: larger than that of every earlier lease of the partition.
    pub epoch: u64,
    /// Who has it.
    pub worker: WorkerId,
}

/// The most tenures of a partition that a store remembers: a day of hourly deployments, in some kilobytes.
pub const MAX_TENURES: usize = 32;

/// A worker's time with a partition, from the claim of a lease to its end, by the store's clock. It is kept for people:
/// who worked on what when something happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenure {
    /// The lease's epoch.
    pub epoch: u64,
    /// Who had it.
    pub worker: WorkerId,
    /// Since when. `None`: a release has claimed it that did not write that down.
    pub since: Option<Timestamp>,
    /// When it ended; of one that has not ended, when the lease runs out unless it is renewed.
    pub until: Timestamp,
    /// How it ended; `None` of the present one, whose lease may have run out unnoticed.
    pub ended: Option<TenureEnd>,
}

/// How a worker's time with a partition ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TenureEnd {
    /// The worker gave the lease up, or claimed it anew.
    HandedOver,
    /// The lease ran out, and somebody claimed the partition: its worker had died, stood still, or could not reach the
    /// store.
    RanOut,
}

impl Tenure {
    /// Whether the worker had the partition at some moment of that span (without an end: at any).
    #[must_use]
    pub fn overlaps(&self, from: Option<Timestamp>, to: Option<Timestamp>) -> bool {
        let ends_before = |from: Timestamp| self.ended.is_some() && self.until < from;
        let begins_after = |to: Timestamp| self.since.is_some_and(|since| since >= to);
        !from.is_some_and(ends_before) && !to.is_some_and(begins_after)
    }
}

impl TenureEnd {
    /// Its name, as people see it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::HandedOver => "handed-over",
            Self::RanOut => "ran-out",
        }
    }
}

/// Progress and leases, per partition.
#[async_trait]
pub trait ProgressStore: Send + Sync {
    /// Takes the partition's lease for `ttl`, if nobody has it or it has run out by the store's
    /// clock. A worker that holds it already gets a new epoch.
    ///
    /// - Must raise the epoch durably, so that no commit of an earlier lease can follow.
    /// - `Ok(None)`: another worker has it.
    async fn claim(&self, partition: Partition, worker: &WorkerId, ttl: Duration) -> Result<Option<Lease>, StoreError>;

    /// Prolongs the lease to `ttl` from now.
    ///
    /// - Must answer [`CommitError::Fenced`] once another epoch was given out. A lease that ran
    ///   out but that nobody else has claimed may be prolonged.
    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<(), CommitError>;

    /// Gives the lease up, so that another worker can claim it at once.
    async fn release(&self, lease: &Lease) -> Result<(), CommitError>;

    /// Who has the partition and who had it, the latest first, at most [`MAX_TENURES`].
    ///
    /// - A claim, and a release, must tell of it in the same step. Nothing depends on it.
    async fn tenures(&self, partition: Partition) -> Result<Vec<Tenure>, StoreError>;

    /// The partition's durable progress; the empty progress if none was ever committed.
    async fn load(&self, partition: Partition) -> Result<PartitionProgress, StoreError>;

    /// Where these keys stand at these destinations: of one moment, as [`PartitionProgress::restricted`] says.
    ///
    /// - Should not read more than that: somebody asks for one event where a million keys may be behind.
    async fn standing(
        &self,
        partition: Partition,
        destinations: &[DestinationName],
        keys: &[LaneKey],
    ) -> Result<PartitionProgress, StoreError> {
        Ok(self.load(partition).await?.restricted(destinations, keys))
    }

    /// Writes progress, dead letters (with a copy of their events) and quarantined records in one
    /// atomic and durable step.
    ///
    /// - Must change nothing and answer [`CommitError::Fenced`] if `lease.epoch` is not the
    ///   partition's current one.
    /// - Must refuse a commit whose [`Commit::highest`] is beyond the log's end: whoever made it
    ///   has seen a log that is not this one.
    /// - Must be idempotent: the same commit again, under the same lease, changes nothing more.
    /// - After [`StoreError::Unknown`] the same commit is sent again.
    /// - Must keep [`Commit::cut`] as [`Cuts::add`] does, and drop [`Commit::dropped`] before it applies the rest. Many
    ///   dead letters of a dropped destination may go before, in steps between which others have their turn; each step
    ///   is fenced and refused as the commit is. Nobody wants them any more, also if the commit never comes.
    async fn commit(&self, lease: &Lease, commit: &Commit) -> Result<(), CommitError>;

    /// The last cut of each of these partitions, in their order; `None` where none was ever taken over.
    ///
    /// - Must be cheap: whoever waits for a change to be taken over asks for it some ten times a second.
    async fn taken(&self, partitions: &[Partition]) -> Result<Vec<Option<Cut>>, StoreError>;

    /// The partition's cuts, but for those that [`crate::EventLog::trim`] has let go because no event of the log needs
    /// them ([`Cuts::trim`]).
    async fn cuts(&self, partition: Partition) -> Result<Cuts, StoreError>;

    /// Why no replay can begin now, for people; nothing if one can. In a store that processes share: because one is there
    /// that could not read what it would have to keep.
    fn refuses_replays(&self) -> Option<String> {
        None
    }

    /// Forgets a destination in every partition: its progress and its dead letters. It no longer
    /// holds the trim. `true` if it was known.
    async fn forget(&self, destination: &DestinationName) -> Result<bool, StoreError>;
}
