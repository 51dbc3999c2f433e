//! Reading the log: once for all lanes that keep up, and for each that does not.

use super::OwnedPartition;
use crate::destination::DestinationIndex;
use crate::dispatcher::shared::Shared;
use crate::dispatcher::under_way::{Purpose, Read};
use crate::event::LoggedEvent;
use crate::lane::{FETCH_BYTES, Fetch, Lane};
use crate::partition::Offset;
use crate::progress::Quarantined;
use crate::way::{LaneAt, Way};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What a read has brought.
pub(in crate::dispatcher) enum Answer {
    /// Of the log: all that it has below `next`.
    Log { events: Vec<Arc<LoggedEvent>>, corrupt: Vec<Quarantined>, next: Offset },
    /// The copy of a dead letter's event, if it is there still; or why it cannot be read, now or later.
    DeadLetter(Result<Option<Arc<LoggedEvent>>, Box<str>>),
    /// Where the log ends.
    End(Offset),
}

impl OwnedPartition {
    /// The log has grown to `end`.
    pub(in crate::dispatcher) fn grew(&mut self, end: Offset, shared: &mut Shared) {
        let before = self.end;
        self.end = before.max(end);
        self.read_on(before, shared);
    }

    /// Whoever had to stop at `from`, where the log ended as far as was known, may read on.
    pub(super) fn read_on(&mut self, from: Offset, shared: &mut Shared) {
        self.read_head(shared);
        self.read_detached(from, shared);
    }

    /// Reads on for the attached lanes, if there is more and someone to read it for.
    pub(super) fn read_head(&mut self, shared: &mut Shared) {
        if self.head_reading
            || self.releasing
            || self.lanes.attached() == 0
            || self.head >= self.end.min(self.judged_below())
        {
            return;
        }
        self.head_reading = true;
        self.read_chunk(self.head, self.incarnation, Purpose::Head, shared);
    }

    /// Lanes that read for themselves and had to stop at `from`, or beyond, may read on: the log has grown, or may be
    /// judged further, or the shared reader has gone on. Those before it have other reasons not to read.
    pub(super) fn read_detached(&mut self, from: Offset, shared: &mut Shared) {
        for index in self.lanes.detached_from(from) {
            self.read_own(index.into(), shared);
        }
    }

    /// Lanes have gone. Those ahead of the shared reader waited for it in vain if it read for these only.
    pub(super) fn shared_reader_may_have_gone(&mut self, shared: &mut Shared) {
        if self.lanes.attached() == 0 {
            // Whom it is taken past by the foremost lane has waited for it too.
            let before = self.head;
            self.attach_lanes(shared);
            self.read_detached(before, shared);
        }
    }

    /// Replays that a pause has kept from reading may read on.
    pub(super) fn read_replays(&mut self, shared: &mut Shared) {
        for at in self.replays.all().map(Lane::at).collect::<Vec<_>>() {
            self.read_for_lane(at, shared);
        }
    }

    /// Reads on for a lane that reads for itself, if it may.
    fn read_own(&mut self, at: LaneAt, shared: &mut Shared) {
        if self.releasing {
            return;
        }
        if at.way != Way::Live {
            return self.read_replay(at, shared);
        }
        if self.lanes.get(at.destination).is_none_or(Lane::is_attached) {
            return; // As nearly always: the shared reader reads for it.
        }
        self.read_behind(at.destination, shared);
    }

    pub(super) fn read_chunk(&self, from: Offset, asked_by: u64, purpose: Purpose, shared: &mut Shared) {
        self.read_chunk_in_time(from, asked_by, purpose, false, shared);
    }

    /// The same for somebody who may be kept waiting.
    pub(super) fn read_chunk_in_time(
        &self,
        from: Offset,
        asked_by: u64,
        purpose: Purpose,
        unhurried: bool,
        shared: &mut Shared,
    ) {
        let (most, most_bytes) = (shared.settings.read_events, shared.settings.read_bytes);
        let (partition, end) = (self.partition, self.end);
        let group = match purpose {
            Purpose::CatchUp(group) => Some(group),
            _ => purpose.destination().map(|index| shared.destinations.gate(index).group),
        };
        let has_place = false;
        shared.read(Read { partition, asked_by, from, end, most, most_bytes, purpose, unhurried, group, has_place });
    }

    /// What a lane needs read, as far as it may go on.
    pub(super) fn read_for_lane(&mut self, at: LaneAt, shared: &mut Shared) {
        // A destination with nothing under way needs nothing.
        let lane = self.find_lane_mut(at).map(|lane| (lane.id, lane.has_to_fetch()));
        let Some((asked_by, has_to_fetch)) = lane.filter(|_| !self.releasing) else { return };
        if has_to_fetch {
            self.fetch_for_lane(at, asked_by, shared);
        }
        self.scan_behind(at, shared);
        self.read_own(at, shared);
    }

