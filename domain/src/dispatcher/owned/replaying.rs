//! How replays go on: a step with each commit.
//!
//! A replay begins when its record is stored, together with a position of its destination's lane that is not below its
//! end. It runs in a lane of its own, beside that of what is new, once a number is stored for it. What may touch the
//! same keys runs one after the other, and whoever has to stop for another one gets a new number when it goes on, so
//! that the numbers which a receiver sees of a key only rise.

use super::OwnedPartition;
use super::following::Judge;
use super::replays::{Record, Stage};
use crate::destination::{Destination, DestinationIndex, StartFrom};
use crate::dispatcher::shared::Shared;
use crate::dispatcher::under_way::Purpose;
use crate::event::LoggedEvent;
use crate::io::Notice;
use crate::lane::Lane;
use crate::partition::Offset;
use crate::progress::{Commit, LaneChange, LaneProgress, ReplayChange, ReplayMark, ReplayProgress};
use crate::replay::{Held, MAX_REPLAYS, ReplayId, ReplayOrder, ReplayPart, ReplaySpec, ReplayState, ReplayStatus};
use crate::revision::Revision;
use crate::status::DestinationStatus;
use crate::way::{LaneAt, Way};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

impl OwnedPartition {
    /// Somebody wants events delivered once more. `false` if that cannot be: the id is another replay's, or there are
    /// too many.
    pub(in crate::dispatcher) fn begin_replay(
        &mut self,
        index: DestinationIndex,
        id: &ReplayId,
        order: &ReplayOrder,
        shared: &mut Shared,
    ) -> bool {
        let Some(range) = order.ranges.get(&self.partition) else { return true }; // It is about other partitions.
        if self.joining.contains(&index) || self.releasing || !shared.destinations.get(index).is_kept {
            return false;
        }
        let looked = self.lanes.get(index).map_or(self.head, |lane| lane.looked_up_to(self.head));
        let until = range.end.min(looked);
        let spec = ReplaySpec {
            asked_at: order.asked_at,
            from: range.start.max(self.log_start).max(self.begins_at(index, shared)).min(until),
            until,
            selection: order.selection.clone(),
            first: order.first,
        };
        let ordering = shared.destinations.get(index).ordering;
        let of = self.replays.of_or_new(index);
        if let Some(known) = of.records.get(id) {
            let said = &known.progress.spec;
            // Asked a second time, it reaches as far as it did the first time.
            let same = said.asked_at == spec.asked_at && said.selection == spec.selection && said.first == spec.first;
            return same && !matches!(known.stage, Stage::Unwanted | Stage::Removing);
        }
        if of.records.len() >= MAX_REPLAYS && !self.forget_oldest_replay(index) {
            return false;
        }
        let progress = ReplayProgress::new(spec);
        let held = progress.held(ordering);
        let record = Record { progress, stage: Stage::Asked, held, lane: None };
        self.replays.of_or_new(index).records.insert(id.clone(), record);
        // From here on the lane's position says what was settled, but for keys that are recorded one by one.
        if let Some((lane, mut cx)) = self.lane_with_context(index.into(), shared) {
            lane.wind_down(&mut cx);
            self.lanes.touch(index);
        }
        let destination = shared.destinations.get(index).name.clone();
        shared.notice(Notice::ReplayBegins { destination, partition: self.partition, replay: id.clone() });
        self.hold_for_replays(index, shared);
        self.stop_for_others(index, shared);
        self.replays.touch(index);
        self.note_change(shared);
        true
    }

    /// Where a destination began, as far as that can be told: no filter of it stood for what is below.
    fn begins_at(&self, index: DestinationIndex, shared: &Shared) -> Offset {
        let Destination { born, from, .. } = shared.destinations.get(index);
        if *born == Revision::ORIGIN || *from == StartFrom::Beginning {
            return Offset::ZERO;
        }
        // Before its cut is stored it has settled nothing.
        self.cuts.iter().find(|cut| cut.revision >= *born).map_or(Offset(u64::MAX), |cut| cut.at)
    }

