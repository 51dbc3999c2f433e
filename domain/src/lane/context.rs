//! What a lane is given for a decision, beside what it knows itself.

use crate::deleted_tenants::DeletedTenants;
use crate::destination::{Destination, DestinationName};
use crate::history::ToTell;
use crate::io::Notice;
use crate::lane_key::LaneKey;
use crate::partition::Offset;
use crate::progress::{GivenUp, Quarantined, Redriven};
use crate::random::Random;
use crate::revision::Revision;
use crate::settings::Settings;
use crate::shares::{GroupIndex, free};
use crate::time::Timestamp;
use crate::timers::Timers;
use crate::way::Way;
use std::collections::{BTreeMap, VecDeque};

/// What all lanes of a process share, and what a lane needs for a decision.
pub(crate) struct Context<'a> {
    pub(crate) now: Timestamp,
    pub(crate) settings: &'a Settings,
    pub(crate) destination: &'a Destination,
    pub(crate) deleted_tenants: &'a DeletedTenants,
    pub(crate) random: &'a mut Random,
    pub(crate) timers: &'a mut Timers,
    pub(crate) memory: OfGroup<'a>,
    pub(crate) notices: &'a mut VecDeque<Notice>,
    pub(crate) uncommitted: &'a mut Uncommitted,
}

/// What lanes hold of the memory that all lanes share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    /// Offsets remembered for keys behind.
    pub(crate) waiting: usize,
    /// Lanes with events on track.
    pub(crate) busy_lanes: usize,
}

/// What the lanes of a process hold together. Each lane's parts add to it what they take, and nobody else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    waiting: usize,
    /// By whose they are.
    groups: Vec<Held>,
    /// How many groups have a lane with events on track.
    busy_groups: usize,
}

/// The same, for a lane of one group.
#[derive(Debug)]
pub(crate) struct OfGroup<'a> {
    memory: &'a mut Memory,
    group: GroupIndex,
}

impl Memory {
    /// For a lane of this group.
    pub(crate) fn of(&mut self, group: GroupIndex) -> OfGroup<'_> {
        if self.groups.len() <= group.0 {
            self.groups.resize(group.0 + 1, Held::default());
        }
        OfGroup { memory: self, group }
    }

    /// What lanes hold by group, counted anew.
    pub(crate) fn counted(held: impl Iterator<Item = (GroupIndex, Held)>) -> Self {
        let mut memory = Self::default();
        for (group, Held { waiting, busy_lanes }) in held {
            let mut of = memory.of(group);
            of.remembered(0, waiting);
            (0..busy_lanes).for_each(|_| of.lane_is_busy());
        }
        memory
    }

    /// See [`crate::Dispatcher::check`].
    pub(crate) fn check(&self, mut counted: Self) {
        let groups = self.groups.len().max(counted.groups.len());
        let mut kept = self.clone();
        kept.groups.resize(groups, Held::default());
        counted.groups.resize(groups, Held::default());
        assert_eq!(kept, counted, "what lanes hold of the memory that they share");
    }
}

impl OfGroup<'_> {
    fn own(&mut self) -> &mut Held {
        &mut self.memory.groups[self.group.0]
    }

    /// A lane that remembered `before` offsets remembers `now`.
    pub(crate) fn remembered(&mut self, before: usize, now: usize) {
        self.memory.waiting = self.memory.waiting + now - before;
        let own = self.own();
        own.waiting = own.waiting + now - before;
    }

    /// Whether there is room for another offset, where one group may have `most` that is alone.
    pub(crate) fn may_remember(&self, most: usize) -> bool {
        self.memory.groups[self.group.0].waiting < free(most, self.memory.waiting)
    }

    /// A lane has events on track now.
    pub(crate) fn lane_is_busy(&mut self) {
        let own = self.own();
        own.busy_lanes += 1;
        if own.busy_lanes == 1 {
            self.memory.busy_groups += 1;
        }
    }

    /// One that had some has none any more.
    pub(crate) fn lane_is_idle(&mut self) {
        let own = self.own();
        own.busy_lanes -= 1;
        if own.busy_lanes == 0 {
            self.memory.busy_groups -= 1;
        }
    }

    /// The part of `bytes` that each of its busy lanes has: of what its group has as one of those that have any.
    pub(crate) fn share_of(&self, bytes: usize) -> usize {
        let own = self.memory.groups[self.group.0].busy_lanes;
        bytes / self.memory.busy_groups.max(1) / own.max(1)
    }
}

