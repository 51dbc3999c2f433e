//! What has waited for too long: the first is told at once, what follows as one count a minute.

use super::letters::EVERY;
use super::{Facts, OperationalEvent, Outbox};
use crate::destination::DestinationName;
use crate::partition::Partition;
use crate::progress::PartitionProgress;
use crate::time::Timestamp;
use std::collections::BTreeMap;

/// What came since something was told last.
#[derive(Debug)]
struct Window {
    began: Timestamp,
    count: u64,
}

/// How much has expired, as far as it is stored, and what of it was not told yet.
#[derive(Debug, Default)]
pub(super) struct Expired {
    stored: BTreeMap<(Partition, DestinationName), u64>,
    windows: BTreeMap<DestinationName, Window>,
}

impl Expired {
    /// A partition was claimed: what was stored before was told by whoever stored it.
    pub(super) fn claimed(&mut self, partition: Partition, progress: &PartitionProgress) {
        self.lost(partition);
        let known = progress.lanes.iter().filter(|(_, lane)| lane.expiry.expired > 0);
        self.stored.extend(known.map(|(name, lane)| ((partition, name.clone()), lane.expiry.expired)));
    }

    /// The partition is not worked on any more.
    pub(super) fn lost(&mut self, partition: Partition) {
        self.stored.retain(|(of, _), _| *of != partition);
    }

    /// A commit says that so many have expired in all. `is_told`: unless it is about the delivery of such events.
    pub(super) fn stored(
        &mut self,
        (partition, name): (Partition, &DestinationName),
        expired: u64,
        is_told: bool,
        now: Timestamp,
        outbox: &mut Outbox,
    ) {
        let before = self.stored.insert((partition, name.clone()), expired).unwrap_or(0);
        let count = expired.saturating_sub(before);
        if count == 0 || !is_told {
            return;
        }
        if let Some(window) = self.windows.get_mut(name) {
            window.count += count;
            return;
        }
        self.windows.insert(name.clone(), Window { began: now, count: 0 });
        // Whoever stores the same tells the same.
        outbox.push(told(format!("expired/{name}/{partition}-{expired}"), name, count, now));
    }

    pub(super) fn forget(&mut self, name: &DestinationName) {
        self.windows.remove(name);
        self.stored.retain(|(_, of), _| of != name);
    }

    /// Tells what has come within a minute. After a minute without any, the next ones are told at once again.
    pub(super) fn due(&mut self, now: Timestamp, outbox: &mut Outbox) {
        self.windows.retain(|name, window| {
            if window.began.after(EVERY) > now {
                return true;
            }
            if window.count == 0 {
                return false;
            }
            let id = format!("expired/{name}/{}/{}", outbox.worker, window.began.as_millis());
            outbox.push(told(id, name, window.count, now));
            (window.began, window.count) = (now, 0);
            true
        });
    }

    pub(super) fn next_wakeup(&self) -> Option<Timestamp> {
        self.windows.values().map(|window| window.began.after(EVERY)).min()
    }
}

fn told(id: String, name: &DestinationName, count: u64, now: Timestamp) -> OperationalEvent {
    let events = if count == 1 { "an event" } else { &format!("{count} events") };
    let text = format!(
        "destination {name} does not get {events} that had waited for as long as its max_age allows: what is older is \
         settled without being delivered"
    );
    let told = OperationalEvent::about("laneway.waiting.expired", id, name, now, text);
    OperationalEvent { facts: Facts { count: Some(count), ..told.facts }, ..told }
}
