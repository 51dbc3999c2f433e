//! Breakers that have been open for a while. Each worker has its own, and no store knows of them.

use super::{Facts, OperationalEvent, Outbox};
use crate::destination::DestinationName;
use crate::status::{BreakerStatus, StatusReport};
use crate::time::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Debug)]
struct Open {
    since: Timestamp,
    reason: String,
    told: bool,
}

/// The open breakers.
#[derive(Debug)]
pub(super) struct Breakers {
    after: Duration,
    open: BTreeMap<DestinationName, Open>,
}

impl Breakers {
    pub(super) fn new(after: Duration) -> Self {
        Self { after, open: BTreeMap::new() }
    }

    pub(super) fn opened(&mut self, name: &DestinationName, reason: &str, now: Timestamp) {
        // One that was open before has been closed without a word: by an operator, or because it sends elsewhere now.
        self.open.insert(name.clone(), Open { since: now, reason: reason.to_owned(), told: false });
    }

    /// One that was closed again before it was told is not told at all.
    pub(super) fn closed(&mut self, name: &DestinationName, now: Timestamp, outbox: &mut Outbox) {
        let Some(open) = self.open.remove(name).filter(|open| open.told) else { return };
        let text = format!("destination {name} answers again");
        let id = id("breaker-closed", outbox, name, open.since);
        let event = OperationalEvent::about("laneway.breaker.closed", id, name, now, text);
        let worker = Some(outbox.worker.to_string());
        let facts = Facts { since: Some(open.since), worker, ..event.facts };
        outbox.push(OperationalEvent { facts, ..event });
    }

    /// Tells of those that were closed without a word.
    pub(super) fn look(&mut self, report: &StatusReport, outbox: &mut Outbox) {
        for destination in report.destinations.iter().filter(|known| known.breaker == BreakerStatus::Closed) {
            // A report is of the past: what has opened since is not in it.
            if self.open.get(&destination.name).is_some_and(|open| open.since < report.at) {
                self.closed(&destination.name, report.at, outbox);
            }
        }
    }

    pub(super) fn forget(&mut self, name: &DestinationName) {
        self.open.remove(name);
    }

    /// Tells what has been open for long enough.
    pub(super) fn due(&mut self, now: Timestamp, outbox: &mut Outbox) {
        for (name, open) in self.open.iter_mut().filter(|(_, open)| !open.told && open.since.after(self.after) <= now) {
            open.told = true;
            let text = format!(
                "destination {name} is down: {}. Its events wait, and one probe at a time is sent",
                open.reason
            );
            let id = id("breaker-opened", outbox, name, open.since);
            let event = OperationalEvent::about("laneway.breaker.opened", id, name, now, text);
            let (reason, worker) = (Some(open.reason.clone()), Some(outbox.worker.to_string()));
            let facts = Facts { since: Some(open.since), reason, worker, ..event.facts };
            outbox.push(OperationalEvent { facts, ..event });
        }
    }

    pub(super) fn next_wakeup(&self) -> Option<Timestamp> {
        self.open.values().filter(|open| !open.told).map(|open| open.since.after(self.after)).min()
    }
}

fn id(what: &str, outbox: &Outbox, name: &DestinationName, since: Timestamp) -> String {
    format!("{what}/{name}/{}/{}", outbox.worker, since.as_millis())
}
