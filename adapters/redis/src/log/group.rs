//! Partitions that are watched together.

use super::partition::PartitionLog;
use fred::types::config::Server;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// For how long a partition is watched after the last one who waited: whoever handles what came
/// will be back.
const LINGER: Duration = Duration::from_secs(10);

/// Watches some partitions.
pub(crate) struct Group {
    /// Which.
    partitions: Range<usize>,
    pub(super) changed: Notify,
    /// The connection that waits, if one does.
    blocked: Mutex<Option<Blocked>>,
}

#[derive(Clone, Debug)]
pub(super) struct Blocked {
    pub(super) connection: i64,
    pub(super) node: Option<Server>,
}

/// The groups of a store with that many partitions.
pub(crate) fn groups(partitions: usize, cluster: bool) -> Vec<Arc<Group>> {
    let group = |partitions| Arc::new(Group { partitions, changed: Notify::new(), blocked: Mutex::new(None) });
    if cluster { (0..partitions).map(|p| group(p..p + 1)).collect() } else { vec![group(0..partitions)] }
}

impl Group {
    pub(super) fn blocked(&self) -> Option<Blocked> {
        self.blocked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_blocked(&self, blocked: Option<Blocked>) {
        *self.blocked.lock().unwrap_or_else(PoisonError::into_inner) = blocked;
    }

    /// The partitions that someone watches. Of the others, the end is no longer known.
    pub(super) fn watched<'a>(&self, logs: &'a [PartitionLog]) -> Vec<&'a PartitionLog> {
        let logs = logs.get(self.partitions.clone()).unwrap_or_default();
        let (watched, others): (Vec<_>, Vec<_>) = logs.iter().partition(|log| log.is_watched(LINGER));
        others.into_iter().filter(|log| log.known_end().is_some()).for_each(PartitionLog::unset_end);
        watched
    }
}
