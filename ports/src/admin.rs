//! Changing which destinations there are, while events flow: a port that points inwards.
//!
//! Whoever shows it to people only translates. What a change means is decided behind it.

use crate::StoreError;
use async_trait::async_trait;
use laneway_domain::{DestinationName, Offset, Origin, Partition, Revision, Tenant};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;
use thiserror::Error;

/// The most destinations or entries of one list, and the most changes that are made together.
pub const MAX_LIST: usize = 1_000;

/// What somebody wants of a destination.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// It is to be there, with exactly these settings. Signing secrets that are not named are kept.
    Put {
        /// The settings, in the form of `[[destination]]`.
        settings: Map<String, Json>,
        /// Whether one that the configuration file left behind may be taken over, with its progress.
        adopt: bool,
    },
    /// Some of its settings are to be different (RFC 7396).
    Patch(Map<String, Json>),
    /// It is to be gone, with all that waits for it.
    Delete,
    /// No attempts any more, for a reason that people read.
    Pause(Box<str>),
    /// Attempts again.
    Resume,
    /// A new signing secret. Those that there are expire.
    Rotate {
        /// How much longer they are used, for instance `24h`; that if it is not said.
        keep: Option<Box<str>>,
        /// What the request calls itself: the same again makes no second secret.
        request: Option<Box<str>>,
    },
}

/// In which state a change expects a destination to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Any.
    #[default]
    None,
    /// At one of these revisions.
    Match(Vec<Revision>),
    /// It is there.
    Exists,
    /// It is not there.
    Absent,
    /// At none of these revisions.
    NotMatch(Vec<Revision>),
}

impl Condition {
    /// Whether it holds of a destination that is at this revision, or is not there.
    #[must_use]
    pub fn holds(&self, revision: Option<Revision>) -> bool {
        match self {
            Self::None => true,
            Self::Exists => revision.is_some(),
            Self::Absent => revision.is_none(),
            Self::Match(these) => revision.is_some_and(|revision| these.contains(&revision)),
            Self::NotMatch(these) => revision.is_none_or(|revision| !these.contains(&revision)),
        }
    }
}

/// A change of one destination.
#[derive(Clone, Debug, PartialEq)]
pub struct ChangeRequest {
    /// Which destination.
    pub name: DestinationName,
    /// What is to be different.
    pub change: Change,
    /// What must be so.
    pub condition: Condition,
}

/// What has come of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The destination.
    pub name: DestinationName,
    /// Its revision now. Also if the change changed nothing: then it is that of the last change that did.
    pub revision: Revision,
    /// Whether it was not there before.
    pub created: bool,
    /// What was changed, in a few words; `None` if it was so already.
    pub what: Option<Box<str>>,
    /// The signing secret that was made. It is never told again.
    pub secret: Option<Box<str>>,
    /// About how many events waited for it, if it was deleted: they are dropped. `None` also if that is not known.
    pub dropped: Option<u64>,
}

/// How far changes have been taken over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TakenOver {
    /// From which offset on each partition judges events by the changes.
    pub cuts: BTreeMap<Partition, Offset>,
    /// The partitions that have not taken the changes over yet.
    pub pending: Vec<Partition>,
    /// Attempts in flight at destinations that were paused or deleted; `None` if the workers could not be asked.
    pub in_flight: Option<u64>,
}

impl TakenOver {
    /// Whether nothing is left to wait for.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.pending.is_empty() && self.in_flight == Some(0)
    }
}

/// What has come of changes that were made together.
#[derive(Debug)]
pub struct ChangesDone {
    /// One for each, in their order. What failed has changed nothing.
    pub results: Vec<Result<Changed, AdminError>>,
    /// How far those that were made have been taken over.
    pub taken: TakenOver,
}

/// One thing that is wrong with settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mistake {
    /// Where: a JSON pointer into the settings; empty for all of them.
    pub field: String,
    /// What, and what would be right.
    pub detail: String,
}

/// Why something was not done.
#[derive(Debug, Error)]
pub enum AdminError {
    /// There is no such destination.
    #[error("there is no destination {0}")]
    Unknown(DestinationName),
    /// The settings are wrong; never empty.
    #[error("{}", .0.iter().map(|m| format!("{}: {}", m.field, m.detail)).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<Mistake>),
    /// It cannot be done in the present state.
    #[error("{what}")]
    Conflict {
        /// Which setting stands in the way, if it is one: a JSON pointer.
        field: Option<String>,
        /// What stands in the way, and what to do.
        what: String,
    },
    /// The destination is in another state than the change expects.
    #[error("{name} is at {}, and the request is for another state of it: look at it again", match .revision {
        Some(revision) => format!("revision {revision}"),
        None => "no revision (it is not there)".to_owned(),
    })]
    Condition {
        /// The destination.
        name: DestinationName,
        /// Its revision, if it is there.
        revision: Option<Revision>,
    },
    /// The change does not say which state it expects, and must.
    #[error("{0}")]
    ConditionMissing(String),
    /// Others change the destinations so often that this change found no gap.
    #[error("the destinations are changed by others all the time, and this change found no gap: try again")]
    Busy,
    /// The store has not done it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What state a destination is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DestinationState {
    /// It gets events.
    Active,
    /// An operator or its own settings pause it: its events wait.
    Paused,
    /// The configuration file that defined it no longer does. Its progress is kept.
    Left,
}

