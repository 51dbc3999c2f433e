//! Replays with a selection: what is asked for, and how far it has come.

use laneway_domain::{EventId, Key, ReplayId, ReplayPart, ReplayState, ReplayStatus, Tenant, Timestamp, TypePattern};
use serde::{Deserialize, Serialize};

/// Which events a destination is to get once more. A list that is empty, or missing, leaves all in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayAsked {
    /// Those that were accepted then or later: a date-time of RFC 3339, or `beginning`, which is meant if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Those that were accepted before: a date-time of RFC 3339; up to now if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Those of this tenant, whose keys `keys` are then. Of a tenant's destination that tenant is meant if nothing is said;
    /// else `keys` are those that no tenant has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// Those of these types, or that these patterns match.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<String>,
    /// Those of these keys. Their new events wait until the replay has passed them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// These, by their ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<String>,
    /// Whether all new events of the destination wait until it is done.
    #[serde(default)]
    pub first: bool,
    /// Only say how many events that would be.
    #[serde(default)]
    pub dry_run: bool,
}

/// From where on a key is to be delivered once more, before anything new of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecoveryAsked {
    /// The key.
    pub key: Key,
    /// Whose key it is. Of a tenant's destination that tenant is meant if nothing is said; else a key that no tenant has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// `dead-letter`: from its first dead letter on, which is meant if nothing is said. A date-time of RFC 3339, or
    /// `beginning`: what was accepted then or later. `offset:<n>`: from there on, in its partition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What the replay is to be called; if nothing is said, `recover-` and the time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<ReplayId>,
    /// Whether what is still stored is enough, if a part of it is not.
    #[serde(default)]
    pub partial: bool,
    /// Only say how many events that would be.
    #[serde(default)]
    pub dry_run: bool,
}

/// How many events a replay would deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayCounted {
    /// Always `true`: nothing has begun.
    pub dry_run: bool,
    /// How many.
    pub events: u64,
    /// Whether that is all. Else a part of the log was looked at only.
    pub is_all: bool,
    /// Whether the destination's filters were known where it was counted; else it may want fewer.
    pub filtered: bool,
}

/// A replay, and how far it has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayView {
    /// Its id.
    pub id: ReplayId,
    /// What it is at as a whole: `asked` (not stored everywhere), `waiting` (for another replay that may touch its
    /// keys), `running`, `done`, `ending`.
    pub state: ReplayState,
    /// When it was asked for, in milliseconds since the Unix epoch.
    pub asked_at: Timestamp,
    /// The tenant whose events and keys it chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// Which types it chooses; all if there is none.
    pub types: Vec<TypePattern>,
    /// Which keys it chooses; all if there is none.
    pub keys: Vec<Key>,
    /// Which events it chooses; all if there is none.
    pub events: Vec<EventId>,
    /// Whether all new events wait for it.
    pub first: bool,
    /// How many events it has delivered again, or given up. A crash may leave some out.
    pub settled: u64,
    /// How many keys are behind: they fail, or take long.
    pub keys_behind: u64,
    /// Of how many offsets it has looked at.
    pub looked_at: u64,
    /// How many offsets it looks at in all.
    pub to_look_at: u64,
    /// Where it is in each partition.
    pub partitions: Vec<ReplayPart>,
}

impl From<ReplayStatus> for ReplayView {
    fn from(status: ReplayStatus) -> Self {
        let state = status.state();
        let sum = |of: fn(&ReplayPart) -> u64| status.partitions.iter().map(of).fold(0, u64::saturating_add);
        Self {
            state,
            settled: sum(|part| part.settled),
            keys_behind: sum(|part| part.keys_behind),
            looked_at: sum(|part| part.scanned.0.saturating_sub(part.from.0)),
            to_look_at: sum(|part| part.until.0.saturating_sub(part.from.0)),
            id: status.id,
            asked_at: status.asked_at,
            tenant: status.selection.tenant,
            types: status.selection.types,
            keys: status.selection.keys.into_iter().collect(),
            events: status.selection.events.into_iter().collect(),
            first: status.first,
            partitions: status.partitions,
        }
    }
}

/// The replays of a destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayList {
    /// By their ids.
    pub items: Vec<ReplayView>,
}
