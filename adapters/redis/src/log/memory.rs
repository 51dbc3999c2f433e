//! What a process remembers of a partition: the most recent entries, and the checks of those that
//! it has seen, by which it notices when they are no longer there.

use super::checks::Checks;
use super::frames::Entry;
use laneway_domain::Offset;
use laneway_ports::{Chunk, Lease, WorkerId};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How often the tail is filled before it is noticed that nobody reads it: whoever lags behind for a moment
/// is to find it there again.
const MAX_UNREAD_TAILS: usize = 4;

/// The lease under which this process works on the partition, as far as it knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) epoch: u64,
    pub(crate) worker: WorkerId,
    /// Until then, whoever has the lease may take it to be good, whatever became of it in Redis.
    until: Instant,
}

impl Held {
    /// A lease that was asked for at `asked`.
    pub(crate) fn new(lease: &Lease, asked: Instant, ttl: Duration) -> Self {
        Self { epoch: lease.epoch, worker: lease.worker.clone(), until: asked + ttl }
    }

    fn is_of(&self, lease: &Lease) -> bool {
        self.epoch == lease.epoch && self.worker == lease.worker
    }

    /// Whether its holder may take it to be good.
    pub(crate) fn may_be_used(&self, now: Instant) -> bool {
        now < self.until
    }
}

/// What is remembered. Empty again whenever the partition is claimed.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Entries that were seen.
    checks: Checks,
    /// The furthest end of the log that somebody was told of, whether or not anything was read before it: whoever heard
    /// of it counts on events up to there.
    told: Offset,
    /// The furthest entry that a read has returned.
    witness: Option<(Offset, u32)>,
    /// As many replicas as the options ask for have what is below.
    replicated: Offset,
    tail: VecDeque<Entry>,
    tail_bytes: usize,
    /// What was added to the tail since anybody has read it.
    unread_bytes: usize,
    /// The tail has all that the log has from `covers.0` up to `covers.1`.
    covers: (Offset, Offset),
    /// The lease of this process, if it has claimed the partition and has not released it since. It may have lost it
    /// without having heard of that.
    held: Option<Held>,
    /// The log turned out to be another one while this process had the lease: nothing may be read until the partition
    /// is claimed again, and progress loaded, or until whoever had the lease works under it no more.
    diverged: bool,
    /// How often everything was forgotten: what was asked for before that must not be added after.
    life: u64,
}

impl Memory {
    pub(crate) fn life(&self) -> u64 {
        self.life
    }

    pub(crate) fn is_diverged(&self) -> bool {
        self.diverged
    }

    pub(crate) fn witness(&self) -> Option<(Offset, u32)> {
        self.witness
    }

    pub(crate) fn replicated(&self) -> Offset {
        self.replicated
    }

    /// Replicas have what is below; asked in the `life` given.
    pub(crate) fn note_replicated(&mut self, below: Offset, life: u64) {
        if self.life == life {
            self.replicated = self.replicated.max(below);
        }
    }

    pub(crate) fn checks(&self) -> Vec<(Offset, u32)> {
        self.checks.all()
    }

    /// The last entry that was seen below `offset`.
    pub(crate) fn last_below(&self, offset: Offset) -> Option<(Offset, u32)> {
        self.checks.last_below(offset)
    }

    /// The last entry that was seen.
    pub(crate) fn last(&self) -> Option<(Offset, u32)> {
        self.checks.last()
    }

    /// Whether another entry was seen at the place of this one.
    pub(crate) fn contradicts(&self, offset: Offset, check: u32) -> bool {
        self.checks.contradict(offset, check)
    }

    /// Remembers the checks of entries that were seen.
    pub(crate) fn note(&mut self, entries: &[Entry]) {
        entries.iter().for_each(|entry| self.checks.note(entry.offset(), entry.check));
    }

    /// The furthest end of the log that somebody was told of; zero if nobody was.
    pub(crate) fn told(&self) -> Offset {
        self.told
    }

    /// Somebody is told that the log ends there, as was asked in the `life` given.
    pub(crate) fn note_told(&mut self, end: Offset, life: u64) {
        if self.life == life {
            self.told = self.told.max(end);
        }
    }

    /// Notes that a read has returned these.
    pub(crate) fn returned(&mut self, last: Option<(Offset, u32)>) {
        if let Some(last) = last
            && self.witness.is_none_or(|(furthest, _)| furthest < last.0)
        {
            self.witness = Some(last);
        }
    }

