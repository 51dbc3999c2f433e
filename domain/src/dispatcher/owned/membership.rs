//! Which destinations have a lane here: at a claim, and when one comes, leaves or goes.

use super::OwnedPartition;
use crate::destination::{DestinationIndex, DestinationName, Ordering, StartFrom};
use crate::dispatcher::shared::Shared;
use crate::io::Notice;
use crate::lane::Lane;
use crate::lane_key::LaneKey;
use crate::partition::{Offset, Partition};
use crate::progress::{Behind, LaneProgress, PartitionProgress, Position, ReplayProgress};
use crate::revision::Revision;
use crate::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
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
            owned.serve_lane(index.into(), shared);
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
        let mut progress = self.unconfigured.remove(&name).unwrap_or_else(|| {
            let start = self.start(born, from, end);
            let change = self.commits.prepare(&name);
            change.position = Some(start.position);
            change.born = (born != Revision::ORIGIN).then_some(born);
            start
        });
        self.restore_replays(index, &mut progress, shared);
        self.expiry.restore(&name, std::mem::take(&mut progress.expiry));
        let unsaved = self.commits.unsaved_of(shared.destinations.get(index));
        let idle = LaneProgress { born, ..LaneProgress::default() };
        // Where it is where the others are, with nothing under way, it needs no lane.
        if progress != idle || !unsaved.is_empty() {
            if let Some(pause) = &progress.paused {
                shared.destinations.gate_mut(index).pause.get_or_insert_with(|| pause.clone());
            }
            self.restore_lane(index, progress, unsaved, shared);
        }
        self.start_replays(index, shared);
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
        let Sorted { at, kept, dropped } = Sorted::of(progress.behind, shared.destinations.get(index).ordering, stored);
        let mut lane = self.new_lane(index, at, None, shared);
        let stands_apart = at != stored || progress.position != Position::Shared;
        if stands_apart {
            lane.stands_at(stored);
        }
        let reads_behind = at < self.head;
        if reads_behind {
            lane.detach(at);
        }
        lane.restore_paused(progress.paused);
        lane.forget_keys(dropped.into_iter());
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

    /// Makes the lane of a replay that says this number, where its record says. It is not among the others yet.
    pub(super) fn lane_of_replay(
        &mut self,
        index: DestinationIndex,
        progress: ReplayProgress,
        shared: &mut Shared,
    ) -> Lane {
        let ReplayProgress { spec, mark, behind } = progress;
        let stored = mark.scanned;
        let Sorted { at, kept, dropped } = Sorted::of(behind, shared.destinations.get(index).ordering, stored);
        let mut lane = self.new_lane(index, at, Some(mark.number), shared);
        lane.waits_since_again(Offset(u64::MAX), spec.asked_at);
        lane.stands_at(stored);
        lane.detach(at);
        lane.forget_keys(dropped.into_iter());
        let mut cx = shared.context(index, &mut self.commits.uncommitted);
        for (key, behind) in kept {
            lane.restore(&key, behind, self.head, &mut cx);
        }
        lane
    }

    /// Takes a destination's lane out; its progress stays.
    pub(super) fn remove_lane(&mut self, index: DestinationIndex, shared: &mut Shared) {
        let mut replays = LaneProgress::default();
        self.take_replays(index, &mut replays, shared);
        if let Some((lane, mut cx)) = self.lane_with_context(index.into(), shared) {
            lane.wind_down(&mut cx);
        }
        self.lanes.is_member(false);
        let destination = shared.destinations.get(index);
        let (name, born) = (destination.name.clone(), destination.born);
        let (expiry, is_news) = self.take_expiry(&name);
        let change = self.commits.prepare(&name);
        let mut progress = match self.lanes.remove(index) {
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
        progress.expiry = expiry;
        if is_news {
            change.expiry = Some(expiry);
        }
        change.position = Some(progress.position);
        (progress.replays, progress.last_replay) = (replays.replays, replays.last_replay);
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

/// The keys behind of a stored record, as far as they are of the ordering that there is now.
struct Sorted {
    /// From where on the lane has to look.
    at: Offset,
    kept: Vec<(LaneKey, Behind)>,
    /// Those whose records say nothing any more.
    dropped: Vec<LaneKey>,
}

impl Sorted {
    /// Of a lane that stands at `stored`. Under another ordering the records of keys do not apply: the lane goes back
    /// to the first of them, so that some events come again, and none is missed.
    fn of(behind: BTreeMap<LaneKey, Behind>, ordering: Ordering, stored: Offset) -> Self {
        let settled = |key: &LaneKey, at: Offset| matches!(key, LaneKey::Event(offset) if at > *offset);
        let (done, behind): (Vec<_>, Vec<_>) =
            behind.into_iter().partition(|(key, behind)| settled(key, behind.offset));
        let (kept, foreign): (Vec<_>, Vec<_>) = behind.into_iter().partition(|(key, _)| ordering.has(key));
        let at = foreign.iter().map(|(_, behind)| behind.offset).fold(stored, Offset::min);
        let dropped = foreign.into_iter().chain(done).map(|(key, _)| key).collect();
        Self { at, kept, dropped }
    }
}
