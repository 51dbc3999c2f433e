//! Several workers over a store of leases and a register, in which everything may go wrong.

use super::*;
use proptest::prelude::*;
use proptest::sample::Index;
use std::collections::{BTreeMap, BTreeSet};

const LEASE: Duration = Duration::from_secs(5);
const PRESENT_FOR: Duration = Duration::from_secs(4);
const ANNOUNCE_EVERY: Duration = Duration::from_secs(1);
const LATE_AFTER: Duration = Duration::from_secs(2);
const ALONE_AFTER: Duration = Duration::from_secs(9);
const TICK: Duration = Duration::from_millis(100);

/// What may happen.
#[derive(Clone, Debug)]
enum Op {
    Join(u8),
    Leave(Index),
    Crash(Index),
    /// Stands still for so many ticks, and then goes on as if nothing had been.
    Freeze(Index, u8),
    RegisterFails(bool),
    Wait(u8),
}

struct Worker {
    balancer: Balancer,
    presence: Presence<u8>,
    frozen: u8,
    announce_at: Timestamp,
    /// Releases under way, with the ticks that they take yet.
    releasing: BTreeMap<Partition, u8>,
    /// Claims whose answer is on its way.
    claiming: Vec<(Partition, bool)>,
}

struct World {
    now: Timestamp,
    leases: Vec<Option<(u8, Timestamp)>>,
    register: BTreeMap<u8, Timestamp>,
    register_fails: bool,
    workers: BTreeMap<u8, Worker>,
    used: BTreeSet<u8>,
    /// How often a partition came to a worker.
    moves: usize,
    chance: u64,
}

impl World {
    fn new(partitions: u8, chance: u64) -> Self {
        Self {
            now: Timestamp::from_millis(1_000_000),
            leases: vec![None; usize::from(partitions)],
            register: BTreeMap::new(),
            register_fails: false,
            workers: BTreeMap::new(),
            used: BTreeSet::new(),
            moves: 0,
            chance,
        }
    }

