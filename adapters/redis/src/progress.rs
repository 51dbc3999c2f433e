//! Progress and leases: each change is one call of a function, and so one atomic step.

pub(crate) mod answer;
mod commit;
mod encode;
mod lease;
mod load;
mod names;
mod text;

pub(crate) use load::retry_requested;
pub(crate) use names::Names;
pub(crate) use text::{place, unreadable};

use crate::library::{CallError, Refusal};
use crate::store::RedisStore;
use async_trait::async_trait;
use bytes::Bytes;
use laneway_domain::{Commit, Cut, Cuts, DestinationName, LaneKey, Partition, PartitionProgress};
use laneway_ports::{CommitError, EventLog, Lease, ProgressStore, StoreError, Tenure, WorkerId};
use std::time::Duration;

/// Dead letters that one step of forgetting a destination removes: Redis is busy for about a
/// millisecond with them.
const FORGOTTEN_AT_ONCE: usize = 500;

/// What a call under a lease has failed with.
fn refused(lease: &Lease, error: CallError) -> CommitError {
    match error {
        CallError::Refused(Refusal::Fenced) => CommitError::Fenced { partition: lease.partition, epoch: lease.epoch },
        error => CommitError::Store(error.into()),
    }
}

#[async_trait]
impl ProgressStore for RedisStore {
    async fn claim(&self, partition: Partition, worker: &WorkerId, ttl: Duration) -> Result<Option<Lease>, StoreError> {
        self.partition(partition)?;
        lease::claim(self, partition, worker, ttl).await
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<(), CommitError> {
        self.partition(lease.partition)?;
        lease::renew(self, lease, ttl).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), CommitError> {
        self.partition(lease.partition)?;
        lease::release(self, lease).await
    }

    async fn load(&self, partition: Partition) -> Result<PartitionProgress, StoreError> {
        self.partition(partition)?;
        load::load(&self.shared.redis, &self.shared.keys, partition).await
    }

    async fn commit(&self, lease: &Lease, commit: &Commit) -> Result<(), CommitError> {
        self.partition(lease.partition)?;
        commit::commit(self, lease, commit).await
    }

    async fn standing(
        &self,
        partition: Partition,
        destinations: &[DestinationName],
        keys: &[LaneKey],
    ) -> Result<PartitionProgress, StoreError> {
        self.partition(partition)?;
        load::standing(&self.shared.redis, &self.shared.keys, partition, destinations, keys).await
    }

    async fn tenures(&self, partition: Partition) -> Result<Vec<Tenure>, StoreError> {
        self.partition(partition)?;
        lease::tenures(self, partition).await
    }

    async fn taken(&self, partitions: &[Partition]) -> Result<Vec<Option<Cut>>, StoreError> {
        for partition in partitions {
            self.partition(*partition)?;
        }
        load::taken(&self.shared.redis, &self.shared.keys, partitions).await
    }

    async fn cuts(&self, partition: Partition) -> Result<Cuts, StoreError> {
        self.partition(partition)?;
        load::cuts(&self.shared.redis, &self.shared.keys, partition).await
    }

    fn refuses_replays(&self) -> Option<String> {
        let why = "a process that shares the store is of a release that knows no replays: upgrade it first";
        (!self.shared.processes.writes_replays()).then(|| why.to_owned())
    }

    async fn forget(&self, destination: &DestinationName) -> Result<bool, StoreError> {
        let mut known = false;
        for partition in (0..self.partitions()).map(Partition) {
            known |= self.forget_in(partition, destination).await?;
        }
        Ok(known)
    }
}

impl RedisStore {
    /// Forgets the destination in one partition: its lane at once, its dead letters step by step.
    async fn forget_in(&self, partition: Partition, destination: &DestinationName) -> Result<bool, StoreError> {
        let names = Names::new(&self.shared.keys, partition);
        let mut keys = vec![
            names.progress(),
            names.lowest(),
            names.behind(destination),
            names.retry(destination),
            names.dead_of(destination),
        ];
        keys.extend(names.all_dead());
        keys.push(names.lease());
        keys.push(names.replaying());
        keys.extend(names.replays(destination));
        keys.push(names.expiry());
        let mut known = false;
        loop {
            let args = vec![Bytes::from(destination.as_str().to_owned()), FORGOTTEN_AT_ONCE.to_string().into()];
            let [found, more] = answer::exactly(self.shared.write("laneway_forget", &keys, args).await?)?;
            known |= answer::number(&found)? == 1;
            if answer::number(&more)? == 0 {
                return Ok(known);
            }
        }
    }
}
