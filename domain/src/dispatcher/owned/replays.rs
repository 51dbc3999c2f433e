//! The replays of a partition: which there are, how far each has come, and the lanes of those that run.

use crate::destination::{DestinationIndex, Ordering};
use crate::lane::{Lane, Memory};
use crate::partition::Offset;
use crate::progress::ReplayProgress;
use crate::replay::{Held, ReplayId};
use crate::way::{LaneAt, Way};
use std::collections::{BTreeMap, BTreeSet};

/// What the store knows of a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing yet: somebody has asked for it.
    Asked,
    /// A commit on its way says that it begins, and perhaps what its number is.
    Beginning,
    /// It has begun, and a commit on its way says what its number is from now on.
    Renumbering,
    /// All that is to be known before it goes on.
    Stored,
    /// Nobody wants it any more, which is yet to be said.
    Unwanted,
    /// The same, and a commit on its way says so.
    Removing,
}

/// One replay.
#[derive(Debug)]
pub(super) struct Record {
    /// As the last commit that was made leaves it.
    pub(super) progress: ReplayProgress,
    pub(super) stage: Stage,
    /// What live events wait for it, as far as that is stored.
    pub(super) held: Held,
    /// While it runs.
    pub(super) lane: Option<Box<Lane>>,
}

impl Record {
    /// Whether there is something left to do of it.
    pub(super) fn is_open(&self) -> bool {
        !matches!(self.stage, Stage::Unwanted | Stage::Removing) && !self.progress.is_done()
    }
}

/// Those of one destination.
#[derive(Debug, Default)]
pub(super) struct ReplaysOf {
    /// The largest number that one was given.
    pub(super) last_number: u64,
    pub(super) records: BTreeMap<ReplayId, Record>,
}

impl ReplaysOf {
    /// Whether another one is to be done before.
    pub(super) fn gives_way(&self, id: &ReplayId) -> bool {
        let spec = &self.records[id].progress.spec;
        let goes_first = |(other, record): (&ReplayId, &Record)| {
            other != id && record.is_open() && spec.gives_way(id, (other, &record.progress.spec))
        };
        self.records.iter().any(goes_first)
    }

    /// Whether it may be given a number: nobody is to go before it, and none that may touch its keys has one.
    pub(super) fn may_begin(&self, id: &ReplayId) -> bool {
        let spec = &self.records[id].progress.spec;
        let is_in_the_way = |(other, record): (&ReplayId, &Record)| {
            let runs = record.lane.is_some() || record.progress.mark.number > 0;
            other != id && record.is_open() && runs && spec.overlaps(&record.progress.spec)
        };
        !self.gives_way(id) && !self.records.iter().any(is_in_the_way)
    }

    /// What live events wait for any of them.
    pub(super) fn held(&self) -> Held {
        self.records.values().map(|record| record.held.clone()).fold(Held::default(), Held::and)
    }
}

/// All of a partition.
#[derive(Debug, Default)]
pub(super) struct Replays {
    of: BTreeMap<DestinationIndex, ReplaysOf>,
    /// Destinations whose replays the next commit has to look at.
    touched: BTreeSet<DestinationIndex>,
    /// Those that the commit on its way has looked at.
    in_commit: BTreeSet<DestinationIndex>,
    /// Lanes that could not pass their gate because too much is uncommitted, or the lease too short.
    stalled: BTreeSet<LaneAt>,
}

impl Replays {
    /// Whether no destination has any.
    pub(super) fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    pub(super) fn of(&self, index: DestinationIndex) -> Option<&ReplaysOf> {
        self.of.get(&index)
    }

    pub(super) fn of_mut(&mut self, index: DestinationIndex) -> Option<&mut ReplaysOf> {
        self.of.get_mut(&index)
    }

    /// The same, made if there was none.
    pub(super) fn of_or_new(&mut self, index: DestinationIndex) -> &mut ReplaysOf {
        self.of.entry(index).or_default()
    }

    /// Takes out all of a destination.
    pub(super) fn remove(&mut self, index: DestinationIndex) -> Option<ReplaysOf> {
        self.touched.remove(&index);
        self.in_commit.remove(&index);
        self.stalled.retain(|at| at.destination != index);
        self.of.remove(&index)
    }

    /// Notes that the next commit has to look at them.
    pub(super) fn touch(&mut self, index: DestinationIndex) {
        self.touched.insert(index);
    }

    /// The commit that is on its way, or the next one, says something of them.
    pub(super) fn await_commit(&mut self, index: DestinationIndex) {
        self.in_commit.insert(index);
    }

    pub(super) fn any_touched(&self) -> bool {
        !self.touched.is_empty()
    }

