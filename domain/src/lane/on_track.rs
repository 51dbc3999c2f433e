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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::Memory;
    use crate::lane::tests::key;
    use crate::shares::GroupIndex;

    #[test]
    fn a_lane_is_busy_from_its_first_event_on_track_to_its_last() {
        let mut memory = Memory::default();
        let mut memory = memory.of(GroupIndex(0));
        let mut on_track = OnTrack::default();
        let mut seen = vec![(on_track.len(), on_track.busy_lanes(), on_track.first().map(|(offset, _)| offset.0))];
        let steps: [fn(&mut OnTrack, &mut OfGroup<'_>); 4] = [
            |on_track, memory| on_track.add(Offset(3), key(1), memory),
            |on_track, memory| on_track.add(Offset(5), key(2), memory),
            |on_track, memory| on_track.remove(Offset(3), memory),
            |on_track, memory| on_track.remove(Offset(5), memory),
        ];
        for step in steps {
            step(&mut on_track, &mut memory);
            assert_eq!(on_track.is_empty(), on_track.busy_lanes() == 0);
            seen.push((on_track.len(), on_track.busy_lanes(), on_track.first().map(|(offset, _)| offset.0)));
        }
        assert_eq!(seen, [(0, 0, None), (1, 1, Some(3)), (2, 1, Some(3)), (1, 1, Some(5)), (0, 0, None)]);
    }

    #[test]
    fn its_keys_are_those_of_what_is_not_settled() {
        let mut memory = Memory::default();
        let mut memory = memory.of(GroupIndex(0));
        let mut on_track = OnTrack::default();
        (1..=3).for_each(|n| on_track.add(Offset(n.into()), key(n), &mut memory));
        on_track.remove(Offset(2), &mut memory);
        assert_eq!(on_track.keys(), [key(1), key(3)].into());
    }
}