    /// Nobody wants the replay any more. `false` if there is none of that id.
    pub(in crate::dispatcher) fn cancel_replay(
        &mut self,
        index: DestinationIndex,
        id: &ReplayId,
        shared: &mut Shared,
    ) -> bool {
        let Some(of) = self.replays.of_mut(index) else { return false };
        let Some(record) = of.records.get_mut(id) else { return false };
        let was_there = !matches!(record.stage, Stage::Unwanted | Stage::Removing);
        let lane = record.lane.take();
        match record.stage {
            Stage::Asked => drop(of.records.remove(id)),
            Stage::Removing => {}
            Stage::Beginning | Stage::Renumbering | Stage::Stored | Stage::Unwanted => record.stage = Stage::Unwanted,
        }
        if let Some(lane) = lane {
            lane.discard(&mut shared.memory);
        }
        self.hold_for_replays(index, shared);
        self.stop_for_others(index, shared);
        self.replays.touch(index);
        self.note_change(shared);
        was_there
    }

    /// Adds where replays are, and the keys that are behind in them.
    pub(in crate::dispatcher) fn add_replays_to(
        &self,
        index: DestinationIndex,
        status: &mut DestinationStatus,
        list_keys: bool,
    ) {
        let Some(of) = self.replays.of(index) else { return };
        for (id, record) in &of.records {
            let ReplayProgress { spec, mark, behind } = &record.progress;
            let state = match record.stage {
                Stage::Asked | Stage::Beginning => ReplayState::Asked,
                Stage::Unwanted | Stage::Removing => ReplayState::Ending,
                _ if record.progress.is_done() && record.lane.is_none() => ReplayState::Done,
                _ if record.lane.is_some() => ReplayState::Running,
                _ => ReplayState::Waiting,
            };
            let part = ReplayPart {
                partition: self.partition,
                state,
                from: spec.from,
                until: spec.until,
                scanned: mark.scanned,
                settled: mark.settled,
                keys_behind: behind.len() as u64,
                number: mark.number,
            };
            status.add_replay(ReplayStatus {
                id: id.clone(),
                asked_at: spec.asked_at,
                selection: spec.selection.clone(),
                first: spec.first,
                partitions: vec![part],
            });
            if let Some(lane) = &record.lane {
                lane.add_keys_to(status, list_keys);
            }
        }
    }

    /// Makes room for another one, if one is done.
    fn forget_oldest_replay(&mut self, index: DestinationIndex) -> bool {
        let of = self.replays.of_or_new(index);
        let done = of.records.iter_mut().filter(|(_, r)| r.stage == Stage::Stored && r.lane.is_none() && !r.is_open());
        let Some((_, record)) = done.min_by_key(|(_, record)| record.progress.spec.asked_at) else { return false };
        record.stage = Stage::Unwanted;
        true
    }

    /// Tells the lane of what is new what waits for replays.
    fn hold_for_replays(&mut self, index: DestinationIndex, shared: &mut Shared) {
        let held = self.replays.held(index);
        self.with_lane(index.into(), shared, |lane, cx| lane.hold_for_replays(held, cx));
    }

    /// Replays that others go before start nothing more, and one whose others are gone before it has stopped goes on: none
    /// of them has run.
    fn stop_for_others(&mut self, index: DestinationIndex, shared: &mut Shared) {
        let Some(of) = self.replays.of(index) else { return };
        let held = |(id, record): (&ReplayId, &Record)| {
            let lane = record.lane.as_ref()?;
            Some((lane.at(), if of.gives_way(id) { Held::All } else { Held::default() }))
        };
        let lanes: Vec<(LaneAt, Held)> = of.records.iter().filter_map(held).collect();
        for (at, held) in lanes {
            self.with_lane(at, shared, |lane, cx| lane.hold_for_replays(held, cx));
        }
    }

    /// Takes over the replays of a destination's stored progress.
    pub(super) fn restore_replays(
        &mut self,
        index: DestinationIndex,
        progress: &mut LaneProgress,
        shared: &mut Shared,
    ) {
        let (replays, last_number) = (std::mem::take(&mut progress.replays), std::mem::take(&mut progress.last_replay));
        if replays.is_empty() && last_number == 0 {
            return;
        }
        let ordering = shared.destinations.get(index).ordering;
        // What they say may be in the commit that is on its way. One that has not come any further may begin with it.
        let in_flight = self.commits.is_in_flight();
        let stage = |progress: &ReplayProgress| match in_flight {
            false => Stage::Stored,
            true if progress.mark.scanned == progress.spec.from => Stage::Beginning,
            true => Stage::Renumbering,
        };
        let of = self.replays.of_or_new(index);
        of.last_number = last_number;
        for (id, progress) in replays {
            let (stage, held) = (stage(&progress), progress.held(ordering));
            of.records.insert(id, Record { progress, stage, held, lane: None });
        }
        self.replays.touch(index);
        if in_flight {
            // Whoever hears of the commit looks at them.
            self.replays.await_commit(index);
        }
    }

