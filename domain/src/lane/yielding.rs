//! What a lane waits for that is not its own: attempts of other lanes of its destination, and replays that go first.

use super::Lane;
use super::context::Context;
use crate::io::AttemptId;
use crate::lane_key::LaneKey;
use crate::replay::Held;
use std::collections::BTreeSet;

/// Whom a lane lets go first.
#[derive(Debug, Default)]
pub(super) struct Yielding {
    /// Attempts of lanes that are no more, of the same destination and partition. Nothing starts before they have
    /// ended: what they carry may stand behind it in its key's order.
    former: BTreeSet<AttemptId>,
    /// Keys of which another lane has an attempt in flight.
    elsewhere: BTreeSet<LaneKey>,
    /// What waits until replays have passed it.
    held: Held,
}

impl Yielding {
    /// Whether nothing may start.
    pub(super) fn waits(&self) -> bool {
        !self.former.is_empty() || self.held == Held::All
    }

    /// Whether what is in flight of lanes that are no more may be anything that stands in this one.
    pub(super) fn is_unsure(&self) -> bool {
        !self.former.is_empty()
    }

    /// Whether another lane has an attempt of this key in flight: it may be at the very event that stands first in this one.
    pub(super) fn is_elsewhere(&self, key: &LaneKey) -> bool {
        self.elsewhere.contains(key)
    }

    /// Whether nothing of this key may start now, although others may.
    #[inline]
    pub(super) fn stops(&self, key: &LaneKey) -> bool {
        // It is asked of every key again and again, and nearly always there is nothing.
        let nothing = self.elsewhere.is_empty() && self.held.is_nothing();
        !nothing && (self.elsewhere.contains(key) || self.is_among_held(key))
    }

    fn is_among_held(&self, key: &LaneKey) -> bool {
        matches!(&self.held, Held::Keys(keys) if keys.contains(key))
    }
}

impl Lane {
    /// What other lanes have in flight when this one is made, attempts of lanes that are no more and keys of those of
    /// others, and what waits for replays.
    pub(crate) fn follow(&mut self, former: BTreeSet<AttemptId>, elsewhere: BTreeSet<LaneKey>, held: Held) {
        self.yielding = Yielding { former, elsewhere, held };
    }

    /// Whether nothing may start in it.
    pub(crate) fn has_to_wait(&self) -> bool {
        self.yielding.waits()
    }

    /// Another lane of the destination has begun an attempt at these keys.
    pub(crate) fn begun_elsewhere<'k>(&mut self, keys: impl Iterator<Item = &'k LaneKey>) {
        for key in keys {
            assert!(self.yielding.elsewhere.insert(key.clone()), "{key} is in flight at two lanes");
        }
    }

    /// An attempt of another lane, or of a former one, has ended.
    pub(crate) fn ended_elsewhere<'k>(
        &mut self,
        attempt: AttemptId,
        keys: impl Iterator<Item = &'k LaneKey>,
        cx: &mut Context<'_>,
    ) {
        if self.yielding.former.remove(&attempt) {
            return;
        }
        for key in keys {
            self.yielding.elsewhere.remove(key);
            self.go_on(key, cx);
        }
    }

    /// What waits from now on for replays, and what no longer does.
    pub(crate) fn hold_for_replays(&mut self, held: Held, cx: &mut Context<'_>) {
        if let Held::Keys(keys) = &held {
            for key in keys {
                // It would hold the lane's position, and fill its window, for as long as the replay takes.
                if self.queues.get(key).is_some_and(|queue| queue.behind().is_none() && !queue.entries().is_empty()) {
                    self.fall_behind(key, cx);
                }
            }
        }
        let before = std::mem::replace(&mut self.yielding.held, held);
        if let Held::Keys(keys) = before {
            keys.iter().for_each(|key| self.go_on(key, cx));
        }
    }

    /// Whether nothing may start in it before replays have passed it.
    pub(crate) fn is_stopped_for_replays(&self) -> bool {
        self.yielding.held == Held::All
    }

    /// Whether the key waits for a replay.
    pub(super) fn is_held(&self, key: &LaneKey) -> bool {
        !self.yielding.held.is_nothing() && self.yielding.is_among_held(key)
    }

    /// Sees to a key that another lane may have stopped.
    fn go_on(&mut self, key: &LaneKey, cx: &mut Context<'_>) {
        if self.queues.get(key).is_some() {
            self.schedule(key, cx);
        }
    }

    /// See [`crate::Dispatcher::check`]. `others`: the attempts of other lanes that are in flight, with their keys;
    /// `held`: what waits for replays.
    pub(crate) fn check_yielding<'k>(&self, others: impl Iterator<Item = (AttemptId, Vec<&'k LaneKey>)>, held: &Held) {
        let (former, rest): (Vec<_>, Vec<_>) = others.partition(|(attempt, _)| self.yielding.former.contains(attempt));
        assert_eq!(self.yielding.former.len(), former.len(), "attempts of lanes that are no more");
        let elsewhere: BTreeSet<LaneKey> = rest.into_iter().flat_map(|(_, keys)| keys).cloned().collect();
        assert_eq!(self.yielding.elsewhere, elsewhere, "what other lanes have in flight");
        let stops = self.yielding.held == Held::All && self.replaying.is_some();
        assert!(stops || self.yielding.held == *held, "what waits for replays: {held:?}, not {:?}", self.yielding.held);
    }
}
