//! A partition that this process owns: its lanes, what they read, and what is to be committed.
//!
//! Whatever is called here is called within one partition that is there, with what all partitions
//! share beside it. A lane need not be there: a destination with nothing under way has none. Where a
//! lane has to be there and is not, something is broken.

mod attempts;
mod catching_up;
mod check;
mod commits;
mod expiries;
mod following;
mod lanes;
mod membership;
mod reads;
mod replay;
mod replaying;
mod replays;

pub(super) use reads::Answer;

use super::destinations::Destinations;
use super::shared::Shared;
use crate::destination::{DestinationIndex, DestinationName};
use crate::lane::{Context, Held as HeldMemory, Lane, Memory};
use crate::partition::{Offset, Partition};
use crate::progress::{LaneProgress, Redrive};
use crate::replay::Held;
use crate::revision::Cuts;
use crate::shares::GroupIndex;
use crate::time::Timestamp;
use crate::timers::LaneTimer;
use crate::way::{LaneAt, Way};
use catching_up::CatchingUp;
use commits::Commits;
use expiries::Expiries;
use following::Following;
use lanes::Lanes;
use replays::Replays;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// A partition that this process owns.
#[derive(Debug)]
pub(super) struct OwnedPartition {
    partition: Partition,
    /// Tells this ownership from earlier and later ones of the same partition.
    incarnation: u64,
    /// Whether no destination was known here before.
    is_new: bool,
    /// The log's start, as far as is known.
    log_start: Offset,
    /// The log's end, as far as is known.
    end: Offset,
    /// Where the reader that all attached lanes share is.
    head: Offset,
    head_reading: bool,
    catching_up: CatchingUp,
    lanes: Lanes,
    replays: Replays,
    commits: Commits,
    expiry: Expiries,
    /// From where on it follows which revision of the destinations, as far as that is stored.
    cuts: Cuts,
    following: Following,
    /// New destinations, that have no lane before the cut from which on they want events.
    joining: BTreeSet<DestinationIndex>,
    /// The progress of destinations that are not configured.
    pub(super) unconfigured: BTreeMap<DestinationName, LaneProgress>,
    /// Attempts of this ownership in flight.
    attempts: usize,
    /// No attempt starts from then on.
    leased_until: Timestamp,
    releasing: bool,
    released: bool,
    /// Records that could not be read and were reported in this ownership: several readers come by.
    quarantined: BTreeSet<Offset>,
    /// Room for the destinations that want an event.
    wanted: Vec<DestinationIndex>,
}

impl OwnedPartition {
    fn new(partition: Partition, incarnation: u64, scanned: Offset, log: Range<Offset>, until: Timestamp) -> Self {
        Self {
            partition,
            incarnation,
            is_new: false,
            log_start: log.start,
            end: log.end,
            head: scanned,
            head_reading: false,
            catching_up: CatchingUp::default(),
            lanes: Lanes::default(),
            replays: Replays::default(),
            commits: Commits::from(scanned),
            expiry: Expiries::default(),
            cuts: Cuts::default(),
            following: Following::default(),
            joining: BTreeSet::new(),
            unconfigured: BTreeMap::new(),
            attempts: 0,
            leased_until: until,
            releasing: false,
            released: false,
            quarantined: BTreeSet::new(),
            wanted: Vec::new(),
        }
    }

    /// What the next commit tells of attempts, and of what has expired.
    #[cfg(test)]
    pub(super) fn untold(&self) -> &[crate::history::Told] {
        self.commits.untold()
    }

    /// Whether it was let go of, and is to be forgotten.
    pub(super) const fn is_released(&self) -> bool {
        self.released
    }

    /// The lease was prolonged: attempts that it had run out for may start.
    pub(super) fn renewed(&mut self, until: Timestamp, shared: &mut Shared) {
        self.leased_until = self.leased_until.max(until);
        self.unstall(shared);
    }

    /// What its lanes hold of the memory that all lanes share.
    pub(super) fn holds(&self) -> impl Iterator<Item = (GroupIndex, HeldMemory)> {
        self.lanes.all().chain(self.replays.all()).map(Lane::holds)
    }

    /// Names this ownership of the partition.
    pub(super) const fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// Lets go of it.
    pub(super) fn discard(&self, memory: &mut Memory) {
        for lane in self.lanes.all() {
            lane.discard(memory);
        }
        self.replays.discard(memory);
    }

    /// A lane, if it is there still.
    fn find_lane_mut(&mut self, at: LaneAt) -> Option<&mut Lane> {
        match at.way {
            Way::Live => self.lanes.get_mut(at.destination),
            Way::Replay(lane) => self.replays.lane_mut(at.destination, lane),
        }
    }

