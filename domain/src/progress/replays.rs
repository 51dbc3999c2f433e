//! How far replays have come: each is a record of its own beside its lane's.

use super::Behind;
use crate::destination::Ordering;
use crate::lane_key::LaneKey;
use crate::partition::Offset;
use crate::replay::{Held, ReplaySpec};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where a replay has come to in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayProgress {
    /// What is replayed.
    pub spec: ReplaySpec,
    /// How far it is.
    pub mark: ReplayMark,
    /// The keys that have not come as far as `mark.scanned`.
    pub behind: BTreeMap<LaneKey, Behind>,
}

/// How far a replay is, but for keys that are behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayMark {
    /// What its deliveries say: larger than that of every replay which delivered an event of the same key before. 0
    /// while it does not run.
    pub number: u64,
    /// Everything chosen below was delivered again, or given up, but for the keys behind.
    pub scanned: Offset,
    /// How many events that was, as far as they were counted: a crash forgets some.
    pub settled: u64,
}

impl ReplayProgress {
    /// One that has not begun.
    #[must_use]
    pub const fn new(spec: ReplaySpec) -> Self {
        let mark = ReplayMark { number: 0, scanned: spec.from, settled: 0 };
        Self { spec, mark, behind: BTreeMap::new() }
    }

    /// Whether nothing is left to deliver again.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.has_looked_at_all() && self.behind.is_empty()
    }

    /// The lowest offset that it needs of the log; `None` if it is done.
    #[must_use]
    pub fn needs_from(&self) -> Option<Offset> {
        let to_look_at = (!self.has_looked_at_all()).then_some(self.mark.scanned);
        self.behind.values().map(|behind| behind.offset).chain(to_look_at).min()
    }

    /// What live events wait for it, in a lane of this ordering.
    pub(crate) fn held(&self, ordering: Ordering) -> Held {
        let at_first = self.spec.holds_at_first(ordering);
        if !self.has_looked_at_all() {
            return at_first;
        }
        // All that is left of it stands behind, key by key.
        Held::Keys(self.behind.keys().filter(|key| at_first.has(key)).cloned().collect())
    }

    fn has_looked_at_all(&self) -> bool {
        self.mark.scanned >= self.spec.until
    }

    /// Applies what a commit says of it.
    pub(crate) fn apply(&mut self, change: &ReplayChange) {
        if let Some(mark) = change.mark {
            self.mark = mark;
        }
        for (key, behind) in &change.behind {
            match behind {
                Some(behind) => self.behind.insert(key.clone(), behind.clone()),
                None => self.behind.remove(key),
            };
        }
    }

    /// What `change` makes of what was there.
    pub(super) fn changed(before: Option<Self>, change: &ReplayChange) -> Option<Self> {
        let mut replay = change.made.clone().map(Self::new).or(before)?;
        replay.apply(change);
        Some(replay)
    }
}

/// What changed of a replay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplayChange {
    /// That it begins: whatever was of its id is gone.
    pub made: Option<ReplaySpec>,
    /// How far it is now, if that changed.
    pub mark: Option<ReplayMark>,
    /// Keys that fell behind or moved (`Some`) or caught up (`None`).
    pub behind: BTreeMap<LaneKey, Option<Behind>>,
}

impl ReplayChange {
    /// Adds what changed later.
    fn then(&mut self, later: Self) {
        if later.made.is_some() {
            *self = later;
            return;
        }
        self.mark = later.mark.or(self.mark);
        self.behind.extend(later.behind);
    }

