//! Events that the store had acknowledged and has lost since.

use super::Outbox;
use super::told::{Facts, Lost, OperationalEvent};
use crate::partition::{Offset, Partition};
use crate::progress::PartitionProgress;
use crate::time::Timestamp;
use std::ops::Range;

/// Tells of the losses that the partition's progress has not passed. A loss ends the partition's lease, so that whoever
/// claims it next finds it there; later, when progress stands behind it, it was told.
pub(super) fn found(
    partition: Partition,
    progress: &PartitionProgress,
    losses: &[Range<Offset>],
    now: Timestamp,
    outbox: &mut Outbox,
) {
    for lost in losses.iter().filter(|lost| !lost.is_empty()) {
        let last = Offset(lost.end.0 - 1);
        // What comes after a loss is of the next generation.
        if progress.scanned.generation() <= last.generation() {
            outbox.push(told(partition, lost, last, now));
        }
    }
}

fn told(partition: Partition, lost: &Range<Offset>, last: Offset, now: Timestamp) -> OperationalEvent {
    let count = lost.start.may_wait_until(lost.end);
    let text = format!(
        "the store lost {count} acknowledged events of partition {partition} (the last at offset {last}): a failover to a \
         replica that did not have them, a flush, or a backup put back. Their producers must send them again"
    );
    OperationalEvent {
        id: format!("lost/{partition}-{}-{last}", lost.start),
        event_type: "laneway.log.lost",
        at: now,
        facts: Facts { text, lost: Some(Lost { partition, from: lost.start, last, count }), ..Facts::default() },
    }
}
