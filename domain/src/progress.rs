//! Progress: what a partition's lanes have settled, as it is kept in the store.
//!
//! `scanned` and the keys that are `behind` it. Order per key makes this enough: below a key's
//! offset all of its events are settled, from there on none is.

mod expiry;
mod replays;

pub use expiry::Expiry;
pub use replays::{ReplayChange, ReplayMark, ReplayProgress};

use crate::destination::DestinationName;
use crate::event::{EventId, EventType};
use crate::history::History;
use crate::lane_key::LaneKey;
use crate::partition::{Offset, Partition};
use crate::replay::ReplayId;
use crate::retry::{Failure, RetryState};
use crate::revision::{Cut, Cuts, Revision};
use crate::tenant::Tenant;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A key that has not come as far as its lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Behind {
    /// All events of the key below this are settled, none from here on is.
    pub offset: Offset,
    /// If the event at `offset` has failed: how far its retries have come.
    pub retry: Option<RetryState>,
}

/// Where a lane stands: every wanted event below is settled, but for those of the keys behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Position {
    /// At the partition's default `scanned`, with all other lanes that keep up.
    #[default]
    Shared,
    /// At a position of its own: it reads behind the others, or holds them back.
    At(Offset),
}

impl Position {
    /// Which offset that is, with the partition's default position.
    #[must_use]
    pub const fn offset(self, default: Offset) -> Offset {
        match self {
            Self::Shared => default,
            Self::At(offset) => offset,
        }
    }
}

/// Why a destination makes no attempts although its configuration would let it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Since when.
    pub since: Timestamp,
    /// What happened, for people.
    pub reason: Box<str>,
}

/// A lane's durable state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaneProgress {
    /// When its destination was made. A record of another destination of the same name says nothing of this one.
    pub born: Revision,
    /// Where it stands.
    pub position: Position,
    /// Why it was paused, if it was.
    pub paused: Option<Pause>,
    /// The keys that have not come as far.
    pub behind: BTreeMap<LaneKey, Behind>,
    /// What is delivered once more, beside or before what it has not delivered yet.
    pub replays: BTreeMap<ReplayId, ReplayProgress>,
    /// The largest number that a replay was given here ([`ReplayMark::number`]).
    pub last_replay: u64,
    /// What has waited for too long here, and from when on waiting counts.
    pub expiry: Expiry,
}

impl LaneProgress {
    /// The lowest offset that is not settled. `default` is the partition's default position.
    #[must_use]
    pub fn settled_below(&self, default: Offset) -> Offset {
        self.behind.values().map(|behind| behind.offset).fold(self.position.offset(default), Offset::min)
    }

    /// The lowest offset that the lane or one of its replays may still need.
    #[must_use]
    pub fn needs_from(&self, default: Offset) -> Offset {
        let replays = self.replays.values().filter_map(ReplayProgress::needs_from);
        replays.fold(self.settled_below(default), Offset::min)
    }

    /// The same, but that nothing from `from` on is settled. What was unsettled below stays where it was, with
    /// its retries. `default` is the partition's default position.
    #[must_use]
    pub fn gone_back(&self, from: Offset, default: Offset) -> Self {
        let position = self.position.offset(default).min(from);
        let gone_back = |(key, behind): (&LaneKey, &Behind)| {
            if behind.offset <= from {
                return Some((key.clone(), behind.clone()));
            }
            // The lane comes by again, unless it has yet to come there and would take up what is settled below.
            let settled_to_come = position < from && !matches!(key, LaneKey::Event(_));
            settled_to_come.then(|| (key.clone(), Behind { offset: from, retry: None }))
        };
        Self {
            born: self.born,
            position: Position::At(position),
            paused: self.paused.clone(),
            behind: self.behind.iter().filter_map(gone_back).collect(),
            replays: self.replays.clone(),
            last_replay: self.last_replay,
            expiry: self.expiry,
        }
    }
}

