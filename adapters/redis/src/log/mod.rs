//! The log of events: a stream per partition.

mod acknowledged;
pub(crate) mod append;
mod blocking;
mod checks;
mod frames;
mod group;
mod loss;
mod mark;
mod memory;
mod partition;
mod read;
mod stored;
mod waiting;
pub(crate) mod watch;

pub(crate) use frames::raw_entries;
pub(crate) use group::{Group, groups};
pub(crate) use loss::count_losses;
pub(crate) use memory::Held;
pub(crate) use partition::PartitionLog;
pub(crate) use waiting::Waiting;

use crate::failure::Effect;
use crate::store::RedisStore;
use async_trait::async_trait;
use bytes::Bytes;
use laneway_domain::{NewEvent, Offset, Partition, Timestamp};
use laneway_ports::{Appended, Bounds, Chunk, EventLog, StoreError};
use std::ops::Range;

/// How many events one call removes: freeing their memory takes Redis less than a millisecond, in which nothing else
/// runs. (`lua/trim.lua` bounds the bytes that it looks at.)
const TRIM_AT_ONCE: usize = 100;

#[async_trait]
impl EventLog for RedisStore {
    fn partitions(&self) -> u32 {
        self.shared.options.partitions
    }

    async fn append(&self, events: Vec<NewEvent>) -> Vec<Result<Appended, StoreError>> {
        if events.is_empty() {
            return Vec::new();
        }
        self.appender.append(events).await
    }

    async fn read(
        &self,
        partition: Partition,
        from: Offset,
        max_events: usize,
        max_bytes: usize,
    ) -> Result<Chunk, StoreError> {
        let log = self.partition(partition)?;
        let chunk = self.shared.read(log, from, max_events, max_bytes).await?;
        self.shared.see_replicated(log, &chunk).await?;
        Ok(chunk)
    }

    async fn grown(&self, partition: Partition, seen: Offset) -> Result<Offset, StoreError> {
        self.shared.grown(self.partition(partition)?, seen).await
    }

    async fn bounds(&self, partition: Partition) -> Result<Bounds, StoreError> {
        let log = self.partition(partition)?;
        let life = log.memory().life();
        let bounds = self.shared.checked_bounds(log).await?;
        log.memory().note_told(bounds.end, life);
        Ok(bounds)
    }

    async fn losses(&self, partition: Partition) -> Result<Vec<Range<Offset>>, StoreError> {
        self.partition(partition)?;
        self.shared.losses(partition).await
    }

    async fn remembered(&self, id: &str) -> Result<Vec<(Partition, Offset)>, StoreError> {
        let look = async |partition: Partition| {
            let key = self.shared.keys.id(partition, id);
            let slot = crate::library::slot(std::slice::from_ref(&key));
            let value = self.shared.redis.command("GET", slot, vec![key.into()], Effect::Reads).await?;
            let shown = |offset| self.shared.keys.numbers().shown(Offset(offset));
            Ok::<_, StoreError>(value.as_u64().map(|offset| (partition, shown(offset))))
        };
        let all = (0..self.partitions()).map(Partition).map(look);
        Ok(futures_util::future::try_join_all(all).await?.into_iter().flatten().collect())
    }

    async fn trim(&self, partition: Partition, accepted_before: Timestamp, most: usize) -> Result<usize, StoreError> {
        self.partition(partition)?;
        let keys = &self.shared.keys;
        let keys = [keys.log(partition), keys.progress(partition), keys.lowest(partition), keys.cuts(partition)];
        let mut removed = 0;
        while removed < most {
            let chunk = TRIM_AT_ONCE.min(most - removed);
            let arguments = vec![accepted_before.as_millis().to_string().into(), Bytes::from(chunk.to_string())];
            let called = self.shared.redis.call("laneway_trim", Effect::Writes, &keys, arguments).await?;
            let gone = called.as_u64().and_then(|gone| usize::try_from(gone).ok()).unwrap_or(0);
            removed += gone;
            if gone < chunk {
                break;
            }
        }
        Ok(removed)
    }
}
