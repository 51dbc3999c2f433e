//! The history of attempts: a map for each partition.

use crate::disk::Durable;
use crate::{Call, MemoryStore};
use async_trait::async_trait;
use laneway_domain::Partition;
use laneway_ports::{HistoryBounds, HistoryRange, HistoryRecord, HistorySize, HistoryStore, StoreError};

#[async_trait]
impl HistoryStore for MemoryStore {
    async fn history(
        &self,
        partition: Partition,
        range: HistoryRange,
        most: usize,
    ) -> Result<Vec<HistoryRecord>, StoreError> {
        let index = self.index(partition)?;
        self.begin(Call::Load(partition))?;
        Ok(self.disk().look(|Durable { shards, .. }| shards[index].histories.page(range, most)))
    }

    async fn trim_history(
        &self,
        partition: Partition,
        bounds: HistoryBounds,
        most: usize,
    ) -> Result<usize, StoreError> {
        let index = self.index(partition)?;
        let trim = move |durable: &mut Durable, _| durable.shards[index].histories.trim(bounds, most);
        self.write_one(Call::Trim(partition), trim).await
    }

    async fn history_size(&self, partition: Partition) -> Result<HistorySize, StoreError> {
        let index = self.index(partition)?;
        self.begin(Call::Operate)?;
        Ok(self.disk().look(|Durable { shards, .. }| shards[index].histories.size()))
    }
}