    fn chance(&mut self, of: u64) -> u64 {
        self.chance = self.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.chance >> 33) % of
    }

    fn join(&mut self, id: u8) {
        let partitions = u32::try_from(self.leases.len()).unwrap();
        let (balancer, announce_at) = (Balancer::new(partitions, ALONE_AFTER), self.now);
        let presence = Presence::new(LATE_AFTER, PRESENT_FOR);
        let (releasing, claiming) = (BTreeMap::new(), Vec::new());
        let worker = Worker { balancer, presence, frozen: 0, announce_at, releasing, claiming };
        // An id is never used again.
        if self.used.insert(id) {
            self.workers.insert(id, worker);
        }
    }

    fn pick(&self, which: Index) -> Option<u8> {
        let ids: Vec<u8> = self.workers.keys().copied().collect();
        (!ids.is_empty()).then(|| *which.get(&ids))
    }

    fn step(&mut self, op: &Op) {
        match op {
            Op::Join(id) => self.join(*id),
            Op::Leave(which) => {
                if let Some(id) = self.pick(*which) {
                    self.workers.remove(&id);
                    self.register.remove(&id);
                    self.leases.iter_mut().filter(|lease| lease.is_some_and(|l| l.0 == id)).for_each(|l| *l = None);
                }
            }
            Op::Crash(which) => {
                if let Some(id) = self.pick(*which) {
                    self.workers.remove(&id);
                }
            }
            Op::Freeze(which, ticks) => {
                if let Some(worker) = self.pick(*which).and_then(|id| self.workers.get_mut(&id)) {
                    worker.frozen = *ticks;
                }
            }
            Op::RegisterFails(fails) => self.register_fails = *fails,
            Op::Wait(ticks) => (0..*ticks).for_each(|_| self.tick()),
        }
    }

    fn tick(&mut self) {
        self.now = self.now.after(TICK);
        let ids: Vec<u8> = self.workers.keys().copied().collect();
        for id in ids {
            let Some(mut worker) = self.workers.remove(&id) else { continue };
            if worker.frozen > 0 {
                worker.frozen -= 1;
            } else {
                self.work(id, &mut worker);
            }
            self.workers.insert(id, worker);
        }
    }

    fn work(&mut self, id: u8, worker: &mut Worker) {
        self.renew(id, worker);
        if self.now >= worker.announce_at {
            worker.announce_at = self.now.after(ANNOUNCE_EVERY);
            if self.register_fails {
                worker.presence.missed();
                worker.balancer.presence_unknown(self.now);
            } else {
                self.register.insert(id, self.now.after(PRESENT_FOR));
                self.register.retain(|_, until| *until > self.now);
                if let Some(present) = worker.presence.heard(self.register.keys().copied(), self.now) {
                    worker.balancer.present(&id, &present);
                }
            }
        }
        for (partition, got) in std::mem::take(&mut worker.claiming) {
            if got { worker.balancer.claimed(partition) } else { worker.balancer.not_claimed(partition) }
        }
        for partition in worker.releasing.keys().copied().collect::<Vec<_>>() {
            let left = worker.releasing[&partition];
            if left > 0 {
                worker.releasing.insert(partition, left - 1);
                continue;
            }
            worker.releasing.remove(&partition);
            self.leases[partition.0 as usize] = None;
            worker.balancer.released(partition);
        }
        self.poll(id, worker);
    }

    /// Whoever slept beyond its lease learns that others have what was its.
    fn renew(&mut self, id: u8, worker: &mut Worker) {
        for (n, lease) in (0_u32..).zip(&mut self.leases) {
            let partition = Partition(n);
            let claiming = worker.claiming.contains(&(partition, true));
            match lease {
                Some((holder, until)) if *holder == id => *until = self.now.after(LEASE),
                _ if worker.balancer.partitions[n as usize].state == State::Other => {}
                _ if claiming => {
                    worker.claiming.retain(|(claimed, _)| *claimed != partition);
                    worker.balancer.not_claimed(partition);
                }
                _ if worker.claiming.contains(&(partition, false)) => {}
                _ => {
                    worker.releasing.remove(&partition);
                    worker.balancer.lost(partition);
                }
            }
        }
    }

    fn poll(&mut self, id: u8, worker: &mut Worker) {
        let mut steps = 0;
        while let Some(step) = worker.balancer.poll(self.now) {
            steps += 1;
            assert!(steps <= 2 * self.leases.len(), "it does not come to rest within a moment");
            match step {
                Step::Claim(partition) => {
                    let lease = &mut self.leases[partition.0 as usize];
                    let free = lease.is_none_or(|(holder, until)| holder == id || until <= self.now);
                    if free {
                        *lease = Some((id, self.now.after(LEASE)));
                        self.moves += 1;
                    }
                    if self.chance(16) == 0 {
                        worker.claiming.push((partition, free));
                    } else if free {
                        worker.balancer.claimed(partition);
                    } else {
                        worker.balancer.not_claimed(partition);
                    }
                }
                Step::Release(partition) => {
                    let ticks = u8::try_from(self.chance(8)).unwrap();
                    worker.releasing.insert(partition, ticks);
                }
            }
        }
        if let Some(at) = worker.balancer.next_wakeup() {
            assert!(at > self.now, "a moment that has come was left");
        }
    }

    fn wait(&mut self, duration: Duration) {
        let until = self.now.after(duration);
        while self.now < until {
            self.tick();
        }
    }

    /// Nothing goes wrong from here on.
    fn heal(&mut self) {
        self.register_fails = false;
        self.workers.values_mut().for_each(|worker| worker.frozen = 0);
    }

    fn holders(&self) -> Vec<Option<u8>> {
        self.leases.iter().map(|lease| lease.filter(|(_, until)| *until > self.now).map(|(id, _)| id)).collect()
    }

    /// Every partition is held, by a worker that knows it, and evenly.
    fn assert_even(&self) {
        let holders = self.holders();
        for (id, worker) in &self.workers {
            let held = holders.iter().filter(|holder| **holder == Some(*id)).count();
            assert_eq!(Some(held), worker.balancer.share(), "worker {id} of {:?}: {holders:?}", self.workers.keys());
            assert_eq!(held, worker.balancer.held(), "worker {id} does not know what it has");
            assert_eq!(worker.balancer.next_wakeup(), None, "worker {id} is not at rest");
        }
        if !self.workers.is_empty() {
            assert!(holders.iter().all(Option::is_some), "some are held by nobody: {holders:?}");
        }
    }
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        4 => any::<u8>().prop_map(Op::Join),
        2 => any::<Index>().prop_map(Op::Leave),
        2 => any::<Index>().prop_map(Op::Crash),
        2 => (any::<Index>(), 1_u8..120).prop_map(|(which, ticks)| Op::Freeze(which, ticks)),
        1 => any::<bool>().prop_map(Op::RegisterFails),
        8 => (1_u8..60).prop_map(Op::Wait),
    ];
    prop::collection::vec(op, 1..40)
}

