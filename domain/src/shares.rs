//! Fair shares: what all destinations of a process share is shared per tenant first, and per destination then.
//!
//! The destinations of one tenant are a group, and those of the operator are one. What is held for long (an attempt at a
//! receiver that hangs holds its place for its whole timeout) cannot be taken back, so that turns alone would let one group
//! hold everything. So a group may hold only as much as is *free*, by a stock of twice what one may have: *dynamic
//! thresholds*, as in switches whose ports share their buffers (A. K. Choudhury and E. L. Hahne, "Dynamic queue length
//! thresholds for shared-memory packet switches", IEEE/ACM Transactions on Networking 6(2), 1998). A group that is alone gets
//! all that one may have; of `n` that want more than there is, each gets 2/(n + 1) of that; and whoever comes finds room, as
//! long as fewer groups hold any than there are places. Else who holds least is next.

use crate::tenant::Tenant;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A tenant's destinations, or the operator's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct GroupIndex(pub(crate) usize);

impl GroupIndex {
    /// As what a destination of the group shares places for attempts: those that answer are a group of their own, and those
    /// that do not are another. Receivers that hang hold their places for their whole timeouts, and must leave some for those
    /// that answer. (An index among such parts only: reads and memory go by the group as a whole.)
    pub(crate) const fn part(self, answers: bool) -> Self {
        Self(self.0 * 2 + answers as usize)
    }
}

/// How much is free for each group, where `held` of twice `most` is not.
pub(crate) const fn free(most: usize, held: usize) -> usize {
    most.saturating_mul(2).saturating_sub(held)
}

/// The groups that there are. Whoever has no destination has none.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    known: BTreeMap<Option<Tenant>, GroupIndex>,
    /// How many destinations each has.
    members: Vec<usize>,
    free: Vec<GroupIndex>,
}

impl Groups {
    /// Another destination of that tenant, or of the operator.
    pub(crate) fn join(&mut self, tenant: Option<Tenant>) -> GroupIndex {
        if let Some(group) = self.known.get(&tenant) {
            self.members[group.0] += 1;
            return *group;
        }
        let group = self.free.pop().unwrap_or(GroupIndex(self.members.len()));
        if group.0 == self.members.len() {
            self.members.push(0);
        }
        self.members[group.0] = 1;
        self.known.insert(tenant, group);
        group
    }

    /// One that had joined has gone. The index of a group of which the last one has gone is given out again: what is still
    /// held under it counts for whoever has it then, until that ends.
    pub(crate) fn leave(&mut self, tenant: &Option<Tenant>) {
        let Some(group) = self.known.get(tenant).copied() else { panic!("who leaves a group has joined it") };
        self.members[group.0] -= 1;
        if self.members[group.0] == 0 {
            self.known.remove(tenant);
            self.free.push(group);
        }
    }

    /// See [`crate::Dispatcher::check`].
    pub(crate) fn check(&self, expected: &BTreeMap<Option<Tenant>, usize>) {
        let members = |(tenant, group): (&Option<Tenant>, &GroupIndex)| (tenant.clone(), self.members[group.0]);
        assert_eq!(self.known.iter().map(members).collect::<BTreeMap<_, _>>(), *expected, "how many are in each group");
    }
}

/// Places that groups share, and what waits for one.
#[derive(Debug)]
pub(crate) struct Places<T> {
    /// How many a group may have that is alone; all together at most twice as many.
    most: usize,
    held: usize,
    groups: Vec<Holder<T>>,
    /// The groups with something that waits, by how much they hold; of those that hold the same, whose turn was longest ago.
    waiting: BTreeSet<(usize, u64, GroupIndex)>,
    turns: u64,
}

#[derive(Debug)]
struct Holder<T> {
    held: usize,
    /// When its last turn was.
    turn: u64,
    queue: VecDeque<T>,
}

impl<T> Default for Holder<T> {
    fn default() -> Self {
        Self { held: 0, turn: 0, queue: VecDeque::new() }
    }
}

impl<T> Places<T> {
    pub(crate) const fn new(most: usize) -> Self {
        Self { most, held: 0, groups: Vec::new(), waiting: BTreeSet::new(), turns: 0 }
    }

    fn held_by(&self, group: GroupIndex) -> usize {
        self.groups.get(group.0).map_or(0, |holder| holder.held)
    }

    /// Whether the group may have another place now.
    pub(crate) fn may_take(&self, group: GroupIndex) -> bool {
        self.held_by(group) < free(self.most, self.held)
    }

    /// Whether something of the group waits for a place.
    pub(crate) fn has_waiting(&self, group: GroupIndex) -> bool {
        self.groups.get(group.0).is_some_and(|holder| !holder.queue.is_empty())
    }

    /// The group has one more place.
    pub(crate) fn take(&mut self, group: GroupIndex) {
        self.held += 1;
        self.change(group, |holder| holder.held += 1);
    }

    /// The group gives a place back.
    pub(crate) fn give_back(&mut self, group: GroupIndex) {
        self.held -= 1;
        self.change(group, |holder| holder.held -= 1);
    }

