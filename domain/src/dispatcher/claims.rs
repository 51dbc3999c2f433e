//! Which partitions and destinations there are: taking them on and letting them go.

use super::{Dispatcher, PartitionLanes};
use crate::gate::Gate;
use crate::lane::{DestinationIndex, Lane};
use crate::{
    Destination, DestinationName, FilterIndex, LaneKey, LaneProgress, Notice, Offset, Partition, PartitionProgress,
    Position, StartFrom, Timestamp,
};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

impl Dispatcher {
    /// The destinations are these from now on.
    pub(super) fn configure(&mut self, destinations: Vec<Destination>, now: Timestamp) {
        let before = std::mem::take(&mut self.configured);
        let mut reordered = Vec::new();
        for destination in destinations {
            let index = match self.names.get(&destination.name) {
                Some(&index) => {
                    if self.destination(index).ordering != destination.ordering && before.contains(&index) {
                        reordered.push(index);
                    }
                    self.gates[index.0].reconfigure(destination);
                    index
                }
                None => {
                    let index = DestinationIndex(self.gates.len());
                    self.names.insert(destination.name.clone(), index);
                    self.gates.push(Gate::new(destination));
                    index
                }
            };
            self.configured.insert(index);
            self.stirred.insert(index);
        }
        let filters = self.configured.iter().map(|index| (*index, &self.gates[index.0].destination.filter));
        self.filters = FilterIndex::new(filters);
        let removed: Vec<_> = before.difference(&self.configured).copied().collect();
        let added: Vec<_> = self.configured.difference(&before).copied().collect();
        let partitions: Vec<Partition> = self.partitions.keys().copied().collect();
        for partition in partitions {
            for &index in removed.iter().chain(&reordered) {
                self.remove_lane(partition, index, now);
            }
            for &index in added.iter().chain(&reordered) {
                self.add_lane(partition, index, now);
            }
            self.serve_configured(partition, now);
        }
    }

    /// This process owns the partition now.
    pub(super) fn claimed(
        &mut self,
        partition: Partition,
        progress: PartitionProgress,
        log: &Range<Offset>,
        until: Timestamp,
        now: Timestamp,
    ) {
        self.lost(partition);
        let incarnation = self.next_id();
        let mut owned = PartitionLanes::new(incarnation, progress.scanned.min(log.end), log.clone());
        owned.leased_until = until;
        owned.is_new = progress.lanes.is_empty();
        owned.unconfigured = progress.lanes;
        self.partitions.insert(partition, owned);
        let configured: Vec<_> = self.configured.iter().copied().collect();
        for index in configured {
            self.add_lane(partition, index, now);
        }
        if let Some(owned) = self.partitions.get_mut(&partition) {
            owned.is_new = false;
        }
        self.keep_unconfigured(partition);
        self.serve_configured(partition, now);
        self.redrive(partition, &progress.retry_requested, now);
    }

    /// The lease was prolonged: attempts that it had run out for may start.
    pub(super) fn renewed(&mut self, partition: Partition, until: Timestamp) {
        if let Some(owned) = self.partitions.get_mut(&partition) {
            owned.leased_until = owned.leased_until.max(until);
            self.unstall(partition);
        }
    }

    /// Destinations that left the configuration stay where they are, also when the others go on.
    fn keep_unconfigured(&mut self, partition: Partition) {
        let Some(owned) = self.partitions.get_mut(&partition) else { return };
        for (name, lane) in &mut owned.unconfigured {
            if lane.position == Position::Shared {
                lane.position = Position::At(owned.scanned);
                owned.committing.prepared.lanes.entry(name.clone()).or_default().position = Some(lane.position);
                owned.committing.dirty = true;
            }
            let (destination, waiting) = (name.clone(), lane.settled_below(owned.scanned).may_wait_until(owned.end));
            self.notices.push_back(Notice::Unconfigured { destination, partition, waiting });
        }
    }

    fn serve_configured(&mut self, partition: Partition, now: Timestamp) {
        let Some(owned) = self.partitions.get(&partition) else { return };
        let lanes: Vec<_> = owned.lanes().map(|lane| lane.destination).collect();
        for destination in lanes {
            self.serve_lane(partition, destination, now);
        }
        self.note_change(partition, now);
        self.read_head(partition);
    }

    /// Adds a destination's lane to a partition, where its progress says or where it is to start.
    pub(super) fn add_lane(&mut self, partition: Partition, index: DestinationIndex, now: Timestamp) {
        let (name, from) = (self.destination(index).name.clone(), self.destination(index).from);
        let Some(owned) = self.partitions.get_mut(&partition) else { return };
        owned.configured += 1;
        let known = owned.unconfigured.remove(&name);
        let is_known = known.is_some();
        let progress = known.unwrap_or_else(|| owned.start(from));
        if !is_known {
            let change = owned.committing.prepared.lanes.entry(name).or_default();
            change.position = Some(progress.position);
            owned.committing.dirty = true;
        }
        let unsaved = owned.unsaved_of(index);
        if progress == LaneProgress::default() && unsaved.is_empty() {
            return;
        }
        if let Some(pause) = &progress.paused {
            self.gates[index.0].pause.get_or_insert_with(|| pause.clone());
        }
        self.restore_lane(partition, index, progress, now);
        if let Some((lane, _)) = self.lane_cx(partition, index, now) {
            lane.hold(unsaved);
        }
    }

