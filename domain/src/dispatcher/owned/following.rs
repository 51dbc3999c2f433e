//! Following the destinations as they change: a partition asks where its log ends, stores that as its cut, and
//! judges nothing from there on before that is stored. See [`crate::Cut`].
//!
//! Until the cut is stored, a destination whose filter changes reads for itself and by its old filter, and a new one has
//! no lane. Everything else goes on meanwhile, up to the cut.

use super::OwnedPartition;
use crate::destination::{Destination, DestinationIndex, DestinationName, StartFrom};
use crate::dispatcher::destinations::{Changes, Deleted};
use crate::dispatcher::shared::Shared;
use crate::dispatcher::under_way::Purpose;
use crate::event::LoggedEvent;
use crate::filter::Filters;
use crate::lane::Lane;
use crate::partition::Offset;
use crate::revision::{Cut, Cuts, Revision};

/// How far the partition has come with the last changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Following {
    /// It judges by what it has stored.
    #[default]
    AtRest,
    /// It has asked where the log ends, of a change that was known then.
    Asking(Revision),
    /// It stores that it goes on by another revision from there on.
    Storing(Cut),
}

/// Whether a destination wants an event, by the filter that stood for it.
pub(super) struct Judge<'a> {
    pub(super) filters: &'a Filters,
    pub(super) cuts: &'a Cuts,
}

impl Judge<'_> {
    pub(super) fn wants(&self, event: &LoggedEvent) -> bool {
        self.filters.wanted(self.cuts, event)
    }
}

impl OwnedPartition {
    /// The destinations have changed.
    pub(in crate::dispatcher) fn configure(&mut self, changes: &Changes, shared: &mut Shared) {
        for deleted in &changes.deleted {
            self.drop_lane(deleted, shared);
        }
        for index in changes.left.iter().chain(&changes.reordered) {
            // One that has not joined yet has nothing that could be kept.
            if !self.joining.remove(index) {
                self.remove_lane(*index, shared);
            }
        }
        for index in changes.added.iter().chain(&changes.reordered) {
            self.admit(*index, shared);
        }
        for index in changes.remade.iter().filter(|index| !self.joining.contains(index)) {
            let Destination { name, born, .. } = shared.destinations.get(*index);
            self.commits.prepare(name).born = Some(*born);
        }
        for index in &changes.refiltered {
            self.keep_judging(*index, shared);
        }
        for index in &changes.moved {
            self.with_lane((*index).into(), shared, |lane, _| lane.set_paused(None));
            self.with_lanes_of(*index, shared, |lane, cx| {
                lane.retry_all(cx);
                true
            });
        }
        for index in &changes.aged {
            self.with_lanes_of(*index, shared, |lane, cx| {
                lane.follow_max_age(cx);
                true
            });
        }
        for index in changes.added.iter().chain(&changes.reordered).chain(&changes.unpaused) {
            self.serve_lane((*index).into(), shared);
        }
        self.follow(shared);
        self.note_change(shared);
        self.read_head(shared);
        self.shared_reader_may_have_gone(shared);
        self.read_replays(shared);
    }

    /// What waits of the events of deleted tenants is settled: at the destinations of the operator, which get everybody's.
    pub(in crate::dispatcher) fn drop_deleted_tenants(&mut self, shared: &mut Shared) {
        for at in self.lanes.all().chain(self.replays.all()).map(Lane::at).collect::<Vec<_>>() {
            self.with_lane(at, shared, |lane, cx| lane.drop_deleted_tenants(cx));
        }
    }

    /// Gives a destination its lane, or lets it wait for the cut from which on it has one.
    pub(super) fn admit(&mut self, index: DestinationIndex, shared: &mut Shared) {
        let destination = shared.destinations.get(index);
        let (name, born) = (destination.name.clone(), destination.born);
        let known = match self.unconfigured.get(&name) {
            Some(progress) if destination.goes_on_from(progress.born) => {
                self.go_on_as(&name, born);
                true
            }
            Some(_) => {
                self.drop_progress(&name);
                false
            }
            None => false,
        };
        // Where there are no changes there are no cuts: it is there from the beginning, or from the log's end.
        if known || born == Revision::ORIGIN {
            self.add_lane(index, self.end, shared);
            self.keep_judging(index, shared);
        } else {
            self.joining.insert(index);
        }
    }

    /// The progress that is kept under this name is that of a destination which was made then.
    fn go_on_as(&mut self, name: &DestinationName, born: Revision) {
        let known = self.unconfigured.get_mut(name).filter(|progress| progress.born != born);
        if let Some(progress) = known {
            progress.born = born;
            self.commits.prepare(name).born = Some(born);
        }
    }

