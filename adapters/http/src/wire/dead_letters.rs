//! Dead letters: what is listed, shown, chosen and counted.

use laneway_domain::{
    AttributeValue, DeadLetter, DestinationName, EventId, EventType, Failure, Key, Offset, Partition, Tenant, Timestamp,
};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// One dead letter of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterView {
    /// The destination that it is a dead letter of.
    pub destination: DestinationName,
    /// The partition it was in.
    pub partition: Partition,
    /// Its offset there.
    pub offset: Offset,
    /// The event's id.
    pub event_id: EventId,
    /// What it was ordered with: `key:…`, `event:…` or `all`.
    pub lane_key: String,
    /// The event's type, if its copy can be read.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub event_type: Option<EventType>,
    /// The event's tenant, if it has one and its copy can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// When it was given up.
    pub given_up_at: Timestamp,
    /// Why.
    pub reason: String,
    /// The HTTP status that its last attempt was answered with, if it was with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// How often it was attempted.
    pub attempts: u32,
    /// When the first attempt failed.
    pub first_failure: Timestamp,
    /// The last failures, oldest first.
    pub history: Vec<Failure>,
    /// Whether someone wants it retried, and that has not happened yet.
    pub retry_requested: bool,
}

impl From<DeadLetter> for DeadLetterView {
    fn from(letter: DeadLetter) -> Self {
        let given_up = letter.given_up;
        Self {
            destination: given_up.destination,
            partition: letter.partition,
            offset: given_up.offset,
            event_id: letter.event_id,
            lane_key: given_up.key.to_string(),
            event_type: letter.event_type,
            tenant: letter.tenant,
            given_up_at: given_up.at,
            reason: given_up.reason.into(),
            status: given_up.retry.last_status(),
            attempts: given_up.retry.attempts,
            first_failure: given_up.retry.first_failure,
            history: given_up.retry.history,
            retry_requested: letter.retry_requested,
        }
    }
}

/// The answer to `GET /v1/dead-letters`: a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterPage {
    /// The dead letters, by partition, offset and destination.
    pub dead_letters: Vec<DeadLetterView>,
    /// The value of `after` that asks for the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// The answer to `GET /v1/dead-letters/{destination}/{partition}/{offset}`: a dead letter's event.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeadEvent {
    /// The destination that could not take it.
    pub destination: DestinationName,
    /// The partition it was in.
    pub partition: Partition,
    /// Its offset there.
    pub offset: Offset,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// The event.
    pub event: EventView,
}

/// An event with its payload.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EventView {
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
    /// What it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// When it happened (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// The media type of the payload.
    pub content_type: String,
    /// Its attributes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, AttributeValue>,
    /// The trace of the request that brought it in (W3C Trace Context).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// The payload, if it is JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Box<RawValue>>,
    /// The payload in base64, if it is anything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_base64: Option<String>,
}

/// Where a dead letter's event is in the log: what tells it from all others of its destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The partition.
    pub partition: Partition,
    /// The offset there.
    pub offset: Offset,
}

/// `PARTITION:OFFSET`, as the command line and the console show it.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.partition, self.offset)
    }
}

/// Why a text is no [`Place`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("write PARTITION:OFFSET, for instance 3:4711")]
pub struct NoPlace;

impl FromStr for Place {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let (partition, offset) = text.split_once(':').ok_or(NoPlace)?;
        let (partition, offset) = (partition.parse().map_err(|_| NoPlace)?, offset.parse().map_err(|_| NoPlace)?);
        Ok(Self { partition: Partition(partition), offset: Offset(offset) })
    }
}

/// Which dead letters to retry or discard: all of the destination, or those of which everything else holds that is said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeadLetterSelection {
    /// The destination.
    pub destination: DestinationName,
    /// Only those of this tenant's events. Keys and ids are a tenant's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// Only those of this key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Key>,
    /// Only those of events of this id, of which each tenant and each source may have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<EventId>,
    /// Only those of events of these types, or of types that one of these patterns matches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<String>,
    /// Only those whose last attempt was answered with one of these HTTP statuses.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "whole_numbers")]
    pub statuses: Vec<u16>,
    /// Only those that were given up then or later: a date-time of RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Only those that were given up before: a date-time of RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Only those of the events at these places.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<Place>,
    /// Whether they are only counted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

impl DeadLetterSelection {
    /// All of a destination.
    #[must_use]
    pub const fn of(destination: DestinationName) -> Self {
        Self {
            destination,
            tenant: None,
            key: None,
            event_id: None,
            types: Vec::new(),
            statuses: Vec::new(),
            from: None,
            to: None,
            places: Vec::new(),
            dry_run: false,
        }
    }
}

/// Whole numbers, however JSON has them: 422.0 is one.
fn whole_numbers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u16>, D::Error> {
    let whole = |number: f64| {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "what it cannot be is refused")]
        let read = number as u16;
        let is_whole = (f64::from(read) - number).abs() == 0.0;
        is_whole.then_some(read).ok_or_else(|| serde::de::Error::custom(format!("{number} is no HTTP status")))
    };
    Vec::<f64>::deserialize(deserializer)?.into_iter().map(whole).collect()
}

/// The answer to `POST /v1/dead-letters/retry` and `/discard`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// How many dead letters it was done to; would be, if they are only counted.
    pub count: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back_as_it_is_written() {
        let place = Place { partition: Partition(u32::MAX), offset: Offset(u64::MAX) };
        assert_eq!(place.to_string().parse(), Ok(place));
        assert_eq!("3:4711".parse(), Ok(Place { partition: Partition(3), offset: Offset(4711) }));
        for not_one in ["", "3", "3:", ":3", "3:-1", "3:4:5", "-1:3", "4294967296:3"] {
            assert_eq!(not_one.parse::<Place>(), Err(NoPlace), "{not_one:?}");
        }
    }
}