    /// Ends the lanes of a destination's replays, and gives back where they stand. Those that are not stored are
    /// dropped: whoever asked for them was told nothing yet.
    pub(super) fn take_replays(&mut self, index: DestinationIndex, progress: &mut LaneProgress, shared: &mut Shared) {
        let Some(mut of) = self.replays.remove(index) else { return };
        progress.last_replay = of.last_number;
        let mut changes = BTreeMap::new();
        for (id, record) in &mut of.records {
            if let Some(mut lane) = record.lane.take() {
                lane.wind_down(&mut shared.context(index, &mut self.commits.uncommitted));
                lane.discard(&mut shared.memory);
                if let Some(change) = note_progress(&mut record.progress, &mut lane) {
                    changes.insert(id.clone(), Some(change));
                }
            }
            match record.stage {
                Stage::Asked | Stage::Removing => {}
                Stage::Unwanted => drop(changes.insert(id.clone(), None)),
                Stage::Beginning | Stage::Renumbering | Stage::Stored => {
                    drop(progress.replays.insert(id.clone(), record.progress.clone()));
                }
            }
        }
        let name = shared.destinations.get(index).name.clone();
        if !changes.is_empty() {
            self.commits.prepare(&name).then(LaneChange { replays: changes, ..LaneChange::default() });
        }
    }

    /// What the commit that is being made says of replays. `scanned`: the default position in it.
    pub(super) fn commit_replays(&mut self, commit: &mut Commit, scanned: Offset, shared: &mut Shared) {
        for index in self.replays.take_touched() {
            let mut changes = BTreeMap::new();
            self.note_lanes(index, &mut changes, shared);
            self.make_asked(index, scanned, &mut changes, shared);
            self.number_replays(index, &mut changes);
            if !changes.is_empty() {
                let name = shared.destinations.get(index).name.clone();
                let change = LaneChange { replays: changes, ..LaneChange::default() };
                commit.lanes.entry(name).or_default().then(change);
            }
        }
    }

    /// What the lanes of replays have come to. One that has stopped for others ends here.
    fn note_lanes(&mut self, index: DestinationIndex, changes: &mut Changes, shared: &mut Shared) {
        let incarnation = self.incarnation;
        let Some(of) = self.replays.of_mut(index) else { return };
        let stopping: Vec<ReplayId> = of.records.keys().filter(|id| of.gives_way(id)).cloned().collect();
        for (id, record) in &mut of.records {
            if record.stage == Stage::Unwanted {
                record.stage = Stage::Removing;
                changes.insert(id.clone(), None);
                continue;
            }
            let Some(lane) = &mut record.lane else { continue };
            let under_way = shared.attempts.at(incarnation, index).any(|(_, of)| of.lane == lane.id);
            let stops = stopping.contains(id) && !under_way && !lane.has_unsaved();
            if stops {
                lane.wind_down(&mut shared.context(index, &mut self.commits.uncommitted));
            }
            let change = note_progress(&mut record.progress, lane);
            if let Some(change) = change {
                changes.insert(id.clone(), Some(change));
            }
            if stops {
                lane.discard(&mut shared.memory);
                record.lane = None;
            }
        }
    }

    /// Those that were asked for begin, once nothing is under way that they would have to replay.
    fn make_asked(&mut self, index: DestinationIndex, scanned: Offset, changes: &mut Changes, shared: &Shared) {
        let stood = self.lanes.get(index).map_or(scanned, |lane| lane.stood_at(scanned));
        let incarnation = self.incarnation;
        let Some(of) = self.replays.of_mut(index) else { return };
        let others: Vec<u64> = of.records.values().filter_map(|r| r.lane.as_ref()).map(|lane| lane.id).collect();
        let mut waits = false;
        for (id, record) in of.records.iter_mut().filter(|(_, record)| record.stage == Stage::Asked) {
            let live = shared.attempts.at(incarnation, index).filter(|(_, of)| !others.contains(&of.lane));
            let in_flight = live.flat_map(|(_, of)| of.keys()).any(|key| record.held.has(key));
            if in_flight || stood < record.progress.spec.until {
                waits = true;
                continue;
            }
            record.stage = Stage::Beginning;
            let made = Some(record.progress.spec.clone());
            changes.insert(id.clone(), Some(ReplayChange { made, ..ReplayChange::default() }));
        }
        if waits {
            self.replays.touch(index);
        }
    }