/// A dead letter that is not in a stored commit yet, and so holds its key.
#[derive(Debug)]
pub(crate) struct Unsaved {
    pub(crate) destination: DestinationName,
    pub(crate) born: Revision,
    /// Whose key waits for it.
    pub(crate) way: Way,
    pub(crate) key: LaneKey,
}

/// What a partition has settled since its last commit was made.
#[derive(Debug, Default)]
pub(crate) struct Uncommitted {
    /// What came of attempts: a crash repeats those.
    pub(crate) settled: usize,
    /// What was settled without one, as it has expired, is a deleted tenant's, or is lost: a crash repeats nothing that
    /// anybody sees, so that it holds no attempts up.
    pub(crate) settled_unsent: usize,
    /// Whose dead letters these are.
    pub(crate) unsaved: Vec<Unsaved>,
    pub(crate) dead_letters: Vec<GivenUp>,
    /// About how many bytes the events of `dead_letters` have, which the store copies.
    pub(crate) dead_letter_bytes: usize,
    pub(crate) redriven: Vec<Redriven>,
    pub(crate) quarantined: Vec<Quarantined>,
    /// Attempts that have ended, whatever came of them.
    pub(crate) to_tell: ToTell,
    /// What has expired, by destination.
    pub(crate) expired: BTreeMap<DestinationName, Expired>,
}

/// What of a destination has expired since the last commit was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expired {
    /// How many events.
    pub(crate) count: u64,
    /// How many of them have yet to be added to what progress counts.
    pub(crate) uncounted: u64,
    /// The last of them.
    pub(crate) last: Offset,
}

impl Uncommitted {
    /// How many settlements there are, whatever they are.
    pub(crate) const fn all_settled(&self) -> usize {
        self.settled + self.settled_unsent
    }

    /// A dead letter was delivered, and is none any more: also if it is not in a commit yet.
    pub(crate) fn take_back(&mut self, destination: &DestinationName, offset: Offset) {
        self.dead_letters.retain(|given_up| given_up.destination != *destination || given_up.offset != offset);
        self.redriven.push(Redriven { destination: destination.clone(), offset, failed: None });
    }

    /// An event has expired. `counts`: in the destination's progress.
    pub(crate) fn note_expired(&mut self, destination: &DestinationName, offset: Offset, counts: bool) {
        if !self.expired.contains_key(destination) {
            self.expired.insert(destination.clone(), Expired { count: 0, uncounted: 0, last: offset });
        }
        if let Some(expired) = self.expired.get_mut(destination) {
            expired.count += 1;
            expired.uncounted += u64::from(counts);
            expired.last = expired.last.max(offset);
        }
    }