    /// Adds what changed later of a replay, of which nothing (`None`) is what is left once it is gone.
    pub(super) fn add(before: &mut Option<Self>, later: Option<Self>) {
        match (before.as_mut(), later) {
            (Some(before), Some(later)) => before.then(later),
            (_, later) => *before = later,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Key;
    use crate::progress::LaneChange;
    use crate::replay::{ReplayId, Selection};
    use crate::time::Timestamp;
    use proptest::prelude::*;

    fn lane_key(n: u64) -> LaneKey {
        LaneKey::Key(Key::new(&format!("k{n}")).unwrap())
    }

    fn spec(until: u64) -> ReplaySpec {
        let (asked_at, selection) = (Timestamp::ZERO, Selection::default());
        ReplaySpec { asked_at, from: Offset(2), until: Offset(until), selection, first: false }
    }

    fn behind(offset: u64) -> Behind {
        Behind { offset: Offset(offset), retry: None }
    }

    #[test]
    fn a_replay_needs_the_log_from_where_it_has_yet_to_look_or_its_slowest_key_is() {
        for (scanned, at, needs_from) in
            [(2, None, Some(2)), (6, Some(4), Some(4)), (9, Some(4), Some(4)), (9, None, None), (10, None, None)]
        {
            let mut replay = ReplayProgress::new(spec(9));
            replay.mark.scanned = Offset(scanned);
            replay.behind.extend(at.map(|offset| (lane_key(1), behind(offset))));
            assert_eq!(replay.needs_from(), needs_from.map(Offset), "{replay:?}");
            assert_eq!(replay.is_done(), needs_from.is_none(), "{replay:?}");
        }
    }

    #[test]
    fn live_events_wait_for_what_a_replay_has_yet_to_look_at_and_then_for_its_slow_keys() {
        let held = |first: bool, scanned: u64| {
            let mut replay = ReplayProgress::new(ReplaySpec { first, ..spec(9) });
            replay.mark.scanned = Offset(scanned);
            replay.behind.insert(lane_key(1), behind(4));
            replay.held(Ordering::Key)
        };
        assert_eq!((held(true, 8), held(true, 9)), (Held::All, Held::Keys([lane_key(1)].into())));
        assert_eq!((held(false, 8), held(false, 9)), (Held::default(), Held::default()));
    }

    proptest! {
        /// Whatever a replay goes through, it may be stored in as many commits as anyone likes.
        #[test]
        fn changes_that_are_stored_at_once_come_to_the_same_as_one_by_one(
            steps in prop::collection::vec((0_u8..4, 3_u64..9, prop::option::of(2_u64..9)), 1..12),
            before in 0_usize..6,
        ) {
            let id = ReplayId::new("r").unwrap();
            let mut now: Option<ReplayProgress> = None;
            let changes: Vec<Option<ReplayChange>> = steps.into_iter().map(|(step, n, at)| {
                let mark = ReplayMark { scanned: Offset(n), settled: n, ..ReplayMark::default() };
                let change = match step {
                    // Of one that is not there nothing can be said but that it begins.
                    0 => Some(ReplayChange { made: Some(spec(n)), ..ReplayChange::default() }),
                    _ if now.is_none() => Some(ReplayChange { made: Some(spec(n)), ..ReplayChange::default() }),
                    1 => Some(ReplayChange { mark: Some(mark), ..ReplayChange::default() }),
                    2 => {
                        let behind = [(lane_key(n), at.map(behind))].into();
                        Some(ReplayChange { behind, ..ReplayChange::default() })
                    }
                    _ => None,
                };
                now = change.as_ref().and_then(|change| ReplayProgress::changed(now.take(), change));
                change
            }).collect();
            let (stored, at_once) = changes.split_at(before.min(changes.len()));
            let of = |change: &Option<ReplayChange>| {
                LaneChange { replays: [(id.clone(), change.clone())].into(), ..LaneChange::default() }
            };
            let mut there = None;
            for change in stored {
                there = change.as_ref().and_then(|change| ReplayProgress::changed(there, change));
            }
            let mut together = LaneChange::default();
            at_once.iter().for_each(|change| together.then(of(change)));
            if let Some(change) = together.replays.get(&id) {
                there = change.as_ref().and_then(|change| ReplayProgress::changed(there, change));
            }
            prop_assert_eq!(there, now);
        }
    }
}
