//! Dead letters: the first is told at once, what follows as one count a minute.

use super::{EventFacts, Facts, OperationalEvent, Outbox};
use crate::destination::DestinationName;
use crate::event::LoggedEvent;
use crate::partition::{Offset, Partition};
use crate::progress::GivenUp;
use crate::time::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// How often dead letters of one destination are told.
pub(super) const EVERY: Duration = Duration::from_secs(60);

/// What is known of a dead letter's event.
#[derive(Debug)]
struct Known {
    facts: EventFacts,
    is_operational: bool,
}

/// What came since the last one was told.
#[derive(Debug)]
struct Window {
    began: Timestamp,
    count: u64,
    last: Option<(GivenUp, EventFacts)>,
}

/// The dead letters that are on their way into the store, and those that were not told yet.
#[derive(Debug, Default)]
pub(super) struct Letters {
    /// Events that were given up and are in no stored commit yet. The dispatcher bounds how many there are.
    unsaved: BTreeMap<(Partition, Offset, DestinationName), Known>,
    windows: BTreeMap<DestinationName, Window>,
}

impl Letters {
    pub(super) fn given_up(&mut self, partition: Partition, given_up: &GivenUp, event: Option<&LoggedEvent>) {
        if let Some(event) = event {
            let known = Known { facts: EventFacts::of(event), is_operational: event.event.is_operational() };
            self.unsaved.insert((partition, given_up.offset, given_up.destination.clone()), known);
        }
    }

    /// What was given up there was not stored by this worker.
    pub(super) fn lost(&mut self, partition: Partition) {
        self.unsaved.retain(|(of, ..), _| *of != partition);
    }

    /// A dead letter was stored. `own`: its destination gets operational events, so that it may be of one.
    pub(super) fn stored(
        &mut self,
        partition: Partition,
        given_up: &GivenUp,
        own: bool,
        now: Timestamp,
        outbox: &mut Outbox,
    ) {
        let known = self.unsaved.remove(&(partition, given_up.offset, given_up.destination.clone()));
        // Of an event that is not known it cannot be ruled out.
        if known.as_ref().map_or(own, |known| known.is_operational) {
            return;
        }
        let facts = known.map_or_else(|| EventFacts::at(partition, given_up.offset), |known| known.facts);
        if let Some(window) = self.windows.get_mut(&given_up.destination) {
            window.count += 1;
            window.last = Some((given_up.clone(), facts));
            return;
        }
        self.windows.insert(given_up.destination.clone(), Window { began: now, count: 0, last: None });
        let id =
            format!("dead-letter/{}/{partition}-{}/{}", given_up.destination, given_up.offset, given_up.at.as_millis());
        outbox.push(told(id, 1, given_up, facts));
    }

    pub(super) fn forget(&mut self, name: &DestinationName) {
        self.windows.remove(name);
        self.unsaved.retain(|(.., of), _| of != name);
    }

    /// Tells what has come within a minute. After a minute without any, the next one is told at once again.
    pub(super) fn due(&mut self, now: Timestamp, outbox: &mut Outbox) {
        self.windows.retain(|name, window| {
            if window.began.after(EVERY) > now {
                return true;
            }
            let Some((last, facts)) = window.last.take() else { return false };
            let id = format!("dead-letters/{name}/{}/{}", outbox.worker, window.began.as_millis());
            outbox.push(told(id, window.count, &last, facts));
            (window.began, window.count) = (now, 0);
            true
        });
    }

    pub(super) fn next_wakeup(&self) -> Option<Timestamp> {
        self.windows.values().map(|window| window.began.after(EVERY)).min()
    }
}

fn told(id: String, count: u64, last: &GivenUp, event: EventFacts) -> OperationalEvent {
    let name = &last.destination;
    let text = match (count, &event.id) {
        (1, Some(event)) => {
            format!("destination {name} did not get event {event}, which is a dead letter now: {}", last.reason)
        }
        (1, None) => format!("destination {name} has a dead letter: {}", last.reason),
        (many, _) => format!("destination {name} has {many} further dead letters; the last one: {}", last.reason),
    };
    let told = OperationalEvent::about("laneway.dead-letter.created", id, name, last.at, text);
    let facts = Facts {
        count: Some(count),
        reason: Some(last.reason.to_string()),
        attempts: Some(last.retry.attempts),
        key: Some(last.key.to_string()),
        event: Some(event),
        ..told.facts
    };
    OperationalEvent { facts, ..told }
}

#[cfg(test)]
impl Letters {
    /// Whether nothing waits to be stored or told.
    pub(super) fn is_at_rest(&self) -> bool {
        self.unsaved.is_empty() && self.windows.is_empty()
    }
}
