//! Looking up what happened: a port that points inwards.
//!
//! A log and a history can be long, so that every look is bounded. It says how far it has come, and where to go on.

use crate::{HistorySize, StoreError, StorePart, Tenure};
use async_trait::async_trait;
use laneway_domain::{
    DestinationName, Ended, EventId, EventType, Key, LoggedEvent, Offset, Partition, Tenant, Timestamp, Told,
    TypePattern,
};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// The most events or attempts of one page.
pub const MAX_LOOKUP: usize = 1_000;

/// Where a look back through the log has come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogCursor {
    /// It goes on below these offsets, one of each partition.
    pub below: Vec<Offset>,
    /// What stands there and was given already, because it was found at once: it is not given again.
    pub given: Vec<(Partition, Offset)>,
}

impl From<Vec<Offset>> for LogCursor {
    fn from(below: Vec<Offset>) -> Self {
        Self { below, given: Vec::new() }
    }
}

/// Where a look back through the history has come to: it goes on behind this attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AttemptCursor {
    /// When the commit was made that tells of it.
    pub at: Timestamp,
    /// Its partition.
    pub partition: Partition,
    /// The epoch and the number of the commit.
    pub epoch: u64,
    /// See `epoch`.
    pub number: u64,
    /// Which attempt of that commit it is, from 0.
    pub nth: u32,
}

/// Which events are meant; all conditions hold.
#[derive(Clone, Debug, Default)]
pub struct EventQuery {
    /// Those of this tenant.
    pub tenant: Option<Tenant>,
    /// Those of this key.
    pub key: Option<Key>,
    /// Those of a type that matches.
    pub event_type: Option<TypePattern>,
    /// Those that were accepted at this moment or later.
    pub from: Option<Timestamp>,
    /// Those that were accepted before this moment.
    pub to: Option<Timestamp>,
    /// Where the page before has ended.
    pub after: Option<LogCursor>,
    /// At most so many, and at most [`MAX_LOOKUP`].
    pub limit: usize,
}

/// An event without its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventSummary {
    /// Its id.
    pub id: EventId,
    /// Where it is.
    pub partition: Partition,
    /// Where it is.
    pub offset: Offset,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// Its type.
    pub event_type: EventType,
    /// Its tenant.
    pub tenant: Option<Tenant>,
    /// Its key.
    pub key: Option<Key>,
    /// Its source.
    pub source: Option<Box<str>>,
    /// How many bytes its data has.
    pub bytes: usize,
}

impl EventSummary {
    /// About how many bytes it takes in memory.
    #[must_use]
    pub fn weight(&self) -> usize {
        /// What it takes without its texts.
        const FIXED: usize = 256;
        let key = self.key.as_ref().map_or(0, |key| key.as_str().len());
        let source = self.source.as_ref().map_or(0, |source| source.len());
        FIXED + self.id.as_str().len() + self.event_type.as_str().len() + key + source
    }
}

impl From<&LoggedEvent> for EventSummary {
    fn from(logged: &LoggedEvent) -> Self {
        let event = &logged.event;
        Self {
            id: event.id.clone(),
            partition: logged.partition,
            offset: logged.offset,
            accepted_at: logged.accepted_at,
            event_type: event.event_type.clone(),
            tenant: event.tenant.clone(),
            key: event.key.clone(),
            source: event.source.as_deref().map(Into::into),
            bytes: event.data.len(),
        }
    }
}

/// How far a look through the log has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LookedBack {
    /// Where to go on; `None` if there is nothing more.
    pub next: Option<LogCursor>,
    /// Everything that was accepted at this moment or later was looked at; `None` if nothing was.
    pub to: Option<Timestamp>,
    /// Records on the way that cannot be read.
    pub unreadable: u64,
    /// The partitions that could not be looked at, and why: a node of a Cluster may be away just when somebody wants to
    /// know. `next` goes on where they stand.
    pub not_asked: Vec<String>,
}

/// A page of events, the latest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventPage {
    /// The events.
    pub events: Vec<EventSummary>,
    /// How far was looked.
    pub looked: LookedBack,
}

/// Which event is meant. An id is unique per tenant and source only: with both, what is found at once (because its id is
/// remembered, or tells its time) is all there is. Otherwise that comes first, and `next` goes on with the others.
#[derive(Clone, Debug)]
pub struct FindEvent {
    /// Its id.
    pub id: EventId,
    /// Only this tenant's, and only what its destinations have to do with it; `None` is whosever it is.
    pub tenant: Option<Tenant>,
    /// Its source, where an empty one means those without; `None` is whichever it has.
    pub source: Option<Box<str>>,
    /// The one there alone.
    pub at: Option<(Partition, Offset)>,
    /// Only what this destination has to do with it.
    pub destination: Option<DestinationName>,
    /// Where the look before has ended.
    pub after: Option<LogCursor>,
}

/// What became of an event at a destination, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Became {
    /// The destination has it.
    Delivered,
    /// It waits for its turn.
    Waiting,
    /// It has failed, and is tried again.
    Blocked,
    /// It was given up, and its key is held.
    Held,
    /// It was given up: a dead letter.
    DeadLetter,
    /// It was a dead letter, and somebody has discarded it.
    Discarded,
    /// It had waited for as long as it may.
    Expired,
    /// The destination does not want it.
    NotWanted,
    /// The destination was made after it.
    BeforeDestination,
    /// It is settled, and how is no longer known.
    Settled,
}

impl Became {
    /// The word.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Waiting => "waiting",
            Self::Blocked => "blocked",
            Self::Held => "held",
            Self::DeadLetter => "dead-letter",
            Self::Discarded => "discarded",
            Self::Expired => "expired",
            Self::NotWanted => "not-wanted",
            Self::BeforeDestination => "before-destination",
            Self::Settled => "settled",
        }
    }
}

