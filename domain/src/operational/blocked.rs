//! Keys that have been blocked for a while, as a status shows them.

use super::{EventFacts, Facts, OperationalEvent, Outbox};
use crate::destination::DestinationName;
use crate::partition::{Offset, Partition};
use crate::status::{BlockedKey, DestinationStatus, StatusReport};
use crate::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The most keys of one destination that are told within [`EVERY`]. How many they are stands in each, and where a
/// destination fails for very many, its breaker says so.
pub(super) const MOST_AT_ONCE: usize = 10;
pub(super) const EVERY: Duration = Duration::from_secs(60);

/// A blocked key: which destination and partition, the failed event, and since when.
type Which = (DestinationName, Partition, Offset, Timestamp);

/// The keys that were told of and are blocked still.
#[derive(Debug)]
pub(super) struct Blocked {
    after: Duration,
    told: BTreeSet<Which>,
    /// How many were told of each destination, and since when they are counted.
    counted: BTreeMap<DestinationName, (Timestamp, usize)>,
}

impl Blocked {
    pub(super) fn new(after: Duration) -> Self {
        Self { after, told: BTreeSet::new(), counted: BTreeMap::new() }
    }

    /// Tells of the keys that have been blocked for long enough by now. Of a destination that gets operational events
    /// nothing is told: it may be one of those that is blocked.
    pub(super) fn look(
        &mut self,
        report: &StatusReport,
        gets_operational: impl Fn(&DestinationName) -> bool,
        outbox: &mut Outbox,
    ) {
        let mut still = BTreeSet::new();
        self.counted.retain(|_, (since, _)| since.after(EVERY) > report.at);
        for destination in report.destinations.iter().filter(|destination| !gets_operational(&destination.name)) {
            // One that is held waits for an operator just as well.
            for key in destination.blocked.iter().filter(|key| key.since.after(self.after) <= report.at) {
                let which = (destination.name.clone(), key.partition, key.head, key.since);
                if !self.told.contains(&which) {
                    let (_, count) = self.counted.entry(destination.name.clone()).or_insert((report.at, 0));
                    if *count == MOST_AT_ONCE {
                        continue; // Its turn comes in a minute, if it is blocked still.
                    }
                    *count += 1;
                    outbox.push(told(destination, key, report.at));
                }
                still.insert(which);
            }
        }
        self.told = still;
    }
}

fn told(destination: &DestinationStatus, key: &BlockedKey, now: Timestamp) -> OperationalEvent {
    let name = &destination.name;
    let id = format!("key-blocked/{name}/{}-{}/{}", key.partition, key.head, key.since.as_millis());
    let text = format!(
        "destination {name} has not taken an event of {} for {} minutes, and what comes after it waits: {}",
        key.key,
        now.since(key.since).as_secs() / 60,
        key.last_error
    );
    let event = OperationalEvent::about("laneway.key.blocked", id, name, now, text);
    let facts = Facts {
        since: Some(key.since),
        reason: Some(key.last_error.clone()),
        key: Some(key.key.clone()),
        blocked_keys: Some(destination.blocked_keys),
        attempts: Some(key.attempts),
        event: Some(EventFacts::at(key.partition, key.head)),
        ..event.facts
    };
    OperationalEvent { facts, ..event }
}
