//! Reading for lanes that do not keep up with the shared reader: each has a position of its own, and keys that are
//! behind are looked for from another one.
//!
//! One read serves all that want it. Lanes of a tenant that are to read from the same offset ask for it once, and
//! whoever waits for a read from the first half of the range that another one has brought gets it from there. So lanes
//! that are behind meet, and go on together: thousands of dead endpoints read a log little more often than one does.

use super::OwnedPartition;
use super::following::Judge;
use crate::destination::DestinationIndex;
use crate::dispatcher::shared::Shared;
use crate::dispatcher::under_way::{Purpose, Read};
use crate::event::LoggedEvent;
use crate::partition::Offset;
use crate::shares::GroupIndex;
use crate::way::{LaneAt, Way};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

/// What is read for lanes that are behind.
#[derive(Debug, Default)]
pub(super) struct CatchingUp {
    /// The reads that were asked for, in whose share and from where on, and have not ended.
    asked: BTreeSet<(GroupIndex, Offset)>,
    /// The catch-up scans that wait for a read: from where on, and of which lane ([`crate::lane::Lane::id`]). Some
    /// lanes have gone since.
    scans: BTreeMap<(Offset, u64), LaneAt>,
}

impl CatchingUp {
    fn scans_within(&self, range: Range<Offset>) -> impl Iterator<Item = (Offset, u64, LaneAt)> {
        self.scans.range((range.start, 0)..(range.end, 0)).map(|((from, id), at)| (*from, *id, *at))
    }

    pub(super) fn has_asked(&self, group: GroupIndex, from: Offset) -> bool {
        self.asked.contains(&(group, from))
    }

    pub(super) fn has_scan(&self, from: Offset, lane: u64) -> bool {
        self.scans.contains_key(&(from, lane))
    }

    pub(super) const fn asked(&self) -> &BTreeSet<(GroupIndex, Offset)> {
        &self.asked
    }
}

impl OwnedPartition {
    /// Reads on for a lane that reads for itself, if it may.
    pub(super) fn read_behind(&mut self, index: DestinationIndex, shared: &mut Shared) {
        let appetite = shared.destinations.gate(index).appetite();
        let (head, end, is_shared) = (self.head, self.end.min(self.judged_below()), self.lanes.attached() > 0);
        let (lane, cx) = self.known_lane(index.into(), shared);
        // Ahead of the shared reader, as it may be after all have read for themselves, it waits to be overtaken.
        if is_shared && lane.looked_up_to(head) >= head {
            return;
        }
        if let Some(from) = lane.next_read(end, appetite, &cx) {
            self.ask_from(from, index, shared);
        }
    }

    /// Begins or goes on with a lane's catch-up scan, if it needs one.
    pub(super) fn scan_behind(&mut self, at: LaneAt, shared: &mut Shared) {
        let Some(lane) = self.find_lane_mut(at) else { return }; // Nothing is under way.
        if let Some(from) = lane.next_scan() {
            let id = lane.id;
            self.catching_up.scans.insert((from, id), at);
            self.ask_from(from, at.destination, shared);
        }
    }

    /// Asks for what comes from there on, unless somebody of the same group has.
    fn ask_from(&mut self, from: Offset, asking: DestinationIndex, shared: &mut Shared) {
        let group = shared.destinations.gate(asking).group;
        if self.catching_up.asked.insert((group, from)) {
            self.read_chunk(from, self.incarnation, Purpose::CatchUp(group), shared);
        }
    }

    /// Whether a lane of the group waits for a read from there on.
    pub(super) fn is_awaited_by(&self, group: GroupIndex, from: Offset, shared: &Shared) -> bool {
        let is_of = |index: DestinationIndex| shared.destinations.gate(index).group == group;
        let mut scans = self.catching_up.scans_within(from..from.next());
        self.lanes.reading_within(from..from.next()).any(is_of)
            || scans.any(|(_, id, at)| self.lane_with_id(at.destination, id).is_some() && is_of(at.destination))
    }

    /// A read has ended, or will not be made, as nobody waits for it any more.
    pub(in crate::dispatcher) fn forget_read(&mut self, read: &Read) {
        if let Purpose::CatchUp(group) = read.purpose
            && read.asked_by == self.incarnation
        {
            let was_asked = self.catching_up.asked.remove(&(group, read.from));
            assert!(was_asked, "a read from {} that lanes asked for is known", read.from);
            let scans: Vec<_> = self.catching_up.scans_within(read.from..read.from.next()).collect();
            for (from, id, at) in scans {
                if self.lane_with_id(at.destination, id).is_none() {
                    self.catching_up.scans.remove(&(from, id));
                }
            }
        }
    }

