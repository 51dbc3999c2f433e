//! How old the events are that wait: a status says when the oldest was accepted, and only the log knows that.

use laneway_domain::{Offset, Partition, StatusReport, Timestamp};
use laneway_ports::{EventLog, LogRecord};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::timeout;

/// The most events that are looked up for one report. Lanes that keep up share a place per partition, so that this is
/// enough but where hundreds of destinations each stand at a place of their own; of those beyond, no age is told.
const MOST_LOOKED_UP: usize = 256;
/// How long all of it may take: a report without ages is worth more than one that is late.
const WITHIN: Duration = Duration::from_millis(500);

/// The report, with the age of what waits.
pub(super) async fn looked_up(log: &dyn EventLog, mut report: StatusReport) -> StatusReport {
    let places = report.destinations.iter().flat_map(|destination| destination.waiting_from.iter().copied());
    let mut wanted: BTreeSet<(Partition, Offset)> = BTreeSet::new();
    for place in places {
        if wanted.len() >= MOST_LOOKED_UP {
            break;
        }
        wanted.insert(place);
    }
    let mut found = BTreeMap::new();
    // What was found in time is told.
    let _ = timeout(WITHIN, look_up(log, wanted, &mut found)).await;
    for destination in &mut report.destinations {
        let places = std::mem::take(&mut destination.waiting_from);
        let accepted: Option<Vec<Timestamp>> = places.iter().map(|place| found.get(place).copied()).collect();
        destination.oldest_accepted_at = accepted.and_then(|accepted| accepted.into_iter().min());
    }
    report
}

async fn look_up(
    log: &dyn EventLog,
    wanted: BTreeSet<(Partition, Offset)>,
    found: &mut BTreeMap<(Partition, Offset), Timestamp>,
) {
    for (partition, offset) in wanted {
        // An error is as good as a log that is away: the age is not known.
        let Ok(chunk) = log.read(partition, offset, 1, 1).await else { continue };
        if let Some(LogRecord::Event(event)) = chunk.records.first() {
            found.insert((partition, offset), event.accepted_at);
        }
    }
}
