//! What goes over the wire, for both sides: the server writes these, the command line reads them.
//! Moments are in milliseconds since the Unix epoch.

mod dead_letters;
mod drain;
mod lookup;
mod replays;
mod store;

pub use dead_letters::{
    Count, DeadEvent, DeadLetterPage, DeadLetterSelection, DeadLetterView, EventView, NoPlace, Place,
};
pub use drain::{Drain, DrainChoice};
pub use lookup::{
    AttemptAnswer, AttemptLine, AttemptPage, EventAt, EventLine, EventPage, EventWay, FoundEvents, WorkerTenure,
    WorkerTenures,
};
pub use replays::{RecoveryAsked, ReplayAsked, ReplayCounted, ReplayList, ReplayView};
pub use store::{StoreHistory, StorePartView, StoreView};

use laneway_domain::{
    DestinationName, DestinationStatus, EventId, Offset, Partition, ProcessStatus, Revision, StatusReport, Timestamp,
    WorkerStatus,
};
use laneway_domain::{Roles, Tenant};
pub use laneway_ports::{
    DeletedTenant, DestinationList, DestinationRecord, DestinationState, JournalLine, MadeToken, Mistake, PauseRecord,
    RevokedToken, TenantList, TenantShown, TestAnswer, TokenJournalLine, TokenList, TokenRecord,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// What the `type` of every problem begins with; its kind follows, for instance `malformed`.
pub const PROBLEM_TYPES: &str = "urn:laneway:problem:";

/// Where an accepted event went: the answer to `POST /v1/events`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// The event's id: the one it was sent with, or the one that Laneway gave it.
    pub id: EventId,
    /// Its partition.
    pub partition: Partition,
    /// Its offset there.
    pub offset: Offset,
    /// Whether an event of this id had been accepted before: then this is where that one went.
    pub duplicate: bool,
}

/// The answer to `POST /v1/events/batch`: one entry for each event, in the order sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedBatch {
    /// The events.
    pub events: Vec<Accepted>,
}

/// Whether an event was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stored {
    /// It was: there is nothing to repeat.
    Yes,
    /// It was not: it can be sent again.
    No,
    /// That is not known: sent again with the same id it is stored once.
    Unknown,
}

/// What became of one event of a batch of which the store did not take all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventResult {
    /// The event's id.
    pub id: EventId,
    /// Whether it was stored.
    pub stored: Stored,
    /// Its partition, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<Partition>,
    /// Its offset there, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<Offset>,
    /// Whether it was a duplicate, if it was stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duplicate: Option<bool>,
    /// What went wrong, if something did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A place in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The line, from 1.
    pub line: usize,
    /// The character in that line, from 1.
    pub column: usize,
    /// The byte in the body, from 0.
    pub byte: usize,
}

impl Position {
    /// The place of the byte `at` of `body`.
    #[must_use]
    pub fn of(body: &[u8], at: usize) -> Self {
        let before = &body[..at.min(body.len())];
        let line_start = before.iter().rposition(|b| *b == b'\n').map_or(0, |newline| newline + 1);
        let line = before.iter().filter(|b| **b == b'\n').count() + 1;
        // Every byte that begins a character counts as one.
        let column = before[line_start..].iter().filter(|b| **b & 0xC0 != 0x80).count() + 1;
        Self { line, column, byte: at }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {} (byte {})", self.line, self.column, self.byte)
    }
}

/// An error: RFC 9457 problem details, with further members.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// [`PROBLEM_TYPES`] and the kind.
    #[serde(rename = "type")]
    pub type_uri: String,
    /// The kind in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened here, and what to do.
    pub detail: String,
    /// What it is about: a JSON pointer into the body, or a header's or parameter's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Where in the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// What was not stored, or may not have been: the event's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<EventId>,
    /// What became of each event of a batch, in the order sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<EventResult>,
    /// What keeps the server from being ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// Everything that is wrong with the settings of a destination.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mistakes: Vec<Mistake>,
}

