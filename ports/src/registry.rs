//! The registry of destinations.

mod draft;
mod page;
mod write;

pub use draft::{Drafted, WriteDraft};
pub use page::{ChangesPage, check_names};
pub use write::{EncodedWrite, RegistryWrite};

use crate::StoreError;
use async_trait::async_trait;
use laneway_domain::{DestinationName, Registered, Revision, Timestamp};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The most records that one write changes, and that one read returns.
pub const MAX_REGISTRY_PAGE: usize = 1_000;

/// The most bytes of one record, written as JSON: headers, certificates and secrets included.
pub const MAX_RECORD_BYTES: usize = 256 << 10;

/// The most bytes of all records that one write changes, written as JSON. A page of records ends before it would have
/// more.
pub const MAX_WRITE_BYTES: usize = 8 << 20;

/// How many entries of its journal are kept per destination; the oldest go first.
pub const MAX_JOURNAL: usize = 100;

/// The most bytes of a journal's entry: of who and what together.
pub const MAX_JOURNAL_ENTRY_BYTES: usize = 4 << 10;

/// The last revision that there can be: whole numbers up to this one are exact in Redis' sorted sets and in Lua. As a
/// moment it is in the year 2255.
pub const MAX_REVISION: Revision = Revision(1 << 53);

/// Where a registry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegistryHead {
    /// The revision of the last change; [`Revision::ORIGIN`] if there was none.
    pub last: Revision,
    /// The store's clock, in microseconds since the Unix epoch.
    pub clock: u64,
}

impl RegistryHead {
    /// The revision that a change which is written now gets.
    #[must_use]
    pub fn next(&self) -> Revision {
        self.last.next(self.clock)
    }
}

/// Records of a registry, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistryPage {
    /// The records.
    pub records: Vec<Registered>,
    /// Whether there are more after these.
    pub more: bool,
}

/// What changed in a registry since a revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistryChanges {
    /// The records that were changed, in ascending order of (revision, name). Of a record that was changed several
    /// times there is the last state, where that was made.
    pub records: Vec<Registered>,
    /// Up to this revision nothing is missing: what to ask after next. Without more to come it is the registry's last
    /// revision, whether that changed a record or not.
    pub upto: Revision,
    /// Whether there are more after these.
    pub more: bool,
    /// Records of deleted destinations up to this revision may have been let go of ([`Registry::forget_deleted`]).
    /// Whoever asked after an earlier one, and has records from before, compares them with [`Registry::page`].
    pub forgotten: Revision,
}

/// Who changed a destination, when, and what: for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// The destination.
    pub name: DestinationName,
    /// The change.
    pub revision: Revision,
    /// When, by the store's clock.
    pub at: Timestamp,
    /// Who: the name of a token, or of a configuration file.
    pub by: Box<str>,
    /// What, in a few words: which settings changed, and nothing that may be secret.
    pub what: Box<str>,
}

/// The destinations that all processes on a store share. A store keeps records and decides nothing: what a change
/// makes of a record is [`Registered::edited`]'s affair.
///
/// A failover may lose the last changes, so that [`RegistryHead::last`] goes back: whoever has seen them writes them
/// again.
#[async_trait]
pub trait Registry: Send + Sync {
    /// The last revision, and the store's clock.
    async fn head(&self) -> Result<RegistryHead, StoreError>;

    /// The records of these names in ascending order of name, each once, deleted ones included; those that there never
    /// were are left out.
    ///
    /// - Must refuse more than [`MAX_REGISTRY_PAGE`] names.
    async fn records(&self, names: &[DestinationName]) -> Result<Vec<Registered>, StoreError>;

    /// Records that were changed after `after`: at most [`MAX_REGISTRY_PAGE`] and [`MAX_WRITE_BYTES`] of them, but all
    /// of one revision together; deleted ones included. With [`RegistryChanges::upto`] as the next `after`, nothing is
    /// missed.
    async fn changed_since(&self, after: Revision) -> Result<RegistryChanges, StoreError>;

    /// Records whose names come after the text `after` (empty: from the first on), in ascending order, at most `most` (and [`MAX_REGISTRY_PAGE`], and
    /// [`MAX_WRITE_BYTES`]); deleted ones are left out. A name that is there all the time is in exactly one page,
    /// whatever changes meanwhile.
    async fn page(&self, after: &str, most: usize) -> Result<RegistryPage, StoreError>;

    /// Writes a change durably, and in one atomic step. `false`, with nothing written: the last revision is not
    /// [`RegistryWrite::last`] any more; whoever wants the change looks again.
    ///
    /// - Must refuse what [`RegistryWrite::encoded`] refuses.
    /// - After [`StoreError::Unknown`] the same write may be made again: if it was written, and nothing after it, the
    ///   answer is `true`. Another write that got the same revision ([`RegistryWrite::fingerprint`]) is not the same.
    /// - Must work on a store that is full: a destination that is deleted or mended is what makes room.
    async fn write(&self, write: &RegistryWrite) -> Result<bool, StoreError>;

    /// What was said of a destination's changes before `before`, the latest first, at most `most` (and
    /// [`MAX_JOURNAL`]) entries. What is kept at least are the last [`MAX_JOURNAL`] entries of each name, also over a
    /// deletion; more are not.
    async fn journal(
        &self,
        name: &DestinationName,
        before: Option<Revision>,
        most: usize,
    ) -> Result<Vec<JournalEntry>, StoreError>;

    /// Waits until the last revision is larger than `after`, at most for `patience`; returns the last revision. A
    /// notification may be missed: then it comes back after `patience` with what there is.
    ///
    /// - Must see a change by any process within a second.
    async fn wait(&self, after: Revision, patience: Duration) -> Result<Revision, StoreError>;

    /// Lets go of at most `most` (and [`MAX_REGISTRY_PAGE`]) records of destinations that were deleted at `upto` or
    /// before, the earliest first, with their journals; returns how many. The last revision stays what it is.
    ///
    /// - Only where nobody needs them any more: no partition has a lane of theirs, and every process has seen them.
    ///   [`RegistryChanges::forgotten`] tells one that has not.
    async fn forget_deleted(&self, upto: Revision, most: usize) -> Result<usize, StoreError>;
}
