//! Changes of destinations, as the registry tells them: made, changed, paused and resumed by operators, gone.

use super::{Facts, OperationalEvent, Outbox, TOLD_AGAIN_WITHIN};
use crate::destination::DestinationName;
use crate::registered::{OperatorPause, Registered, Standing};
use crate::revision::Revision;
use crate::time::Timestamp;
use std::collections::BTreeMap;

/// What the registry says of a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedDestination {
    /// Its name.
    pub name: DestinationName,
    /// When it was made.
    pub born: Revision,
    /// The change.
    pub revision: Revision,
    /// Whether it is there.
    pub standing: Standing,
    /// Whether an operator paused it.
    pub paused: Option<OperatorPause>,
}

impl From<&Registered> for ChangedDestination {
    fn from(record: &Registered) -> Self {
        Self {
            name: record.name.clone(),
            born: record.born,
            revision: record.revision,
            standing: record.standing,
            paused: record.paused.clone(),
        }
    }
}

/// What a change was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OperatorChange {
    /// It was made.
    Made,
    /// Its settings are others.
    Changed,
    /// An operator paused it.
    Paused,
    /// An operator ended its pause.
    Resumed,
    /// The configuration file names it no longer.
    Left,
    /// It is gone.
    Deleted,
}

impl OperatorChange {
    /// What changed, from what was known (the revision, and whether it was paused) to what the registry says now.
    fn between(before: Option<(Revision, bool)>, now: &ChangedDestination) -> Self {
        let was_paused = before.is_some_and(|(_, paused)| paused);
        match (now.standing, now.paused.is_some()) {
            (Standing::Deleted, _) => Self::Deleted,
            (Standing::Left, _) => Self::Left,
            (Standing::Present, true) if !was_paused => Self::Paused,
            (Standing::Present, false) if was_paused => Self::Resumed,
            (Standing::Present, _) if now.born == now.revision => Self::Made,
            (Standing::Present, _) => Self::Changed,
        }
    }
}

/// The destinations that are known: the last revision, and whether an operator paused it.
#[derive(Debug, Default)]
pub(super) struct Changes(BTreeMap<DestinationName, (Revision, bool)>);

impl Changes {
    /// The registry says this now. What a worker finds when it starts is told only if it has just become so: then it may
    /// be that nobody got to tell it.
    pub(super) fn heard(&mut self, change: &ChangedDestination, now: Timestamp, outbox: &mut Outbox) {
        let before = self.0.get(&change.name).copied();
        if before.is_some_and(|(revision, _)| revision >= change.revision) {
            return;
        }
        if change.standing == Standing::Deleted {
            self.0.remove(&change.name);
        } else {
            self.0.insert(change.name.clone(), (change.revision, change.paused.is_some()));
        }
        let at = made_at(change.revision);
        if now.since(at) > TOLD_AGAIN_WITHIN {
            return;
        }
        outbox.push(told(OperatorChange::between(before, change), change, at));
    }
}

/// When a change was made: a revision is the store's clock in microseconds, unless that went back.
fn made_at(revision: Revision) -> Timestamp {
    Timestamp::from_millis(revision.0 / 1000)
}

fn told(what: OperatorChange, change: &ChangedDestination, at: Timestamp) -> OperationalEvent {
    let name = &change.name;
    let reason = change.paused.as_ref().map(|pause| pause.reason.to_string()).filter(|reason| !reason.is_empty());
    let (event_type, text) = match what {
        OperatorChange::Made => ("laneway.destination.changed", format!("destination {name} was made")),
        OperatorChange::Changed => ("laneway.destination.changed", format!("destination {name} was changed")),
        OperatorChange::Left => (
            "laneway.destination.changed",
            format!("destination {name} has left the configuration file; what waits for it is kept"),
        ),
        OperatorChange::Deleted => ("laneway.destination.changed", format!("destination {name} was deleted")),
        OperatorChange::Paused => {
            let why = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            (
                "laneway.destination.paused",
                format!("destination {name} was paused by an operator{why}. Its events wait"),
            )
        }
        OperatorChange::Resumed => (
            "laneway.destination.resumed",
            format!("destination {name} was resumed by an operator: its events are delivered again"),
        ),
    };
    // Not of the kind of change: who comes later may see another one, of the same revision.
    let id = format!("destination/{name}/{}", change.revision.0);
    let event = OperationalEvent::about(event_type, id, name, at, text);
    let since = change.paused.as_ref().map(|pause| pause.since);
    let facts = Facts { revision: Some(change.revision), since, reason, ..event.facts };
    OperationalEvent { facts, ..event }
}
