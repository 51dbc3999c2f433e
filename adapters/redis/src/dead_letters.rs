//! Dead letters: kept by commits, looked at and changed by operators.

pub(crate) mod letter;
mod page;

pub(crate) use page::field;

use crate::codec;
use crate::progress;
use crate::store::RedisStore;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use laneway_domain::{DeadLetter, DestinationName, LoggedEvent, Offset, Partition, Redrive};
use laneway_ports::{DeadLetterCount, DeadLetterQuery, DeadLetters, EventLog, Selection, StoreError};
use page::Change;
use std::collections::BTreeMap;

/// Partitions that are asked at the same time: enough that a thousand of them do not take a
/// thousand round trips.
const PARTITIONS_AT_ONCE: usize = 16;

#[async_trait]
impl DeadLetters for RedisStore {
    async fn list(&self, query: &DeadLetterQuery) -> Result<Vec<DeadLetter>, StoreError> {
        page::list(&self.shared.redis, &self.shared.keys, self.partitions(), query).await
    }

    async fn counts(&self) -> Result<Vec<DeadLetterCount>, StoreError> {
        let shared = &self.shared;
        let of = |partition| page::counts(&shared.redis, &shared.keys, partition);
        let asking = stream::iter((0..self.partitions()).map(Partition)).map(of).buffer_unordered(PARTITIONS_AT_ONCE);
        let counts: Vec<Vec<(DestinationName, u64)>> = asking.try_collect().await?;
        let mut sums = BTreeMap::new();
        for (destination, count) in counts.into_iter().flatten() {
            *sums.entry(destination).or_insert(0) += count;
        }
        Ok(sums.into_iter().map(|(destination, count)| DeadLetterCount { destination, count }).collect())
    }

    async fn event(
        &self,
        partition: Partition,
        offset: Offset,
        destination: &DestinationName,
    ) -> Result<Option<LoggedEvent>, StoreError> {
        self.partition(partition)?;
        let shared = &self.shared;
        let bytes = page::event_bytes(&shared.redis, &shared.keys, partition, offset, destination).await?;
        let newest = shared.processes.reads_entries();
        let decode = |bytes: Bytes| codec::decode(partition, offset, &bytes, newest);
        bytes.map(decode).transpose().map_err(|why| {
            let key = progress::Names::new(&shared.keys, partition).dead_events();
            progress::unreadable(
                &key,
                format!("the event {:?}", letter::name(shared.keys.numbers(), offset, destination)),
                why,
            )
        })
    }

    async fn retry(&self, selection: &Selection) -> Result<u64, StoreError> {
        page::change(&self.shared, self.partitions(), Change::Retry, selection).await
    }

    async fn discard(&self, selection: &Selection) -> Result<u64, StoreError> {
        page::change(&self.shared, self.partitions(), Change::Discard, selection).await
    }

    async fn retry_requested(
        &self,
        partition: Partition,
        after: Option<&(Offset, DestinationName)>,
        most: usize,
    ) -> Result<Vec<Redrive>, StoreError> {
        self.partition(partition)?;
        progress::retry_requested(&self.shared, partition, after, most).await
    }
}
