//! The history of attempts, as this store keeps it.

use crate::history;
use crate::store::{SqliteStore, into_store_error};
use async_trait::async_trait;
use laneway_domain::Partition;
use laneway_ports::{HistoryBounds, HistoryRange, HistoryRecord, HistorySize, HistoryStore, StoreError};

#[async_trait]
impl HistoryStore for SqliteStore {
    async fn history(
        &self,
        partition: Partition,
        range: HistoryRange,
        most: usize,
    ) -> Result<Vec<HistoryRecord>, StoreError> {
        self.shared.index(partition)?;
        self.shared.usable()?;
        self.readers.read(move |conn| history::page(conn, partition, range, most)).await
    }

    async fn trim_history(
        &self,
        partition: Partition,
        bounds: HistoryBounds,
        most: usize,
    ) -> Result<usize, StoreError> {
        self.shared.index(partition)?;
        self.change(move |tx| history::trim(tx, partition, bounds, most)).await.map_err(into_store_error)
    }

    async fn history_size(&self, partition: Partition) -> Result<HistorySize, StoreError> {
        self.shared.index(partition)?;
        self.shared.usable()?;
        self.readers.read(move |conn| Ok(history::size(conn, partition)?)).await
    }
}
