//! What waits to be appended, by partition: one that takes nothing now stops none of the others, and what is told of a
//! destination stays in its order.

use laneway_domain::{MAX_WAITING_OPERATIONAL, OperationalEvent, Partition};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

/// The pause after an append that failed, and the longest one: it doubles.
const AGAIN_AFTER: Duration = Duration::from_millis(250);
const AGAIN_AT_MOST: Duration = Duration::from_secs(30);

/// What waits.
#[derive(Default)]
pub(super) struct Fronts {
    of: BTreeMap<Partition, Front>,
    count: usize,
}

/// What waits for a partition; never nothing.
struct Front {
    waiting: VecDeque<OperationalEvent>,
    /// When the first one is to be appended.
    at: Instant,
    /// The pause after the next failure.
    pause: Duration,
}

impl Fronts {
    /// Puts it behind the others of its partition. Whether there was room.
    pub(super) fn push(&mut self, partition: Partition, event: OperationalEvent, now: Instant) -> bool {
        if self.count >= MAX_WAITING_OPERATIONAL && self.of.contains_key(&partition) {
            return false;
        }
        self.count += 1;
        let new = || Front { waiting: VecDeque::new(), at: now, pause: AGAIN_AFTER };
        self.of.entry(partition).or_insert_with(new).waiting.push_back(event);
        true
    }

    /// What is to be appended now: what has been due for longest.
    pub(super) fn due(&self, now: Instant) -> Option<(Partition, OperationalEvent)> {
        let (partition, front) =
            self.of.iter().min_by_key(|(_, front)| front.at).filter(|(_, front)| front.at <= now)?;
        Some((*partition, front.waiting.front()?.clone()))
    }

    /// When something is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.of.values().map(|front| front.at).min()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// The first one of the partition needs nothing more, and the next one is due.
    pub(super) fn done(&mut self, partition: Partition, now: Instant) {
        let Some(front) = self.of.get_mut(&partition) else { return };
        self.count -= usize::from(front.waiting.pop_front().is_some());
        (front.at, front.pause) = (now, AGAIN_AFTER);
        if front.waiting.is_empty() {
            self.of.remove(&partition);
        }
    }

    /// It could not be appended: it is tried again, and those behind it wait.
    pub(super) fn failed(&mut self, partition: Partition, now: Instant) {
        let Some(front) = self.of.get_mut(&partition) else { return };
        front.at = now + front.pause;
        front.pause = (front.pause * 2).min(AGAIN_AT_MOST);
    }
}
