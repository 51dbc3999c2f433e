//! The most recent events, in memory: who keeps up with the log reads them without a query.

use laneway_domain::{LoggedEvent, Offset, Partition};
use laneway_ports::{Chunk, LogRecord};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A ring of events per partition, and how many bytes they may have together. The oldest event
/// goes first, whichever partition it is of, so that a busy partition may have most of the room.
#[derive(Debug)]
pub(crate) struct Tail {
    rings: Vec<Mutex<VecDeque<Arc<LoggedEvent>>>>,
    order: Mutex<Order>,
    max_bytes: usize,
}

/// The partitions of all events in the rings, oldest first.
#[derive(Debug, Default)]
struct Order {
    partitions: VecDeque<Partition>,
    bytes: usize,
}

impl Tail {
    pub(crate) fn new(partitions: u32, max_bytes: usize) -> Self {
        let rings = (0..partitions).map(|_| Mutex::default()).collect();
        Self { rings, order: Mutex::default(), max_bytes }
    }

    /// Adds durable events, each the next of its partition. Called by the writer only.
    pub(crate) fn extend(&self, events: impl Iterator<Item = Arc<LoggedEvent>>) {
        let mut order = locked(&self.order);
        for event in events {
            let partition = event.partition;
            let Some(ring) = self.rings.get(partition.0 as usize) else { continue };
            order.bytes += event.event.weight();
            order.partitions.push_back(partition);
            locked(ring).push_back(event);
            while order.bytes > self.max_bytes
                && let Some(oldest) = order.partitions.pop_front()
            {
                let gone = self.rings.get(oldest.0 as usize).and_then(|ring| locked(ring).pop_front());
                order.bytes -= gone.map_or(0, |event| event.event.weight());
            }
        }
    }

    /// The events from `from` on, if the tail has the one at `from`.
    pub(crate) fn read(
        &self,
        partition: Partition,
        from: Offset,
        max_events: usize,
        max_bytes: usize,
    ) -> Option<Chunk> {
        let ring = locked(self.rings.get(partition.0 as usize)?);
        let first = ring.front()?.offset;
        // Offsets are dense within a ring: the writer gave them, one after the other.
        let skip = usize::try_from(from.0.checked_sub(first.0)?).ok()?;
        let mut bytes = 0_usize;
        let mut records = Vec::with_capacity(max_events.min(ring.len().saturating_sub(skip)));
        for event in ring.range(skip.min(ring.len())..).take(max_events) {
            bytes = bytes.saturating_add(event.event.weight());
            if bytes > max_bytes && !records.is_empty() {
                break;
            }
            records.push(LogRecord::Event(event.clone()));
        }
        let next = records.last()?.offset().next();
        Some(Chunk { records, next })
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
