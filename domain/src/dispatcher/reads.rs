//! Reading the log: once for all lanes that keep up, and for each that does not.

use super::{Dispatcher, PartitionLanes};
use crate::lane::{DestinationIndex, Fetch};
use crate::timers::Timer;
use crate::{LaneKey, LoggedEvent, Notice, Offset, Output, Partition, Quarantined, ReadId, Redrive, Timestamp};
use std::sync::Arc;
use std::time::Duration;

/// How long after a read failed it is made again. The shell has logged why.
const REREAD_AFTER: Duration = Duration::from_millis(250);
/// Bytes of one read that fetches a key's next events: small, because many keys may be at it.
const FETCH_BYTES: usize = 64 << 10;
/// How many unreadable records of a partition are remembered as reported: 32 KiB. More are a damaged disk,
/// of which repeated reports are the least trouble.
const MAX_REMEMBERED_QUARANTINED: usize = 4096;

/// A read under way.
#[derive(Clone, Debug)]
pub(super) struct Read {
    partition: Partition,
    /// The ownership or the lane that asked; a later one of the same name must not get the answer.
    asked_by: u64,
    from: Offset,
    /// Where the log ended when it was asked. An answer with nothing says nothing of what came after.
    end: Offset,
    most: usize,
    most_bytes: usize,
    purpose: Purpose,
}

#[derive(Clone, Debug)]
enum Purpose {
    /// For all attached lanes.
    Head,
    /// For a lane that reads for itself.
    Lane(DestinationIndex),
    /// For the keys of a lane that are behind and not remembered.
    Scan(DestinationIndex),
    /// For a key whose turn it is.
    Fetch(DestinationIndex, LaneKey),
    /// The same, of a dead letter.
    DeadLetter(DestinationIndex, LaneKey),
}

impl Dispatcher {
    pub(super) fn grew(&mut self, partition: Partition, end: Offset) {
        if let Some(owned) = self.partitions.get_mut(&partition) {
            owned.end = owned.end.max(end);
            self.read_head(partition);
            self.read_detached(partition);
        }
    }

    /// Reads on for the attached lanes, if there is more and someone to read it for.
    pub(super) fn read_head(&mut self, partition: Partition) {
        let Some(owned) = self.partitions.get_mut(&partition) else { return };
        let attached = owned.configured > owned.detached;
        if owned.head_reading || owned.releasing || !attached || owned.head >= owned.end {
            return;
        }
        owned.head_reading = true;
        let from = owned.head;
        self.read_chunk(partition, from, Purpose::Head);
    }

    /// Lanes that had reached the log's end may read on.
    fn read_detached(&mut self, partition: Partition) {
        let Some(owned) = self.partitions.get(&partition) else { return };
        if owned.detached == 0 {
            return;
        }
        let lanes: Vec<DestinationIndex> = owned.own_position.iter().copied().collect();
        for destination in lanes {
            self.read_own(partition, destination);
        }
    }

    fn read_own(&mut self, partition: Partition, destination: DestinationIndex) {
        let Some(owned) = self.partitions.get_mut(&partition) else { return };
        if owned.releasing || self.gates[destination.0].is_paused() {
            return;
        }
        let end = owned.end;
        // Ahead of the shared reader, as it may be after all have read for themselves, it waits to be overtaken.
        let (head, is_shared) = (owned.head, owned.detached < owned.configured);
        if is_shared && owned.lane(destination).is_some_and(|lane| lane.looked_up_to(head) >= head) {
            return;
        }
        let Some((lane, cx)) = self.lane_cx(partition, destination, Timestamp::ZERO) else { return };
        if let Some(from) = lane.next_read(end, &cx) {
            self.read_chunk(partition, from, Purpose::Lane(destination));
        }
    }

    fn read_chunk(&mut self, partition: Partition, from: Offset, purpose: Purpose) {
        let (most, most_bytes) = (self.settings.read_events, self.settings.read_bytes);
        self.start_read(partition, from, most, most_bytes, purpose);
    }

    fn start_read(&mut self, partition: Partition, from: Offset, most: usize, most_bytes: usize, purpose: Purpose) {
        let Some(asked_by) = self.asker(partition, &purpose) else { return };
        let Some(end) = self.partitions.get(&partition).map(|owned| owned.end) else { return };
        let id = ReadId(self.next_id());
        self.reads.insert(id, Read { partition, asked_by, from, end, most, most_bytes, purpose });
        self.reread(id);
    }

    /// Asks for a read, for the first time or again.
    pub(super) fn reread(&mut self, id: ReadId) {
        let Some(read) = self.reads.get(&id) else { return };
        let Read { partition, from, most, most_bytes, ref purpose, .. } = *read;
        self.outputs.push_back(match purpose {
            Purpose::DeadLetter(destination, _) => {
                let destination = self.destination(*destination).name.clone();
                Output::ReadDeadLetter { read: id, partition, offset: from, destination }
            }
            _ => Output::Read { read: id, partition, from, most, most_bytes },
        });
    }

