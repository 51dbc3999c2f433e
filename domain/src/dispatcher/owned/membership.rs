//! Which destinations have a lane here: at a claim, and when one comes, leaves or goes.

use super::OwnedPartition;
use crate::destination::{DestinationIndex, DestinationName, StartFrom};
use crate::dispatcher::shared::Shared;
use crate::io::Notice;
use crate::lane_key::LaneKey;
use crate::partition::{Offset, Partition};
use crate::progress::{LaneProgress, PartitionProgress, Position};
use crate::revision::Revision;
use crate::time::Timestamp;
use std::collections::BTreeSet;
use std::ops::Range;

impl OwnedPartition {
    /// This process owns the partition from now on, and works for all destinations that there are. `gone`: those that
    /// were deleted since somebody worked on it.
    pub(in crate::dispatcher) fn claim(
        partition: Partition,
        progress: PartitionProgress,
        gone: &BTreeSet<DestinationName>,
        log: &Range<Offset>,
        until: Timestamp,
        shared: &mut Shared,
    ) -> Self {
        let scanned = progress.scanned.min(log.end);
        let mut owned = Self::new(partition, shared.next_id(), scanned, log.clone(), until);
        owned.is_new = progress.lanes.is_empty() && progress.cuts.last().is_none();
        owned.unconfigured = progress.lanes;
        owned.cuts = progress.cuts;
        for name in gone {
            owned.drop_progress(name);
        }
        let present: Vec<_> = shared.destinations.present().collect();
        for index in present {
            owned.admit(index, shared);
        }
        owned.keep_unconfigured(shared);
        for index in owned.lanes.indices() {
            owned.serve_lane(index, shared);
        }
        owned.follow(shared);
        owned.note_change(shared);
        owned.read_head(shared);
        owned.redrive(&progress.redrives, shared);
        owned
    }

    /// Destinations that left the configuration stay where they are, also when the others go on.
    fn keep_unconfigured(&mut self, shared: &mut Shared) {
        let (partition, scanned) = (self.partition, self.commits.scanned);
        for (name, lane) in &mut self.unconfigured {
            if lane.position == Position::Shared {
                lane.position = Position::At(scanned);
                self.commits.prepare(name).position = Some(lane.position);
            }
            let (destination, waiting) = (name.clone(), lane.settled_below(scanned).may_wait_until(self.end));
            shared.notice(Notice::Unconfigured { destination, partition, waiting });
        }
    }

    /// Adds a destination's lane, where its progress says or where it is to start: at `end`, or where the log begins.
    pub(super) fn add_lane(&mut self, index: DestinationIndex, end: Offset, shared: &mut Shared) {
        let destination = shared.destinations.get(index);
        let (name, born, from) = (destination.name.clone(), destination.born, destination.from);
        self.lanes.is_member(true);
        if !destination.is_kept {
            return self.add_unkept(index, &name, shared);
        }
        let progress = self.unconfigured.remove(&name).unwrap_or_else(|| {
            let start = self.start(born, from, end);
            let change = self.commits.prepare(&name);
            change.position = Some(start.position);
            change.born = (born != Revision::ORIGIN).then_some(born);
            start
        });
        let unsaved = self.commits.unsaved_of(shared.destinations.get(index));
        let idle = LaneProgress { born, ..LaneProgress::default() };
        if progress == idle && unsaved.is_empty() {
            return; // Where the others are, with nothing under way.
        }
        if let Some(pause) = &progress.paused {
            shared.destinations.gate_mut(index).pause.get_or_insert_with(|| pause.clone());
        }
        self.restore_lane(index, progress, unsaved, shared);
    }

    /// Adds the lane of a destination whose progress is not kept. A store may have some of an earlier version.
    fn add_unkept(&mut self, index: DestinationIndex, name: &DestinationName, shared: &mut Shared) {
        if self.unconfigured.contains_key(name) {
            self.drop_progress(name);
        }
        // Where the others are, with nothing under way, it needs no lane.
        if self.head != self.commits.scanned {
            let start = LaneProgress { position: Position::At(self.head), ..LaneProgress::default() };
            self.restore_lane(index, start, Vec::new(), shared);
        }
    }

