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
