//! What is on track: taken in, not settled, of keys that are not behind. It holds the lane's position.

use super::context::OfGroup;
use crate::lane_key::LaneKey;
use crate::partition::Offset;
use crate::watermark::Watermark;
use std::collections::BTreeSet;

/// The events on track, by offset, each with its key.
#[derive(Debug, Default)]
pub(super) struct OnTrack(Watermark<LaneKey>);

impl OnTrack {
    pub(super) fn add(&mut self, offset: Offset, key: LaneKey, memory: &mut OfGroup<'_>) {
        if self.is_empty() {
            memory.lane_is_busy();
        }
        self.0.track(offset, key);
    }

    /// It is settled, or its key falls behind.
    pub(super) fn remove(&mut self, offset: Offset, memory: &mut OfGroup<'_>) {
        self.0.settle(offset);
        if self.is_empty() {
            memory.lane_is_idle();
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) const fn len(&self) -> usize {
        self.0.unsettled()
    }

    /// The one that holds the position, and its key.
    pub(super) fn first(&self) -> Option<(Offset, &LaneKey)> {
        self.0.first()
    }

    /// The keys of all of them.
    pub(super) fn keys(&self) -> BTreeSet<LaneKey> {
        self.0.unsettled_of().cloned().collect()
    }

    /// What it adds to the memory that lanes share.
    pub(super) fn busy_lanes(&self) -> usize {
        usize::from(!self.is_empty())
    }

    /// See [`crate::Dispatcher::check`]. `expected`: by offset, from the queues of keys.
    pub(super) fn check(&self, expected: &[(Offset, &LaneKey)]) {
        assert!(self.0.unsettled_with_offsets().eq(expected.iter().copied()), "what is on track: {:?}", self.0);
        assert_eq!(self.len(), expected.len(), "how much is on track");
    }
}