    /// This waits for a place of the group, behind what waits already.
    pub(crate) fn wait(&mut self, group: GroupIndex, what: T) {
        self.change(group, |holder| holder.queue.push_back(what));
    }

    /// What is next to have a place, if its group may take one: of the group that holds least. Whoever asks takes the place,
    /// or leaves it.
    pub(crate) fn next(&mut self) -> Option<(GroupIndex, T)> {
        let (_, _, group) = *self.waiting.first()?;
        if !self.may_take(group) {
            return None; // Nor may any other: they hold as much or more.
        }
        self.turns += 1;
        let turn = self.turns;
        let what = self.change(group, |holder| {
            holder.turn = turn;
            holder.queue.pop_front()
        });
        Some((group, what?))
    }

    /// The only place where the order of those that wait is kept.
    fn change<R>(&mut self, group: GroupIndex, act: impl FnOnce(&mut Holder<T>) -> R) -> R {
        if self.groups.len() <= group.0 {
            self.groups.resize_with(group.0 + 1, Holder::default);
        }
        let holder = &mut self.groups[group.0];
        let before = (holder.held, holder.turn, group);
        let waited = !holder.queue.is_empty();
        let result = act(holder);
        let now = (holder.held, holder.turn, group);
        let waits = !holder.queue.is_empty();
        if waited != waits || before != now {
            if waited {
                self.waiting.remove(&before);
            }
            if waits {
                self.waiting.insert(now);
            }
        }
        result
    }

    /// See [`crate::Dispatcher::check`]. `held`: which group has how many.
    pub(crate) fn check(&self, what: &str, held: &BTreeMap<GroupIndex, usize>) {
        let all = self.groups.iter().enumerate().map(|(n, holder)| (GroupIndex(n), holder));
        let holding = all.clone().filter(|(_, holder)| holder.held > 0).map(|(group, holder)| (group, holder.held));
        assert_eq!(holding.collect::<BTreeMap<_, _>>(), *held, "who holds how many places of {what}");
        assert_eq!(self.held, held.values().sum::<usize>(), "how many places of {what} are taken");
        assert!(self.held <= self.most.saturating_mul(2), "there are no more places of {what}: {}", self.held);
        let waiting = all.filter(|(_, holder)| !holder.queue.is_empty());
        let waiting: BTreeSet<_> = waiting.map(|(group, holder)| (holder.held, holder.turn, group)).collect();
        assert_eq!(self.waiting, waiting, "who waits for a place of {what}");
    }
}

/// One thing of each group at a time, and the others behind it.
#[derive(Debug)]
pub(crate) struct OneByOne<T>(BTreeMap<GroupIndex, VecDeque<T>>);

impl<T> Default for OneByOne<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: Copy + PartialEq> OneByOne<T> {
    /// Another one. Whether it is its turn at once.
    pub(crate) fn add(&mut self, group: GroupIndex, what: T) -> bool {
        let queue = self.0.entry(group).or_default();
        queue.push_back(what);
        queue.len() == 1
    }

