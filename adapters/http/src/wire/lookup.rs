//! What was looked up, as it goes over the wire.

use super::EventView;
use laneway_domain::{DestinationName, EventId, Key, Offset, Partition, Revision, Tenant};
use serde::{Deserialize, Serialize};

/// A page of events, the latest first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct EventPage {
    /// The events, without their data.
    pub items: Vec<EventLine>,
    /// The value of `after` that goes on; missing where nothing more is to be looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Everything that was accepted at this moment or later was looked at (RFC 3339); missing if nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looked_back_to: Option<String>,
    /// What is missing here, and why; empty if nothing is.
    pub incomplete: Vec<String>,
}

/// An event without its data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventLine {
    /// Its id.
    pub id: EventId,
    /// Its type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// Its tenant, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// Its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Key>,
    /// Where it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The partition it is in.
    pub partition: Partition,
    /// Its offset there.
    pub offset: Offset,
    /// When it was accepted (RFC 3339).
    pub accepted_at: String,
    /// How many bytes its data has.
    pub bytes: u64,
}

/// The answer to `GET /v1/events/{id}`: an id can come from several sources, and be in several partitions.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct FoundEvents {
    /// The events.
    pub items: Vec<EventWay>,
    /// The value of `after` that goes on looking; missing where nothing more is to be looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Everything that was accepted at this moment or later was looked at (RFC 3339); missing if nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looked_back_to: Option<String>,
    /// What is missing here, and why; empty if nothing is.
    pub incomplete: Vec<String>,
}

/// An event and its way through the destinations.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EventWay {
    /// The partition it is in.
    pub partition: Partition,
    /// Its offset there.
    pub offset: Offset,
    /// When it was accepted (RFC 3339).
    pub accepted_at: String,
    /// The event.
    pub event: EventView,
    /// The destinations that want it, or that was asked for, by name.
    pub destinations: Vec<EventAt>,
    /// How many others do not want it.
    pub not_wanted: u64,
}

/// What a destination has to do with an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventAt {
    /// The destination.
    pub destination: DestinationName,
    /// In one word: `delivered`, `waiting`, `blocked`, `held`, `dead-letter`, `discarded`, `expired`,
    /// `not-wanted`, `before-destination` or `settled`.
    pub state: String,
    /// The same for people, with what it waits for.
    pub detail: String,
    /// The event that it waits for, if that is another one and can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<EventLine>,
    /// When the next attempt is due, at it or at what it waits for (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt: Option<String>,
    /// The attempts that are known, the earliest first.
    pub attempts: Vec<AttemptLine>,
}

/// A page of attempts, the latest first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct AttemptPage {
    /// The attempts.
    pub items: Vec<AttemptLine>,
    /// The value of `after` that goes on; missing where nothing more is to be looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Everything that was told at this moment or later was looked at (RFC 3339); missing if nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looked_back_to: Option<String>,
    /// What is missing here, and why; empty if nothing is.
    pub incomplete: Vec<String>,
}

/// An attempt at an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptLine {
    /// Where to.
    pub destination: DestinationName,
    /// When that destination was made: another one of its name has another history.
    pub made_at: Revision,
    /// The partition of the event.
    pub partition: Partition,
    /// The event's offset there.
    pub offset: Offset,
    /// The event's id, unless there was no room for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<EventId>,
    /// The event's key, if it has one and there was room for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Key>,
    /// Which attempt it was, from 1, as far as they count; 0 where an operator gave the event up.
    pub attempt: u32,
    /// Whether it was of an event that somebody wanted again.
    pub redrive: bool,
    /// When it ended (RFC 3339).
    pub at: String,
    /// How long it took, in microseconds.
    pub took_us: u64,
    /// How it ended: `delivered`, `failed`, `rejected`, `gone` or `skipped`.
    pub outcome: String,
    /// What came of the event: `delivered`, `retried`, `waits`, `dead-letter` or `held`.
    pub then: String,
    /// The HTTP status of the answer, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The start of the answer to a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<AttemptAnswer>,
    /// What was sent where it failed: the request's first line and its headers, a line each, without the destination's
    /// secrets and the signatures. Its body is the event's data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
}

/// The answer to `GET /v1/workers`: who works on what, and who did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerTenures {
    /// By partition, the latest of each first.
    pub items: Vec<WorkerTenure>,
    /// What is missing here, and why; empty if nothing is.
    pub incomplete: Vec<String>,
}

/// A worker's time with a partition, by the store's clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerTenure {
    /// The partition.
    pub partition: Partition,
    /// The epoch of its lease: each later one is larger.
    pub epoch: u64,
    /// The worker: its host, its process and a random number.
    pub worker: String,
    /// Since when (RFC 3339); missing where an older release has claimed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// When it ended (RFC 3339); of one that has not, when its lease runs out unless it is renewed.
    pub until: String,
    /// How it ended: `handed-over`, or `ran-out` (the worker died, stood still, or could not reach the store); missing
    /// where it has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
}

/// The start of what a receiver answered, without the destination's secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptAnswer {
    /// Its headers, a line each.
    pub headers: String,
    /// Its body.
    pub body: String,
}
