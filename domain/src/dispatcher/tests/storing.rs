//! What the store makes of a commit.

use super::world::World;
use crate::*;

impl World {
    pub(super) fn apply(&mut self, commit: &Commit) {
        assert!(commit.highest() <= self.end, "a commit claims more than the log has");
        if let Some(scanned) = commit.scanned {
            assert!(scanned >= self.stored.scanned, "the default position went back");
        }
        self.commits_stored += 1;
        self.lanes_in_commits += commit.lanes.len();
        self.check_cut(commit);
        self.stored.apply(commit);
        self.replays_are_stored();
        self.replays_begin(commit);
        self.check_repeats();
        self.dead.retain(|(of, _), _| !commit.dropped.contains(of));
        for given_up in &commit.dead_letters {
            let place = (given_up.destination.clone(), given_up.offset);
            // A commit that was on its way may tell of a destination that is gone meanwhile.
            let lane = self.stored.lanes.get(&given_up.destination);
            if lane.is_some_and(|lane| self.is_of_now(&given_up.destination, lane)) {
                self.settled.insert(place.clone());
            }
            self.replay_gives_up(&place);
            self.dead.insert(place, given_up.clone());
        }
        for redriven in &commit.redriven {
            let place = (redriven.destination.clone(), redriven.offset);
            if redriven.failed.is_some() {
                continue;
            }
            let delivered = self.delivered.iter().any(|(_, to, offset)| (to, offset) == (&place.0, &place.1));
            let was_there = self.dead.remove(&place).is_some();
            assert!(delivered || !was_there, "a dead letter went although nothing was delivered");
            // One that a replay has delivered before it was stored never was a dead letter.
            if delivered && self.stored.lanes.get(&place.0).is_some_and(|lane| self.is_of_now(&place.0, lane)) {
                self.settled.insert(place);
            }
        }
        self.discard_letters_of_deleted_tenants();
    }
}