    /// Those that the commit which is being made has to look at.
    pub(super) fn take_touched(&mut self) -> BTreeSet<DestinationIndex> {
        self.in_commit.extend(&self.touched);
        std::mem::take(&mut self.touched)
    }

    /// Those that the commit which is stored had looked at.
    pub(super) fn take_committed(&mut self) -> BTreeSet<DestinationIndex> {
        std::mem::take(&mut self.in_commit)
    }

    /// What live events of a destination wait for.
    pub(super) fn held(&self, index: DestinationIndex) -> Held {
        self.of.get(&index).map_or_else(Held::default, ReplaysOf::held)
    }

    /// The replay whose lane has this id.
    pub(super) fn record(&self, destination: DestinationIndex, lane: u64) -> Option<(&ReplayId, &Record)> {
        let is_its = |record: &Record| record.lane.as_ref().is_some_and(|of| of.id == lane);
        self.of.get(&destination)?.records.iter().find(|(_, record)| is_its(record))
    }

    pub(super) fn lane(&self, destination: DestinationIndex, lane: u64) -> Option<&Lane> {
        self.record(destination, lane)?.1.lane.as_deref()
    }

    pub(super) fn lane_mut(&mut self, destination: DestinationIndex, lane: u64) -> Option<&mut Lane> {
        let mut lanes =
            self.of.get_mut(&destination)?.records.values_mut().filter_map(|record| record.lane.as_deref_mut());
        lanes.find(|of| of.id == lane)
    }

    /// The lanes of a destination's replays that run.
    pub(super) fn lanes_of(&self, destination: DestinationIndex) -> impl Iterator<Item = &Lane> {
        let records = self.of.get(&destination).into_iter().flat_map(|of| of.records.values());
        records.filter_map(|record| record.lane.as_deref())
    }

    /// Where the lanes of all destinations' replays are.
    pub(super) fn all(&self) -> impl Iterator<Item = &Lane> {
        self.of.values().flat_map(|of| of.records.values()).filter_map(|record| record.lane.as_deref())
    }

    /// Whether the destination has replays, be they done.
    pub(super) fn has_any(&self, index: DestinationIndex) -> bool {
        self.of.get(&index).is_some_and(|of| !of.records.is_empty())
    }

    /// Of those that were asked for and that no commit has begun: whose they are, and how far they reach.
    pub(super) fn asked(&self) -> impl Iterator<Item = (DestinationIndex, Offset)> {
        let records = self.of.iter().flat_map(|(index, of)| of.records.values().map(|record| (*index, record)));
        records.filter(|(_, record)| record.stage == Stage::Asked).map(|(index, of)| (index, of.progress.spec.until))
    }

    /// A lane could not pass its gate.
    pub(super) fn stall(&mut self, at: LaneAt) {
        self.stalled.insert(at);
    }

    pub(super) fn take_stalled(&mut self) -> BTreeSet<LaneAt> {
        std::mem::take(&mut self.stalled)
    }

    /// Lets go of what all of them hold.
    pub(super) fn discard(&self, memory: &mut Memory) {
        self.all().for_each(|lane| lane.discard(memory));
    }

    /// See [`super::super::Dispatcher::check`].
    pub(super) fn check(&self, ordering: impl Fn(DestinationIndex) -> Ordering) {
        for (index, of) in &self.of {
            for (id, record) in &of.records {
                assert!(record.progress.mark.number <= of.last_number, "{id} has a number that was never given");
                assert_eq!(record.lane.is_some(), record.lane.as_ref().is_some_and(|lane| lane.at().way != Way::Live));
                if record.lane.is_some() {
                    assert!(record.progress.mark.number > 0, "{id} runs, and has no number");
                    let wanted = !matches!(record.stage, Stage::Asked | Stage::Unwanted | Stage::Removing);
                    assert!(wanted, "{id} runs, and is {:?}", record.stage);
                    let stopped = record.lane.as_ref().is_some_and(|lane| lane.is_stopped_for_replays());
                    assert_eq!(
                        stopped,
                        of.gives_way(id),
                        "whether {id} is stopped, and whether another one goes first"
                    );
                }
                // One that had to stop for another may be done in a commit that is on its way.
                let is_known = !self.in_commit.contains(index) && record.stage == Stage::Stored;
                if is_known && !record.is_open() && record.lane.is_none() {
                    assert!(record.held.is_nothing(), "{id} is done, and something waits for it");
                }
                let most = record.progress.spec.holds_at_first(ordering(*index));
                assert!(record.held.is_within(&most), "more waits for {id} than it may hold up");
            }
        }
    }
}