    /// Adds what the log has from `from` on to the tail, up to `max_bytes` altogether.
    pub(crate) fn extend_tail(&mut self, from: Offset, entries: Vec<Entry>, max_bytes: usize) {
        let Some(last) = entries.last().map(Entry::offset) else { return };
        if self.tail.is_empty() || from != self.covers.1 {
            self.tail.clear();
            self.tail_bytes = 0;
            self.covers.0 = from;
        }
        self.covers.1 = last.next();
        let more = entries.iter().map(Entry::weight).sum::<usize>();
        self.tail_bytes += more;
        self.unread_bytes = self.unread_bytes.saturating_add(more);
        self.tail.extend(entries);
        while self.tail_bytes > max_bytes
            && let Some(gone) = self.tail.pop_front()
        {
            self.tail_bytes -= gone.weight();
            self.covers.0 = gone.offset().next();
        }
    }

    /// Whether what comes in is worth being fetched: nobody wants it where the tail of `max_bytes` was
    /// filled unread several times, because everyone is paused or far behind.
    pub(crate) const fn is_tail_wanted(&self, max_bytes: usize) -> bool {
        self.unread_bytes <= max_bytes.saturating_mul(MAX_UNREAD_TAILS)
    }

    /// Reads from the tail, if it has what is at `from`.
    pub(crate) fn read_tail(&mut self, from: Offset, max_events: usize, max_bytes: usize) -> Option<Chunk> {
        if from < self.covers.0 {
            return None;
        }
        self.unread_bytes = 0;
        if from >= self.covers.1 {
            return None;
        }
        let skip = self.tail.partition_point(|entry| entry.offset() < from);
        let (chunk, last) = take(self.tail.range(skip..), max_events, max_bytes)?;
        self.returned(Some(last));
        Some(chunk)
    }

    /// The log is another one than was seen. Whoever has the lease counts on what was read of it, and must not read on;
    /// nobody else does.
    pub(crate) fn diverge(&mut self) {
        let held = self.held.take();
        // The witness stays: what was settled because of it must not be committed, whatever else stands against that.
        let witness = self.witness.filter(|_| held.is_some());
        *self = Self { diverged: held.is_some(), held, witness, life: self.life + 1, ..Self::default() };
    }

    /// Forgets everything; reading may begin anew, under this lease or under none.
    pub(crate) fn forget(&mut self, held: Option<Held>) {
        *self = Self { held, life: self.life + 1, ..Self::default() };
    }

    pub(crate) fn held(&self) -> Option<&Held> {
        self.held.as_ref()
    }

    /// More time is asked for. It counts from now on, whatever the answer will be: the holder may have it before we do.
    pub(crate) fn renewing(&mut self, lease: &Lease, asked: Instant, ttl: Duration) {
        if let Some(held) = self.held.as_mut().filter(|held| held.is_of(lease)) {
            held.until = held.until.max(asked + ttl);
        }
    }

    /// The lease was given up: nobody here works under it any more.
    pub(crate) fn released(&mut self, lease: &Lease) {
        self.held.take_if(|held| held.is_of(lease));
    }
}

