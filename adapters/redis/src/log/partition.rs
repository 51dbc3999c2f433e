//! One partition's log, as this process knows it.

use super::memory::{Held, Memory};
use laneway_domain::{Offset, Partition};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::watch;

/// What is known of a partition.
#[derive(Debug)]
pub(crate) struct PartitionLog {
    pub(crate) partition: Partition,
    memory: Mutex<Memory>,
    /// The offset after the highest that this process has acknowledged, as Redis has it; zero if none.
    acknowledged: AtomicU64,
    /// How many wait for the partition to grow, and since when nobody has.
    watched: Mutex<Watched>,
    /// The end that the watcher has seen; `None`: it has not looked since the last claim.
    end: watch::Sender<Option<Offset>>,
    /// How many bytes an entry has at most, as far as what was read lately tells.
    entry_bytes: AtomicUsize,
}

#[derive(Debug, Default)]
struct Watched {
    by: usize,
    /// Since when nobody has; `None`: nobody ever did.
    until: Option<Instant>,
}

/// Says that someone waits, for as long as it is there.
pub(crate) struct Watching<'a>(&'a PartitionLog);

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        let mut watched = locked(&self.0.watched);
        watched.by -= 1;
        watched.until = Some(Instant::now());
    }
}

impl PartitionLog {
    pub(crate) fn new(partition: Partition) -> Self {
        Self {
            partition,
            memory: Mutex::default(),
            acknowledged: AtomicU64::new(0),
            watched: Mutex::default(),
            end: watch::Sender::new(None),
            // Until something was read: a small event.
            entry_bytes: AtomicUsize::new(1024),
        }
    }

    pub(crate) fn memory(&self) -> MutexGuard<'_, Memory> {
        locked(&self.memory)
    }

    /// Forgets what was read, so that reading may begin anew. To be called when the partition is
    /// claimed, before its progress is loaded.
    pub(crate) fn forget_position(&self, held: Held) {
        // Under the lock, so that the watcher cannot add in between what it had asked for before.
        let mut memory = self.memory();
        memory.forget(Some(held));
        self.end.send_replace(None);
    }

    /// The log turned out to be another one, as was asked in the `life` given.
    pub(crate) fn diverged(&self, life: u64) {
        let mut memory = self.memory();
        if memory.life() == life {
            memory.diverge();
            if !memory.is_diverged() {
                self.end.send_replace(None);
            }
        }
    }

    /// Nobody here works under the lease any more that the log was lost under, as was asked in the `life` given.
    pub(crate) fn begin_anew(&self, life: u64) {
        let mut memory = self.memory();
        if memory.life() == life {
            memory.forget(None);
            self.end.send_replace(None);
        }
    }

    /// The furthest event that was read since the last claim, and its check. A commit says it to
    /// Redis, which refuses if another event is at that place now.
    pub(crate) fn witness(&self) -> Option<(Offset, u32)> {
        self.memory().witness()
    }

    /// As Redis has it.
    pub(crate) fn acknowledged(&self) -> Offset {
        Offset(self.acknowledged.load(Ordering::Acquire))
    }

    pub(crate) fn note_acknowledged(&self, below: Offset) {
        self.acknowledged.fetch_max(below.0, Ordering::AcqRel);
    }

    /// Says that someone waits, for as long as what it returns is there.
    pub(crate) fn watch(&self) -> Watching<'_> {
        locked(&self.watched).by += 1;
        Watching(self)
    }

    /// Whether someone waits, or did within `within`.
    pub(crate) fn is_watched(&self, within: std::time::Duration) -> bool {
        let watched = locked(&self.watched);
        watched.by > 0 || watched.until.is_some_and(|until| until.elapsed() < within)
    }

    pub(crate) fn end(&self) -> watch::Receiver<Option<Offset>> {
        self.end.subscribe()
    }

    pub(crate) fn known_end(&self) -> Option<Offset> {
        *self.end.borrow()
    }

    /// The watcher has seen the log's end, in the life of `memory`.
    pub(crate) fn set_end(&self, memory: &mut Memory, end: Offset) {
        memory.note_told(end, memory.life());
        self.end.send_if_modified(|known| known.replace(end) != Some(end));
    }

    /// The watcher no longer looks.
    pub(crate) fn unset_end(&self) {
        self.end.send_replace(None);
    }

    /// How many entries have about `bytes` bytes together at most; at least one.
    pub(crate) fn entries_in(&self, bytes: usize) -> usize {
        (bytes / self.entry_bytes.load(Ordering::Relaxed).max(1)).max(1)
    }

    pub(crate) fn note_entry_bytes(&self, entries: &[super::frames::Entry]) {
        // A large one is remembered for a while: where there was one, there will be others.
        if let Some(largest) = entries.iter().map(|entry| entry.bytes).max() {
            let before = self.entry_bytes.load(Ordering::Relaxed);
            self.entry_bytes.store(largest.max(before - before / 4).max(1), Ordering::Relaxed);
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
