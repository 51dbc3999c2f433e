//! What the writer tells everyone else.

use crate::tail::Tail;
use laneway_domain::{Offset, Partition, Revision};
use laneway_ports::{Bounds, StoreError};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How long what removes old things rests when it has met damage: it would meet it again, and somebody has to restore
/// the store. Once in a while it is told again.
pub(crate) const REST_AFTER_DAMAGE: Duration = Duration::from_secs(600);

/// The state that is known without asking the database.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) path: PathBuf,
    pub(crate) tail: Tail,
    starts: Vec<AtomicU64>,
    /// Until when each partition is not trimmed, because that has met damage.
    trims_rest_until: Mutex<Vec<Option<Instant>>>,
    ends: Vec<watch::Sender<Offset>>,
    /// The last revision of the registry.
    pub(crate) registry: watch::Sender<Revision>,
    /// Why nothing more is accepted, for good.
    failed: OnceLock<String>,
    /// Why the last group was not stored, until one is.
    trouble: Mutex<Option<String>>,
    /// Bytes written to the write-ahead log, about, since it last began anew.
    pub(crate) wal_bytes: AtomicU64,
    /// What is left of a checkpoint is small: the writer is to do it.
    pub(crate) finish_checkpoint: AtomicBool,
    /// Somebody else reads from the write-ahead log and keeps it from beginning anew.
    pub(crate) log_is_held: AtomicBool,
    /// The disk has little room left.
    pub(crate) room_is_scarce: AtomicBool,
    /// The next COMMIT fails with this code of SQLite, and is not done.
    #[cfg(test)]
    pub(crate) commit_fault: Mutex<Option<i32>>,
}

impl Shared {
    pub(crate) fn new(path: PathBuf, tail_bytes: usize, bounds: &[Bounds], last: Revision) -> Self {
        let partitions = u32::try_from(bounds.len()).unwrap_or(u32::MAX);
        Self {
            path,
            tail: Tail::new(partitions, tail_bytes),
            trims_rest_until: Mutex::new(vec![None; bounds.len()]),
            starts: bounds.iter().map(|bounds| AtomicU64::new(bounds.start.0)).collect(),
            ends: bounds.iter().map(|bounds| watch::Sender::new(bounds.end)).collect(),
            registry: watch::Sender::new(last),
            failed: OnceLock::new(),
            trouble: Mutex::default(),
            wal_bytes: AtomicU64::new(0),
            finish_checkpoint: AtomicBool::new(false),
            log_is_held: AtomicBool::new(false),
            room_is_scarce: AtomicBool::new(false),
            #[cfg(test)]
            commit_fault: Mutex::default(),
        }
    }

    pub(crate) fn partitions(&self) -> u32 {
        u32::try_from(self.ends.len()).unwrap_or(u32::MAX)
    }

    /// The partition's index, if there is one.
    pub(crate) fn index(&self, partition: Partition) -> Result<usize, StoreError> {
        if partition.0 < self.partitions() {
            return Ok(partition.0 as usize);
        }
        let last = self.partitions() - 1;
        let what = format!("there is no partition {partition}: {} has 0 to {last}", self.path.display());
        Err(StoreError::refused(what))
    }

    pub(crate) fn bounds(&self, index: usize) -> Bounds {
        let end = *self.ends[index].borrow();
        Bounds { start: Offset(self.starts[index].load(Ordering::Acquire)).min(end), end }
    }

    pub(crate) fn end(&self, index: usize) -> Offset {
        *self.ends[index].borrow()
    }

    pub(crate) fn watch_end(&self, index: usize) -> watch::Receiver<Offset> {
        self.ends[index].subscribe()
    }

    pub(crate) fn set_end(&self, index: usize, end: Offset) {
        self.ends[index].send_replace(end);
    }

    pub(crate) fn set_start(&self, index: usize, start: Offset) {
        self.starts[index].fetch_max(start.0, Ordering::AcqRel);
    }

    /// Whether the partition is not trimmed for a while.
    pub(crate) fn trim_rests(&self, index: usize) -> bool {
        let until = self.trims_rest_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.get(index).copied().flatten().is_some_and(|until| Instant::now() < until)
    }

    /// Notes, and tells, that a trim of the partition has met damage.
    pub(crate) fn let_trim_rest(&self, index: usize) {
        let mut until = self.trims_rest_until.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(until) = until.get_mut(index) {
            *until = Some(Instant::now() + REST_AFTER_DAMAGE);
        }
        tracing::error!(
            path = %self.path.display(), partition = index,
            "settled events of the partition cannot be removed from where a part of the store is damaged, so that it \
             grows: run `laneway check`, and restore a backup"
        );
    }

    /// Turns the store failed for good, and wakes whoever waits for growth.
    pub(crate) fn fail(&self, what: String) {
        tracing::error!(path = %self.path.display(), "{what}");
        let _ = self.failed.set(what);
        self.ends.iter().for_each(|end| end.send_modify(|_| ()));
    }

    /// `Err` when the store has failed for good.
    pub(crate) fn usable(&self) -> Result<(), StoreError> {
        self.failed.get().map_or(Ok(()), |what| Err(StoreError::retry_later(what.clone())))
    }

    /// Notes that a group was not stored, or (`None`) that one was.
    pub(crate) fn note_trouble(&self, what: Option<&StoreError>) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match (what, trouble.is_some()) {
            (None, true) => tracing::info!(path = %self.path.display(), "the store takes events again"),
            (Some(what), false) => tracing::warn!(path = %self.path.display(), "{what}"),
            _ => {}
        }
        *trouble = what.map(ToString::to_string);
    }

    /// What keeps the store from taking events.
    pub(crate) fn health(&self) -> Result<(), String> {
        if let Some(what) = self.failed.get() {
            return Err(what.clone());
        }
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.clone().map_or(Ok(()), Err)
    }
}
