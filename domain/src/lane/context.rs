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