    /// Makes a lane that goes on where its progress says. `unsaved`: the keys of its dead letters that are
    /// not in a stored commit yet.
    fn restore_lane(
        &mut self,
        index: DestinationIndex,
        progress: LaneProgress,
        unsaved: Vec<LaneKey>,
        shared: &mut Shared,
    ) {
        let stored = match progress.position {
            Position::Shared => self.commits.scanned,
            Position::At(offset) => offset.min(self.end),
        };
        // Under another ordering the records of keys do not apply. The lane goes back to the first
        // of them: some events come again, none is missed.
        let ordering = shared.destinations.get(index).ordering;
        let settled = |key: &LaneKey, at: Offset| matches!(key, LaneKey::Event(offset) if at > *offset);
        let (done, behind): (Vec<_>, Vec<_>) =
            progress.behind.into_iter().partition(|(key, behind)| settled(key, behind.offset));
        let (kept, foreign): (Vec<_>, Vec<_>) = behind.into_iter().partition(|(key, _)| ordering.has(key));
        let at = foreign.iter().map(|(_, behind)| behind.offset).fold(stored, Offset::min);
        let mut lane = self.new_lane(index, at, shared);
        let stands_apart = at != stored || progress.position != Position::Shared;
        if stands_apart {
            lane.stands_at(stored);
        }
        let reads_behind = at < self.head;
        if reads_behind {
            lane.detach(at);
        }
        lane.restore_paused(progress.paused);
        lane.forget_keys(foreign.into_iter().chain(done).map(|(key, _)| key));
        let mut cx = shared.context(index, &mut self.commits.uncommitted);
        for (key, behind) in kept {
            lane.restore(&key, behind, self.head, &mut cx);
        }
        lane.hold(unsaved);
        if stands_apart || reads_behind {
            self.lanes.insert_apart(lane);
        } else {
            self.lanes.insert(lane);
        }
        self.lanes.touch(index);
    }

    /// Takes a destination's lane out; its progress stays.
    pub(super) fn remove_lane(&mut self, index: DestinationIndex, shared: &mut Shared) {
        if let Some((lane, mut cx)) = self.lane_with_context(index, shared) {
            lane.wind_down(&mut cx);
        }
        self.lanes.is_member(false);
        let destination = shared.destinations.get(index);
        let (name, born) = (destination.name.clone(), destination.born);
        let change = self.commits.prepare(&name);
        let progress = match self.lanes.remove(index) {
            None => LaneProgress { born, position: Position::At(self.head), ..LaneProgress::default() },
            Some(mut lane) => {
                lane.discard(&mut shared.memory);
                lane.restate();
                let progress = lane.progress(self.head, born);
                if let Some(last) = lane.take_changes(Offset(u64::MAX), self.head) {
                    change.behind.extend(last.behind);
                    change.paused = last.paused.or_else(|| change.paused.take());
                }
                progress
            }
        };
        change.position = Some(progress.position);
        self.unconfigured.insert(name, progress);
    }

    /// Lets go of a destination that is not configured. `false` if it is not known here.
    pub(in crate::dispatcher) fn forget(&mut self, name: &DestinationName) -> bool {
        let known = self.unconfigured.remove(name).is_some();
        if known {
            self.commits.forget(name);
        }
        known
    }

    /// Where a destination that is not known starts.
    fn start(&self, born: Revision, from: StartFrom, end: Offset) -> LaneProgress {
        // Where no destination was ever known, nobody could have taken what is there. Of those that were made by a
        // change the registry knows which was the first: partitions may hear of several at a time.
        let begin = from == StartFrom::Beginning || (self.is_new && born == Revision::ORIGIN);
        let at = if begin { self.log_start } else { end };
        let is_shared = at == self.commits.scanned && at == self.head;
        let position = if is_shared { Position::Shared } else { Position::At(at) };
        LaneProgress { born, position, ..LaneProgress::default() }
    }
}