proptest! {
    #[test]
    fn after_whatever_happened_every_partition_has_one_worker_and_then_nothing_moves(
        partitions in 1_u8..40,
        ops in ops(),
        chance: u64,
    ) {
        let mut world = World::new(partitions, chance);
        for op in &ops {
            world.step(op);
        }
        world.heal();
        // Leases and the register forget the dead, and whoever started without a register learns who is there; then at most so many rounds of hand-overs, of
        // about a second and its release each.
        world.wait(LEASE + PRESENT_FOR + LATE_AFTER + Duration::from_secs(2 * HAND_OVER_PART as u64 + 4));
        world.assert_even();
        let moves = world.moves;
        world.wait(Duration::from_secs(20));
        world.assert_even();
        prop_assert_eq!(world.moves, moves, "something moved although nothing had changed");
    }

    #[test]
    fn a_dead_workers_partitions_are_held_again_within_seven_seconds(partitions in 1_u8..40, workers in 2_u8..8, which: Index, after in 0_u8..30, chance: u64) {
        let mut world = World::new(partitions, chance);
        (0..workers).for_each(|id| world.join(id));
        world.wait(Duration::from_secs(40));
        world.wait(TICK * u32::from(after));
        world.step(&Op::Crash(which));
        world.wait(Duration::from_secs(7));
        prop_assert!(world.holders().iter().all(Option::is_some));
        world.assert_even();
    }

    #[test]
    fn an_outage_of_the_store_moves_nothing(partitions in 1_u8..40, workers in 1_u8..8, ticks in 1_u8..200, chance: u64) {
        let mut world = World::new(partitions, chance);
        (0..workers).for_each(|id| world.join(id));
        world.wait(Duration::from_secs(40));
        let (before, moves) = (world.holders(), world.moves);
        // Nobody reaches it, whatever the reason, and each finds its way back in a time of its own.
        for id in 0..workers {
            let later = u8::try_from(world.chance(20)).unwrap();
            world.workers.get_mut(&id).unwrap().frozen = ticks + later;
        }
        world.wait(TICK * (u32::from(ticks) + 20) + Duration::from_secs(20));
        world.assert_even();
        prop_assert_eq!((world.holders(), world.moves), (before, moves));
    }

    #[test]
    fn one_that_starts_while_the_store_is_away_takes_over_no_more_than_its_share(partitions in 1_u8..40, workers in 1_u8..8, away in 10_u8..80, chance: u64) {
        let mut world = World::new(partitions, chance);
        (0..workers).for_each(|id| world.join(id));
        world.wait(Duration::from_secs(40));
        let moves = world.moves;
        // For so long that all leases run out; then each finds its way back in a time of its own.
        world.register_fails = true;
        for id in 0..workers {
            let later = u8::try_from(world.chance(10)).unwrap();
            world.workers.get_mut(&id).unwrap().frozen = 60 + away + later;
        }
        world.wait(TICK * 60);
        world.join(workers);
        world.wait(TICK * u32::from(away));
        prop_assert_eq!(world.moves, moves, "it claims what others go on with");
        world.register_fails = false;
        world.wait(Duration::from_secs(40));
        world.assert_even();
        let taken = world.holders().iter().filter(|holder| **holder == Some(workers)).count();
        prop_assert_eq!(world.moves - moves, taken);
    }

    #[test]
    fn one_that_comes_or_goes_moves_only_what_it_takes_or_leaves(partitions in 1_u8..40, workers in 1_u8..8, joins: u8, which: Index, chance: u64) {
        let mut world = World::new(partitions, chance);
        (0..workers).for_each(|id| world.join(20 * id + 10));
        world.wait(Duration::from_secs(40));
        let (before, moves) = (world.holders(), world.moves);
        let new = joins % 200;
        world.join(new);
        world.wait(Duration::from_secs(40));
        world.assert_even();
        let moved = world.holders().iter().zip(&before).filter(|(now, then)| now != then).count();
        prop_assert_eq!(world.moves - moves, moved, "something moved twice");
        let taken = world.holders().iter().filter(|holder| **holder == Some(new)).count();
        prop_assert!(moved <= taken, "{} moved for one that takes {}", moved, taken);
        let (before, moves) = (world.holders(), world.moves);
        let leaving = world.pick(which);
        world.step(&Op::Leave(which));
        world.wait(Duration::from_secs(40));
        let left = before.iter().filter(|holder| **holder == leaving).count();
        let expected = if world.workers.is_empty() { 0 } else { left };
        prop_assert_eq!(world.moves - moves, expected);
    }

    #[test]
    fn the_shares_add_up_and_differ_by_at_most_one(partitions in 1_u32..1025, workers in 1_u32..200) {
        let shares: Vec<u32> = (0..workers).map(|rank| share_of(rank, workers, partitions)).collect();
        prop_assert_eq!(shares.iter().sum::<u32>(), partitions);
        prop_assert!(shares[0] - shares[shares.len() - 1] <= 1);
        // Who stays keeps what it has when another goes, wherever that one stood.
        for rank in 0..workers.saturating_sub(1) {
            let alone = share_of(rank, workers - 1, partitions);
            prop_assert!(alone >= share_of(rank, workers, partitions) && alone >= share_of(rank + 1, workers, partitions));
        }
    }
}