/// A partition's durable state. A destination without a lane here has never been seen by it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionProgress {
    /// The default `scanned`, where all lanes with a shared position stand.
    pub scanned: Offset,
    /// The lanes, of destinations that are configured and of those that no longer are.
    pub lanes: BTreeMap<DestinationName, LaneProgress>,
    /// Dead letters that someone wants retried.
    pub redrives: Vec<Redrive>,
    /// From where on it follows which revision of the destinations.
    pub cuts: Cuts,
}

impl PartitionProgress {
    /// The position below which every lane has settled everything, and no replay needs anything: the log may be
    /// trimmed up to here.
    #[must_use]
    pub fn settled_below(&self) -> Offset {
        if self.lanes.is_empty() {
            return Offset::ZERO;
        }
        self.lanes.values().map(|lane| lane.needs_from(self.scanned)).fold(self.scanned, Offset::min)
    }

    /// Only what it says of these destinations, and of these keys at them: what of them is settled, whatever is delivered
    /// once more, and however much has expired. Nothing else is left out.
    #[must_use]
    pub fn restricted(mut self, destinations: &[DestinationName], keys: &[LaneKey]) -> Self {
        self.lanes.retain(|name, _| destinations.contains(name));
        for lane in self.lanes.values_mut() {
            lane.behind.retain(|key, _| keys.contains(key));
            lane.replays.clear();
            lane.last_replay = 0;
            lane.expiry = Expiry::default();
        }
        self.redrives.clear();
        self
    }

    /// Applies a commit, as a store does.
    pub fn apply(&mut self, commit: &Commit) {
        if let Some(scanned) = commit.scanned {
            self.scanned = scanned;
        }
        if let Some(cut) = commit.cut {
            self.cuts.add(cut);
        }
        for name in &commit.dropped {
            self.lanes.remove(name);
            self.redrives.retain(|request| request.destination != *name);
        }
        for (name, change) in &commit.lanes {
            let lane = self.lanes.entry(name.clone()).or_default();
            if let Some(born) = change.born {
                lane.born = born;
            }
            if let Some(position) = change.position {
                lane.position = position;
            }
            if let Some(paused) = &change.paused {
                lane.paused.clone_from(paused);
            }
            for (key, behind) in &change.behind {
                match behind {
                    Some(behind) => lane.behind.insert(key.clone(), behind.clone()),
                    None => lane.behind.remove(key),
                };
            }
            for (id, change) in &change.replays {
                let before = lane.replays.remove(id);
                let Some(after) = change.as_ref().and_then(|change| ReplayProgress::changed(before, change)) else {
                    continue;
                };
                lane.last_replay = lane.last_replay.max(after.mark.number);
                lane.replays.insert(id.clone(), after);
            }
            if let Some(expiry) = change.expiry {
                lane.expiry = expiry;
            }
        }
        let ended = |request: &Redrive| {
            commit.redriven.iter().any(|r| r.destination == request.destination && r.offset == request.offset)
        };
        self.redrives.retain(|request| !ended(request));
    }
}

/// A dead letter that is to be attempted once more.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Redrive {
    /// The destination that it is a dead letter of.
    pub destination: DestinationName,
    /// The event's offset. (The log may have trimmed it: the dead letter has a copy.)
    pub offset: Offset,
    /// What it is ordered with, as when it was given up.
    pub key: LaneKey,
}

/// How a retried dead letter ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redriven {
    /// The destination.
    pub destination: DestinationName,
    /// The event's offset.
    pub offset: Offset,
    /// `None`: delivered, so that the dead letter is no more. Else it stays one, with this added.
    pub failed: Option<Failure>,
}

/// What changed in one lane.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaneChange {
    /// When its destination was made, where the store does not know that yet.
    pub born: Option<Revision>,
    /// Its new position, if it changed.
    pub position: Option<Position>,
    /// Its new pause or the end of one, if that changed.
    pub paused: Option<Option<Pause>>,
    /// Keys that fell behind or moved (`Some`) or caught up (`None`).
    pub behind: BTreeMap<LaneKey, Option<Behind>>,
    /// Replays that began or moved (`Some`), or that nobody wants to know of any more (`None`).
    pub replays: BTreeMap<ReplayId, Option<ReplayChange>>,
    /// What has expired in all and from when on waiting counts, if either changed. The same again changes nothing.
    pub expiry: Option<Expiry>,
}

