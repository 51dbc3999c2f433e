//! Whether a lane is in the state that it says it is in.

use super::Lane;
use super::queues::Queued;
use std::collections::{BTreeMap, BTreeSet};

impl Lane {
    /// See [`crate::Dispatcher::check`].
    pub(crate) fn check(&self) {
        self.queues.check();
        let (mut on_track, mut behind) = (BTreeMap::new(), BTreeSet::new());
        let (mut ready, mut to_fetch, mut fetching) = (0, 0, 0);
        self.queues.for_each(|key, queue| {
            if queue.behind().is_some() {
                behind.insert(key.clone());
            } else {
                on_track.extend(queue.entries().iter().map(|entry| (entry.offset, key.clone())));
                let in_hand = queue.entries().iter().all(|entry| entry.event.is_some());
                assert!(in_hand, "{key} is on track, and its data is not in memory");
            }
            ready += usize::from(queue.queued == Queued::Ready);
            to_fetch += usize::from(matches!(queue.queued, Queued::ToFetch(_)));
            fetching += usize::from(queue.fetching);
            if let Some(in_flight) = &queue.in_flight {
                assert!(in_flight.entries <= queue.entries().len(), "{key}: what is in flight is not settled");
                assert_eq!(queue.queued, Queued::No, "{key} is in flight, and waits for its turn");
            }
        });
        let on_track: Vec<_> = on_track.iter().map(|(offset, key)| (*offset, key)).collect();
        self.on_track.check(&on_track);
        self.behind.check(&behind);
        self.turns.check((ready, to_fetch, fetching));
    }
}
