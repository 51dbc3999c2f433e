//! Pages of records.

use super::{MAX_REGISTRY_PAGE, MAX_WRITE_BYTES, RegistryChanges};
use crate::StoreError;
use laneway_domain::{DestinationName, Registered, Revision};

/// Refuses more names than one read answers.
///
/// # Errors
/// If there are more than [`MAX_REGISTRY_PAGE`].
pub fn check_names(names: &[DestinationName]) -> Result<(), StoreError> {
    let asked = names.len();
    if asked <= MAX_REGISTRY_PAGE {
        return Ok(());
    }
    Err(StoreError::refused(format!(
        "the records of {asked} destinations were asked for: at most {MAX_REGISTRY_PAGE} are read at a time"
    )))
}

/// Makes a page of changes out of records in ascending order of (revision, name).
#[derive(Debug, Default)]
pub struct ChangesPage {
    records: Vec<Registered>,
    bytes: usize,
    more: bool,
}

impl ChangesPage {
    /// Adds the next record, which has `bytes` bytes as JSON. `false`: the page is full, and ends with the last revision
    /// of which it has all records.
    pub fn add(&mut self, record: Registered, bytes: usize) -> bool {
        self.bytes += bytes;
        if self.records.len() < MAX_REGISTRY_PAGE && self.bytes <= MAX_WRITE_BYTES {
            self.records.push(record);
            return true;
        }
        // The records of one revision were one write, which is no larger than a page: something is left.
        self.records.retain(|taken| taken.revision < record.revision);
        self.more = true;
        false
    }

    /// The page, of a registry whose last revision is `last`, and which has forgotten deleted ones up to `forgotten`.
    #[must_use]
    pub fn finish(self, last: Revision, forgotten: Revision) -> RegistryChanges {
        let Self { records, more, .. } = self;
        let upto = records.last().filter(|_| more).map_or(last, |record| record.revision);
        RegistryChanges { records, upto, more, forgotten }
    }
}
