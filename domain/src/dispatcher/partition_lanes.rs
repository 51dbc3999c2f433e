//! The lanes of one partition.

use crate::lane::{DestinationIndex, Lane, Tally};
use crate::{Commit, DestinationName, LaneKey, LaneProgress, Offset, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

/// A partition that this process owns.
#[derive(Debug)]
pub(super) struct PartitionLanes {
    /// Tells this ownership from earlier and later ones of the same partition.
    pub(super) incarnation: u64,
    /// Whether no destination was known here before.
    pub(super) is_new: bool,
    /// The log's start when the partition was claimed.
    pub(super) log_start: Offset,
    /// The log's end, as far as is known.
    pub(super) end: Offset,
    /// Where the reader that all attached lanes share is.
    pub(super) head: Offset,
    pub(super) head_reading: bool,
    /// By destination. `None`: attached, at the default position, with nothing under way. That is
    /// what thousands of idle destinations cost.
    lanes: Vec<Option<Box<Lane>>>,
    pub(super) configured: usize,
    pub(super) detached: usize,
    /// Lanes that the next commit must look at.
    pub(super) touched: BTreeSet<DestinationIndex>,
    /// Lanes whose stored position is their own, or is to be.
    pub(super) own_position: BTreeSet<DestinationIndex>,
    /// Lanes that may hold the default position back.
    pub(super) on_track: BTreeSet<DestinationIndex>,
    /// Lanes that could not pass their gate because too much is uncommitted, or the lease too short.
    pub(super) stalled: BTreeSet<DestinationIndex>,
    pub(super) tally: Tally,
    /// The default position of the last commit that was made.
    pub(super) scanned: Offset,
    /// Where the shared reader was at the last commit: see [`Self::share_out`].
    head_at_commit: Offset,
    pub(super) committing: Committing,
    /// The progress of destinations that are not configured.
    pub(super) unconfigured: BTreeMap<DestinationName, LaneProgress>,
    pub(super) attempts: usize,
    /// No attempt starts from then on.
    pub(super) leased_until: Timestamp,
    pub(super) releasing: bool,
    /// Records that could not be read and were reported in this ownership: several readers come by.
    pub(super) quarantined: BTreeSet<Offset>,
}

/// Where the partition's commits stand.
#[derive(Debug, Default)]
pub(super) struct Committing {
    /// Something is not in a commit yet.
    pub(super) dirty: bool,
    pub(super) timer: Option<Timestamp>,
    /// The commit that is on its way, and what it settles.
    pub(super) in_flight: Option<(Arc<Commit>, usize)>,
    /// When it is sent again, if it has failed.
    pub(super) again: Option<Timestamp>,
    /// The keys whose dead letters are in it.
    pub(super) unsaved: Vec<(DestinationIndex, LaneKey)>,
    /// A first commit that makes lanes known.
    pub(super) prepared: Commit,
}

/// Where the lanes stand that share a position.
pub(super) struct Shared {
    pub(super) scanned: Offset,
    /// Whether one of them holds the others back, so that another commit has to come.
    pub(super) is_held_back: bool,
}

impl PartitionLanes {
    pub(super) fn new(incarnation: u64, scanned: Offset, log: Range<Offset>) -> Self {
        Self {
            incarnation,
            is_new: false,
            log_start: log.start,
            end: log.end,
            head: scanned,
            head_reading: false,
            lanes: Vec::new(),
            configured: 0,
            detached: 0,
            touched: BTreeSet::new(),
            own_position: BTreeSet::new(),
            on_track: BTreeSet::new(),
            stalled: BTreeSet::new(),
            tally: Tally::default(),
            quarantined: BTreeSet::new(),
            scanned,
            head_at_commit: scanned,
            committing: Committing::default(),
            unconfigured: BTreeMap::new(),
            attempts: 0,
            leased_until: Timestamp::MAX,
            releasing: false,
        }
    }

    pub(super) fn lane(&self, destination: DestinationIndex) -> Option<&Lane> {
        self.lanes.get(destination.0)?.as_deref()
    }

    pub(super) fn lane_mut(&mut self, destination: DestinationIndex) -> Option<&mut Lane> {
        self.lanes.get_mut(destination.0)?.as_deref_mut()
    }

    pub(super) fn lane_and_tally(&mut self, destination: DestinationIndex) -> Option<(&mut Lane, &mut Tally)> {
        let lane = self.lanes.get_mut(destination.0)?.as_deref_mut()?;
        Some((lane, &mut self.tally))
    }

    pub(super) fn insert(&mut self, lane: Lane) {
        let at = lane.destination.0;
        if self.lanes.len() <= at {
            self.lanes.resize_with(at + 1, || None);
        }
        self.lanes[at] = Some(Box::new(lane));
    }

    /// The lanes in which something was ever under way.
    pub(super) fn lanes(&self) -> impl Iterator<Item = &Lane> {
        self.lanes.iter().filter_map(Option::as_deref)
    }

    pub(super) fn remove(&mut self, destination: DestinationIndex) -> Option<Box<Lane>> {
        self.touched.remove(&destination);
        self.own_position.remove(&destination);
        self.on_track.remove(&destination);
        self.stalled.remove(&destination);
        self.lanes.get_mut(destination.0)?.take()
    }

    /// Notes that a lane has changed.
    pub(super) fn touch(&mut self, destination: DestinationIndex) {
        self.touched.insert(destination);
        let Some(lane) = self.lane(destination) else { return };
        if lane.has_on_track() {
            self.on_track.insert(destination);
        } else {
            self.on_track.remove(&destination);
        }
    }

    /// Decides where the lanes that share a position stand in the commit that is being made, and which of
    /// them no longer do. Never below where they stood.
    ///
    /// What a crash repeats at a destination must not depend on another one (G4). So a lane holds the
    /// shared position back for one commit at most: what it had before it at the last commit and has not
    /// settled by this one, it keeps to itself, at a position of its own. That is one
    /// [`crate::Settings::commit_interval`], and less under load; long enough that lanes which only have
    /// something in flight when a commit is made go on sharing, and a commit stays one number.
    pub(super) fn share_out(&mut self) -> Shared {
        let has_company = self.configured - self.detached > 1;
        let patience = if has_company { self.head_at_commit } else { Offset::ZERO };
        let holding = self.on_track.iter().filter_map(|index| self.lane(*index));
        let holding = holding.filter(|lane| lane.shares_position());
        let positions: Vec<_> = holding.map(|lane| (lane.destination, lane.settled_below(self.head))).collect();
        let patient = positions.iter().map(|(_, position)| *position).filter(|position| *position >= patience);
        let scanned = patient.fold(self.head, Offset::min).max(self.scanned);
        let apart = positions.iter().filter(|(_, position)| *position < scanned).map(|(index, _)| *index);
        self.own_position.extend(apart);
        self.head_at_commit = self.head;
        Shared { scanned, is_held_back: has_company && scanned < self.head }
    }

    /// Settlements that no stored commit has yet.
    pub(super) fn uncommitted(&self) -> usize {
        self.tally.settled + self.committing.in_flight.as_ref().map_or(0, |(_, settled)| *settled)
    }
}