    pub(super) fn read_failed(&mut self, id: ReadId, now: Timestamp) {
        let Some(read) = self.reads.get(&id) else { return };
        if self.asker(read.partition, &read.purpose) == Some(read.asked_by) {
            self.timers.set(now.after(REREAD_AFTER), Timer::Reread(id));
        } else {
            self.reads.remove(&id);
        }
    }

    /// What a lane needs read, as far as it may go on.
    pub(super) fn read_for_lane(&mut self, partition: Partition, destination: DestinationIndex, now: Timestamp) {
        if self.partitions.get(&partition).is_none_or(|owned| owned.releasing) {
            return;
        }
        while let Some(fetch) = self.next_fetch(partition, destination, now) {
            match fetch {
                Fetch::Log { key, from, most } => {
                    self.start_read(partition, from, most, FETCH_BYTES, Purpose::Fetch(destination, key));
                }
                Fetch::DeadLetter { key, offset } => {
                    self.start_read(partition, offset, 1, FETCH_BYTES, Purpose::DeadLetter(destination, key));
                }
            }
        }
        let lane = self.partitions.get_mut(&partition).and_then(|owned| owned.lane_mut(destination));
        if let Some(from) = lane.and_then(crate::lane::Lane::next_scan) {
            self.read_chunk(partition, from, Purpose::Scan(destination));
        }
        self.read_own(partition, destination);
    }

    fn next_fetch(&mut self, partition: Partition, destination: DestinationIndex, now: Timestamp) -> Option<Fetch> {
        let (lane, mut cx) = self.lane_cx(partition, destination, now)?;
        lane.next_fetch(&mut cx)
    }

    fn asker(&self, partition: Partition, purpose: &Purpose) -> Option<u64> {
        let owned = self.partitions.get(&partition)?;
        match purpose {
            Purpose::Head => Some(owned.incarnation),
            Purpose::Lane(of) | Purpose::Scan(of) | Purpose::Fetch(of, _) | Purpose::DeadLetter(of, _) => {
                owned.lane(*of).map(|lane| lane.id)
            }
        }
    }

    /// The read that has ended, if whoever asked is still there.
    fn take_read(&mut self, id: ReadId) -> Option<Read> {
        let read = self.reads.remove(&id)?;
        (self.asker(read.partition, &read.purpose) == Some(read.asked_by)).then_some(read)
    }

    pub(super) fn read_ended(
        &mut self,
        id: ReadId,
        events: &[Arc<LoggedEvent>],
        corrupt: Vec<Quarantined>,
        next: Offset,
        now: Timestamp,
    ) {
        let Some(read) = self.take_read(id) else { return };
        let partition = read.partition;
        // Nothing new although there should be: what the log promised is gone.
        let reached = if next > read.from { next } else { read.end };
        match read.purpose {
            Purpose::Head => {
                self.quarantine(partition, corrupt);
                self.head_ended(partition, events, reached, now);
            }
            Purpose::Lane(destination) => {
                self.quarantine(partition, corrupt);
                self.lane_read_ended(partition, destination, events, reached, now);
            }
            Purpose::Scan(destination) => {
                // After a restart a scan may be the only one that comes by here: what is wanted below
                // the shared position is wanted by keys behind.
                self.quarantine(partition, corrupt);
                let Some(head) = self.partitions.get(&partition).map(|owned| owned.head) else { return };
                let filter = self.destination(destination).filter.clone();
                let wanted = events.iter().map(AsRef::as_ref).filter(|event| filter.wants(&event.event));
                self.with_lane(partition, destination, now, |lane, cx| lane.scanned(wanted, reached, head, cx));
            }
            Purpose::Fetch(destination, key) => {
                self.quarantine(partition, corrupt);
                // Nothing there, although the log has grown beyond it: it is gone.
                let range = read.from..next.max(read.from.next());
                self.with_lane(partition, destination, now, |lane, cx| lane.fetched(&key, events, range, cx));
            }
            Purpose::DeadLetter(..) => {}
        }
    }

    /// The shared reader has come to `next`.
    fn head_ended(&mut self, partition: Partition, events: &[Arc<LoggedEvent>], next: Offset, now: Timestamp) {
        let mut wanted = std::mem::take(&mut self.wanted);
        let mut served = std::collections::BTreeSet::new();
        for event in events {
            self.filters.wanted_by(&event.event, &mut wanted);
            for &destination in &wanted {
                self.offer_from_head(partition, destination, event, now);
                served.insert(destination);
            }
        }
        wanted.clear();
        self.wanted = wanted;
        let Some(owned) = self.partitions.get_mut(&partition) else { return };
        owned.head_reading = false;
        owned.head = owned.head.max(next);
        owned.committing.dirty = true;
        for destination in served {
            self.serve_lane(partition, destination, now);
        }
        self.attach_lanes(partition, now);
        self.note_change(partition, now);
        self.read_head(partition);
        self.read_detached(partition);
    }

