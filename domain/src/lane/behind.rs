//! Who is behind, and what has to be found again for them.

use super::scan::Scan;
use crate::lane_key::LaneKey;
use crate::partition::Offset;
use std::collections::BTreeSet;

/// The keys of a lane that are behind. What is known of each is in its queue.
#[derive(Debug, Default)]
pub(super) struct BehindKeys {
    keys: BTreeSet<LaneKey>,
    /// Those about whose next events nothing is remembered: a scan has to find them.
    to_scan: BTreeSet<LaneKey>,
    /// Restored ones whose first event the lane had yet to look at, by its offset.
    ahead: BTreeSet<(Offset, LaneKey)>,
    pub(super) scan: Option<Scan>,
}

impl BehindKeys {
    pub(super) fn insert(&mut self, key: LaneKey) {
        self.keys.insert(key);
    }

    /// It has caught up.
    pub(super) fn remove(&mut self, key: &LaneKey) {
        self.keys.remove(key);
        self.to_scan.remove(key);
    }

    /// Whether none is, and nothing is looked for.
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.to_scan.is_empty() && self.ahead.is_empty() && self.scan.is_none()
    }

    /// Whether a scan looks for the next events of some, or is about to.
    pub(super) fn is_looking(&self) -> bool {
        self.scan.is_some() || !self.to_scan.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// How many, without those that the lane has yet to come to: to come to them is what helps.
    pub(super) fn held_back(&self) -> usize {
        self.keys.len().saturating_sub(self.ahead.len())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &LaneKey> {
        self.keys.iter()
    }

    pub(super) fn needs_scan(&mut self, key: &LaneKey) {
        self.to_scan.insert(key.clone());
    }

    pub(super) fn needs_no_scan(&mut self, key: &LaneKey) {
        self.to_scan.remove(key);
    }

    pub(super) fn to_scan(&self) -> impl Iterator<Item = &LaneKey> {
        self.to_scan.iter()
    }

    /// Its first event is yet to come, at `offset`.
    pub(super) fn is_ahead(&mut self, offset: Offset, key: LaneKey) {
        self.ahead.insert((offset, key));
    }

    pub(super) fn any_ahead(&self) -> bool {
        !self.ahead.is_empty()
    }

    /// A key whose first event should have come below `looked_up_to`. Each comes once.
    pub(super) fn next_passed(&mut self, looked_up_to: Offset) -> Option<LaneKey> {
        let passed = self.ahead.first().is_some_and(|(offset, _)| *offset < looked_up_to);
        if passed { self.ahead.pop_first().map(|(_, key)| key) } else { None }
    }

    /// See [`crate::Dispatcher::check`]. `expected`: those whose queues say that they are behind.
    pub(super) fn check(&self, expected: &BTreeSet<LaneKey>) {
        assert_eq!(self.keys, *expected, "which keys are behind");
        assert!(self.to_scan.is_subset(&self.keys), "only keys behind are looked for: {self:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::tests::key;

    #[test]
    fn it_is_empty_only_if_none_is_behind_or_ahead_and_nothing_is_looked_for() {
        let fill: [fn(&mut BehindKeys); 3] = [
            |behind| behind.insert(key(1)),
            |behind| behind.needs_scan(&key(1)),
            |behind| behind.is_ahead(Offset(3), key(1)),
        ];
        let filled = fill.map(|fill| {
            let mut behind = BehindKeys::default();
            assert!(behind.is_empty() && !behind.is_looking() && !behind.any_ahead());
            fill(&mut behind);
            (behind.is_empty(), behind.is_looking(), behind.any_ahead())
        });
        assert_eq!(
            filled,
            [(false, false, false), (false, true, false), (false, false, true)],
            "behind, looked for, ahead"
        );
    }

    #[test]
    fn a_key_that_has_caught_up_is_looked_for_no_more() {
        let mut behind = BehindKeys::default();
        for n in 1..=3 {
            behind.insert(key(n));
            behind.needs_scan(&key(n));
        }
        behind.remove(&key(1));
        behind.needs_no_scan(&key(2));
        assert!(behind.iter().eq(&[key(2), key(3)]));
        assert!(behind.to_scan().eq(&[key(3)]));
    }

    #[test]
    fn keys_that_the_lane_has_yet_to_come_to_do_not_hold_it_back() {
        let mut behind = BehindKeys::default();
        (1..=3).for_each(|n| behind.insert(key(n)));
        behind.is_ahead(Offset(7), key(1));
        assert_eq!((behind.len(), behind.held_back()), (3, 2));
    }

    #[test]
    fn a_key_ahead_is_passed_once_and_when_the_lane_has_looked_at_its_offset() {
        let mut behind = BehindKeys::default();
        behind.is_ahead(Offset(7), key(1));
        behind.is_ahead(Offset(9), key(2));
        assert_eq!(behind.next_passed(Offset(7)), None, "it has looked at all below");
        assert_eq!(behind.next_passed(Offset(8)), Some(key(1)));
        assert_eq!(behind.next_passed(Offset(8)), None);
        assert_eq!(behind.next_passed(Offset(99)), Some(key(2)));
        assert!(!behind.any_ahead());
    }
}