fn steps(balancer: &mut Balancer, now: Timestamp) -> Vec<Step> {
    std::iter::from_fn(|| balancer.poll(now)).collect()
}

#[test]
fn a_lone_worker_claims_everything_at_once_when_it_knows_that_it_is_alone() {
    let mut balancer = Balancer::new(5, ALONE_AFTER);
    let now = Timestamp::from_millis(7);
    assert_eq!((steps(&mut balancer, now), balancer.next_wakeup()), (vec![], None));
    balancer.present(&"a", &["a"]);
    assert_eq!(steps(&mut balancer, now), (0..5).map(|n| Step::Claim(Partition(n))).collect::<Vec<_>>());
    (0..5).for_each(|n| balancer.claimed(Partition(n)));
    assert_eq!((steps(&mut balancer, now), balancer.next_wakeup()), (vec![], None));
}

#[test]
fn without_a_register_a_worker_keeps_the_last_that_it_knew() {
    let mut balancer = Balancer::new(4, ALONE_AFTER);
    balancer.present(&"b", &["a", "b"]);
    for millis in [0, 100_000] {
        balancer.presence_unknown(Timestamp::from_millis(millis));
        assert_eq!(balancer.share(), Some(2));
    }
}

#[test]
fn one_that_starts_without_a_register_waits_and_then_goes_on_a_part_at_a_time() {
    let mut balancer = Balancer::new(32, ALONE_AFTER);
    let began = Timestamp::from_millis(1_000_000);
    for now in [began, began.after(ALONE_AFTER.saturating_sub(TICK))] {
        balancer.presence_unknown(now);
        assert_eq!((balancer.share(), steps(&mut balancer, now)), (None, vec![]));
    }
    let mut now = began.after(ALONE_AFTER);
    balancer.presence_unknown(now);
    for round in 1..=3 {
        assert_eq!(steps(&mut balancer, now).len(), 32 / HAND_OVER_PART, "round {round}");
        assert_eq!(steps(&mut balancer, now.after(TICK)), []);
        (4 * (round - 1)..4 * round).for_each(|n| balancer.claimed(Partition(n)));
        now = balancer.next_wakeup().unwrap();
    }
    balancer.present(&"a", &["a"]);
    assert_eq!(steps(&mut balancer, now).len(), 20, "it knows now that it is alone");
}