    /// Gives numbers to those that may run, and takes them from those that others go before.
    fn number_replays(&mut self, index: DestinationIndex, changes: &mut Changes) {
        let end = self.end;
        let Some(of) = self.replays.of_mut(index) else { return };
        let ids: Vec<ReplayId> =
            of.records.iter().filter(|(_, record)| record.is_open()).map(|(id, _)| id.clone()).collect();
        let mut renumber = |of: &mut super::replays::ReplaysOf, id: &ReplayId, number: u64| {
            of.last_number = of.last_number.max(number);
            let record = of.records.get_mut(id).unwrap_or_else(|| panic!("{id} was looked at a moment ago"));
            record.progress.mark.number = number;
            if record.stage != Stage::Beginning {
                record.stage = Stage::Renumbering;
            }
            let change = changes.entry(id.clone()).or_insert_with(|| Some(ReplayChange::default()));
            if let Some(change) = change {
                change.mark = Some(record.progress.mark);
            }
        };
        let mut waits = false;
        for id in &ids {
            let record = &of.records[id];
            let stops = record.lane.is_none() && record.progress.mark.number > 0 && of.gives_way(id);
            waits |= record.lane.is_some() && of.gives_way(id);
            if stops {
                renumber(of, id, 0);
            }
        }
        for id in &ids {
            let record = &of.records[id];
            if record.stage != Stage::Asked && record.progress.mark.number == 0 && of.may_begin(id) {
                let number = end.0.max(of.last_number + 1);
                renumber(of, id, number);
            }
        }
        if waits {
            self.replays.touch(index);
        }
    }

    /// A commit is stored, and no other was made since: what it says of replays is known now. Returns whose replays it
    /// has looked at.
    pub(super) fn note_stored_replays(&mut self, shared: &Shared) -> BTreeSet<DestinationIndex> {
        let looked_at = self.replays.take_committed();
        for index in &looked_at {
            let Some(of) = self.replays.of_mut(*index) else { continue };
            let ordering = shared.destinations.get(*index).ordering;
            of.records.retain(|_, record| record.stage != Stage::Removing);
            for record in of.records.values_mut() {
                if matches!(record.stage, Stage::Beginning | Stage::Renumbering) {
                    record.stage = Stage::Stored;
                }
                if record.stage == Stage::Stored {
                    record.held = record.progress.held(ordering);
                }
            }
        }
        looked_at
    }

    /// What a stored commit has said of replays may go on.
    pub(super) fn go_on_with_replays(&mut self, looked_at: BTreeSet<DestinationIndex>, shared: &mut Shared) {
        for index in looked_at {
            let Some(of) = self.replays.of_mut(index) else { continue };
            // One that live events still wait for is done in a commit that is not stored.
            let is_over = |record: &&mut Record| record.progress.is_done() && record.held.is_nothing();
            for record in of.records.values_mut().filter(is_over) {
                let through = |lane: &Lane| lane.is_through(record.progress.spec.until);
                if record.lane.as_deref().is_some_and(through)
                    && let Some(lane) = record.lane.take()
                {
                    lane.discard(&mut shared.memory);
                }
            }
            self.start_replays(index, shared);
            self.hold_for_replays(index, shared);
        }
    }

    /// Makes the lanes of those whose number is stored.
    pub(super) fn start_replays(&mut self, index: DestinationIndex, shared: &mut Shared) {
        let Some(of) = self.replays.of(index) else { return };
        let starts = |(id, record): &(&ReplayId, &Record)| {
            let numbered = record.stage == Stage::Stored && record.progress.mark.number > 0;
            record.lane.is_none() && record.is_open() && numbered && !of.gives_way(id)
        };
        let starting: Vec<ReplayId> = of.records.iter().filter(starts).map(|(id, _)| id.clone()).collect();
        let begins = |id: &ReplayId| of.records[id].progress.mark.number == 0 && of.may_begin(id);
        if of.records.iter().any(|(id, record)| record.is_open() && record.stage != Stage::Asked && begins(id)) {
            self.replays.touch(index);
        }
        for id in starting {
            let Some(of) = self.replays.of(index) else { continue };
            let progress = of.records[&id].progress.clone();
            let lane = self.lane_of_replay(index, progress, shared);
            let at = lane.at();
            if let Some(record) = self.replays.of_mut(index).and_then(|of| of.records.get_mut(&id)) {
                record.lane = Some(Box::new(lane));
            }
            self.serve_lane(at, shared);
        }
    }

