//! The ports, as this store keeps them.

mod extent;
mod history;
mod registry;

use crate::dead_letters;
use crate::events::{self, Limits};
use crate::progress::{self, Requests};
use crate::request::Tx;
use crate::store::{self, SqliteStore, into_store_error, lost};
use crate::writer::{self, DeadChange, LETTERS_AT_ONCE};
use async_trait::async_trait;
use laneway_domain::{
    Commit, Cut, Cuts, DeadLetter, DestinationName, LaneKey, LoggedEvent, NewEvent, Offset, Partition,
    PartitionProgress, Redrive, Timestamp,
};
use laneway_ports::{
    Appended, Bounds, Chunk, CommitError, DeadLetterCount, DeadLetterQuery, DeadLetters, EventLog, Lease,
    ProgressStore, Selection, StoreError, Tenure, WorkerId,
};
use rusqlite::Connection;
use std::sync::Arc;
use std::time::Duration;

/// How many events one transaction removes, so that a long trim lets others in between: some
/// milliseconds' work.
const TRIM_AT_ONCE: usize = 1000;

#[async_trait]
impl EventLog for SqliteStore {
    fn partitions(&self) -> u32 {
        self.shared.partitions()
    }

    async fn append(&self, events: Vec<NewEvent>) -> Vec<Result<Appended, StoreError>> {
        store::append(self, events).await
    }

    async fn read(
        &self,
        partition: Partition,
        from: Offset,
        max_events: usize,
        max_bytes: usize,
    ) -> Result<Chunk, StoreError> {
        let index = self.shared.index(partition)?;
        self.shared.usable()?;
        let Bounds { start, end } = self.shared.bounds(index);
        let from = from.max(start).min(end);
        if from == end || max_events == 0 {
            return Ok(Chunk { records: Vec::new(), next: from });
        }
        if let Some(chunk) = self.shared.tail.read(partition, from, max_events, max_bytes) {
            return Ok(chunk);
        }
        self.read_from_disk(partition, from, end, Limits { events: max_events, bytes: max_bytes }).await
    }

    async fn grown(&self, partition: Partition, seen: Offset) -> Result<Offset, StoreError> {
        let mut end = self.shared.watch_end(self.shared.index(partition)?);
        loop {
            self.shared.usable()?;
            let now = *end.borrow_and_update();
            if now > seen {
                return Ok(now);
            }
            end.changed().await.map_err(|_| lost())?;
        }
    }

    async fn bounds(&self, partition: Partition) -> Result<Bounds, StoreError> {
        let index = self.shared.index(partition)?;
        self.shared.usable()?;
        Ok(self.shared.bounds(index))
    }

    async fn remembered(&self, id: &str) -> Result<Vec<(Partition, Offset)>, StoreError> {
        self.shared.usable()?;
        let (id, partitions) = (id.to_owned(), self.shared.partitions());
        self.readers.read(move |conn| events::remembered(conn, &id, partitions)).await
    }

    async fn trim(&self, partition: Partition, accepted_before: Timestamp, most: usize) -> Result<usize, StoreError> {
        let index = self.shared.index(partition)?;
        if self.shared.trim_rests(index) {
            return Ok(0);
        }
        let mut removed = 0;
        while removed < most {
            let chunk = TRIM_AT_ONCE.min(most - removed);
            let shared = self.shared.clone();
            let trim = move |tx: &mut Tx<'_>| {
                if tx.aside.is_some() {
                    shared.let_trim_rest(index);
                }
                writer::trim(tx, partition, accepted_before, chunk)
            };
            let trimmed = self.change(trim).await;
            let (gone, more) = trimmed.map_err(into_store_error)?;
            removed += gone;
            if !more {
                break;
            }
        }
        Ok(removed)
    }
}