    fn offer_from_head(
        &mut self,
        partition: Partition,
        destination: DestinationIndex,
        event: &Arc<LoggedEvent>,
        now: Timestamp,
    ) {
        self.make_lane(partition, destination);
        let Some((lane, mut cx)) = self.lane_cx(partition, destination, now) else { return };
        if !lane.is_attached() {
            return;
        }
        let taken = lane.offer(event, &mut cx);
        if !taken {
            lane.detach(event.offset);
        }
        let Some(owned) = self.partitions.get_mut(&partition) else { return };
        if !taken {
            owned.detached += 1;
            owned.own_position.insert(destination);
        }
        owned.touch(destination);
    }

    /// A lane that reads for itself has got its chunk.
    fn lane_read_ended(
        &mut self,
        partition: Partition,
        destination: DestinationIndex,
        events: &[Arc<LoggedEvent>],
        next: Offset,
        now: Timestamp,
    ) {
        let filter = self.destination(destination).filter.clone();
        let Some(owned) = self.partitions.get(&partition) else { return };
        // Where the shared reader moves, it takes over at its position.
        let limit = if owned.detached < owned.configured { owned.head } else { Offset(u64::MAX) };
        let Some((lane, mut cx)) = self.lane_cx(partition, destination, now) else { return };
        let from = lane.read_ended();
        let mut reached = next.min(limit).max(from);
        let ours =
            |event: &&Arc<LoggedEvent>| event.offset >= from && event.offset < limit && filter.wants(&event.event);
        for event in events.iter().filter(ours) {
            if !lane.offer(event, &mut cx) {
                reached = event.offset;
                break;
            }
        }
        lane.advance(reached);
        if let Some(owned) = self.partitions.get_mut(&partition) {
            owned.touch(destination);
        }
        self.attach_lanes(partition, now);
        self.serve_lane(partition, destination, now);
    }

    /// Attaches lanes that have come as far as the shared reader, or it to them: while no lane is
    /// attached, it stands still, and the foremost lane takes it along.
    fn attach_lanes(&mut self, partition: Partition, now: Timestamp) {
        let Some(owned) = self.partitions.get_mut(&partition) else { return };
        if owned.detached == 0 {
            return;
        }
        let mut head = owned.head;
        if owned.detached == owned.configured && !owned.head_reading {
            let positions = owned.own_position.iter().filter_map(|index| owned.lane(*index));
            head =
                positions.filter(|lane| !lane.is_attached()).map(|lane| lane.looked_up_to(head)).max().unwrap_or(head);
            owned.head = owned.head.max(head);
        }
        let reached = |owned: &PartitionLanes, index: &DestinationIndex| {
            let lane = owned.lane(*index)?;
            (!lane.is_attached() && lane.looked_up_to(owned.head) == owned.head && !lane.is_reading()).then_some(*index)
        };
        let attaching: Vec<DestinationIndex> =
            owned.own_position.iter().filter_map(|index| reached(owned, index)).collect();
        for destination in &attaching {
            if let Some(lane) = owned.lane_mut(*destination) {
                lane.attach();
                owned.detached -= 1;
                owned.touch(*destination);
            }
        }
        if !attaching.is_empty() {
            self.note_change(partition, now);
            self.read_head(partition);
        }
    }

    fn quarantine(&mut self, partition: Partition, records: Vec<Quarantined>) {
        let Some(owned) = self.partitions.get_mut(&partition) else { return };
        for record in records {
            if owned.quarantined.contains(&record.offset) {
                continue;
            }
            // Beyond the bound some are reported again; the store keeps each once all the same.
            if owned.quarantined.len() < MAX_REMEMBERED_QUARANTINED {
                owned.quarantined.insert(record.offset);
            }
            owned.committing.dirty = true;
            self.notices.push_back(Notice::Quarantined { partition, record: record.clone() });
            owned.tally.quarantined.push(record);
        }
    }

    pub(super) fn dead_letter_read(&mut self, id: ReadId, event: Option<Arc<LoggedEvent>>, now: Timestamp) {
        let Some(read) = self.take_read(id) else { return };
        if let Purpose::DeadLetter(destination, key) = read.purpose {
            let fetched = |lane: &mut crate::lane::Lane, cx: &mut crate::lane::Context<'_>| {
                lane.fetched_dead_letter(&key, event, cx);
            };
            self.with_lane(read.partition, destination, now, fetched);
        }
    }

    pub(super) fn redrive(&mut self, partition: Partition, requests: &[Redrive], now: Timestamp) {
        for request in requests {
            let Some(&destination) = self.names.get(&request.destination) else { continue };
            if !self.configured.contains(&destination) {
                continue;
            }
            self.make_lane(partition, destination);
            self.with_lane(partition, destination, now, |lane, cx| lane.redrive(&request.key, request.offset, cx));
        }
    }
}
