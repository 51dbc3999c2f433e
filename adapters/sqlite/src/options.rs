//! How a store is opened.

use laneway_domain::Timestamp;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// For how long a given id is remembered, unless the options say otherwise.
pub const DEFAULT_DUPLICATE_WINDOW: Duration = Duration::from_secs(24 * 3600);
/// The most events that may wait for the writer: a few groups, so that a full queue is a sign of a
/// disk that does not keep up, and what waits is stored within a moment.
pub const DEFAULT_QUEUE_EVENTS: usize = 20_000;
/// The most bytes (by weight) that may wait for the writer: as much as the HTTP side holds of bodies at once, so that
/// a few dozen producers of large events are not sent away from a store that keeps up.
pub const DEFAULT_QUEUE_BYTES: usize = 64 << 20;
/// How much of the most recent events is kept in memory for those who keep up.
pub const DEFAULT_TAIL_BYTES: usize = 8 << 20;
/// How far the write-ahead log grows before it is written back.
pub const DEFAULT_CHECKPOINT_BYTES: u64 = 64 << 20;

/// What an acknowledgement promises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// It survives a power cut: every group is fsynced before it is acknowledged.
    #[default]
    Full,
    /// It survives the end of the process; a power cut may take what was acknowledged since the
    /// last checkpoint.
    Relaxed,
}

/// Where a store takes the time from.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// A clock that shows what `now` returns.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self::new(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
        })
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// The database file. Beside it lie SQLite's `-wal` and `-shm`, `.lock`, and `.reserve`, which keeps
    /// [`crate::RESERVE_BYTES`] of the disk for commits and trims on a full disk.
    pub path: PathBuf,
    /// How many partitions, from 1 to [`laneway_domain::MAX_PARTITIONS`]. Fixed when the store is made.
    pub partitions: u32,
    /// For how long a given id is remembered to recognise duplicates.
    pub duplicate_window: Duration,
    /// What an acknowledgement promises.
    pub durability: Durability,
    /// The most events that may wait to be written; more are answered with "retry later". A call
    /// with more than that is still taken when nothing else waits.
    pub queue_events: usize,
    /// The most bytes that may wait, by [`laneway_domain::Event::weight`]; the same holds.
    pub queue_bytes: usize,
    /// How many bytes of the most recent events are kept in memory, over all partitions.
    pub tail_bytes: usize,
    /// How many bytes the write-ahead log may grow before it is written back into the database.
    /// Under load it is up to about five times as long, and its file keeps up to twice this.
    pub checkpoint_bytes: u64,
    /// The most bytes that the database file may have; `None`: what the disk has. A full store
    /// answers "retry later" until events were trimmed.
    pub max_bytes: Option<u64>,
    /// The clock that leases, `accepted_at` and the duplicate window go by.
    pub clock: Clock,
}

impl Options {
    /// Everything at its default but for where the store is and how many partitions it has.
    pub fn new(path: impl Into<PathBuf>, partitions: u32) -> Self {
        Self {
            path: path.into(),
            partitions,
            duplicate_window: DEFAULT_DUPLICATE_WINDOW,
            durability: Durability::Full,
            queue_events: DEFAULT_QUEUE_EVENTS,
            queue_bytes: DEFAULT_QUEUE_BYTES,
            tail_bytes: DEFAULT_TAIL_BYTES,
            checkpoint_bytes: DEFAULT_CHECKPOINT_BYTES,
            max_bytes: None,
            clock: Clock::system(),
        }
    }
}