/// That an operator paused a destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseRecord {
    /// Since when (RFC 3339).
    pub since: String,
    /// Why; may be empty.
    pub reason: String,
}

/// A destination as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DestinationRecord {
    /// Its name.
    pub name: DestinationName,
    /// Whose it is; missing for an operator's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// The revision that changed it last.
    pub revision: Revision,
    /// The revision that made it. A name that was deleted and made again is another destination.
    pub made_at: Revision,
    /// Where it can be changed: in the configuration `file`, or over the `api`.
    pub origin: Origin,
    /// What state it is in.
    pub state: DestinationState,
    /// Whether an operator paused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<PauseRecord>,
    /// Its settings, in the form in which they are sent. What is secret is left out, with `…` in its place; of
    /// signing secrets there are the id and the times.
    pub settings: Map<String, Json>,
}

/// Which destinations to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListQuery {
    /// Those whose names come after this one.
    pub after: Option<DestinationName>,
    /// Only those of this tenant.
    pub tenant: Option<Tenant>,
    /// At most so many, and at most [`MAX_LIST`].
    pub limit: usize,
    /// Only those in this state.
    pub state: Option<DestinationState>,
}

/// A page of destinations, by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DestinationList {
    /// The destinations.
    pub items: Vec<DestinationRecord>,
    /// The value of `after` that asks for the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// What is missing here, and why; empty if nothing is.
    pub incomplete: Vec<String>,
}

/// One change of a destination, as its journal tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalLine {
    /// The revision that it made.
    pub revision: Revision,
    /// When (RFC 3339), by the store's clock.
    pub at: String,
    /// Who.
    pub by: String,
    /// What, in a few words.
    pub what: String,
    /// From which offset on each partition judges events by it. A partition that has not taken it over is missing, and
    /// so is one whose log holds no event any more that was judged before it.
    pub cuts: BTreeMap<Partition, Offset>,
}

/// What came of a test event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestAnswer {
    /// The destination.
    pub name: DestinationName,
    /// Whether the receiver took it.
    pub delivered: bool,
    /// `delivered`, `retry`, `rejected` or `gone`: what it would have meant for an event.
    pub outcome: String,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// The HTTP status that the receiver answered, if it speaks HTTP and did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The start of what it answered, on one line and without the destination's secrets; missing if that was nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// What went wrong: the receiver's status and the start of what it said, or why it was not reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The id of the event that was sent.
    pub event_id: String,
}

/// Looks at destinations and changes them, for whoever shows that to people.
#[async_trait]
pub trait DestinationAdmin: Send + Sync {
    /// Makes these changes for `by`, who is named in the journal, and waits a bounded time until every partition has
    /// taken them over, and until nothing is in flight at what was paused or deleted. Each is made or refused by itself.
    ///
    /// At most [`MAX_LIST`] of them, each of another destination.
    async fn change(&self, by: &str, changes: Vec<ChangeRequest>) -> ChangesDone;

    /// What [`change`](Self::change) would come to now. Changes nothing, and makes no secret that would be used.
    async fn preview(&self, changes: Vec<ChangeRequest>) -> Vec<Result<Changed, AdminError>>;

    /// One destination.
    async fn show(&self, name: &DestinationName) -> Result<DestinationRecord, AdminError>;

    /// A page of them.
    async fn list(&self, query: &ListQuery) -> Result<DestinationList, AdminError>;

    /// Puts into the history of a destination what `by` has done there that is no change of it: a replay, dead letters
    /// that were retried or discarded. A name that the registry does not know has no history.
    async fn note(&self, by: &str, name: &DestinationName, what: &str) -> Result<(), AdminError>;

    /// What changed a destination, and what was done there, the latest first, before the revision `before`; also of one
    /// that was deleted.
    async fn changes(
        &self,
        name: &DestinationName,
        before: Option<Revision>,
        limit: usize,
    ) -> Result<Vec<JournalLine>, AdminError>;

    /// Sends one event of the type `laneway.test` to it, beside the order of all others.
    async fn test(&self, name: &DestinationName) -> Result<TestAnswer, AdminError>;
}