    /// The lane that has this id now, of those of a destination.
    fn lane_with_id(&self, index: DestinationIndex, id: u64) -> Option<LaneAt> {
        let live = self.lanes.get(index).filter(|lane| lane.id == id);
        live.or_else(|| self.replays.lane(index, id)).map(Lane::at)
    }

    /// The lanes of a destination, but for one.
    #[inline]
    fn lanes_but(&self, index: DestinationIndex, but: Option<LaneAt>) -> Vec<LaneAt> {
        if self.replays.is_empty() && but == Some(index.into()) {
            return Vec::new(); // As nearly always: there is no other.
        }
        let lanes = self.lanes.get(index).into_iter().chain(self.replays.lanes_of(index)).map(Lane::at);
        lanes.filter(|at| Some(*at) != but).collect()
    }

    /// Notes that a lane has changed.
    fn touch(&mut self, at: LaneAt) {
        match at.way {
            Way::Live => self.lanes.touch(at.destination),
            Way::Replay(_) => self.replays.touch(at.destination),
        }
    }

    /// A lane, and what it needs for a decision; `None` where nothing is under way.
    fn lane_with_context<'a>(&'a mut self, at: LaneAt, shared: &'a mut Shared) -> Option<(&'a mut Lane, Context<'a>)> {
        let lane = match at.way {
            Way::Live => self.lanes.get_mut(at.destination),
            Way::Replay(lane) => self.replays.lane_mut(at.destination, lane),
        }?;
        Some((lane, shared.context(at.destination, &mut self.commits.uncommitted)))
    }

    /// The same, of a lane that is there.
    fn known_lane<'a>(&'a mut self, at: LaneAt, shared: &'a mut Shared) -> (&'a mut Lane, Context<'a>) {
        let lane = self.lane_with_context(at, shared);
        lane.unwrap_or_else(|| panic!("there is no lane at {at:?}"))
    }

    /// Lets `act` change all lanes of a destination. Whether it says of any that it did.
    pub(super) fn with_lanes_of(
        &mut self,
        index: DestinationIndex,
        shared: &mut Shared,
        mut act: impl FnMut(&mut Lane, &mut Context<'_>) -> bool,
    ) -> bool {
        let mut acted = false;
        for at in self.lanes_but(index, None) {
            acted |= self.with_lane(at, shared, &mut act) == Some(true);
        }
        acted
    }

    /// Lets `act` change a lane, then sees to whatever it needs now. `None` where nothing
    /// is under way.
    pub(super) fn with_lane<R>(
        &mut self,
        at: LaneAt,
        shared: &mut Shared,
        act: impl FnOnce(&mut Lane, &mut Context<'_>) -> R,
    ) -> Option<R> {
        let (lane, mut cx) = self.lane_with_context(at, shared)?;
        let result = act(lane, &mut cx);
        self.touch(at);
        self.serve_lane(at, shared);
        Some(result)
    }

    /// Makes the destination's lane, if nothing was under way in it until now.
    fn make_lane(&mut self, index: DestinationIndex, shared: &mut Shared) {
        if self.lanes.get(index).is_none() {
            let lane = self.new_lane(index, Offset::ZERO, None, shared);
            self.lanes.insert(lane);
        }
    }

    /// A lane of a destination: with a `number`, one of a replay.
    fn new_lane(&self, index: DestinationIndex, from: Offset, number: Option<u64>, shared: &mut Shared) -> Lane {
        let (id, seed, ordering) = (shared.next_id(), shared.random.next(), shared.destinations.get(index).ordering);
        let group = shared.destinations.gate(index).group;
        let mut lane = Lane::new(id, (index, group), self.partition, ordering, from, seed);
        let (mut former, mut elsewhere) = (BTreeSet::new(), BTreeSet::new());
        for (attempt, of) in shared.attempts.at(self.incarnation, index) {
            if self.lane_with_id(index, of.lane).is_some() {
                elsewhere.extend(of.keys().cloned());
            } else {
                former.insert(attempt);
            }
        }
        let destination = shared.destinations.get(index);
        if destination.max_age.is_some() {
            lane.has_max_age(&mut shared.memory);
        }
        let held = match number {
            Some(number) => {
                lane.replays_as(number);
                Held::default()
            }
            None => {
                let expiry = self.expiry.of(&destination.name);
                lane.waits_since_again(expiry.again_below, expiry.again_since);
                self.replays.held(index)
            }
        };
        lane.follow(former, elsewhere, held);
        lane
    }

    /// Sees to what a lane needs: its place at the gate, data, a scan, more of the log, a commit.
    fn serve_lane(&mut self, at: LaneAt, shared: &mut Shared) {
        self.queue_at_gate(at, shared);
        self.read_for_lane(at, shared);
        // A destination with nothing under way has no lane, and most have no limit on waiting.
        if self.find_lane_mut(at).is_some_and(|lane| lane.has_limit()) {
            let (lane, mut cx) = self.known_lane(at, shared);
            lane.watch_ages(&mut cx);
            if lane.take_waits_for_commit() {
                self.expiry.wait_for_commit(at);
            }
        }
        self.note_change(shared);
    }

    /// The same, of a destination's lane for what is new, if it has one.
    pub(super) fn serve_destination(&mut self, index: DestinationIndex, shared: &mut Shared) {
        self.serve_lane(index.into(), shared);
    }

    /// Puts a lane that has events in hand into its destination's queue.
    fn queue_at_gate(&mut self, at: LaneAt, shared: &mut Shared) {
        // A destination with nothing under way has no lane, and most have nothing in hand.
        let Some(lane) = self.find_lane_mut(at) else { return };
        if lane.has_ready() && !lane.queued_at_gate {
            lane.queued_at_gate = true;
            shared.queue_at_gate(self.partition, at);
        }
    }

    /// A moment that a lane has waited for has come. The lane may have gone since.
    pub(super) fn lane_due(&mut self, at: LaneAt, timer: &LaneTimer, shared: &mut Shared) {
        match timer {
            LaneTimer::Straggler => self.look_for_stragglers(at, shared),
            LaneTimer::Linger => _ = self.with_lane(at, shared, |_, _| {}),
            LaneTimer::Key(key) => _ = self.with_lane(at, shared, |lane, cx| lane.key_due(key, cx)),
            LaneTimer::Age => _ = self.with_lane(at, shared, Lane::age_due),
        }
    }

    /// Where no key takes too long, the lane is left alone: those of thousands of destinations that are down may have
    /// something on track, and each comes by every second.
    fn look_for_stragglers(&mut self, at: LaneAt, shared: &mut Shared) {
        let Some((lane, mut cx)) = self.lane_with_context(at, shared) else { return };
        if lane.look_for_stragglers(&mut cx) {
            self.touch(at);
            self.serve_lane(at, shared);
        }
    }

    /// Someone wants these dead letters attempted once more.
    pub(super) fn redrive(&mut self, requests: &[Redrive], shared: &mut Shared) {
        for request in requests {
            // Whoever asks need not know what is configured here.
            let Some(index) = shared.destinations.named(&request.destination) else { continue };
            if self.joining.contains(&index) {
                continue; // Of one before it that had its name.
            }
            self.make_lane(index, shared);
            self.with_lane(index.into(), shared, |lane, cx| lane.redrive(&request.key, request.offset, cx));
        }
    }

    /// Of which destinations how many dead letters are not in a stored commit.
    pub(super) fn unsaved<'a>(&'a self, destinations: &'a Destinations) -> impl Iterator<Item = DestinationIndex> + 'a {
        self.commits.unsaved().filter(|unsaved| unsaved.way == Way::Live).filter_map(|unsaved| {
            let index = destinations.named(&unsaved.destination)?;
            destinations.get(index).goes_on_from(unsaved.born).then_some(index)
        })
    }

    /// Whether the destination has something under way here, or something that expired, or has yet to join, or one
    /// before it left something behind: all others stand where the shared reader is, but for what is in no stored
    /// commit.
    pub(super) fn is_apart(&self, index: DestinationIndex, name: &DestinationName) -> bool {
        self.lanes.get(index).is_some()
            || self.joining.contains(&index)
            || self.replays.has_any(index)
            || self.has_expired(name)
            || self.unconfigured.contains_key(name)
    }

    /// Whether the destination has a lane here, be it one with nothing under way.
    pub(super) fn has_joined(&self, index: DestinationIndex) -> bool {
        !self.joining.contains(&index)
    }

    /// Where its reader is, and where its log ends.
    pub(super) const fn reach(&self) -> (Offset, Offset) {
        (self.head, self.end)
    }

    /// The default position of the last commit that was made.
    pub(super) const fn scanned(&self) -> Offset {
        self.commits.scanned
    }

    /// How much there is to look at for the status of a destination.
    pub(super) fn status_weight(&self, index: DestinationIndex) -> usize {
        let lanes = self.lanes.get(index).into_iter().chain(self.replays.lanes_of(index));
        1 + lanes.map(Lane::behind_count).sum::<usize>()
    }

    pub(super) fn lane(&self, index: DestinationIndex) -> Option<&Lane> {
        self.lanes.get(index)
    }
}
