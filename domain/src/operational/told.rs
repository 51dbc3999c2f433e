//! What an operational event says.

use super::Quarantined;
use crate::destination::DestinationName;
use crate::event::LoggedEvent;
use crate::partition::{Offset, Partition};
use crate::revision::Revision;
use crate::time::Timestamp;
use serde::Serialize;

/// An event to append to the log, with [`crate::OWN_SOURCE`] as its source and its destination's name as its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationalEvent {
    /// Made from what is told, so that it is the same whoever tells it.
    pub id: String,
    /// Begins with [`crate::RESERVED_TYPES`].
    pub event_type: &'static str,
    /// When it happened.
    pub at: Timestamp,
    /// The data.
    pub facts: Facts,
}

/// What an operational event has as its data: a sentence for people, and what it is made of for programs. Moments are in
/// milliseconds since the Unix epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// What has happened, as a chat shows it.
    pub text: String,
    /// Which destination it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<DestinationName>,
    /// Since when it is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Which worker has seen it, of what only that one knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// The change of the destination.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// The blocked key, as a status writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// How many keys of the destination are blocked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocked_keys: Option<u64>,
    /// How often it was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// How many dead letters, or events that have expired, there are more than were told of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// What the store has lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<Lost>,
    /// The event that it is about, or the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<EventFacts>,
}

/// Events that the store had acknowledged and has lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Lost {
    /// Where they were.
    pub partition: Partition,
    /// The first of them.
    pub from: Offset,
    /// The last of them.
    pub last: Offset,
    /// How many they are; where an earlier generation of the log ended among them, at least so many.
    pub count: u64,
}

/// Which event it is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EventFacts {
    /// Its id, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its type, where that is known.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub event_type: Option<String>,
    /// Where it is.
    pub partition: Partition,
    /// Where it is.
    pub offset: Offset,
}

impl EventFacts {
    pub(super) fn at(partition: Partition, offset: Offset) -> Self {
        Self { id: None, event_type: None, partition, offset }
    }

    pub(super) fn of(logged: &LoggedEvent) -> Self {
        Self {
            id: Some(logged.event.id.as_str().into()),
            event_type: Some(logged.event.event_type.as_str().into()),
            ..Self::at(logged.partition, logged.offset)
        }
    }
}

/// A record of the log cannot be read, and was set aside.
pub(super) fn unreadable(partition: Partition, record: &Quarantined, now: Timestamp) -> OperationalEvent {
    let offset = record.offset;
    let text = format!(
        "a record of the log (partition {partition}, offset {offset}) cannot be read and was set aside: {}",
        record.reason
    );
    OperationalEvent {
        id: format!("unreadable/{partition}-{offset}"),
        event_type: "laneway.record.unreadable",
        at: now,
        facts: Facts {
            text,
            reason: Some(record.reason.to_string()),
            event: Some(EventFacts::at(partition, offset)),
            ..Facts::default()
        },
    }
}
