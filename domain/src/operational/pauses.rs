//! Pauses that Laneway itself makes, and their ends. They are stored with a partition's progress.

use super::{Facts, OperationalEvent, Outbox, TOLD_AGAIN_WITHIN};
use crate::destination::DestinationName;
use crate::progress::Pause;
use crate::time::Timestamp;
use std::collections::BTreeMap;

/// The pauses that are known, each with since when it is.
#[derive(Debug, Default)]
pub(super) struct Pauses(BTreeMap<DestinationName, Timestamp>);

impl Pauses {
    /// A pause was stored by this worker.
    pub(super) fn stored(&mut self, name: &DestinationName, pause: &Pause, outbox: &mut Outbox) {
        if self.0.insert(name.clone(), pause.since) == Some(pause.since) {
            return; // Another partition stores the same.
        }
        let text = format!(
            "destination {name} is paused: {}. Its events wait. Once it works again, run: laneway destinations resume {name}",
            pause.reason
        );
        let id = format!("paused/{name}/{}", pause.since.as_millis());
        let event = OperationalEvent::about("laneway.destination.paused", id, name, pause.since, text);
        let facts = Facts { since: Some(pause.since), reason: Some(pause.reason.to_string()), ..event.facts };
        outbox.push(OperationalEvent { facts, ..event });
    }

    /// A pause was found in the store. Whoever stored it may have come to its end before it was told.
    pub(super) fn found(&mut self, name: &DestinationName, pause: &Pause, now: Timestamp, outbox: &mut Outbox) {
        if now.since(pause.since) <= TOLD_AGAIN_WITHIN {
            self.stored(name, pause, outbox);
        } else {
            self.0.insert(name.clone(), pause.since);
        }
    }

    /// The end of a pause was stored. One that was not known is none: a lane without a pause stores its end too.
    pub(super) fn ended(&mut self, name: &DestinationName, now: Timestamp, outbox: &mut Outbox) {
        let Some(since) = self.0.remove(name) else { return };
        let text = format!("destination {name} is resumed: its events are delivered again");
        let id = format!("resumed/{name}/{}", since.as_millis());
        let event = OperationalEvent::about("laneway.destination.resumed", id, name, now, text);
        let facts = Facts { since: Some(now), ..event.facts };
        outbox.push(OperationalEvent { facts, ..event });
    }

    pub(super) fn forget(&mut self, name: &DestinationName) {
        self.0.remove(name);
    }
}
