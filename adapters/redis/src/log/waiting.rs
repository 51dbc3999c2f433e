//! How much waits to be appended, over all partitions.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Events and bytes that wait, or are on their way.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    events: AtomicUsize,
    bytes: AtomicUsize,
}

impl Waiting {
    /// Takes room for so much, at once or not at all. Where nothing waits there always is some.
    pub(super) fn take_room(&self, count: usize, weight: usize, most_events: usize, most_bytes: usize) -> bool {
        let events = self.events.fetch_add(count, Ordering::AcqRel);
        let bytes = self.bytes.fetch_add(weight, Ordering::AcqRel);
        let fits = events == 0 || (events + count <= most_events && bytes + weight <= most_bytes);
        if !fits {
            self.give_back(count, weight);
        }
        fits
    }

    pub(super) fn give_back(&self, count: usize, weight: usize) {
        self.events.fetch_sub(count, Ordering::AcqRel);
        self.bytes.fetch_sub(weight, Ordering::AcqRel);
    }
}