/// What a destination has to do with an event.
#[derive(Clone, Debug, PartialEq)]
pub struct EventAt {
    /// The destination.
    pub destination: DestinationName,
    /// What became of the event there.
    pub became: Became,
    /// The same for people, with what it waits for.
    pub what: String,
    /// The event that it waits for, if that is another one and can be read.
    pub waits_for: Option<EventSummary>,
    /// When the next attempt is due, at it or at what it waits for.
    pub next_attempt: Option<Timestamp>,
    /// The attempts that are known, the earliest first.
    pub attempts: Vec<Told>,
}

/// An event and its way.
#[derive(Clone, Debug)]
pub struct EventWay {
    /// The event.
    pub event: Arc<LoggedEvent>,
    /// The destinations that want it or were asked for, by name.
    pub destinations: Vec<EventAt>,
    /// How many others do not want it.
    pub not_wanted: u64,
}

/// Events of one id: it can come from several sources, and be in several partitions.
#[derive(Clone, Debug, Default)]
pub struct FoundEvents {
    /// The events.
    pub events: Vec<EventWay>,
    /// How far was looked.
    pub looked: LookedBack,
    /// What is missing, and why.
    pub incomplete: Vec<String>,
}

/// Which attempts are meant; all conditions hold.
#[derive(Clone, Debug, Default)]
pub struct AttemptQuery {
    /// Those at this tenant's destinations.
    pub tenant: Option<Tenant>,
    /// Those at this destination.
    pub destination: Option<DestinationName>,
    /// Those at events of this key.
    pub key: Option<Key>,
    /// Those at this event.
    pub event_id: Option<EventId>,
    /// Those that ended so.
    pub ended: Option<Ended>,
    /// Those that were answered with this HTTP status.
    pub status: Option<u16>,
    /// Those that ended at this moment or later.
    pub from: Option<Timestamp>,
    /// Those that ended before this moment.
    pub to: Option<Timestamp>,
    /// Where the page before has ended.
    pub after: Option<AttemptCursor>,
    /// At most so many, and at most [`MAX_LOOKUP`].
    pub limit: usize,
}

/// An attempt as it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundAttempt {
    /// The partition of its event.
    pub partition: Partition,
    /// What was told.
    pub told: Told,
}

/// A page of attempts, the latest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttemptPage {
    /// The attempts.
    pub attempts: Vec<FoundAttempt>,
    /// Where to go on; `None` if there is nothing more.
    pub next: Option<AttemptCursor>,
    /// Everything that was told at this moment or later was looked at; `None` if nothing was.
    pub looked_back_to: Option<Timestamp>,
    /// What is missing, and why.
    pub incomplete: Vec<String>,
}

/// A worker's time with a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundTenure {
    /// The partition.
    pub partition: Partition,
    /// The worker and its time.
    pub tenure: Tenure,
}

/// Who worked on what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tenures {
    /// By partition, the latest of each first.
    pub tenures: Vec<FoundTenure>,
    /// What is missing, and why.
    pub incomplete: Vec<String>,
}

/// How much of the history is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptHistory {
    /// For how long.
    pub max_age: Duration,
    /// How many bytes, in all partitions together.
    pub max_bytes: u64,
}

/// The history of attempts, as far as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldHistory {
    /// How much there is, in all partitions together.
    pub size: HistorySize,
    /// How much there may be.
    pub bounds: KeptHistory,
}

/// What a store holds, and how much it may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreHolds {
    /// Where it is, without credentials.
    pub place: String,
    /// How many partitions it was made with.
    pub partitions: u32,
    /// How many events its log has, those included that wait and those that were settled less than `retain` ago.
    pub events: u64,
    /// When the oldest of them was accepted, if that one can be read.
    pub oldest: Option<Timestamp>,
    /// How long a settled event is kept.
    pub retain: Duration,
    /// How long an id that a producer gave is remembered.
    pub duplicate_window: Duration,
    /// The history; `None` if it is switched off here.
    pub history: Option<HeldHistory>,
    /// What takes room.
    pub parts: Vec<StorePart>,
    /// What is missing, and why.
    pub incomplete: Vec<String>,
}

/// Why nothing was looked up.
#[derive(Debug, Error)]
pub enum LookupError {
    /// There is no such destination.
    #[error("there is no destination {0}")]
    UnknownDestination(DestinationName),
    /// What is to be looked behind is none of this store.
    #[error("after: is not what an earlier page gave as `next`")]
    Cursor,
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// As much is looked up at once as may be.
    #[error("as much is being looked up here as may be at once: try again in a moment")]
    Busy,
}

/// Looks up what happened, for whoever shows it to people.
#[async_trait]
pub trait Lookup: Send + Sync {
    /// Events of the log.
    async fn events(&self, query: &EventQuery) -> Result<EventPage, LookupError>;

    /// The events of an id, each with its way through the destinations.
    async fn find(&self, query: &FindEvent) -> Result<FoundEvents, LookupError>;

    /// Attempts, as the history tells them.
    async fn attempts(&self, query: &AttemptQuery) -> Result<AttemptPage, LookupError>;

    /// Which worker had which partition between two moments (without them: as far as is remembered).
    async fn tenures(&self, from: Option<Timestamp>, to: Option<Timestamp>) -> Result<Tenures, LookupError>;

    /// What the store holds, and how much it may.
    ///
    /// # Errors
    /// If nothing of it can be read.
    async fn store(&self) -> Result<StoreHolds, LookupError>;
}