    /// All that the log has from `from` up to `next` was read for lanes that are behind.
    pub(super) fn caught_up(&mut self, from: Offset, events: &[Arc<LoggedEvent>], next: Offset, shared: &mut Shared) {
        // Whoever would get less than half of it waits for its own; and a read is for nobody when who asked has gone on
        // with another one. Else those under way, each from a little further on, would push lanes that have met along
        // bit by bit.
        let until = Offset(from.0 + next.0.saturating_sub(from.0) / 2).next();
        let mut scans: Vec<_> = self.catching_up.scans_within(from..until).collect();
        for (from, id, _) in &scans {
            self.catching_up.scans.remove(&(*from, *id));
        }
        scans.retain(|(_, id, at)| self.lane_with_id(at.destination, *id).is_some());
        let reading: Vec<_> = self.lanes.reading_within(from..until).collect();
        let wanted = self.wanted_by_each(&scans, &reading, from, events, shared);
        for (from, _, at) in &scans {
            self.scan_ended(*at, *from, events, next, &wanted, shared);
        }
        self.lanes_have_read(&reading, events, next, &wanted, shared);
        self.attach_lanes(shared);
        // Each once, when all have what is theirs: it may make a commit.
        let served: BTreeSet<_> =
            scans.iter().map(|(_, _, at)| *at).chain(reading.into_iter().map(LaneAt::from)).collect();
        for at in served {
            self.serve_lane(at, shared);
        }
    }

    /// What each of these lanes wants of the events, as far as the index of filters can tell: it knows the filters as
    /// they stand now. For a single lane it is not worth while.
    fn wanted_by_each<'e>(
        &mut self,
        scans: &[(Offset, u64, LaneAt)],
        reading: &[DestinationIndex],
        from: Offset,
        events: &'e [Arc<LoggedEvent>],
        shared: &Shared,
    ) -> BTreeMap<DestinationIndex, Vec<&'e Arc<LoggedEvent>>> {
        let mut by_lane = BTreeMap::new();
        if scans.len() + reading.len() > 1 {
            let stands = self.cuts.revision_at(from);
            let scanning = scans.iter().filter(|(_, _, at)| at.way == Way::Live).map(|(_, _, at)| at.destination);
            let known = scanning.chain(reading.iter().copied());
            let known = known.filter(|index| stands >= shared.destinations.get(*index).filters.since);
            by_lane.extend(known.map(|index| (index, Vec::new())));
        }
        if by_lane.is_empty() {
            return by_lane;
        }
        for event in events {
            shared.destinations.wanted_by(&event.event, &mut self.wanted);
            for index in &self.wanted {
                if let Some(wanted) = by_lane.get_mut(index) {
                    wanted.push(event);
                }
            }
        }
        self.wanted.clear();
        by_lane
    }

    /// A lane's scan from `from` on has got what was read.
    fn scan_ended(
        &mut self,
        at: LaneAt,
        from: Offset,
        events: &[Arc<LoggedEvent>],
        next: Offset,
        wanted: &BTreeMap<DestinationIndex, Vec<&Arc<LoggedEvent>>>,
        shared: &mut Shared,
    ) {
        // After a restart a scan may be the only one that comes by here: what is wanted below the shared position is
        // wanted by keys behind.
        let head = self.head;
        let judged;
        let wanted = match wanted.get(&at.destination).filter(|_| at.way == Way::Live) {
            Some(wanted) => wanted,
            None => {
                judged = self.wanted_in(at, events, shared);
                &judged
            }
        };
        let wanted = wanted.iter().filter(|event| event.offset >= from).map(|event| event.as_ref());
        let (lane, mut cx) = self.known_lane(at, shared);
        lane.scanned(wanted, next, head, &mut cx);
        self.touch(at);
    }

    /// These lanes, which read for themselves, have got what was read.
    fn lanes_have_read(
        &mut self,
        reading: &[DestinationIndex],
        events: &[Arc<LoggedEvent>],
        next: Offset,
        wanted: &BTreeMap<DestinationIndex, Vec<&Arc<LoggedEvent>>>,
        shared: &mut Shared,
    ) {
        // Where the shared reader moves, it takes over at its position.
        let limit = if self.lanes.attached() > 0 { self.head } else { self.judged_below() };
        let events = &events[..events.partition_point(|event| event.offset < limit)];
        for index in reading {
            let only_old = self.reads_only_old(*index, shared);
            let filters = shared.destinations.get(*index).filters.clone();
            let judge = Judge { filters: &filters, cuts: &self.cuts };
            let lane = self.lanes.known_mut(*index);
            let mut cx = shared.context(*index, &mut self.commits.uncommitted);
            let from = lane.read_ended();
            lane.sees(events, &cx);
            let is_its = |event: &&Arc<LoggedEvent>| event.offset >= from && event.offset < limit;
            let mut takes = |event: &&Arc<LoggedEvent>| lane.offer(event, only_old, &mut cx);
            let refused = match wanted.get(index) {
                Some(wanted) => wanted.iter().copied().filter(is_its).find(|event| !takes(event)),
                None => events.iter().filter(is_its).filter(|event| judge.wants(event)).find(|event| !takes(event)),
            };
            let reached = refused.map_or_else(|| next.min(limit).max(from), |event| event.offset);
            self.lanes.advance(*index, reached, events, &cx);
        }
    }

    /// Whether what is read for a destination is read only to see whether it has waited for too long: it is paused.
    pub(super) fn reads_only_old(&self, index: DestinationIndex, shared: &Shared) -> bool {
        let gate = shared.destinations.gate(index);
        gate.is_paused() && gate.destination.max_age.is_some()
    }
}
