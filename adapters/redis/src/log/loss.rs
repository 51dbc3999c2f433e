//! What if data that Redis had acknowledged is gone: a failover to a replica that did not have it,
//! a flush, a backup put back. Then numbers that were seen are given out again, to other events.
//!
//! It is noticed by whoever appends (the next number is below one that was acknowledged, or behind a new connection the
//! entry acknowledged last is no longer the same), by whoever reads (the entry read last is no longer the same), and by
//! whoever has heard of an end that the log does not come to any more. All of them raise the log's generation, so
//! that no number is given out twice from then on, and end the partition's lease: what a worker
//! has in memory must not be committed over the other events, it loads progress anew. Nothing is
//! skipped by that: progress and log are in one slot, so what is left of both is of one moment.

use super::memory::Held;
use super::partition::PartitionLog;
use crate::connect::Redis;
use crate::failure::Effect;
use crate::library::{CallError, Refusal};
use crate::shared::Shared;
use bytes::Bytes;
use fred::types::Value;
use laneway_domain::{Offset, Partition};
use laneway_ports::StoreError;
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Instant;

/// How often events were lost, and how many.
const LOSSES: &str = "laneway_log_losses_total";
const LOST_EVENTS: &str = "laneway_lost_events_total";

/// Begins to count losses: an alert looks for their growth, and would not see a first one that came with its counter.
pub(crate) fn count_losses() {
    metrics::counter!(LOSSES).increment(0);
    metrics::counter!(LOST_EVENTS).increment(0);
}

/// What reads are answered with, while this process has the lease, until the partition was claimed again.
pub(super) fn waits_for_claim(partition: Partition) -> StoreError {
    StoreError::retry_later(format!(
        "the log of partition {partition} lost events that had been read; its progress must be loaded again, by claiming it"
    ))
}

/// What a read is answered with when the log was lost, or claimed, while it was under way.
pub(super) fn read_of_before(log: &PartitionLog) -> StoreError {
    if log.memory().is_diverged() {
        return waits_for_claim(log.partition);
    }
    StoreError::retry_later(format!(
        "the log of partition {} lost events that had been read, or was claimed, during this read: read it again",
        log.partition
    ))
}

/// A loss, as it was found.
#[derive(Debug)]
pub(super) struct Lost {
    /// The last entry that is known to be gone, and its check.
    last: (Offset, u32),
    /// What is lost: from where to before where.
    from: Offset,
    below: Offset,
    /// Where the log ended when it was found.
    end: Offset,
}

impl Shared {
    /// Makes sure that the log is still the one whose entries were read. If not, sees to it that
    /// nothing more is read of it under the lease that this process has, and that what was read is forgotten.
    pub(crate) async fn check_log(&self, log: &PartitionLog) -> Result<(), StoreError> {
        let (life, last, told) = {
            let memory = log.memory();
            (memory.life(), memory.last(), memory.told())
        };
        let Some(last) = last else { return Ok(()) };
        if self.compare(&self.redis, log.partition, last).await?.0 {
            return Ok(());
        }
        let mut checks = log.memory().checks();
        checks.retain(|(offset, _)| *offset <= last.0);
        let Some(mut lost) = self.lost_of(&self.redis, log.partition, &checks).await? else { return Ok(()) };
        if lost.end <= lost.below {
            // Nobody has read what was behind, but it was there.
            lost.below = lost.below.max(told);
        }
        self.diverged(log, life, &lost).await
    }

    /// Makes sure that the log ends where somebody was told that it does, or later. (It asks for nothing but the log's own
    /// key, so that it is answered also while the partition's slot is being moved.)
    pub(super) async fn check_end(&self, log: &PartitionLog) -> Result<(), StoreError> {
        let (life, told) = {
            let memory = log.memory();
            (memory.life(), memory.told())
        };
        if told == Offset::ZERO {
            return Ok(());
        }
        let (_, end) = self.compare_some(&self.redis, log.partition, None).await?;
        if end < told { self.end_is_gone(log, life, (end, told)).await } else { Ok(()) }
    }

    /// The log ends at `end`, and somebody was told that it ends at `told`, in the `life` given: what was between is
    /// gone, whether or not anybody has read it.
    pub(super) async fn end_is_gone(
        &self,
        log: &PartitionLog,
        life: u64,
        (end, told): (Offset, Offset),
    ) -> Result<(), StoreError> {
        // What was read tells better from where on.
        self.check_log(log).await?;
        if log.memory().life() != life {
            return Ok(());
        }
        // Nobody knows its check. There is nothing at its place, or else what came there since.
        let last = (Offset(told.0.saturating_sub(1)), 0);
        self.diverged(log, life, &Lost { last, from: end, below: told, end }).await
    }

