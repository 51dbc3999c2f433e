//! What the store holds, as it goes over the wire.

use serde::{Deserialize, Serialize};

/// The answer to `GET /v1/store`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreView {
    /// Where it is, without credentials.
    pub place: String,
    /// How many partitions it was made with.
    pub partitions: u32,
    /// How many events its log has: those that wait, and those that were settled less than `retain_seconds` ago.
    pub events: u64,
    /// When the oldest of them was accepted (RFC 3339); missing where there is none, or it cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_accepted_at: Option<String>,
    /// How long a settled event is kept.
    pub retain_seconds: u64,
    /// How long an id that a producer gave is remembered.
    pub duplicate_window_seconds: u64,
    /// The history of attempts; missing where it is switched off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<StoreHistory>,
    /// What takes room, by name.
    pub parts: Vec<StorePartView>,
    /// What is missing here, and why; empty if nothing is.
    pub incomplete: Vec<String>,
}

/// The history of attempts, in all partitions together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreHistory {
    /// How many records it has: one for each commit that told something.
    pub records: u64,
    /// How many bytes they have.
    pub bytes: u64,
    /// How many bytes are kept at the most.
    pub max_bytes: u64,
    /// How long a record is kept at the most.
    pub max_age_seconds: u64,
}

/// A file of SQLite, or a server of Redis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorePartView {
    /// What it is.
    pub name: String,
    /// How many bytes it takes; of a server of Redis, with all that others keep there.
    pub bytes: u64,
    /// How many it may take: with what is free on its disk, or by `maxmemory`. Missing where nothing bounds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most_bytes: Option<u64>,
}