#[test]
fn a_claim_in_vain_is_followed_by_others_and_is_tried_again_a_round_later() {
    let mut balancer = Balancer::new(3, ALONE_AFTER);
    balancer.present(&"a", &["a", "b", "c"]);
    let now = Timestamp::from_millis(7);
    for n in 0..3 {
        assert_eq!(steps(&mut balancer, now), [Step::Claim(Partition(n))]);
        balancer.not_claimed(Partition(n));
    }
    assert_eq!(steps(&mut balancer, now), []);
    let next = balancer.next_wakeup().unwrap();
    assert_eq!(next, now.after(CLAIM_EVERY));
    assert_eq!(steps(&mut balancer, next), [Step::Claim(Partition(0))]);
}

#[test]
fn what_nobody_was_seen_to_hold_is_tried_first() {
    let mut balancer = Balancer::new(4, ALONE_AFTER);
    balancer.present(&"a", &["a", "b"]);
    let now = Timestamp::from_millis(7);
    assert_eq!(steps(&mut balancer, now), [Step::Claim(Partition(0)), Step::Claim(Partition(1))]);
    balancer.not_claimed(Partition(0));
    balancer.claimed(Partition(1));
    assert_eq!(steps(&mut balancer, now), [Step::Claim(Partition(2))]);
    balancer.claimed(Partition(2));
    balancer.lost(Partition(2));
    let next = balancer.next_wakeup().unwrap();
    assert_eq!(steps(&mut balancer, next), [Step::Claim(Partition(3))]);
}

#[test]
fn a_surplus_is_handed_over_a_part_at_a_time() {
    let mut balancer = Balancer::new(32, ALONE_AFTER);
    balancer.present(&"a", &["a"]);
    let mut now = Timestamp::from_millis(7);
    steps(&mut balancer, now);
    (0..32).for_each(|n| balancer.claimed(Partition(n)));
    balancer.present(&"a", &["a", "b"]);
    let mut released = BTreeSet::new();
    for round in 1..=4 {
        for step in steps(&mut balancer, now) {
            let Step::Release(partition) = step else { panic!("{step:?} above its share") };
            assert!(released.insert(partition));
        }
        assert_eq!(released.len(), round * 4);
        assert_eq!(steps(&mut balancer, now.after(CLAIM_EVERY)), [], "the ones before have not ended");
        released.iter().for_each(|partition| balancer.released(*partition));
        now = now.after(CLAIM_EVERY * 2);
    }
    assert_eq!((balancer.held(), balancer.next_wakeup()), (16, None));
}

#[test]
fn however_quickly_it_goes_no_more_than_a_part_is_handed_over_in_a_round() {
    let mut balancer = Balancer::new(32, ALONE_AFTER);
    balancer.present(&"a", &["a"]);
    let now = Timestamp::from_millis(7);
    steps(&mut balancer, now);
    (0..32).for_each(|n| balancer.claimed(Partition(n)));
    balancer.present(&"a", &["a", "b"]);
    let released = steps(&mut balancer, now);
    assert_eq!(released.len(), 32 / HAND_OVER_PART);
    for step in released {
        let Step::Release(partition) = step else { panic!("{step:?} above its share") };
        balancer.released(partition);
    }
    assert_eq!(steps(&mut balancer, now.after(TICK)), [], "the round has not ended");
    let next = balancer.next_wakeup().unwrap();
    assert_eq!(steps(&mut balancer, next).len(), 32 / HAND_OVER_PART);
}

#[test]
fn each_worker_begins_at_a_place_of_its_own() {
    for (me, first) in [("a", 0), ("b", 3), ("c", 6)] {
        let mut balancer = Balancer::new(9, ALONE_AFTER);
        balancer.present(&me, &["a", "b", "c"]);
        let expected: Vec<_> = (first..first + 3).map(|n| Step::Claim(Partition(n))).collect();
        assert_eq!(steps(&mut balancer, Timestamp::from_millis(7)), expected, "{me}");
    }
}

#[test]
fn one_that_stops_claims_nothing_more() {
    let mut balancer = Balancer::new(2, ALONE_AFTER);
    balancer.present(&"a", &["a"]);
    balancer.stop();
    assert_eq!((steps(&mut balancer, Timestamp::MAX), balancer.next_wakeup()), (vec![], None));
}
