//! Whether a lane is in the state that it says it is in.

use super::Lane;
use super::queues::Queued;
use crate::partition::Offset;
use crate::retry::NextAttempt;
use crate::settings::Settings;
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

    /// See [`crate::Dispatcher::check`]. If it could read on below `until`, with room and nothing under way, then nothing
    /// would ever wake it.
    pub(crate) fn check_awake(&self, until: Offset, settings: &Settings) {
        let has_room = self.on_track.is_empty() && self.behind.held_back() < settings.max_behind;
        if !self.reading.may_begin(until) || !has_room || self.has_to_try() {
            return;
        }
        let mut is_awake = false;
        self.queues.for_each(|key, queue| {
            let waits = matches!(queue.next_attempt(), Some(NextAttempt::At(_)));
            is_awake |= !queue.is_free() || waits || self.yielding.stops(key);
        });
        assert!(is_awake, "a lane has come to {}, could read on below {until}, and sleeps", self.looked_up_to(until));
    }
}