    fn restore_lane(&mut self, partition: Partition, index: DestinationIndex, progress: LaneProgress, now: Timestamp) {
        let (id, seed, ordering) = (self.next_id(), self.random.next(), self.destination(index).ordering);
        let former = self.in_flight_of_former(partition, index);
        let Some(owned) = self.partitions.get_mut(&partition) else { return };
        let stored = match progress.position {
            Position::Shared => owned.scanned,
            Position::At(offset) => offset.min(owned.end),
        };
        let probe = Lane::new(id, index, partition, ordering, stored, seed);
        // Under another ordering the records of keys do not apply. The lane goes back to the first
        // of them: some events come again, none is missed.
        let settled = |key: &LaneKey, at: Offset| matches!(key, LaneKey::Event(offset) if at > *offset);
        let (done, behind): (Vec<_>, Vec<_>) =
            progress.behind.into_iter().partition(|(key, behind)| settled(key, behind.offset));
        let (kept, foreign): (Vec<_>, Vec<_>) = behind.into_iter().partition(|(key, _)| probe.can_have(key));
        let at = foreign.iter().map(|(_, behind)| behind.offset).fold(stored, Offset::min);
        let mut lane = Lane::new(id, index, partition, ordering, at, seed);
        lane.follow(former);
        if at != stored || progress.position != Position::Shared {
            lane.stands_at(stored);
            owned.own_position.insert(index);
        }
        if at < owned.head {
            lane.detach(at);
            owned.detached += 1;
            owned.own_position.insert(index);
        }
        lane.restore_paused(progress.paused);
        lane.forget_keys(foreign.into_iter().chain(done).map(|(key, _)| key));
        owned.insert(lane);
        owned.touched.insert(index);
        let head = owned.head;
        let Some((lane, mut cx)) = self.lane_cx(partition, index, now) else { return };
        for (key, behind) in kept {
            lane.restore(&key, behind, head, &mut cx);
        }
    }

    /// Takes a destination's lane out of a partition; its progress stays.
    pub(super) fn remove_lane(&mut self, partition: Partition, index: DestinationIndex, now: Timestamp) {
        let name = self.destination(index).name.clone();
        if let Some((lane, mut cx)) = self.lane_cx(partition, index, now) {
            lane.wind_down(&mut cx);
        }
        let Some(owned) = self.partitions.get_mut(&partition) else { return };
        let head = owned.head;
        owned.configured -= 1;
        let mut progress = LaneProgress { position: Position::At(head), ..LaneProgress::default() };
        let removed = owned.remove(index);
        let change = owned.committing.prepared.lanes.entry(name.clone()).or_default();
        if let Some(mut lane) = removed {
            lane.discard(&mut self.memory);
            owned.detached -= usize::from(!lane.is_attached());
            lane.restate();
            progress = lane.progress(head);
            if let Some(last) = lane.take_changes(Offset(u64::MAX), head) {
                change.behind.extend(last.behind);
                change.paused = last.paused.or_else(|| change.paused.take());
            }
        }
        change.position = Some(progress.position);
        owned.committing.dirty = true;
        owned.unconfigured.insert(name, progress);
    }

    /// This process no longer owns the partition.
    pub(super) fn lost(&mut self, partition: Partition) {
        if let Some(owned) = self.partitions.remove(&partition) {
            for lane in owned.lanes() {
                lane.discard(&mut self.memory);
            }
        }
    }

    /// Lets go of a destination that is not configured.
    pub(super) fn forget(&mut self, name: &DestinationName) -> bool {
        let mut known = false;
        for owned in self.partitions.values_mut() {
            if owned.unconfigured.remove(name).is_some() {
                // What is prepared would bring it back into the store.
                owned.committing.prepared.lanes.remove(name);
                // And what is on its way, should it have to be sent again.
                if let Some((commit, _)) = &mut owned.committing.in_flight
                    && commit.lanes.contains_key(name)
                {
                    Arc::make_mut(commit).lanes.remove(name);
                }
                known = true;
            }
        }
        known
    }

    /// Ends a pause that Laneway has made.
    pub(super) fn resume(&mut self, name: &DestinationName, now: Timestamp) -> bool {
        let Some(&index) = self.names.get(name) else { return false };
        let gate = &mut self.gates[index.0];
        let was_stopped = gate.pause.take().is_some() || gate.breaker.is_open();
        gate.breaker.succeeded();
        self.stirred.insert(index);
        let partitions: BTreeSet<Partition> = self.partitions.keys().copied().collect();
        for partition in partitions {
            self.with_lane(partition, index, now, |lane, _| lane.set_paused(None));
        }
        was_stopped
    }
}

impl PartitionLanes {
    /// Keys of a destination whose dead letters are not in a stored commit, once for each.
    pub(super) fn unsaved_of(&self, destination: DestinationIndex) -> Vec<LaneKey> {
        let all = self.committing.unsaved.iter().chain(&self.tally.unsaved);
        all.filter(|(of, _)| *of == destination).map(|(_, key)| key.clone()).collect()
    }

    /// Where a destination that is not known starts.
    fn start(&self, from: StartFrom) -> LaneProgress {
        // Where no destination was ever known, nobody could have taken what is there.
        let begin = self.is_new || from == StartFrom::Beginning;
        let at = if begin { self.log_start } else { self.end };
        let position = if at == self.scanned && at == self.head { Position::Shared } else { Position::At(at) };
        LaneProgress { position, ..LaneProgress::default() }
    }
}