impl LaneChange {
    /// Adds what changed later.
    pub(crate) fn then(&mut self, later: Self) {
        self.born = later.born.or(self.born);
        self.position = later.position.or(self.position);
        if later.paused.is_some() {
            self.paused = later.paused;
        }
        self.behind.extend(later.behind);
        self.expiry = later.expiry.or(self.expiry);
        for (id, change) in later.replays {
            match self.replays.entry(id) {
                Entry::Vacant(none) => drop(none.insert(change)),
                Entry::Occupied(mut before) => ReplayChange::add(before.get_mut(), change),
            }
        }
    }

    /// The largest position that it claims.
    fn highest(&self) -> Offset {
        let marks = self.replays.values().flatten().filter_map(|change| change.mark).map(|mark| mark.scanned);
        let own = self.position.map_or(Offset::ZERO, |position| position.offset(Offset::ZERO));
        marks.fold(own, Offset::max)
    }
}

/// An event given up by a destination. The store adds a copy of the event from its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenUp {
    /// The destination that could not take it.
    pub destination: DestinationName,
    /// Where the event is.
    pub offset: Offset,
    /// What it was ordered with.
    pub key: LaneKey,
    /// When it was given up.
    pub at: Timestamp,
    /// Why: the retry limit, or a rejection.
    pub reason: Box<str>,
    /// Its attempts.
    pub retry: RetryState,
}

/// A record that could not be read: kept aside, so that the rest goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// Where it is.
    pub offset: Offset,
    /// What is wrong with it.
    pub reason: Box<str>,
}

/// One atomic, fenced write of a partition's progress.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// The new default position, if it changed.
    pub scanned: Option<Offset>,
    /// From where on it follows a further revision of the destinations. Nothing from there on was judged yet.
    pub cut: Option<Cut>,
    /// Destinations that were deleted: their lanes, dead letters and redrives of the partition go, before
    /// anything else of the commit is applied.
    pub dropped: BTreeSet<DestinationName>,
    /// Changed lanes. One that is not known yet is made.
    pub lanes: BTreeMap<DestinationName, LaneChange>,
    /// Events that became dead letters.
    pub dead_letters: Vec<GivenUp>,
    /// Dead letters that were retried.
    pub redriven: Vec<Redriven>,
    /// Records to keep aside.
    pub quarantined: Vec<Quarantined>,
    /// Attempts that have ended since the last commit. Kept for people: nothing else depends on it.
    pub history: Option<Arc<History>>,
}

impl Commit {
    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The largest position that it claims; a store refuses one beyond the log's end.
    #[must_use]
    pub fn highest(&self) -> Offset {
        self.lanes
            .values()
            .map(LaneChange::highest)
            .chain(self.scanned)
            .chain(self.cut.map(|cut| cut.at))
            .max()
            .unwrap_or_default()
    }
}

