//! The store's progress as a worker has it, with an eye on what is refused.

use super::happenings::{FENCED_COMMIT, FENCED_RENEWAL, TAKEN};
use crate::seeded::Tally;
use async_trait::async_trait;
use laneway_domain::{Commit, Cut, Cuts, DestinationName, Partition, PartitionProgress};
use laneway_memory::MemoryStore;
use laneway_ports::{CommitError, Lease, ProgressStore, StoreError, Tenure, WorkerId};
use std::sync::Arc;
use std::time::Duration;

pub(super) struct Watched {
    pub(super) store: Arc<MemoryStore>,
    pub(super) tally: Tally,
}

impl Watched {
    fn look(&self, result: Result<(), CommitError>, fenced: &'static str) -> Result<(), CommitError> {
        if matches!(result, Err(CommitError::Fenced { .. })) {
            self.tally.count(fenced);
        }
        result
    }
}

#[async_trait]
impl ProgressStore for Watched {
    async fn claim(&self, partition: Partition, worker: &WorkerId, ttl: Duration) -> Result<Option<Lease>, StoreError> {
        let lease = self.store.claim(partition, worker, ttl).await;
        if matches!(lease, Ok(None)) {
            self.tally.count(TAKEN);
        }
        lease
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<(), CommitError> {
        self.look(self.store.renew(lease, ttl).await, FENCED_RENEWAL)
    }

    async fn release(&self, lease: &Lease) -> Result<(), CommitError> {
        self.store.release(lease).await
    }

    async fn tenures(&self, partition: Partition) -> Result<Vec<Tenure>, StoreError> {
        self.store.tenures(partition).await
    }

    async fn load(&self, partition: Partition) -> Result<PartitionProgress, StoreError> {
        self.store.load(partition).await
    }

    async fn commit(&self, lease: &Lease, commit: &Commit) -> Result<(), CommitError> {
        self.look(self.store.commit(lease, commit).await, FENCED_COMMIT)
    }

    async fn taken(&self, partitions: &[Partition]) -> Result<Vec<Option<Cut>>, StoreError> {
        self.store.taken(partitions).await
    }

    async fn cuts(&self, partition: Partition) -> Result<Cuts, StoreError> {
        self.store.cuts(partition).await
    }

    async fn forget(&self, destination: &DestinationName) -> Result<bool, StoreError> {
        self.store.forget(destination).await
    }
}
