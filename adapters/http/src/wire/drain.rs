//! Whether a process takes events in, as it goes over the wire.

use serde::{Deserialize, Serialize};

/// The answer to `GET /v1/drain`, and to beginning and ending it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    /// Whether the process takes no events in, so that what waits comes to its end.
    pub draining: bool,
    /// Since when (RFC 3339); missing if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Why, if the operator said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The body of `PUT /v1/drain`; it may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrainChoice {
    /// Why; whoever sends an event is told. At most 512 bytes.
    #[serde(default)]
    pub reason: String,
}
