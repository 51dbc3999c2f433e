//! Commits: one at a time per partition, a short time or a number of settlements after the first
//! that is not saved.

use super::OwnedPartition;
use super::lanes::SharedPosition;
use crate::destination::{Destination, DestinationName};
use crate::dispatcher::shared::Shared;
use crate::io::{Notice, Output};
use crate::lane::{Expired, Lane, Uncommitted, Unsaved};
use crate::lane_key::LaneKey;
use crate::partition::Offset;
use crate::progress::{Commit, LaneChange, Quarantined};
use crate::revision::Cut;
use crate::settings::Settings;
use crate::time::Timestamp;
use crate::timers::Timer;
use crate::way::{LaneAt, Way};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long after a commit failed it is sent again. The shell has logged why.
const RECOMMIT_AFTER: Duration = Duration::from_millis(250);
/// How many unreadable records of a partition are remembered as reported: 32 KiB. More are a damaged disk,
/// of which repeated reports are the least trouble.
const MAX_REMEMBERED_QUARANTINED: usize = 4096;

/// Where a partition's commits stand.
#[derive(Debug, Default)]
pub(super) struct Commits {
    /// The default position of the last commit that was made.
    pub(super) scanned: Offset,
    /// Where the shared reader was then.
    head_at_commit: Offset,
    /// What has been settled since.
    pub(super) uncommitted: Uncommitted,
    /// Something else is not in a commit yet.
    dirty: bool,
    timer: Option<Timestamp>,
    /// The commit that is on its way, and how many attempts' events it settles.
    in_flight: Option<(Arc<Commit>, usize)>,
    /// When it is sent again, if it has failed.
    again: Option<Timestamp>,
    /// The keys whose dead letters are in it.
    unsaved: Vec<Unsaved>,
    /// What has expired and is in it.
    pub(super) expired: BTreeMap<DestinationName, Expired>,
    /// What the next commit says beside the changes of lanes.
    prepared: Commit,
    /// How many commits of this ownership have told something of attempts.
    told: u64,
}

impl From<Offset> for Commits {
    /// Those of a partition whose progress was loaded.
    fn from(scanned: Offset) -> Self {
        Self { scanned, head_at_commit: scanned, ..Self::default() }
    }
}

impl Commits {
    /// What the next commit says of a destination, whatever its lane has to say.
    pub(super) fn prepare(&mut self, name: &DestinationName) -> &mut LaneChange {
        self.dirty = true;
        self.prepared.lanes.entry(name.clone()).or_default()
    }

    /// No commit says anything of a destination that was forgotten.
    pub(super) fn forget(&mut self, name: &DestinationName) {
        // What is prepared would bring it back into the store.
        self.prepared.lanes.remove(name);
        // And what is on its way, should it have to be sent again.
        if let Some((commit, _)) = &mut self.in_flight
            && commit.lanes.contains_key(name)
        {
            Arc::make_mut(commit).lanes.remove(name);
        }
    }

    /// The store is to let go of all that it has of a destination, in the next commit.
    pub(super) fn drop_all(&mut self, name: &DestinationName) {
        self.dirty = true;
        self.prepared.lanes.remove(name);
        self.prepared.dropped.insert(name.clone());
        self.uncommitted.drop_all(name);
    }

    /// The next commit says that another revision of the destinations is followed, and is not waited for.
    pub(super) const fn take_over(&mut self, cut: Cut) {
        self.dirty = true;
        self.prepared.cut = Some(cut);
    }

    /// The reader has moved: that has to be committed some time.
    pub(super) const fn head_has_moved(&mut self) {
        self.dirty = true;
    }

    /// Settlements by attempts that no stored commit has yet.
    pub(super) fn unstored(&self) -> usize {
        self.uncommitted.settled + self.in_flight.as_ref().map_or(0, |(_, settled)| *settled)
    }

    pub(super) const fn is_in_flight(&self) -> bool {
        self.in_flight.is_some()
    }

    /// Whether a commit is on its way, or is made in a moment.
    pub(super) const fn is_about_to_be_made(&self) -> bool {
        self.is_in_flight() || self.timer.is_some()
    }

    /// Whether the next commit, which cannot be made yet, has all the dead letters that it may.
    pub(super) const fn has_enough_letters(&self, settings: &Settings) -> bool {
        self.is_in_flight() && self.uncommitted.dead_letter_bytes >= settings.commit_dead_letter_bytes
    }