/// The answer to `GET /healthz` and `GET /readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// `alive` or `ready`.
    pub status: String,
    /// What does not work while the rest does, such as a node of a Redis Cluster that takes no events.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limitations: Vec<String>,
}

/// The answer to `GET /v1/status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// When the snapshot was taken.
    pub at: Timestamp,
    /// The partitions that are worked on.
    pub partitions: Vec<Partition>,
    /// Who works on which, if several workers can share the store.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workers: Vec<WorkerStatus>,
    /// Which processes have the store open, and which release each is, if several can share it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub processes: Vec<ProcessStatus>,
    /// What is missing here, and why; absent if this is all that there is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub incomplete: Vec<String>,
    /// What keeps the process that answers from its work, as `GET /readyz` says it: its store takes no events, say.
    /// Absent if nothing does. A tenant is not told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_ready: Vec<String>,
    /// What does not work while the rest does, likewise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limitations: Vec<String>,
    /// The destinations, by name.
    pub destinations: Vec<DestinationView>,
    /// Dead letters of destinations that are not listed, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub other_dead_letters: BTreeMap<DestinationName, u64>,
}

/// One destination and its dead letters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DestinationView {
    /// The destination.
    #[serde(flatten)]
    pub status: DestinationStatus,
    /// Its dead letters, in all partitions of the store.
    pub dead_letters: u64,
    /// Where it sends to, without what may be secret, as the process that answers has it in its configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

impl Status {
    /// Puts a report and the dead letters of all destinations together.
    #[must_use]
    pub fn new(report: StatusReport, mut dead_letters: BTreeMap<DestinationName, u64>) -> Self {
        let view = |status: DestinationStatus| {
            let dead_letters = dead_letters.remove(&status.name).unwrap_or(0);
            // Replays have an address of their own.
            let status = DestinationStatus { replays: Vec::new(), ..status };
            DestinationView { status, dead_letters, to: None }
        };
        let destinations = report.destinations.into_iter().map(view).collect();
        Self {
            at: report.at,
            partitions: report.partitions,
            workers: report.workers,
            processes: report.processes,
            incomplete: report.incomplete,
            not_ready: Vec::new(),
            limitations: Vec::new(),
            destinations,
            other_dead_letters: dead_letters,
        }
    }
}

/// Which key of a destination to retry or skip.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyChoice {
    /// As the status lists it: `key:…`, `tenant:…`, `event:…` or `all`.
    pub key: String,
    /// The partition that the status lists it in. To skip `event:…` or `all` it is needed: there is one in each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<Partition>,
    /// The offset of the event at which the status lists it as blocked. If the key is blocked at another one by now,
    /// nothing is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<Offset>,
}

/// From when on a destination is to get everything again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayChoice {
    /// A date-time of RFC 3339, or `beginning`: all that the log still has.
    pub since: String,
}

/// The answer to what was told to a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Whether it is done: what could not be done is a [`Problem`]. `false` only of the end of a replay that not every
    /// partition has stored yet.
    pub done: bool,
}

/// The answer to a change of a destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeAnswer {
    /// The destination.
    pub name: DestinationName,
    /// Its revision now, which is its `ETag` too.
    pub revision: Revision,
    /// From which offset on each partition judges events by the change.
    pub cuts: BTreeMap<Partition, Offset>,
    /// The partitions that have not taken the change over yet.
    pub pending: Vec<Partition>,
    /// Attempts in flight at what was paused or deleted; `null` if that is not known.
    pub in_flight: Option<u64>,
    /// About how many events waited for what was deleted; missing if that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<u64>,
    /// The signing secret that was made. It is told this once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// The answer to the end of an operator's pause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resumed {
    /// Always `true`.
    pub done: bool,
    /// The change.
    #[serde(flatten)]
    pub answer: ChangeAnswer,
}

/// The answer to `POST /v1/destinations`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchAnswer {
    /// What came of each change, in the order sent.
    pub results: Vec<BatchResult>,
    /// From which offset on each partition judges events by all of them.
    pub cuts: BTreeMap<Partition, Offset>,
    /// The partitions that have not taken all of them over yet.
    pub pending: Vec<Partition>,
    /// Attempts in flight at what was paused or deleted; `null` if that is not known.
    pub in_flight: Option<u64>,
}