    /// Asks for the data of a lane's keys, as far as attempts will soon be able to use it.
    fn fetch_for_lane(&mut self, at: LaneAt, asked_by: u64, shared: &mut Shared) {
        let (partition, end, most_bytes) = (self.partition, self.end, FETCH_BYTES);
        let appetite = shared.destinations.gate(at.destination).appetite();
        loop {
            let (lane, mut cx) = self.known_lane(at, shared);
            let (from, most, purpose) = match lane.next_fetch(appetite, &mut cx) {
                None => return,
                Some(Fetch::Log { key, from, most }) => (from, most, Purpose::Fetch(at, key)),
                Some(Fetch::DeadLetter { key, offset }) => (offset, 1, Purpose::DeadLetter(at, key)),
            };
            let (unhurried, has_place) = (false, false);
            let group = Some(shared.destinations.gate(at.destination).group);
            shared.read(Read {
                partition,
                asked_by,
                from,
                end,
                most,
                most_bytes,
                purpose,
                unhurried,
                group,
                has_place,
            });
        }
    }

    /// Whether whoever asked for a read still waits for it: this ownership, or the lane that asked.
    pub(in crate::dispatcher) fn waits_for(&self, read: &Read, shared: &Shared) -> bool {
        match &read.purpose {
            Purpose::Head | Purpose::End => self.incarnation == read.asked_by,
            Purpose::CatchUp(group) => {
                self.incarnation == read.asked_by && self.is_awaited_by(*group, read.from, shared)
            }
            Purpose::Replay(of) | Purpose::Fetch(of, _) | Purpose::DeadLetter(of, _) => {
                self.lane_with_id(of.destination, read.asked_by).is_some()
            }
        }
    }

    pub(in crate::dispatcher) fn read_ended(&mut self, read: &Read, answer: Answer, shared: &mut Shared) {
        self.forget_read(read);
        if !self.waits_for(read, shared) {
            return;
        }
        match answer {
            Answer::Log { events, corrupt, next } => self.log_read(read, &events, corrupt, next, shared),
            Answer::End(end) => {
                if matches!(read.purpose, Purpose::End) {
                    self.end_is_known(end, shared);
                }
            }
            Answer::DeadLetter(event) => {
                if let Purpose::DeadLetter(at, key) = &read.purpose {
                    self.with_lane(*at, shared, |lane, cx| lane.fetched_dead_letter(key, read.from, event, cx));
                }
            }
        }
    }

    fn log_read(
        &mut self,
        read: &Read,
        events: &[Arc<LoggedEvent>],
        corrupt: Vec<Quarantined>,
        next: Offset,
        shared: &mut Shared,
    ) {
        // Nothing new although there should be: what the log promised is gone.
        let reached = if next > read.from { next } else { read.end };
        self.quarantine(corrupt, shared);
        match &read.purpose {
            Purpose::Head => self.head_ended(events, reached, shared),
            Purpose::CatchUp(_) => self.caught_up(read.from, events, reached, shared),
            Purpose::Replay(at) => self.replay_read_ended(*at, events, reached, shared),
            Purpose::Fetch(at, key) => {
                // Nothing there, although the log has grown beyond it: it is gone.
                let range = read.from..next.max(read.from.next());
                self.with_lane(*at, shared, |lane, cx| lane.fetched(key, events, range, cx));
            }
            // Something else was asked than was answered.
            Purpose::DeadLetter(..) | Purpose::End => {}
        }
    }

    /// The shared reader has come to `next`.
    fn head_ended(&mut self, events: &[Arc<LoggedEvent>], next: Offset, shared: &mut Shared) {
        let mut wanted = std::mem::take(&mut self.wanted);
        let mut served = BTreeSet::new();
        let limit = self.judged_below();
        for event in events.iter().filter(|event| event.offset < limit) {
            shared.destinations.wanted_by(&event.event, &mut wanted);
            for &index in &wanted {
                if self.joining.contains(&index) {
                    continue; // What it wants begins at a later cut.
                }
                self.offer_from_head(index, event, shared);
                served.insert(index);
            }
        }
        wanted.clear();
        self.wanted = wanted;
        self.head_reading = false;
        let before = self.head;
        self.head = before.max(next.min(limit));
        self.commits.head_has_moved();
        for index in served {
            self.serve_lane(index.into(), shared);
        }
        self.attach_lanes(shared);
        self.note_change(shared);
        self.read_head(shared);
        self.read_detached(before, shared);
    }

    fn offer_from_head(&mut self, index: DestinationIndex, event: &Arc<LoggedEvent>, shared: &mut Shared) {
        self.make_lane(index, shared);
        let (lane, mut cx) = self.known_lane(index.into(), shared);
        if !lane.is_attached() {
            return; // It comes by here by itself.
        }
        if !lane.offer(event, false, &mut cx) {
            self.lanes.detach(index, event.offset);
            self.lanes.known_mut(index).stopped_at(event, shared.now);
        }
        self.lanes.touch(index);
    }

    /// Attaches lanes that have come as far as the shared reader, or it to them: while no lane is
    /// attached, it stands still, and the foremost lane takes it along.
    pub(super) fn attach_lanes(&mut self, shared: &mut Shared) {
        if self.lanes.attached() == 0 && !self.head_reading {
            self.head = self.head.max(self.lanes.foremost(self.head));
        }
        let stands = self.cuts.revision_at(self.head);
        if self.lanes.attach_at(self.head, |index| stands >= shared.destinations.get(index).filters.since) {
            self.note_change(shared);
            self.read_head(shared);
        }
    }
}
