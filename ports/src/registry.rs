//! The registry of destinations.

use crate::StoreError;
use async_trait::async_trait;
use laneway_domain::{DestinationName, Registered, Revision, Timestamp};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The most records that one write changes, and that one read returns.
pub const MAX_REGISTRY_PAGE: usize = 1_000;

/// The most bytes of one record, written as JSON: headers, certificates and secrets included.
pub const MAX_RECORD_BYTES: usize = 256 << 10;

/// The most bytes of all records that one write changes, written as JSON.
pub const MAX_WRITE_BYTES: usize = 8 << 20;

/// How many entries of its journal are kept per destination; the oldest go first.
pub const MAX_JOURNAL: usize = 100;

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

/// Records of a registry, and how far they go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistryPage {
    /// The records.
    pub records: Vec<Registered>,
    /// Whether there are more after these.
    pub more: bool,
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

/// One change of the registry: all of it is written, or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistryWrite {
    /// The revision of the last change that whoever made this has seen.
    pub last: Revision,
    /// The revision of this change: larger than `last`.
    pub revision: Revision,
    /// The changed records, each with [`Registered::revision`] `revision`.
    pub records: Vec<Registered>,
    /// What is said of them.
    pub journal: Vec<JournalEntry>,
}

/// The destinations that all processes on a store share. A store keeps records and decides nothing: what a change
/// makes of a record is [`Registered::edited`]'s affair.
#[async_trait]
pub trait Registry: Send + Sync {
    /// The last revision, and the store's clock.
    async fn head(&self) -> Result<RegistryHead, StoreError>;

    /// The records of these names, deleted ones included; those that there never were are left out.
    ///
    /// - Must refuse more than [`MAX_REGISTRY_PAGE`] names.
    async fn records(&self, names: &[DestinationName]) -> Result<Vec<Registered>, StoreError>;

    /// Records that were changed after `after`, in ascending order of (revision, name), at most
    /// [`MAX_REGISTRY_PAGE`] of them but all of one revision together; deleted ones included. With the last
    /// revision of the page as the next `after`, nothing is missed.
    async fn changed_since(&self, after: Revision) -> Result<RegistryPage, StoreError>;

    /// Records whose names come after `after`, in ascending order, at most `most` (and [`MAX_REGISTRY_PAGE`]);
    /// deleted ones are left out. A name that is there all the time is in exactly one page, whatever changes meanwhile.
    async fn list(&self, after: Option<&DestinationName>, most: usize) -> Result<RegistryPage, StoreError>;

    /// Writes a change durably, and in one atomic step. `false`, with nothing written: the last revision is not
    /// [`RegistryWrite::last`] any more; whoever wants the change looks again.
    ///
    /// - Must refuse more than [`MAX_REGISTRY_PAGE`] records, a record of more than [`MAX_RECORD_BYTES`], more than
    ///   [`MAX_WRITE_BYTES`] in all, and a revision that is not larger than `last`.
    /// - After [`StoreError::Unknown`] the same write may be made again: if it was written, and nothing after it, the
    ///   answer is `true`.
    async fn write(&self, write: &RegistryWrite) -> Result<bool, StoreError>;

    /// What was said of a destination's changes before `before`, the latest first, at most `most` (and
    /// [`MAX_JOURNAL`]) entries.
    async fn journal(
        &self,
        name: &DestinationName,
        before: Option<Revision>,
        most: usize,
    ) -> Result<Vec<JournalEntry>, StoreError>;

    /// Waits until the last revision is larger than `after`, at most for `patience`; returns the last revision. A
    /// notification may be missed: then it comes back after `patience` with what there is.
    async fn wait(&self, after: Revision, patience: Duration) -> Result<Revision, StoreError>;
}
