//! Commits: one at a time per partition, a short time or a number of settlements after the first
//! that is not saved.

use super::Dispatcher;
use super::partition_lanes::Shared;
use crate::timers::Timer;
use crate::{Commit, LaneChange, Output, Partition, Timestamp};
use std::sync::Arc;
use std::time::Duration;

/// How long after a commit failed it is sent again. The shell has logged why.
const RECOMMIT_AFTER: Duration = Duration::from_millis(250);

impl Dispatcher {
    /// Sees to it that what has changed in a partition is committed in time.
    pub(super) fn note_change(&mut self, partition: Partition, now: Timestamp) {
        let Some(owned) = self.partitions.get_mut(&partition) else { return };
        let changed = owned.committing.dirty || owned.tally.settled > 0 || !owned.touched.is_empty();
        if !changed || owned.committing.in_flight.is_some() {
            return;
        }
        if owned.tally.settled >= self.settings.commit_settlements || owned.releasing {
            self.commit(partition, now);
        } else {
            self.commit_soon(partition, now);
        }
    }

    fn commit_soon(&mut self, partition: Partition, now: Timestamp) {
        let Some(owned) = self.partitions.get_mut(&partition) else { return };
        if owned.committing.timer.is_none() {
            let at = now.after(self.settings.commit_interval);
            owned.committing.timer = Some(at);
            self.timers.set(at, Timer::Commit(partition));
        }
    }

    pub(super) fn commit_due(&mut self, partition: Partition, now: Timestamp) {
        let Some(owned) = self.partitions.get_mut(&partition) else { return };
        // A timer of an earlier ownership, or of before a commit for another reason.
        if owned.committing.timer.is_none_or(|at| at > now) {
            return;
        }
        owned.committing.timer = None;
        if owned.committing.in_flight.is_none() {
            self.commit(partition, now);
        }
    }

    /// Makes a commit of all that has changed, if anything has.
    fn commit(&mut self, partition: Partition, now: Timestamp) {
        let commit = self.make_commit(partition);
        let Some(owned) = self.partitions.get_mut(&partition) else { return };
        // Settlements above an event that is not settled are not in any commit. They are bounded by
        // the lanes' windows, and in time by `straggler_after`.
        let settled = std::mem::take(&mut owned.tally.settled);
        let dirty = owned.committing.dirty;
        let Some(commit) = commit.map(Arc::new) else {
            if dirty {
                self.commit_soon(partition, now);
            }
            return self.unstall(partition);
        };
        owned.committing.in_flight = Some((commit.clone(), settled));
        self.outputs.push_back(Output::Commit { partition, commit });
    }

    fn make_commit(&mut self, partition: Partition) -> Option<Commit> {
        let owned = self.partitions.get_mut(&partition)?;
        let Shared { scanned, is_held_back } = owned.share_out();
        let head = owned.head;
        let mut commit = std::mem::take(&mut owned.committing.prepared);
        let looking: Vec<_> = owned.touched.union(&owned.own_position).copied().collect();
        owned.touched.clear();
        for index in looking {
            let Some(lane) = owned.lane_mut(index) else { continue };
            let change = lane.take_changes(scanned, head);
            let (shares, ahead) = (lane.shares_position(), lane.has_ahead());
            if shares {
                owned.own_position.remove(&index);
            } else {
                owned.own_position.insert(index);
            }
            if ahead {
                owned.touched.insert(index);
            }
            if let Some(change) = change {
                let name = self.gates[index.0].destination.name.clone();
                merge(commit.lanes.entry(name).or_default(), change);
            }
        }
        commit.scanned = (scanned != owned.scanned).then_some(scanned);
        owned.scanned = scanned;
        commit.dead_letters = std::mem::take(&mut owned.tally.dead_letters);
        owned.committing.unsaved = std::mem::take(&mut owned.tally.unsaved);
        commit.redriven = std::mem::take(&mut owned.tally.redriven);
        commit.quarantined = std::mem::take(&mut owned.tally.quarantined);
        owned.committing.dirty = is_held_back;
        (!commit.is_empty()).then_some(commit)
    }

    pub(super) fn committed(&mut self, partition: Partition, now: Timestamp) {
        let Some(owned) = self.partitions.get_mut(&partition) else { return };
        owned.committing.in_flight = None;
        for (destination, key) in std::mem::take(&mut owned.committing.unsaved) {
            self.with_lane(partition, destination, now, |lane, cx| lane.saved(&key, cx));
        }
        self.unstall(partition);
        self.note_change(partition, now);
        self.finish_release(partition, now);
    }

    /// Attempts may start again that waited for a commit or for the lease.
    pub(super) fn unstall(&mut self, partition: Partition) {
        let Some(owned) = self.partitions.get_mut(&partition) else { return };
        for destination in std::mem::take(&mut owned.stalled) {
            self.queue_at_gate(partition, destination);
        }
    }

    pub(super) fn commit_failed(&mut self, partition: Partition, now: Timestamp) {
        if let Some(owned) = self.partitions.get_mut(&partition) {
            let at = now.after(RECOMMIT_AFTER);
            owned.committing.again = Some(at);
            self.timers.set(at, Timer::Recommit(partition));
        }
    }

    pub(super) fn recommit(&mut self, partition: Partition, now: Timestamp) {
        let Some(owned) = self.partitions.get_mut(&partition) else { return };
        // A timer of an earlier ownership: two copies of one commit on their way at once could leave
        // the older state behind a newer one.
        if owned.committing.again.is_none_or(|at| at > now) {
            return;
        }
        owned.committing.again = None;
        if let Some((commit, _)) = &owned.committing.in_flight {
            self.outputs.push_back(Output::Commit { partition, commit: commit.clone() });
        }
    }

    pub(super) fn release(&mut self, partition: Partition, now: Timestamp) {
        if let Some(owned) = self.partitions.get_mut(&partition) {
            owned.releasing = true;
            self.finish_release(partition, now);
        }
    }

    /// Lets a partition go once nothing is in flight and everything is committed.
    pub(super) fn finish_release(&mut self, partition: Partition, now: Timestamp) {
        let Some(owned) = self.partitions.get(&partition).filter(|owned| owned.releasing) else { return };
        if owned.attempts > 0 || owned.committing.in_flight.is_some() {
            return self.note_change(partition, now);
        }
        let lanes: Vec<_> = owned.on_track.iter().copied().collect();
        for destination in lanes {
            if let Some((lane, mut cx)) = self.lane_cx(partition, destination, now) {
                lane.wind_down(&mut cx);
            }
            if let Some(owned) = self.partitions.get_mut(&partition) {
                owned.touch(destination);
            }
        }
        self.commit(partition, now);
        if self.partitions.get(&partition).is_some_and(|owned| owned.committing.in_flight.is_none()) {
            self.lost(partition);
            self.outputs.push_back(Output::Released(partition));
        }
    }
}

/// Adds what changed later to what changed before.
fn merge(before: &mut LaneChange, later: LaneChange) {
    before.position = later.position.or(before.position);
    if later.paused.is_some() {
        before.paused = later.paused;
    }
    before.behind.extend(later.behind);
}