    /// Nothing is said of a destination that was deleted. The bytes of its dead letters count until the commit.
    pub(crate) fn drop_all(&mut self, destination: &DestinationName) {
        self.unsaved.retain(|unsaved| unsaved.destination != *destination);
        self.expired.remove(destination);
        self.dead_letters.retain(|given_up| given_up.destination != *destination);
        self.redriven.retain(|redriven| redriven.destination != *destination);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::tests::{NOW, key};
    use crate::retry::{NextAttempt, RetryState};

    const ONE: GroupIndex = GroupIndex(0);
    const OTHER: GroupIndex = GroupIndex(2);

    #[test]
    fn what_one_group_remembers_leaves_others_room_and_what_all_do_leaves_each_less() {
        let mut memory = Memory::default();
        // Alone it may have as many as are free for it: twice 3, without its own.
        let room = |memory: &mut Memory, group| {
            (0..9).find(|_| {
                let mut of = memory.of(group);
                let may = of.may_remember(3);
                if may {
                    of.remembered(0, 1);
                }
                !may
            })
        };
        assert_eq!(room(&mut memory, ONE), Some(3));
        assert_eq!(room(&mut memory, OTHER), Some(2), "of the 3 that are left, one stays free");
        assert!(!memory.of(ONE).may_remember(3));
        memory.of(ONE).remembered(3, 1);
        assert!(memory.of(ONE).may_remember(3), "what it has given back is free");
        assert_eq!((memory.waiting, memory.groups[0].waiting, memory.groups[2].waiting), (3, 1, 2));
    }

    #[test]
    fn bytes_are_shared_among_the_groups_and_within_each_among_its_lanes_that_are_busy() {
        let mut memory = Memory::default();
        let shares = |memory: &mut Memory| [ONE, OTHER].map(|group| memory.of(group).share_of(1200));
        assert_eq!(shares(&mut memory), [1200, 1200], "nobody is busy");
        memory.of(ONE).lane_is_busy();
        assert_eq!(shares(&mut memory), [1200, 1200]);
        memory.of(ONE).lane_is_busy();
        memory.of(ONE).lane_is_busy();
        assert_eq!(shares(&mut memory), [400, 1200]);
        memory.of(OTHER).lane_is_busy();
        assert_eq!(shares(&mut memory), [200, 600]);
        memory.of(ONE).lane_is_idle();
        assert_eq!(shares(&mut memory), [300, 600]);
        memory.of(ONE).lane_is_idle();
        memory.of(ONE).lane_is_idle();
        assert_eq!(shares(&mut memory), [1200, 1200], "the other one is alone");
        memory.of(OTHER).lane_is_idle();
        assert_eq!(memory.busy_groups, 0);
    }

    fn name(text: &str) -> DestinationName {
        DestinationName::new(text).unwrap()
    }

    fn given_up(destination: &str, offset: u64) -> GivenUp {
        let retry =
            RetryState { attempts: 1, first_failure: NOW, next_attempt: NextAttempt::Never, history: Vec::new() };
        let (destination, offset) = (name(destination), Offset(offset));
        GivenUp { destination, offset, key: key(1), at: NOW, reason: "no".into(), retry }
    }

    fn letters(uncommitted: &Uncommitted) -> Vec<(&str, u64)> {
        uncommitted.dead_letters.iter().map(|letter| (letter.destination.as_str(), letter.offset.0)).collect()
    }

    #[test]
    fn a_dead_letter_that_was_delivered_is_taken_back_and_no_other() {
        let dead_letters = vec![given_up("a", 1), given_up("a", 2), given_up("b", 1), given_up("b", 2)];
        let mut uncommitted = Uncommitted { dead_letters, ..Uncommitted::default() };
        uncommitted.take_back(&name("a"), Offset(2));
        assert_eq!(letters(&uncommitted), [("a", 1), ("b", 1), ("b", 2)]);
        assert_eq!(uncommitted.redriven, [Redriven { destination: name("a"), offset: Offset(2), failed: None }]);
    }

    #[test]
    fn what_has_expired_is_counted_by_destination_up_to_the_last_of_it() {
        let mut uncommitted = Uncommitted::default();
        for (offset, counts) in [(5, true), (9, false), (7, true)] {
            uncommitted.note_expired(&name("a"), Offset(offset), counts);
        }
        uncommitted.note_expired(&name("b"), Offset(1), false);
        let expected = [
            (name("a"), Expired { count: 3, uncounted: 2, last: Offset(9) }),
            (name("b"), Expired { count: 1, uncounted: 0, last: Offset(1) }),
        ];
        assert_eq!(uncommitted.expired, expected.into());
    }

    #[test]
    fn nothing_is_left_of_a_destination_that_was_deleted_and_all_of_the_others() {
        let unsaved = |destination: &str| Unsaved {
            destination: name(destination),
            born: Revision::ORIGIN,
            way: Way::Live,
            key: key(1),
        };
        let redriven = |destination: &str| Redriven { destination: name(destination), offset: Offset(3), failed: None };
        let mut uncommitted = Uncommitted {
            settled: 2,
            settled_unsent: 3,
            unsaved: ["a", "b"].map(unsaved).into(),
            dead_letters: vec![given_up("a", 1), given_up("b", 1)],
            dead_letter_bytes: 7,
            redriven: ["a", "b"].map(redriven).into(),
            ..Uncommitted::default()
        };
        ["a", "b"].into_iter().for_each(|of| uncommitted.note_expired(&name(of), Offset(5), true));
        uncommitted.drop_all(&name("a"));
        assert_eq!(letters(&uncommitted), [("b", 1)]);
        assert!(uncommitted.unsaved.iter().map(|unsaved| unsaved.destination.as_str()).eq(["b"]));
        assert_eq!(uncommitted.redriven, [redriven("b")]);
        assert!(uncommitted.expired.keys().eq([&name("b")]));
        assert_eq!((uncommitted.all_settled(), uncommitted.dead_letter_bytes), (5, 7));
    }
}
