//! Partitions that are lost, with what was under way.

use super::fixtures::PARTITION;
use super::world::{Whose, World, pick};
use crate::io::{AttemptId, Input};
use crate::partition::Offset;
use std::collections::BTreeSet;

/// What is to be broken off.
#[derive(Default)]
pub(super) struct Losing {
    to_abandon: BTreeSet<AttemptId>,
}

impl Losing {
    /// They may still end in any way: some have ended, and it was not heard yet.
    pub(super) fn abandoned(&mut self, attempts: &[AttemptId]) {
        for id in attempts {
            assert!(self.to_abandon.remove(id), "{id:?} is not of the partition that was lost, or has ended");
        }
    }

    pub(super) fn check(&self) {
        assert!(self.to_abandon.is_empty(), "not broken off: {:?}", self.to_abandon);
    }
}

impl World {
    pub(super) fn lease_is_lost(&mut self) {
        let is_under_way = |id: &&AttemptId| !self.lost.contains(*id) && !self.ending.contains_key(*id);
        self.losing.to_abandon = self.attempts.keys().filter(is_under_way).copied().collect();
        self.lost.extend(self.attempts.keys());
        self.attempts.values_mut().for_each(|(_, _, whose)| {
            if *whose != Whose::Gone {
                *whose = Whose::Nobody;
            }
        });
    }

    /// Log and progress are what they were at some moment, and the log goes on in a new generation.
    /// Whoever had the lease is fenced, and the partition is claimed again.
    pub(super) fn lose_writes(&mut self, which: u64) {
        if self.moments.is_empty() {
            return;
        }
        let moment = self.moments[pick(which, self.moments.len())].clone();
        self.moments.clear();
        self.log.truncate(moment.log);
        (self.stored, self.dead) = (moment.stored, moment.dead);
        self.end = Offset::in_generation(self.end.generation() + 1, 0);
        self.reads.clear();
        self.commits.clear();
        self.input(Input::LeaseLost(PARTITION));
        self.claim();
    }
}
