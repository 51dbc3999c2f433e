//! Reading the log where the tail does not reach.

use super::frames::{self, Entry};
use super::loss::{read_of_before, waits_for_claim};
use super::memory;
use super::partition::PartitionLog;
use crate::failure::Effect;
use crate::library::slot;
use crate::place;
use crate::shared::Shared;
use fred::types::Value;
use laneway_domain::{Offset, Partition};
use laneway_ports::{Bounds, Chunk, StoreError};

/// The most entries of one call. Nothing tells how large they are before they are read, and no bound of bytes can be given:
/// this many of the largest events (256 KiB, unless more is allowed) are 16 MiB. What a read may have beyond that is asked
/// for when it is known how large these were.
pub(super) const ENTRIES_AT_ONCE: usize = 64;
/// The most entries of one read.
const MAX_ENTRIES: usize = 1000;

impl Shared {
    /// Reads from `from` on.
    ///
    /// What Redis answers with is fsynced where `appendfsync` is `always`: before it sends the
    /// answers of a turn of its event loop, it has fsynced what that turn and all before have
    /// written (`beforeSleep`), and an answer that waits for its socket from an earlier turn was
    /// made in that one. Whether replicas have it is another question (`see_replicated`).
    pub(crate) async fn read(
        &self,
        log: &PartitionLog,
        from: Offset,
        max_events: usize,
        max_bytes: usize,
    ) -> Result<Chunk, StoreError> {
        if max_events == 0 {
            return Ok(Chunk { records: Vec::new(), next: from });
        }
        self.go_on_after_loss(log).await?;
        let (life, before) = {
            let mut memory = log.memory();
            // Whatever was found out since.
            if memory.is_diverged() {
                return Err(waits_for_claim(log.partition));
            }
            if let Some(chunk) = memory.read_tail(from, max_events, max_bytes) {
                return Ok(chunk);
            }
            // Nothing but what is right before: it comes with the same answer.
            (memory.life(), memory.last_below(from).filter(|(offset, _)| offset.next() == from))
        };
        let count = max_events.min(log.entries_in(max_bytes)).min(ENTRIES_AT_ONCE);
        let mut entries = self.entries(log.partition, before.map_or(from, |b| b.0), count + 1).await?;
        if entries.len() > count {
            self.fill(log, &mut entries, max_events, max_bytes).await?;
        }
        let mut is_same = before.is_none();
        if let (Some(before), Some(first)) = (before, entries.first())
            && first.offset() == before.0
        {
            is_same = first.check == before.1;
            entries.remove(0);
        }
        let contradicts = || entries.iter().any(|entry| log.memory().contradicts(entry.offset(), entry.check));
        if !is_same || contradicts() {
            self.check_log(log).await?;
        }
        if entries.is_empty() {
            return self.read_at_end(log, from, life).await;
        }
        log.note_entry_bytes(&entries);
        remember(log, life, &entries, max_events, max_bytes)
    }

    /// Nothing was found from `from` on: either that is the end, or all that was there is trimmed.
    async fn read_at_end(&self, log: &PartitionLog, from: Offset, life: u64) -> Result<Chunk, StoreError> {
        // Whoever asks may have heard of an end beyond: it must not be told that there is nothing up to there, because
        // what is appended there next is something else.
        let end = self.checked_bounds(log).await?.end;
        if end < from {
            self.check_log(log).await?;
        }
        if end > from {
            // Perhaps it came between the two questions.
            let entries = self.entries(log.partition, from, 1).await?;
            if !entries.is_empty() {
                return remember(log, life, &entries, 1, usize::MAX);
            }
        }
        if log.memory().life() != life {
            return Err(read_of_before(log));
        }
        Ok(Chunk { records: Vec::new(), next: end })
    }

    /// Reads on for as long as the bounds allow more: entries may be smaller than those before were, and one call brings
    /// few.
    async fn fill(
        &self,
        log: &PartitionLog,
        entries: &mut Vec<Entry>,
        max_events: usize,
        max_bytes: usize,
    ) -> Result<(), StoreError> {
        let most = max_events.min(MAX_ENTRIES);
        loop {
            let weight: usize = entries.iter().map(Entry::weight).sum();
            let Some(last) = entries.last().filter(|_| entries.len() <= most && weight <= max_bytes) else {
                return Ok(());
            };
            log.note_entry_bytes(entries);
            let fitting = log.entries_in(max_bytes - weight).min(ENTRIES_AT_ONCE);
            let asked = fitting.min(most + 1 - entries.len()).max(1);
            let more = self.entries(log.partition, last.offset().next(), asked).await?;
            let is_end = more.len() < asked;
            entries.extend(more);
            if is_end {
                return Ok(());
            }
        }
    }

    async fn entries(&self, partition: Partition, from: Offset, count: usize) -> Result<Vec<Entry>, StoreError> {
        let key = self.keys.log(partition);
        let at = slot(std::slice::from_ref(&key));
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let arguments: Vec<Value> = vec![
            key.into(),
            place::entry_id(self.keys.numbers().stored(from)).into(),
            "+".into(),
            "COUNT".into(),
            count.into(),
        ];
        let frame = self.redis.raw("XRANGE", at, arguments, false).await?;
        frames::entries(partition, &frame, self.processes.reads_entries(), self.keys.numbers())
    }

    /// Where the log begins and ends; a loss, if that is before an end that somebody was told of.
    pub(super) async fn checked_bounds(&self, log: &PartitionLog) -> Result<Bounds, StoreError> {
        let (life, told) = {
            let memory = log.memory();
            (memory.life(), memory.told())
        };
        let bounds = self.bounds(log.partition).await?;
        if bounds.end < told {
            self.end_is_gone(log, life, (bounds.end, told)).await?;
        }
        Ok(bounds)
    }

    /// Where the log begins and ends.
    pub(crate) async fn bounds(&self, partition: Partition) -> Result<Bounds, StoreError> {
        let keys = [self.keys.log(partition), self.keys.generation(partition)];
        let answer = self.redis.call("laneway_bounds", Effect::Reads, &keys, Vec::new()).await?;
        let (start, end, _generation): (u64, u64, u64) =
            answer.convert().map_err(|error| self.misunderstood("laneway_bounds", &error))?;
        let shown = |offset| self.keys.numbers().shown(Offset(offset));
        Ok(Bounds { start: shown(start), end: shown(end) })
    }
}

fn remember(
    log: &PartitionLog,
    life: u64,
    entries: &[Entry],
    max_events: usize,
    max_bytes: usize,
) -> Result<Chunk, StoreError> {
    let mut memory = log.memory();
    if memory.life() != life {
        drop(memory);
        return Err(read_of_before(log));
    }
    let Some((chunk, last)) = memory::take(entries.iter(), max_events, max_bytes) else {
        return Err(StoreError::retry_later("nothing was read"));
    };
    memory.note(entries.get(..chunk.records.len()).unwrap_or_default());
    memory.returned(Some(last));
    Ok(chunk)
}