    /// One of them is over, whether it was its turn or not. Returns the one whose turn has come because of that.
    pub(crate) fn is_over(&mut self, group: GroupIndex, what: T) -> Option<T> {
        let queue = self.0.get_mut(&group)?;
        let at = queue.iter().position(|other| *other == what)?;
        queue.remove(at);
        let next = queue.front().copied();
        if next.is_none() {
            self.0.remove(&group);
        }
        next.filter(|_| at == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MOST: usize = 8;

    /// What happens to places, one thing after the other.
    #[derive(Clone, Copy, Debug)]
    enum Op {
        Wants(usize),
        GivesBack(usize),
    }

    fn ops() -> impl Strategy<Value = Vec<Op>> {
        let op = prop_oneof![3 => (0_usize..5).prop_map(Op::Wants), 2 => (0_usize..5).prop_map(Op::GivesBack)];
        prop::collection::vec(op, 1..300)
    }

    /// Places, and a plain list of who has them and who waits.
    struct World {
        places: Places<u64>,
        held: [usize; 5],
        waiting: Vec<(usize, u64)>,
        asked: u64,
    }

    impl World {
        fn takes(&mut self, group: usize) {
            self.held[group] += 1;
            self.places.take(GroupIndex(group));
        }

        fn step(&mut self, op: Op) {
            match op {
                Op::Wants(of) => {
                    self.asked += 1;
                    let group = GroupIndex(of);
                    if self.places.may_take(group) && !self.places.has_waiting(group) {
                        self.takes(of);
                    } else {
                        self.places.wait(group, self.asked);
                        self.waiting.push((of, self.asked));
                    }
                }
                Op::GivesBack(of) if self.held[of] > 0 => {
                    self.held[of] -= 1;
                    self.places.give_back(GroupIndex(of));
                }
                Op::GivesBack(_) => {}
            }
            while let Some((GroupIndex(group), what)) = self.places.next() {
                let first = self.waiting.iter().position(|(of, _)| *of == group);
                let (_, expected) = self.waiting.remove(first.expect("it waits"));
                assert_eq!(what, expected, "in a group, who has waited for longest is first");
                let least = self.waiting.iter().map(|(of, _)| self.held[*of]).min();
                assert!(least.is_none_or(|least| least >= self.held[group]), "who holds least is first");
                self.takes(group);
            }
        }
    }

    proptest! {
        #[test]
        fn nobody_waits_for_what_is_free_and_who_holds_little_never_waits(ops in ops()) {
            let mut world = World { places: Places::new(MOST), held: [0; 5], waiting: Vec::new(), asked: 0 };
            for op in ops {
                world.step(op);
                let total: usize = world.held.iter().sum();
                prop_assert!(total <= 2 * MOST);
                for (of, _) in &world.waiting {
                    // Not even one more: it holds all that is free, so that none is left unused that it may have.
                    prop_assert!(world.held[*of] >= 2 * MOST - total, "{:?} {}", world.held, total);
                }
                let held = world.held.iter().enumerate().filter(|(_, held)| **held > 0);
                world.places.check("it", &held.map(|(n, held)| (GroupIndex(n), *held)).collect());
            }
        }

        /// However greedy the others are, somebody with little to do is let in at once, and somebody who is alone gets
        /// everything.
        #[test]
        fn the_greedy_leave_room_and_who_is_alone_gets_everything(greedy in 1_usize..5) {
            let mut world = World { places: Places::new(MOST), held: [0; 5], waiting: Vec::new(), asked: 0 };
            for _ in 0..100 {
                for group in 1..=greedy {
                    if group < 5 {
                        world.step(Op::Wants(group));
                    }
                }
            }
            let greedy = greedy.min(4);
            let each = 2 * MOST / (greedy + 1);
            prop_assert!(world.held[1..=greedy].iter().all(|held| *held >= each), "{:?}", world.held);
            prop_assert!(greedy > 1 || world.held[1] == MOST, "{:?}", world.held);
            for _ in 0..(2 * MOST - world.held.iter().sum::<usize>()).div_ceil(2) {
                let before = world.held[0];
                world.step(Op::Wants(0));
                prop_assert_eq!(world.held[0], before + 1, "it waits for nobody");
            }
        }
    }

    #[test]
    fn a_group_is_there_as_long_as_somebody_is_in_it() {
        let (mut groups, tenant) = (Groups::default(), |name: &str| Some(Tenant::new(name).unwrap()));
        let (operator, acme) = (groups.join(None), groups.join(tenant("acme")));
        assert_ne!(operator, acme);
        assert_eq!(groups.join(tenant("acme")), acme);
        groups.leave(&tenant("acme"));
        assert_eq!(groups.join(tenant("acme")), acme);
        groups.check(&[(None, 1), (tenant("acme"), 2)].into());
        groups.leave(&tenant("acme"));
        groups.leave(&tenant("acme"));
        groups.check(&[(None, 1)].into());
        assert_eq!(groups.join(tenant("b")), acme, "its index is given out again");
    }

    #[test]
    fn of_each_group_one_goes_at_a_time() {
        let (mut paced, a, b) = (OneByOne::default(), GroupIndex(0), GroupIndex(1));
        assert_eq!([paced.add(a, 1), paced.add(a, 2), paced.add(a, 3), paced.add(b, 4)], [true, false, false, true]);
        assert_eq!(paced.is_over(a, 2), None, "it never was its turn");
        assert_eq!(paced.is_over(a, 1), Some(3));
        assert_eq!([paced.is_over(a, 3), paced.is_over(b, 4), paced.is_over(b, 4)], [None, None, None]);
        assert!(paced.0.is_empty());
    }

    #[test]
    fn those_of_a_group_that_answer_and_those_that_do_not_share_places_with_nobody_else() {
        let parts = (0..5).flat_map(|n| [false, true].map(|answers| GroupIndex(n).part(answers)));
        assert_eq!(parts.collect::<BTreeSet<_>>().len(), 10);
    }

    #[test]
    fn of_groups_that_hold_the_same_the_one_is_next_whose_turn_was_longest_ago() {
        let (mut places, a, b) = (Places::new(4), GroupIndex(0), GroupIndex(1));
        for (group, what) in [(a, 1), (a, 2), (a, 3), (b, 4), (b, 5)] {
            places.wait(group, what);
        }
        let order = std::iter::from_fn(|| places.next()).map(|(_, what)| what);
        assert_eq!(order.collect::<Vec<_>>(), [1, 4, 2, 5, 3]);
    }

    #[test]
    fn something_waits_from_when_it_was_said_until_its_turn() {
        let (mut places, a, b) = (Places::new(4), GroupIndex(0), GroupIndex(1));
        places.take(b);
        places.wait(a, 1);
        assert_eq!([places.has_waiting(a), places.has_waiting(b)], [true, false]);
        places.next().unwrap();
        assert_eq!([places.has_waiting(a), places.has_waiting(GroupIndex(9))], [false, false]);
    }
}