/// What came of one change of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchResult {
    /// The destination.
    pub name: DestinationName,
    /// The status that the change would have had by itself.
    pub status: u16,
    /// What was changed, or would be, in a few words; missing if nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub what: Option<String>,
    /// About how many events waited for what was deleted, or would be; missing if that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<u64>,
    /// The destination's revision now, if the change was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// Why it was not made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// The body of `POST /v1/destinations`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchOfChanges {
    /// The changes, each of another destination; at most 1,000.
    #[serde(deserialize_with = "crate::object::all")]
    pub changes: Vec<BatchChange>,
    /// Whether it is only asked what they would come to: then nothing is changed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// One change of a batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchChange {
    /// The destination.
    pub name: DestinationName,
    /// What is to be done.
    pub op: BatchOp,
    /// The settings (`put`), or those that are to be different (`patch`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<serde_json::Map<String, serde_json::Value>>,
    /// Why (`pause`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether one of the configuration file may be taken over (`put`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adopt: bool,
    /// As the header `If-Match`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_match: Option<String>,
    /// As the header `If-None-Match`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_none_match: Option<String>,
}

/// What a change of a batch does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BatchOp {
    /// It is to be there, with these settings.
    Put,
    /// Some settings are to be different.
    Patch,
    /// It is to be gone.
    Delete,
    /// No attempts any more.
    Pause,
    /// Attempts again.
    Resume,
}

/// The body of `POST /v1/destinations/{name}/pause`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PauseChoice {
    /// Why, for people.
    #[serde(default)]
    pub reason: String,
}

/// The body of a request that has nothing to say: nothing at all, or `{}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Empty {}

/// The body of `POST /v1/destinations/{name}/rotate-secret`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotateChoice {
    /// How much longer the secrets before are used too, for instance `24h`, which is the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<String>,
}

/// The answer to `GET /v1/destinations/{name}/changes`, the latest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalPage {
    /// The changes.
    pub items: Vec<JournalLine>,
    /// The value of `before` that asks for earlier ones; absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// What is missing here, and why; empty if nothing is.
    pub incomplete: Vec<String>,
}

/// The body of `POST /v1/tokens`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenChoice {
    /// What it is to be called; with a tenant before it, as in `acme:shop`, it opens only what is that tenant's.
    pub name: String,
    /// What it is to open: `publish`, `read`, `operate`, `admin`; at least one.
    pub roles: Vec<String>,
}

/// The body of `POST /v1/portal-links`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkAsked {
    /// Whose things the link is to open. A tenant's token may leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// What it is to open of those; `read`, `operate` and `admin` where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roles: Option<Vec<String>>,
    /// How long it is to last: `1h` where nothing is said, and at most `24h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lasts: Option<String>,
}

/// The answer to `POST /v1/portal-links`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkMade {
    /// The link. It is a secret: whoever opens it is signed in.
    pub url: String,
    /// Whose things it opens.
    pub tenant: Tenant,
    /// What it opens of those.
    pub roles: Roles,
    /// From when on it opens nothing (RFC 3339); a session that it began ends then too.
    pub expires: String,
}

impl fmt::Debug for LinkMade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tenant, roles, expires, .. } = self;
        write!(f, "LinkMade({tenant}: {roles}, until {expires})")
    }
}

/// The answer to `DELETE /v1/portal-links`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinksEnded {
    /// Whose links.
    pub tenant: Tenant,
    /// That no link of theirs opens anything any more that was made until now.
    pub ended: bool,
}

/// The answer to `GET /v1/token-changes`, the latest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenJournalPage {
    /// The changes.
    pub items: Vec<TokenJournalLine>,
    /// The value of `before` that asks for earlier ones; absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// What is missing here, and why; empty if nothing is.
    pub incomplete: Vec<String>,
}