    /// Reads on for a replay.
    pub(super) fn read_replay(&mut self, at: LaneAt, shared: &mut Shared) {
        let Way::Replay(lane) = at.way else { return };
        let Some((_, record)) = self.replays.record(at.destination, lane) else { return };
        // What is new waits for one that holds it.
        let (until, unhurried) = (record.progress.spec.until, !record.progress.spec.holds());
        let appetite = shared.destinations.gate(at.destination).appetite();
        let Some((lane, cx)) = self.lane_with_context(at, shared) else { return };
        if let Some(from) = lane.next_read(until, appetite, &cx) {
            let id = lane.id;
            self.read_chunk_in_time(from, id, Purpose::Replay(at), unhurried, shared);
        }
    }

    /// Of these events, those that the lane is there for, by the filters that stood for them: what a replay has
    /// chosen and was settled; else whatever is wanted.
    pub(super) fn wanted_in<'e>(
        &self,
        at: LaneAt,
        events: &'e [Arc<LoggedEvent>],
        shared: &Shared,
    ) -> Vec<&'e Arc<LoggedEvent>> {
        let destination = shared.destinations.get(at.destination);
        let judge = Judge { filters: &destination.filters, cuts: &self.cuts };
        let spec = match at.way {
            Way::Live => None,
            Way::Replay(lane) => self.replays.record(at.destination, lane).map(|(_, record)| &record.progress.spec),
        };
        let live = self.lanes.get(at.destination);
        let is_settled = |event: &LoggedEvent| match live {
            Some(lane) => lane.has_settled(&destination.ordering.key_of(event), event.offset, self.head),
            None => event.offset < self.head,
        };
        let chosen = |event: &LoggedEvent| {
            spec.is_none_or(|spec| event.offset < spec.until && spec.selection.picks(&event.event) && is_settled(event))
        };
        events.iter().filter(|event| judge.wants(event) && chosen(event)).collect()
    }

    /// The lane of a replay has got its chunk.
    pub(super) fn replay_read_ended(
        &mut self,
        at: LaneAt,
        events: &[Arc<LoggedEvent>],
        next: Offset,
        shared: &mut Shared,
    ) {
        let Way::Replay(lane) = at.way else { return };
        let Some((_, record)) = self.replays.record(at.destination, lane) else { return };
        let (until, holds) = (record.progress.spec.until, record.progress.spec.holds());
        let chosen = self.wanted_in(at, events, shared);
        let only_old = self.reads_only_old(at.destination, shared);
        self.with_lane(at, shared, |lane, cx| {
            let from = lane.read_ended();
            lane.sees(events, cx);
            let mut reached = next.min(until).max(from);
            for event in chosen.into_iter().filter(|event| event.offset >= from) {
                if !lane.offer(event, only_old, cx) {
                    reached = event.offset;
                    break;
                }
            }
            lane.advance(reached, events, cx);
            if reached >= until && holds {
                // What is left is known key by key, so that every other key may go on.
                lane.wind_down(cx);
            }
        });
    }
}

type Changes = BTreeMap<ReplayId, Option<ReplayChange>>;

/// Brings a record to where its lane is. What that changes.
fn note_progress(progress: &mut ReplayProgress, lane: &mut Lane) -> Option<ReplayChange> {
    let settled = lane.take_replayed();
    let change = lane.take_changes(Offset(u64::MAX), Offset(u64::MAX)).unwrap_or_default();
    let scanned = lane.stood_at(Offset(u64::MAX));
    let mark = ReplayMark { scanned, settled: progress.mark.settled + settled, ..progress.mark };
    let change = ReplayChange { made: None, mark: (mark != progress.mark).then_some(mark), behind: change.behind };
    progress.apply(&change);
    (change != ReplayChange::default()).then_some(change)
}