    async fn diverged(&self, log: &PartitionLog, life: u64, lost: &Lost) -> Result<(), StoreError> {
        if let Some(answer) = self.note_lost(&self.redis, log.partition, lost).await? {
            log.diverged(life);
            self.report_loss(log.partition, &answer).await;
        }
        Ok(())
    }

    /// Notes the loss where the log is. Returns what [`Self::report_loss`] says of it; nothing if all was there after
    /// all.
    pub(super) async fn note_lost(
        &self,
        redis: &Redis,
        partition: Partition,
        lost: &Lost,
    ) -> Result<Option<Vec<Value>>, StoreError> {
        let [at, from, below] = [lost.last.0, lost.from, lost.below].map(|offset| self.keys.numbers().stored(offset).0);
        let arguments = [at, u64::from(lost.last.1), from, below];
        let arguments = arguments.iter().map(|number| Bytes::from(number.to_string())).collect();
        match redis.call("laneway_diverged", Effect::Writes, &self.log_keys(partition), arguments).await {
            Ok(answer) => Ok(Some(answer.into_array())),
            Err(CallError::Refused(Refusal::Other(_))) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// What is lost of entries that were there, by rising offset; nothing if they all are.
    pub(super) async fn lost_of(
        &self,
        redis: &Redis,
        partition: Partition,
        checks: &[(Offset, u32)],
    ) -> Result<Option<Lost>, StoreError> {
        let Some((at, end)) = self.first_other(redis, partition, checks).await? else { return Ok(None) };
        let (Some(other), Some(&last)) = (checks.get(at), checks.last()) else { return Ok(None) };
        let from = match at.checked_sub(1).and_then(|before| checks.get(before)) {
            Some((kept, _)) => kept.next(),
            // More may be lost than is remembered, but nothing before the log's end as it is now.
            None => other.0.min(end),
        };
        Ok(Some(Lost { last, from, below: last.0.next(), end }))
    }

    /// Lets reading begin anew after a loss, unless somebody in this process may still work under the lease that it
    /// had: for as long as its holder may take it to be good, whatever Redis says, and for as long as Redis takes it
    /// to be. A process that never claims the partition again could otherwise never read it again.
    pub(super) async fn go_on_after_loss(&self, log: &PartitionLog) -> Result<(), StoreError> {
        let (life, held) = {
            let memory = log.memory();
            if !memory.is_diverged() {
                return Ok(());
            }
            (memory.life(), memory.held().cloned())
        };
        if let Some(held) = held
            && (held.may_be_used(Instant::now()) || self.is_held(log.partition, &held).await?)
        {
            return Err(waits_for_claim(log.partition));
        }
        log.begin_anew(life);
        Ok(())
    }

    /// Whether the lease is the partition's, as Redis has it.
    async fn is_held(&self, partition: Partition, held: &Held) -> Result<bool, StoreError> {
        let key = self.keys.lease(partition);
        let slot = crate::library::slot(std::slice::from_ref(&key));
        let arguments = vec![key.into(), "epoch".into(), "worker".into()];
        let answer = self.redis.command("HMGET", slot, arguments, Effect::Reads).await?;
        let (epoch, worker): (Option<String>, Option<String>) =
            answer.convert().map_err(|error| self.misunderstood("HMGET", &error))?;
        Ok(epoch == Some(held.epoch.to_string()) && worker.as_deref() == Some(held.worker.0.as_str()))
    }

    /// The first of the remembered entries that is no longer there, and the log's end. What is lost is the end of a log:
    /// behind one that is gone, all are. So few are asked after, one at a time, because each is read whole.
    async fn first_other(
        &self,
        redis: &Redis,
        partition: Partition,
        checks: &[(Offset, u32)],
    ) -> Result<Option<(usize, Offset)>, StoreError> {
        let (mut same, mut other, mut end) = (0, checks.len(), None);
        while same < other {
            let at = same + (other - same) / 2;
            let Some(check) = checks.get(at) else { break };
            let (found, below) = self.compare(redis, partition, *check).await?;
            end = Some(below);
            if found { same = at + 1 } else { other = at }
        }
        Ok(end.filter(|_| same < checks.len()).map(|end| (same, end)))
    }

    /// Whether this entry is still there (or was trimmed), and the log's end.
    pub(super) async fn compare(
        &self,
        redis: &Redis,
        partition: Partition,
        check: (Offset, u32),
    ) -> Result<(bool, Offset), StoreError> {
        let (same, end) = self.compare_some(redis, partition, Some(check)).await?;
        Ok((same == 1, end))
    }

    /// How many of these entries are still there (or were trimmed), and the log's end.
    async fn compare_some(
        &self,
        redis: &Redis,
        partition: Partition,
        check: Option<(Offset, u32)>,
    ) -> Result<(u64, Offset), StoreError> {
        let numbers = self.keys.numbers();
        let one = |(at, check): (Offset, u32)| [numbers.stored(at).0, u64::from(check)];
        let arguments = check.into_iter().flat_map(one).map(|number| Bytes::from(number.to_string())).collect();
        let answer = redis.call("laneway_compare", Effect::Reads, &[self.keys.log(partition)], arguments).await?;
        let (same, end): (u64, u64) =
            answer.convert().map_err(|error| self.misunderstood("laneway_compare", &error))?;
        Ok((same, numbers.shown(Offset(end))))
    }

    /// All that was ever found to be lost of a partition, by ascending offset.
    pub(super) async fn losses(&self, partition: Partition) -> Result<Vec<Range<Offset>>, StoreError> {
        let key = self.keys.lost(partition);
        let slot = crate::library::slot(std::slice::from_ref(&key));
        let answer = self.redis.command("HGETALL", slot, vec![key.into()], Effect::Reads).await?;
        let by_generation: BTreeMap<String, String> =
            answer.convert().map_err(|error| self.misunderstood("HGETALL", &error))?;
        let mut losses: Vec<_> = by_generation.values().filter_map(|text| range(text)).collect();
        losses.sort_by_key(|lost| lost.start);
        let shown = |offset| self.keys.numbers().shown(offset);
        Ok(losses.into_iter().map(|lost| shown(lost.start)..shown(lost.end)).collect())
    }

    /// Says what was lost, if the answer (generation, from, below, …) tells of something new, and
    /// puts back what may be lost with it.
    pub(crate) async fn report_loss(&self, partition: Partition, answer: &[Value]) {
        let number = |at: usize| answer.get(at).and_then(Value::as_u64);
        let (Some(generation), Some(from), Some(below)) = (number(0), number(1), number(2)) else { return };
        let count = count(from, below);
        let [from, below] = [from, below].map(|offset| self.keys.numbers().shown(Offset(offset)).0);
        tracing::error!(
            redis = self.redis.place(),
            %partition,
            from,
            below,
            count,
            generation,
            "events that Redis had acknowledged are lost (a failover to a replica that did not have them, a flush, or \
             a backup put back): their producers must send them again. Later events are not affected; their offsets \
             are of a new generation"
        );
        metrics::counter!(LOST_EVENTS).increment(count);
        metrics::counter!(LOSSES).increment(1);
        self.processes.put_back().await;
    }

    pub(crate) fn misunderstood(&self, function: &str, error: &fred::error::Error) -> StoreError {
        StoreError::unknown(format!("Redis at {} answers {function} with something else: {error}", self.redis.place()))
    }

    /// The keys of appending, and of noting a loss.
    pub(crate) fn log_keys(&self, partition: Partition) -> Vec<String> {
        vec![
            self.keys.log(partition),
            self.keys.generation(partition),
            self.keys.lease(partition),
            self.keys.lost(partition),
        ]
    }
}

/// A range as the log's functions write it, `<from>:<below>`. What is none was written by no release of Laneway.
fn range(text: &str) -> Option<Range<Offset>> {
    let (from, below) = text.split_once(':')?;
    Some(Offset(from.parse().ok()?)..Offset(below.parse().ok()?))
}

/// How many offsets there are from `from` to `below`; where these are of different generations,
/// how many of the later one.
fn count(from: u64, below: u64) -> u64 {
    const SEQUENCES: u64 = 1 << 40;
    let start = below.saturating_sub(1) / SEQUENCES * SEQUENCES;
    below.saturating_sub(from.max(start))
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_lost_is_counted_within_a_generation() {
        assert_eq!(super::count(3, 10), 7);
        assert_eq!(super::count(3, (1 << 40) + 5), 5);
        assert_eq!(super::count(0, 1 << 40), 1 << 40);
    }
}
