//! Dead letters: kept by commits, looked at and changed by operators.

pub(crate) mod letter;
mod page;

pub(crate) use page::field;

use crate::codec::{self, Unreadable};
use crate::progress;
use crate::store::RedisStore;
use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use laneway_domain::{DeadLetter, DestinationName, LoggedEvent, Offset, Partition, Redrive};
use laneway_ports::{DeadLetterCount, DeadLetterQuery, DeadLetters, EventLog, Selection, StoreError};
use page::Change;
use std::collections::BTreeMap;
use std::fmt::Display;

/// Partitions that are asked at the same time: enough that a thousand of them do not take a
/// thousand round trips.
const PARTITIONS_AT_ONCE: usize = 16;

/// What is refused may be granted later: only what is damaged can never be read.
fn for_now(error: StoreError) -> StoreError {
    match error {
        StoreError::Refused { what } => StoreError::retry_later(what),
        error => error,
    }
}

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
        let names = progress::Names::new(&shared.keys, partition);
        let name = letter::name(shared.keys.numbers(), offset, destination);
        let bytes = field(&shared.redis, &names.dead_events(), &name).await.map_err(for_now)?;
        let unreadable =
            |why: &dyn Display| progress::unreadable(&names.dead_events(), format!("the event {name:?}"), why);
        let Some(bytes) = bytes else {
            let letter = field(&shared.redis, &names.dead(), &name).await.map_err(for_now)?;
            return letter.map_or(Ok(None), |_| Err(unreadable(&"it is not there, and its dead letter is")));
        };
        match codec::decode(partition, offset, &bytes, shared.processes.reads_entries()) {
            Ok(event) => Ok(Some(event)),
            Err(Unreadable::Damaged(why)) => Err(unreadable(&why)),
            Err(newer @ Unreadable::Newer(..)) => Err(for_now(unreadable(&newer))),
        }
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