    /// The keys whose dead letters are not in a stored commit, once for each.
    pub(super) fn unsaved(&self) -> impl Iterator<Item = &Unsaved> {
        self.unsaved.iter().chain(&self.uncommitted.unsaved)
    }

    /// What the next commit tells of attempts, and of what has expired.
    #[cfg(test)]
    pub(in crate::dispatcher) fn untold(&self) -> &[crate::history::Told] {
        self.uncommitted.to_tell.told()
    }

    /// Those of a destination.
    pub(super) fn unsaved_of(&self, destination: &Destination) -> Vec<LaneKey> {
        let is_its =
            |unsaved: &&Unsaved| unsaved.destination == destination.name && destination.goes_on_from(unsaved.born);
        let is_its = |unsaved: &&Unsaved| unsaved.way == Way::Live && is_its(unsaved);
        let of = self.unsaved().filter(is_its);
        of.map(|unsaved| unsaved.key.clone()).collect()
    }
}

impl OwnedPartition {
    /// Sees to it that what has changed is committed in time.
    pub(super) fn note_change(&mut self, shared: &mut Shared) {
        let uncommitted = &self.commits.uncommitted;
        let is_new = uncommitted.all_settled() > 0 || !uncommitted.to_tell.is_empty();
        let changed = self.commits.dirty || is_new || self.lanes.any_touched();
        let changed = changed || self.replays.any_touched();
        if !changed || self.commits.is_in_flight() {
            return;
        }
        let (settled, letters) = (uncommitted.all_settled(), uncommitted.dead_letter_bytes);
        let is_large =
            settled >= shared.settings.commit_settlements || letters >= shared.settings.commit_dead_letter_bytes;
        let urgent = self.releasing || self.commits.prepared.cut.is_some();
        if urgent || is_large {
            self.commit(shared);
        } else {
            self.commit_soon(shared);
        }
    }

    fn commit_soon(&mut self, shared: &mut Shared) {
        if self.commits.timer.is_none() {
            let after = shared.settings.commit_interval;
            self.commits.timer = Some(shared.set_timer_after(after, Timer::Commit(self.partition)));
        }
    }

    pub(in crate::dispatcher) fn commit_due(&mut self, shared: &mut Shared) {
        // A timer of an earlier ownership, or of before a commit for another reason.
        if self.commits.timer.is_none_or(|at| at > shared.now) {
            return;
        }
        self.commits.timer = None;
        if !self.commits.is_in_flight() {
            self.commit(shared);
        }
    }

    /// Makes a commit of all that has changed, if anything has.
    fn commit(&mut self, shared: &mut Shared) {
        let commit = self.make_commit(shared);
        // Settlements above an event that is not settled are not in any commit. They are bounded by
        // the lanes' windows, and in time by `straggler_after`.
        let settled = std::mem::take(&mut self.commits.uncommitted.settled);
        self.commits.uncommitted.settled_unsent = 0;
        if commit.is_empty() {
            if self.commits.dirty {
                self.commit_soon(shared);
            }
            return self.unstall(shared);
        }
        let commit = Arc::new(commit);
        self.commits.in_flight = Some((commit.clone(), settled));
        shared.output(Output::Commit { partition: self.partition, commit });
    }

    fn make_commit(&mut self, shared: &mut Shared) -> Commit {
        let commits = &mut self.commits;
        let SharedPosition { at: scanned, is_held_back } =
            self.lanes.share_position(self.head, commits.head_at_commit, commits.scanned);
        commits.head_at_commit = self.head;
        let mut commit = std::mem::take(&mut commits.prepared);
        for index in self.lanes.take_touched() {
            let lane = self.lanes.known_mut(index);
            let change = lane.take_changes(scanned, self.head);
            let (shares, look_again) = (lane.shares_position(), lane.has_ahead());
            self.lanes.committed(index, shares, look_again);
            let destination = shared.destinations.get(index);
            if let Some(change) = change.filter(|_| destination.is_kept) {
                let name = destination.name.clone();
                commit.lanes.entry(name).or_default().then(change);
            }
        }
        commit.scanned = (scanned != commits.scanned).then_some(scanned);
        commits.scanned = scanned;
        self.commit_replays(&mut commit, scanned, shared);
        self.commit_expired(&mut commit);
        let commits = &mut self.commits;
        commit.dead_letters = std::mem::take(&mut commits.uncommitted.dead_letters);
        commits.uncommitted.dead_letter_bytes = 0;
        commits.unsaved = std::mem::take(&mut commits.uncommitted.unsaved);
        commit.redriven = std::mem::take(&mut commits.uncommitted.redriven);
        commit.quarantined = std::mem::take(&mut commits.uncommitted.quarantined);
        commit.history = commits.uncommitted.to_tell.take(commits.told + 1, shared.now);
        commits.told += u64::from(commit.history.is_some());
        commits.dirty = is_held_back;
        commit
    }