    /// A lane whose filter stands for later events than the shared reader's comes by itself, and judges each event
    /// by the filter that stood for it.
    pub(super) fn keep_judging(&mut self, index: DestinationIndex, shared: &mut Shared) {
        if self.joining.contains(&index) || self.may_follow_head(index, shared) {
            return;
        }
        self.make_lane(index, shared);
        let lane = self.lanes.known_mut(index);
        if lane.is_attached() {
            let at = lane.looked_up_to(self.head);
            self.lanes.detach(index, at);
        }
        self.serve_lane(index.into(), shared);
    }

    /// Whether the filter by which the shared reader finds the destination stands for what it reads next.
    pub(super) fn may_follow_head(&self, index: DestinationIndex, shared: &Shared) -> bool {
        self.cuts.revision_at(self.head) >= shared.destinations.get(index).filters.since
    }

    /// Asks where the log ends, if there is a change that the partition does not follow yet.
    pub(super) fn follow(&mut self, shared: &mut Shared) {
        let revision = shared.destinations.revision();
        // One that was told of before its revision joins with that.
        let joins = |index: &DestinationIndex| shared.destinations.get(*index).born <= revision;
        let is_behind = revision > self.cuts.revision() || self.joining.iter().any(joins);
        if self.following != Following::AtRest || self.releasing || !is_behind {
            return;
        }
        self.following = Following::Asking(revision);
        self.read_chunk(self.end, self.incarnation, Purpose::End, shared);
    }

    /// The log ended there when it was asked, or later.
    pub(super) fn end_is_known(&mut self, end: Offset, shared: &mut Shared) {
        let Following::Asking(revision) = self.following else {
            panic!("the end of the log of partition {} was asked for once", self.partition);
        };
        if self.releasing {
            self.following = Following::AtRest;
            return; // Whoever is next takes the change over.
        }
        // Not below what was judged already. A read may have brought more than was heard of, so that the log ends there or
        // later.
        let looked = self.lanes.looked_up_to(self.head);
        let before = self.end;
        self.end = before.max(end).max(looked);
        let cut = Cut { revision, at: self.end };
        self.following = Following::Storing(cut);
        let ready = |index: &DestinationIndex| shared.destinations.get(*index).born <= revision;
        let joining: Vec<_> = self.joining.iter().copied().filter(ready).collect();
        for index in joining {
            self.joining.remove(&index);
            self.add_lane(index, cut.at, shared);
            let Destination { from, filters, .. } = shared.destinations.get(index);
            // From the cut on it may go along with the shared reader, unless it was changed since it was made. What is
            // below it is judged by the first of its filters.
            let begins_below = *from == StartFrom::Beginning && !filters.former.is_empty();
            if filters.since > revision || begins_below {
                self.keep_judging(index, shared);
            }
            if let Some(pause) = shared.destinations.gate_mut(index).pause.clone() {
                self.pause(index, pause, shared);
            }
            self.serve_lane(index.into(), shared);
        }
        self.is_new = false;
        self.commits.take_over(cut);
        self.note_change(shared);
        // What nobody has told of yet was judged by nobody either, up to the cut.
        self.read_on(before, shared);
    }

    /// Nothing from there on may be judged yet.
    pub(super) const fn judged_below(&self) -> Offset {
        match self.following {
            Following::Storing(cut) => cut.at,
            Following::AtRest | Following::Asking(_) => Offset(u64::MAX),
        }
    }

    /// A commit is stored, with this cut.
    pub(super) fn taken_over(&mut self, cut: Cut, shared: &mut Shared) {
        assert_eq!(self.following, Following::Storing(cut), "a partition takes one change over at a time");
        self.following = Following::AtRest;
        self.cuts.add(cut);
        self.follow(shared);
        self.attach_lanes(shared);
        self.read_head(shared);
        self.read_detached(self.head.min(cut.at), shared);
    }

    /// The log begins there now. How what was below was judged is nobody's to ask any more.
    pub(in crate::dispatcher) fn trimmed(&mut self, start: Offset) {
        self.log_start = self.log_start.max(start);
        self.cuts.trim(start);
    }

    /// A destination was deleted: nothing of it is left here, and the next commit takes the rest.
    fn drop_lane(&mut self, deleted: &Deleted, shared: &mut Shared) {
        if let Some(index) = deleted.index.filter(|index| !self.joining.remove(index)) {
            self.lanes.is_member(false);
            if let Some(lane) = self.lanes.remove(index) {
                lane.discard(&mut shared.memory);
            }
            for lane in
                self.replays.remove(index).iter().flat_map(|of| of.records.values()).filter_map(|r| r.lane.as_ref())
            {
                lane.discard(&mut shared.memory);
            }
            self.drop_progress(&deleted.name);
        } else if self.unconfigured.contains_key(&deleted.name) {
            self.drop_progress(&deleted.name);
        }
    }

    /// The store lets go of all that it has of a destination of this name.
    pub(super) fn drop_progress(&mut self, name: &DestinationName) {
        self.unconfigured.remove(name);
        self.expiry.take(name);
        self.commits.drop_all(name);
    }
}
