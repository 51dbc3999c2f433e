//! What the store holds.

use super::{AT_ONCE, StoreSetup};
use futures_util::{StreamExt, stream};
use laneway_domain::{Partition, Timestamp};
use laneway_ports::{Bounds, Extent, HeldHistory, HistorySize, LogRecord, LookupError, StoreError, StoreHolds, Stores};

/// What one partition has.
struct Held {
    events: u64,
    /// Whether that is their number: it is not known where a generation of the log has ended among them.
    is_counted: bool,
    oldest: Option<Timestamp>,
    history: HistorySize,
}

async fn held(stores: &Stores, partition: Partition) -> Result<Held, StoreError> {
    let Bounds { start, end } = stores.log.bounds(partition).await?;
    let first = if start < end { stores.log.read(partition, start, 1, 1).await?.records } else { Vec::new() };
    let oldest = first.first().and_then(|record| match record {
        LogRecord::Event(event) => Some(event.accepted_at),
        LogRecord::Corrupt { .. } => None,
    });
    let history = stores.history.history_size(partition).await?;
    let is_counted = start.is_counted_until(end);
    Ok(Held { events: start.may_wait_until(end), is_counted, oldest, history })
}

/// [`laneway_ports::Lookup::store`].
pub(super) async fn store(stores: &Stores, setup: &StoreSetup) -> Result<StoreHolds, LookupError> {
    let partitions = stores.log.partitions();
    let ask = |partition| async move { (partition, held(stores, partition).await) };
    let mut answers = stream::iter((0..partitions).map(Partition)).map(ask).buffered(AT_ONCE);
    let mut holds = StoreHolds {
        place: setup.place.clone(),
        partitions,
        events: 0,
        oldest: None,
        retain: setup.retain,
        duplicate_window: setup.duplicate_window,
        history: setup.history.map(|bounds| HeldHistory { size: HistorySize::default(), bounds }),
        parts: Vec::new(),
        incomplete: Vec::new(),
    };
    let (mut why, mut uncounted) = (None, 0_u64);
    while let Some((partition, answer)) = answers.next().await {
        match answer {
            Ok(held) => {
                holds.events += held.events;
                uncounted += u64::from(!held.is_counted);
                holds.oldest = holds.oldest.into_iter().chain(held.oldest).min();
                if let Some(history) = &mut holds.history {
                    history.size.records += held.history.records;
                    history.size.bytes += held.history.bytes;
                }
            }
            Err(error) => {
                holds.incomplete.push(format!("partition {partition}: {error}"));
                why = Some(error);
            }
        }
    }
    if let (true, Some(error)) = (holds.incomplete.len() == partitions as usize, why) {
        return Err(error.into());
    }
    if uncounted > 0 {
        holds.incomplete.push(format!(
            "{uncounted} of {partitions} partitions have more events than are counted: those from before the last loss, \
             or from before a backup was put back, are not"
        ));
    }
    let Extent { parts, not_asked } = stores.extent.extent().await;
    holds.parts = parts;
    holds.incomplete.extend(not_asked.iter().map(|why| format!("the room that it takes: {why}")));
    Ok(holds)
}
