//! Filters that a destination had before, and that no event is left for.

use laneway_domain::{Partition, Registered, Revision};
use laneway_ports::{StoreError, Stores};

/// A record keeps so many former filters before it is looked whether they can go: that takes two reads of each
/// partition, and a few filters take less room than the settings do.
const UNTRIMMED: usize = 16;

/// The revision by which the oldest event that is left is judged: filters that ended with it or before it judge none.
/// It is [`Revision::ORIGIN`], and nothing can go, where none of the records has many.
pub(super) async fn needed<'r>(
    stores: &Stores,
    mut records: impl Iterator<Item = &'r Registered>,
) -> Result<Revision, StoreError> {
    if !records.any(|record| record.filters.former.len() >= UNTRIMMED) {
        return Ok(Revision::ORIGIN);
    }
    let mut needed = None::<Revision>;
    for partition in (0..stores.log.partitions()).map(Partition) {
        // First: what was trimmed by then is gone by the time that its cuts are read.
        let start = stores.log.bounds(partition).await?.start;
        let judges = stores.progress.cuts(partition).await?.revision_at(start);
        needed = Some(needed.map_or(judges, |needed| needed.min(judges)));
    }
    Ok(needed.unwrap_or_default())
}