/// An event that a destination gave up, kept until someone retries or discards it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The partition it was in.
    pub partition: Partition,
    /// What became of it.
    pub given_up: GivenUp,
    /// The event's id.
    pub event_id: EventId,
    /// The event's type; `None` if its copy cannot be read.
    pub event_type: Option<EventType>,
    /// Whose the event is; `None` if it is nobody's, or its copy cannot be read.
    pub tenant: Option<Tenant>,
    /// Whether someone wants it retried, and that has not happened yet.
    pub retry_requested: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Key;
    use crate::retry::NextAttempt;
    use proptest::prelude::*;

    #[test]
    fn nothing_may_be_trimmed_before_a_destination_was_seen() {
        let progress = PartitionProgress { scanned: Offset(9), ..PartitionProgress::default() };
        assert_eq!(progress.settled_below(), Offset::ZERO);
    }

    #[test]
    fn the_slowest_key_of_the_slowest_lane_holds_the_trim() {
        let name = DestinationName::new("a").unwrap();
        let mut progress = PartitionProgress::default();
        let behind = Behind { offset: Offset(3), retry: None };
        let change = LaneChange {
            position: Some(Position::At(Offset(7))),
            behind: [(LaneKey::All, Some(behind))].into(),
            ..LaneChange::default()
        };
        progress.apply(&Commit {
            scanned: Some(Offset(10)),
            lanes: [(name.clone(), change)].into(),
            ..Commit::default()
        });
        assert_eq!(progress.settled_below(), Offset(3));
        let caught_up = LaneChange { behind: [(LaneKey::All, None)].into(), ..LaneChange::default() };
        progress.apply(&Commit { lanes: [(name, caught_up)].into(), ..Commit::default() });
        assert_eq!(progress.settled_below(), Offset(7));
    }

    fn key(n: u8) -> LaneKey {
        match n {
            0 => LaneKey::All,
            1..4 => LaneKey::Key(Key::new(&format!("k{n}")).unwrap()),
            _ => LaneKey::Event(Offset(u64::from(n))),
        }
    }

    /// Whether a lane says that what is of `key` at `offset` is settled.
    fn claims(lane: &LaneProgress, default: Offset, key: &LaneKey, offset: Offset) -> bool {
        let position = lane.position.offset(default);
        lane.behind.get(key).map_or(offset < position, |behind| offset < behind.offset)
    }

    #[test]
    fn a_lane_that_goes_back_keeps_the_records_of_what_it_will_not_come_by_again() {
        let (key, other) = (key(1), key(2));
        let by_itself = LaneKey::Event(Offset(7));
        let at = |offset| Behind { offset: Offset(offset), retry: None };
        let lane = |position| LaneProgress {
            position: Position::At(Offset(position)),
            behind: [(key.clone(), at(8)), (other.clone(), at(4)), (by_itself.clone(), at(7))].into(),
            ..LaneProgress::default()
        };
        // It has yet to come to what of `key` it had settled, and would deliver it again.
        let before = lane(3).gone_back(Offset(5), Offset::ZERO);
        assert_eq!(before.behind, [(key.clone(), at(5)), (other.clone(), at(4))].into());
        for position in [5, 9] {
            let beyond = lane(position).gone_back(Offset(5), Offset::ZERO);
            assert_eq!(beyond.behind, [(other.clone(), at(4))].into(), "{position}");
        }
    }

    #[test]
    fn what_is_restricted_says_the_same_of_fewer_and_nothing_of_replays_and_what_expired() {
        let (a, b) = (DestinationName::new("a").unwrap(), DestinationName::new("b").unwrap());
        let at = |offset| Behind { offset: Offset(offset), retry: None };
        let lane = LaneProgress {
            born: Revision(3),
            position: Position::At(Offset(7)),
            paused: Some(Pause { since: Timestamp::from_millis(1), reason: "gone".into() }),
            behind: [(key(1), at(3)), (key(2), at(4))].into(),
            last_replay: 2,
            expiry: Expiry { expired: 5, ..Expiry::default() },
            ..LaneProgress::default()
        };
        let mut progress = PartitionProgress {
            scanned: Offset(9),
            lanes: [(a.clone(), lane.clone()), (b, lane.clone())].into(),
            redrives: vec![Redrive { destination: a.clone(), offset: Offset(1), key: key(1) }],
            ..PartitionProgress::default()
        };
        progress.cuts.add(Cut { revision: Revision(3), at: Offset(2) });
        let of_one =
            LaneProgress { behind: [(key(1), at(3))].into(), last_replay: 0, expiry: Expiry::default(), ..lane };
        let expected =
            PartitionProgress { lanes: [(a.clone(), of_one)].into(), redrives: Vec::new(), ..progress.clone() };
        assert_eq!(progress.restricted(&[a], &[key(1)]), expected);
    }

    #[test]
    fn a_wish_to_retry_a_dead_letter_goes_once_that_is_done_or_with_its_destination() {
        let (a, b) = (DestinationName::new("a").unwrap(), DestinationName::new("b").unwrap());
        let wish = |of: &DestinationName, offset| Redrive {
            destination: of.clone(),
            offset: Offset(offset),
            key: LaneKey::Event(Offset(offset)),
        };
        let redrives = vec![wish(&a, 1), wish(&a, 2), wish(&b, 1), wish(&b, 2)];
        let mut progress = PartitionProgress { redrives, ..PartitionProgress::default() };
        let done = Redriven { destination: a.clone(), offset: Offset(1), failed: None };
        progress.apply(&Commit { redriven: vec![done], ..Commit::default() });
        assert_eq!(progress.redrives, [wish(&a, 2), wish(&b, 1), wish(&b, 2)]);
        progress.apply(&Commit { dropped: [a].into(), ..Commit::default() });
        assert_eq!(progress.redrives, [wish(&b, 1), wish(&b, 2)]);
    }

    #[test]
    fn a_commit_claims_the_largest_position_of_all_that_it_moves() {
        let name = DestinationName::new("a").unwrap();
        let commit = |scanned, cut, position, replayed| {
            let mark = ReplayMark { scanned: Offset(replayed), ..ReplayMark::default() };
            let replay = ReplayChange { mark: Some(mark), ..ReplayChange::default() };
            let change = LaneChange {
                position: Some(Position::At(Offset(position))),
                replays: [(ReplayId::new("r").unwrap(), Some(replay))].into(),
                ..LaneChange::default()
            };
            Commit {
                scanned: Some(Offset(scanned)),
                cut: Some(Cut { revision: Revision(1), at: Offset(cut) }),
                lanes: [(name.clone(), change)].into(),
                ..Commit::default()
            }
        };
        for claims in [commit(9, 2, 3, 4), commit(1, 9, 3, 4), commit(1, 2, 9, 4), commit(1, 2, 3, 9)] {
            assert_eq!(claims.highest(), Offset(9), "{claims:?}");
        }
        assert_eq!(Commit::default().highest(), Offset::ZERO);
    }

    proptest! {
        /// Nothing from there on is claimed, and below exactly what was.
        #[test]
        fn a_lane_that_goes_back_keeps_what_it_had_settled_below(
            position in prop::option::of(0_u64..20), default in 0_u64..20, from in 0_u64..20,
            behind in prop::collection::btree_map(0_u8..20, (0_u64..20, any::<bool>()), 0..8),
        ) {
            let retry = |failed: bool| failed.then(|| RetryState {
                attempts: 1, first_failure: Timestamp::ZERO, next_attempt: NextAttempt::Never, history: Vec::new(),
            });
            let record = |(n, (offset, failed)): (u8, (u64, bool))| match key(n) {
                // The record of an event by itself is of that event.
                LaneKey::Event(offset) => (key(n), Behind { offset, retry: retry(failed) }),
                of => (of, Behind { offset: Offset(offset), retry: retry(failed) }),
            };
            let (default, from) = (Offset(default), Offset(from));
            let before = LaneProgress {
                born: Revision::ORIGIN,
                position: position.map_or(Position::Shared, |at| Position::At(Offset(at))),
                behind: behind.into_iter().map(record).collect(),
                ..LaneProgress::default()
            };
            let after = before.gone_back(from, default);
            for n in 0..20 {
                // What is of an event's own key is at its offset only.
                let offsets = if n < 4 { 0..20 } else { u64::from(n)..u64::from(n) + 1 };
                for offset in offsets.map(Offset) {
                    let expected = offset < from && claims(&before, default, &key(n), offset);
                    prop_assert_eq!(claims(&after, default, &key(n), offset), expected, "{} of {}", offset, key(n));
                }
            }
            // A failure is remembered where its event is still the key's first unsettled one.
            for (key, behind) in &after.behind {
                prop_assert!(behind.retry.is_none() || before.behind.get(key) == Some(behind));
            }
        }
    }
}
