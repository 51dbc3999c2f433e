//! Which destinations have a lane here: at a claim, and when the configuration changes.

use super::OwnedPartition;
use crate::destination::{DestinationIndex, DestinationName, StartFrom};
use crate::dispatcher::destinations::Changes;
use crate::dispatcher::shared::Shared;
use crate::io::Notice;
use crate::lane_key::LaneKey;
use crate::partition::{Offset, Partition};
use crate::progress::{LaneProgress, PartitionProgress, Position};
use crate::time::Timestamp;
use std::ops::Range;

impl OwnedPartition {
    /// This process owns the partition from now on, and works for all destinations that are configured.
    pub(in crate::dispatcher) fn claim(
        partition: Partition,
        progress: PartitionProgress,
        log: &Range<Offset>,
        until: Timestamp,
        shared: &mut Shared,
    ) -> Self {
        let scanned = progress.scanned.min(log.end);
        let mut owned = Self::new(partition, shared.next_id(), scanned, log.clone(), until);
        owned.is_new = progress.lanes.is_empty();
        owned.unconfigured = progress.lanes;
        let configured: Vec<_> = shared.destinations.configured().collect();
        for index in configured {
            owned.add_lane(index, shared);
        }
        owned.is_new = false;
        owned.keep_unconfigured(shared);
        owned.serve_all(shared);
        owned.redrive(&progress.redrives, shared);
        owned
    }

    /// The configuration has changed.
    pub(in crate::dispatcher) fn configure(&mut self, changes: &Changes, shared: &mut Shared) {
        for index in changes.removed.iter().chain(&changes.reordered) {
            self.remove_lane(*index, shared);
        }
        for index in changes.added.iter().chain(&changes.reordered) {
            self.add_lane(*index, shared);
        }
        self.serve_all(shared);
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

    fn serve_all(&mut self, shared: &mut Shared) {
        for index in self.lanes.indices() {
            self.serve_lane(index, shared);
        }
        self.note_change(shared);
        self.read_head(shared);
    }

    /// Adds a destination's lane, where its progress says or where it is to start.
    pub(super) fn add_lane(&mut self, index: DestinationIndex, shared: &mut Shared) {
        let destination = shared.destinations.get(index);
        let (name, from) = (destination.name.clone(), destination.from);
        self.lanes.is_configured(true);
        let progress = self.unconfigured.remove(&name).unwrap_or_else(|| {
            let start = self.start(from);
            self.commits.prepare(&name).position = Some(start.position);
            start
        });
        let unsaved = self.unsaved_of(index);
        if progress == LaneProgress::default() && unsaved.is_empty() {
            return; // Where the others are, with nothing under way.
        }
        if let Some(pause) = &progress.paused {
            shared.destinations.gate_mut(index).pause.get_or_insert_with(|| pause.clone());
        }
        self.restore_lane(index, progress, unsaved, shared);
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
        self.lanes.is_configured(false);
        let (name, born) = {
            let of = shared.destinations.get(index);
            (of.name.clone(), of.born)
        };
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
    fn start(&self, from: StartFrom) -> LaneProgress {
        // Where no destination was ever known, nobody could have taken what is there.
        let begin = self.is_new || from == StartFrom::Beginning;
        let at = if begin { self.log_start } else { self.end };
        let is_shared = at == self.commits.scanned && at == self.head;
        let position = if is_shared { Position::Shared } else { Position::At(at) };
        LaneProgress { position, ..LaneProgress::default() }
    }
}