    pub(in crate::dispatcher) fn committed(&mut self, shared: &mut Shared) {
        let cut = self.commits.in_flight.take().and_then(|(commit, _)| commit.cut);
        // Before anything can make the next commit.
        self.tell_expired(shared);
        let looked_at = self.note_stored_replays(shared);
        for Unsaved { destination, born, way, key } in std::mem::take(&mut self.commits.unsaved) {
            // A destination that has gone since has no lane that waits for it, nor has another one of that name.
            let index = shared.destinations.named(&destination);
            if let Some(index) = index.filter(|index| shared.destinations.get(*index).goes_on_from(born)) {
                self.with_lane(LaneAt { destination: index, way }, shared, |lane, cx| lane.saved(&key, cx));
            }
        }
        if let Some(cut) = cut {
            self.taken_over(cut, shared);
        }
        self.go_on_with_replays(looked_at, shared);
        self.unstall(shared);
        self.go_on_expiring(shared);
        self.note_change(shared);
        self.finish_release(shared);
    }

    /// Attempts may start again that waited for a commit or for the lease.
    pub(super) fn unstall(&mut self, shared: &mut Shared) {
        for index in self.lanes.take_stalled() {
            self.queue_at_gate(index.into(), shared);
        }
        for at in self.replays.take_stalled() {
            self.queue_at_gate(at, shared);
        }
    }

    pub(in crate::dispatcher) fn commit_failed(&mut self, shared: &mut Shared) {
        self.commits.again = Some(shared.set_timer_after(RECOMMIT_AFTER, Timer::Recommit(self.partition)));
    }

    pub(in crate::dispatcher) fn recommit(&mut self, shared: &mut Shared) {
        // A timer of an earlier ownership: two copies of one commit on their way at once could leave
        // the older state behind a newer one.
        if self.commits.again.is_none_or(|at| at > shared.now) {
            return;
        }
        self.commits.again = None;
        // It may have been stored meanwhile, whatever was said.
        if let Some((commit, _)) = &self.commits.in_flight {
            shared.output(Output::Commit { partition: self.partition, commit: commit.clone() });
        }
    }

    pub(in crate::dispatcher) fn release(&mut self, shared: &mut Shared) {
        self.releasing = true;
        self.finish_release(shared);
    }

    /// Lets the partition go once nothing is in flight and everything is committed, if that is wanted.
    pub(super) fn finish_release(&mut self, shared: &mut Shared) {
        if !self.releasing {
            return;
        }
        if self.attempts > 0 || self.commits.is_in_flight() {
            return self.note_change(shared);
        }
        let on_track = self.lanes.all_on_track().into_iter().map(LaneAt::from);
        for at in on_track.chain(self.replays.all().map(Lane::at)).collect::<Vec<_>>() {
            if let Some((lane, mut cx)) = self.lane_with_context(at, shared) {
                lane.wind_down(&mut cx);
            }
            self.touch(at);
        }
        self.commit(shared);
        if !self.commits.is_in_flight() {
            self.released = true;
            shared.output(Output::Released(self.partition));
        }
    }

    /// Records that could not be read are kept aside, each once.
    pub(super) fn quarantine(&mut self, records: Vec<Quarantined>, shared: &mut Shared) {
        for record in records {
            if self.quarantined.contains(&record.offset) {
                continue;
            }
            // Beyond the bound some are reported again; the store keeps each once all the same.
            if self.quarantined.len() < MAX_REMEMBERED_QUARANTINED {
                self.quarantined.insert(record.offset);
            }
            self.commits.dirty = true;
            shared.notice(Notice::Quarantined { partition: self.partition, record: record.clone() });
            self.commits.uncommitted.quarantined.push(record);
        }
    }
}