/// As many of the entries as the bounds allow, but at least one; with offset and check of the last.
pub(crate) fn take<'e>(
    entries: impl Iterator<Item = &'e Entry>,
    max_events: usize,
    max_bytes: usize,
) -> Option<(Chunk, (Offset, u32))> {
    let (mut records, mut bytes, mut last) = (Vec::new(), 0_usize, None);
    for entry in entries.take(max_events) {
        bytes = bytes.saturating_add(entry.weight());
        if bytes > max_bytes && !records.is_empty() {
            break;
        }
        last = Some((entry.offset(), entry.check));
        records.push(entry.record.clone());
    }
    let last = last?;
    Some((Chunk { records, next: last.0.next() }, last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use laneway_domain::Partition;
    use laneway_ports::LogRecord;

    fn entry(offset: u64) -> Entry {
        let record = LogRecord::Corrupt { offset: Offset(offset), reason: "x".repeat(10) };
        Entry { record, check: u32::try_from(offset).unwrap() + 100, bytes: 10 }
    }

    fn offsets(chunk: Option<Chunk>) -> Option<Vec<u64>> {
        chunk.map(|chunk| chunk.records.iter().map(|record| record.offset().0).collect())
    }

    #[test]
    fn the_tail_answers_only_for_what_it_covers() {
        let mut memory = Memory::default();
        memory.extend_tail(Offset(5), [5, 6, 9].map(entry).into(), 1000);
        assert_eq!(offsets(memory.read_tail(Offset(4), 9, 999)), None);
        assert_eq!(offsets(memory.read_tail(Offset(5), 2, 999)), Some(vec![5, 6]));
        assert_eq!(offsets(memory.read_tail(Offset(7), 9, 999)), Some(vec![9]));
        assert_eq!(offsets(memory.read_tail(Offset(10), 9, 999)), None);
        assert_eq!(memory.witness(), Some((Offset(9), 109)));
    }

    #[test]
    fn the_tail_drops_its_oldest_and_starts_anew_behind_a_gap() {
        let mut memory = Memory::default();
        memory.extend_tail(Offset(0), (0..10).map(entry).collect(), 50);
        assert_eq!(offsets(memory.read_tail(Offset(4), 9, 999)), None);
        assert_eq!(offsets(memory.read_tail(Offset(5), 9, 20)), Some(vec![5, 6]));
        memory.extend_tail(Offset(20), vec![entry(20)], 50);
        assert_eq!(offsets(memory.read_tail(Offset(9), 9, 999)), None);
        assert_eq!(offsets(memory.read_tail(Offset(20), 9, 999)), Some(vec![20]));
    }

    #[test]
    fn a_tail_that_nobody_reads_is_not_wanted_until_somebody_comes_for_its_end() {
        let mut memory = Memory::default();
        memory.extend_tail(Offset(0), (0..40).map(entry).collect(), 100);
        assert!(memory.is_tail_wanted(100));
        memory.extend_tail(Offset(40), vec![entry(40)], 100);
        assert!(!memory.is_tail_wanted(100));
        // Somebody who is behind reads the log.
        memory.extend_tail(Offset(41), (41..50).map(entry).collect(), 100);
        assert!(memory.read_tail(Offset(3), 9, 999).is_none() && !memory.is_tail_wanted(100));
        // Whoever has come as far as the tail will want more of it.
        assert!(memory.read_tail(Offset(50), 9, 999).is_none() && memory.is_tail_wanted(100));
    }

    fn lease(epoch: u64) -> Lease {
        Lease { partition: Partition(0), epoch, worker: WorkerId("w".into()) }
    }

    const TTL: Duration = Duration::from_secs(5);

    #[test]
    fn a_loss_stops_reading_for_whoever_has_the_lease_and_for_nobody_else() {
        let (now, mut memory) = (Instant::now(), Memory::default());
        memory.note(&[entry(3)]);
        memory.diverge();
        assert!(!memory.is_diverged() && memory.last().is_none() && memory.life() == 1);

        memory.forget(Some(Held::new(&lease(7), now, TTL)));
        memory.note(&[entry(3)]);
        memory.returned(Some((Offset(3), 103)));
        memory.diverge();
        assert!(memory.is_diverged() && memory.last().is_none());
        assert_eq!(memory.witness(), Some((Offset(3), 103)), "a commit still says what it counts on");
        memory.released(&lease(8));
        assert!(memory.held().is_some(), "that was another lease");
        memory.released(&lease(7));
        assert!(memory.held().is_none());
        memory.forget(None);
        assert!(!memory.is_diverged() && memory.witness().is_none());

        memory.forget(Some(Held::new(&lease(9), now, TTL)));
        memory.diverge();
        memory.forget(Some(Held::new(&lease(10), now, TTL)));
        assert!(!memory.is_diverged(), "a claim begins anew");
    }

    #[test]
    fn a_lease_may_be_used_from_when_it_was_asked_for_also_while_a_renewal_is_under_way() {
        let (now, mut memory) = (Instant::now(), Memory::default());
        memory.forget(Some(Held::new(&lease(7), now, TTL)));
        let may_be_used = |memory: &Memory, at| memory.held().unwrap().may_be_used(at);
        assert!(may_be_used(&memory, now) && !may_be_used(&memory, now + TTL));
        memory.renewing(&lease(7), now + TTL, TTL);
        assert!(may_be_used(&memory, now + TTL) && !may_be_used(&memory, now + TTL * 2));
        memory.renewing(&lease(8), now + TTL * 2, TTL);
        assert!(!may_be_used(&memory, now + TTL * 2), "that was another lease");
    }

    #[test]
    fn the_end_that_was_told_never_falls_until_everything_is_forgotten() {
        let mut memory = Memory::default();
        memory.note_told(Offset(7), 0);
        memory.note_told(Offset(5), 0);
        memory.note_told(Offset(9), 1);
        assert_eq!(memory.told(), Offset(7));
        memory.diverge();
        assert_eq!(memory.told(), Offset::ZERO);
    }
}