#[async_trait]
impl ProgressStore for SqliteStore {
    async fn claim(&self, partition: Partition, worker: &WorkerId, ttl: Duration) -> Result<Option<Lease>, StoreError> {
        self.shared.index(partition)?;
        let worker = worker.clone();
        self.change(move |tx| writer::claim(tx, partition, &worker, ttl)).await.map_err(into_store_error)
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<(), CommitError> {
        let lease = lease.clone();
        self.change(move |tx| writer::renew(tx, &lease, ttl)).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), CommitError> {
        let lease = lease.clone();
        self.change(move |tx| writer::release(tx, &lease)).await
    }

    async fn load(&self, partition: Partition) -> Result<PartitionProgress, StoreError> {
        self.shared.index(partition)?;
        self.shared.usable()?;
        self.load_progress(partition).await
    }

    async fn commit(&self, lease: &Lease, commit: &Commit) -> Result<(), CommitError> {
        self.shared.index(lease.partition)?;
        let asked = Arc::new((lease.clone(), commit.clone()));
        loop {
            let again = asked.clone();
            if self.change(move |tx| writer::commit(tx, &again.0, &again.1)).await? {
                return Ok(());
            }
            // Step by step, so that others have their turn between.
            let mut gone = LETTERS_AT_ONCE;
            while gone == LETTERS_AT_ONCE {
                let again = asked.clone();
                gone = self.change(move |tx| writer::drop_letters(tx, &again.0, &again.1, LETTERS_AT_ONCE)).await?;
            }
        }
    }

    async fn standing(
        &self,
        partition: Partition,
        destinations: &[DestinationName],
        keys: &[LaneKey],
    ) -> Result<PartitionProgress, StoreError> {
        self.shared.index(partition)?;
        self.shared.usable()?;
        let (destinations, keys) = (destinations.to_vec(), keys.to_vec());
        self.readers.read(move |conn| progress::standing(conn, partition, &destinations, &keys)).await
    }

    async fn tenures(&self, partition: Partition) -> Result<Vec<Tenure>, StoreError> {
        self.shared.index(partition)?;
        self.shared.usable()?;
        self.readers.read(move |conn| progress::tenures(conn, partition)).await
    }

    async fn taken(&self, partitions: &[Partition]) -> Result<Vec<Option<Cut>>, StoreError> {
        for partition in partitions {
            self.shared.index(*partition)?;
        }
        self.shared.usable()?;
        let partitions = partitions.to_vec();
        self.readers.read(move |conn| progress::taken(conn, &partitions)).await
    }

    async fn cuts(&self, partition: Partition) -> Result<Cuts, StoreError> {
        self.shared.index(partition)?;
        self.shared.usable()?;
        self.readers.read(move |conn| progress::cuts(conn, partition)).await
    }

    async fn forget(&self, destination: &DestinationName) -> Result<bool, StoreError> {
        let destination = destination.clone();
        self.change(move |tx| writer::forget(tx, &destination)).await.map_err(into_store_error)
    }
}

#[async_trait]
impl DeadLetters for SqliteStore {
    async fn list(&self, query: &DeadLetterQuery) -> Result<Vec<DeadLetter>, StoreError> {
        self.shared.usable()?;
        let query = query.clone();
        let listed = self.readers.read(move |conn| dead_letters::list(conn, &query)).await?;
        for error in listed.damaged {
            tracing::warn!(
                %error,
                "a dead letter cannot be read, and is left out; to discard all dead letters of its destination removes it"
            );
        }
        Ok(listed.letters)
    }

    async fn counts(&self) -> Result<Vec<DeadLetterCount>, StoreError> {
        self.shared.usable()?;
        self.readers.read(dead_letters::counts).await
    }

    async fn event(
        &self,
        partition: Partition,
        offset: Offset,
        destination: &DestinationName,
    ) -> Result<Option<LoggedEvent>, StoreError> {
        self.shared.index(partition)?;
        self.shared.usable()?;
        let destination = destination.clone();
        self.readers.read(move |conn| dead_letters::event(conn, partition, offset, &destination)).await
    }

    async fn retry(&self, selection: &Selection) -> Result<u64, StoreError> {
        self.change_dead(DeadChange::Retry, selection).await
    }

    async fn discard(&self, selection: &Selection) -> Result<u64, StoreError> {
        self.change_dead(DeadChange::Discard, selection).await
    }

    async fn retry_requested(
        &self,
        partition: Partition,
        after: Option<&(Offset, DestinationName)>,
        most: usize,
    ) -> Result<Vec<Redrive>, StoreError> {
        let after = after.cloned();
        self.shared.index(partition)?;
        self.shared.usable()?;
        let read = move |conn: &Connection| progress::retry_requested(conn, partition, after.as_ref(), most);
        let Requests { readable, unreadable } = self.readers.read(read).await?;
        if !unreadable.is_empty() {
            self.withdraw_requests(unreadable).await?;
        }
        Ok(readable)
    }
}
