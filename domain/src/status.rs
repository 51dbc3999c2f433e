//! What an operator sees: a snapshot of every destination, as plain data.

use crate::{DestinationName, LaneKey, Offset, Partition, Timestamp};
use serde::{Deserialize, Serialize};

/// The most blocked keys that a report lists per destination; their number is always exact.
pub const MAX_LISTED_KEYS: usize = 100;

/// Every destination of one worker process. Moments are in milliseconds since the Unix epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusReport {
    /// When the snapshot was taken.
    pub at: Timestamp,
    /// The partitions that this process works on.
    pub partitions: Vec<Partition>,
    /// The destinations, by name.
    pub destinations: Vec<DestinationStatus>,
}

/// One destination, over all partitions of the process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DestinationStatus {
    /// Its name.
    pub name: DestinationName,
    /// Events not settled yet.
    pub pending: u64,
    /// Whether `pending` is exact. While a lane reads behind the others, it counts every event
    /// that it has yet to look at, wanted or not.
    pub pending_exact: bool,
    /// Attempts in flight now.
    pub in_flight: u64,
    /// Keys that are recorded as behind: they failed, take long, or have much waiting.
    pub keys_behind: u64,
    /// Those of them whose first unsettled event failed.
    pub blocked_keys: u64,
    /// Some of them, at most [`MAX_LISTED_KEYS`].
    pub blocked: Vec<BlockedKey>,
    /// The breaker.
    pub breaker: BreakerStatus,
    /// Why it is paused, if it is.
    pub paused: Option<String>,
    /// Whether it is in the configuration. One that left it keeps its progress.
    pub configured: bool,
}

/// What the breaker of a destination lets through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "state")]
pub enum BreakerStatus {
    /// Everything.
    Closed,
    /// One probe at a time.
    Open {
        /// Since when.
        since: Timestamp,
        /// When the next probe is due.
        next_probe: Timestamp,
    },
}

/// A key that waits for its first unsettled event to be delivered or given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockedKey {
    /// The key, as [`LaneKey`] writes itself: `key:…`, `event:…` or `all`.
    pub key: String,
    /// The partition it is in.
    pub partition: Partition,
    /// The failed event.
    pub head: Offset,
    /// Attempts at it so far.
    pub attempts: u32,
    /// When the first of them failed.
    pub since: Timestamp,
    /// When the next one is due; `None` when the key is held.
    pub next_attempt: Option<Timestamp>,
    /// What went wrong last.
    pub last_error: String,
}

/// What an operator can tell a worker to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Attempt a key's failed event now, whatever its backoff says; also releases a held key.
    RetryKey {
        /// At which destination.
        destination: DestinationName,
        /// Which key.
        key: LaneKey,
    },
    /// Give a key's failed event up now: it becomes a dead letter, and the key goes on.
    SkipKey {
        /// At which destination.
        destination: DestinationName,
        /// Which key.
        key: LaneKey,
    },
    /// End a pause that Laneway itself has made (the receiver was gone, an outage too long), and
    /// close the breaker.
    Resume {
        /// Which destination.
        destination: DestinationName,
    },
    /// Let go of a destination that left the configuration, once the store has forgotten it.
    Forget {
        /// Which destination.
        destination: DestinationName,
    },
}
