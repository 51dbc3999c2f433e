//! What a seed decides before the run: how big it is, and what is broken about it.

use super::chance::Chance;
use super::happenings::{ANSWER_LOST, FAILED, REFUSED, SLOW_SYNC};
use crate::tally::Tally;
use laneway_domain::{
    BatchPolicy, BreakerPolicy, Destination, DestinationName, Filter, OnGiveUp, Ordering, RetryPolicy, Settings,
    TypePattern,
};
use laneway_memory::{Call, Fault, Faults};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering as Memory};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

pub(super) struct Plan {
    pub(super) partitions: u32,
    /// Worker processes at a time.
    pub(super) workers: usize,
    pub(super) keys: u64,
    pub(super) crashes: usize,
    pub(super) steps_a_life: usize,
    /// One call in so many fails; 0 for none.
    pub(super) store_troubles: u64,
    /// Whether partitions fail over to replicas that lag behind.
    pub(super) fails_over: bool,
    /// Whether the wall clock is another one in each life, up to an hour ahead or behind.
    pub(super) clock_jumps: bool,
    /// Whether a destination is missing in the configuration of some lives.
    pub(super) reconfigures: bool,
    pub(super) retain: Duration,
    pub(super) settings: Settings,
    pub(super) destinations: Vec<Destination>,
    /// How each destination is, in the same order.
    pub(super) health: Vec<Health>,
}

/// How a destination is, until it is healed.
#[derive(Clone, Debug)]
pub(super) struct Health {
    /// One attempt in so many fails; 0 for none.
    pub(super) fails: u64,
    /// One in so many hangs for seconds; 0 for none.
    pub(super) hangs: u64,
    /// One in so many is rejected; 0 for none.
    pub(super) rejects: u64,
    /// The key whose events all fail.
    pub(super) poisoned: Option<u64>,
    /// Whether nothing gets through at all.
    pub(super) down: bool,
    /// The longest ordinary attempt, in milliseconds.
    pub(super) slow: u64,
}

impl Plan {
    pub(super) fn draw(chance: &mut Chance) -> Self {
        let orderings = [Ordering::Key, Ordering::Key, Ordering::Strict, Ordering::None];
        let count = 1 + chance.below(4);
        let destinations: Vec<Destination> =
            (0..count).map(|n| destination(n, orderings[chance.below(4) as usize], chance)).collect();
        let health = destinations.iter().map(|_| health(chance)).collect();
        let small = chance.one_in(2);
        let settings = if small { tight() } else { Settings::default() };
        let several = chance.one_in(2);
        let fails_over = chance.one_in(3);
        Self {
            partitions: if several { 1 + chance.below(8) } else { 1 + chance.below(3) } as u32,
            workers: if several { 2 + chance.below(3) as usize } else { 1 },
            keys: 1 + chance.below(8),
            crashes: chance.below(5) as usize,
            steps_a_life: 5 + chance.below(40) as usize,
            store_troubles: [0, 50, 10][chance.below(3) as usize],
            fails_over,
            clock_jumps: chance.one_in(3),
            // A failover may lose that a destination was known; it would begin anew.
            reconfigures: !several && !fails_over && chance.one_in(2),
            retain: Duration::from_secs(chance.below(10)),
            settings,
            destinations,
            health,
        }
    }
}

/// Bounds that are met all the time.
pub(crate) fn tight() -> Settings {
    Settings {
        straggler_after: Duration::from_millis(200),
        commit_settlements: 4,
        max_uncommitted: 12,
        window_events: 6,
        window_bytes: 4000,
        window_events_per_key: 3,
        max_behind: 3,
        waiting_per_key: 4,
        waiting_total: 10,
        read_events: 5,
        ..Settings::default()
    }
}

fn destination(n: u64, ordering: Ordering, chance: &mut Chance) -> Destination {
    let name = DestinationName::new(&format!("d{n}")).expect("short and plain");
    let some = Filter { types: vec![TypePattern::new("order.*").expect("short and plain")], ..Filter::default() };
    let batch = BatchPolicy { max_events: 4, max_bytes: 1500, linger: Duration::from_millis(chance.below(30)) };
    Destination {
        ordering,
        filter: if chance.one_in(3) { some } else { Filter::default() },
        max_in_flight: NonZeroU32::new(1 + chance.below(6) as u32).unwrap_or(NonZeroU32::MIN),
        batch: if chance.one_in(3) { batch } else { BatchPolicy::default() },
        retry: RetryPolicy {
            initial: Duration::from_millis(100 + chance.below(1000)),
            factor: 2.0,
            limit: Duration::from_secs(2 + chance.below(18)),
            jitter: 0.2,
        },
        on_give_up: OnGiveUp::DeadLetter,
        breaker: (!chance.one_in(3)).then(BreakerPolicy::default),
        ..Destination::new(name)
    }
}

fn health(chance: &mut Chance) -> Health {
    let rarely = |chance: &mut Chance, of: [u64; 3]| of[chance.below(3) as usize];
    Health {
        fails: rarely(chance, [0, 5, 2]),
        hangs: rarely(chance, [0, 0, 20]),
        rejects: rarely(chance, [0, 0, 15]),
        poisoned: chance.one_in(3).then_some(1),
        down: chance.one_in(8),
        slow: rarely(chance, [1, 20, 300]),
    }
}

/// A store that sometimes fails, and takes its time.
pub(crate) struct TroubledStore {
    chance: Mutex<Chance>,
    one_in: u64,
    healed: AtomicBool,
    /// Whether the register of workers cannot be reached.
    without_register: AtomicBool,
    tally: Tally,
}

impl TroubledStore {
    pub(crate) fn new(chance: Chance, one_in: u64, tally: Tally) -> Self {
        let (healed, without_register) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { chance: Mutex::new(chance), one_in, healed, without_register, tally }
    }

    pub(crate) fn heal(&self) {
        self.healed.store(true, Memory::SeqCst);
        self.without_register.store(false, Memory::SeqCst);
    }

    /// Cuts the register off, or lets it be reached again. Returns whether it is cut off now.
    pub(super) fn toggle_register(&self) -> bool {
        !self.without_register.fetch_xor(true, Memory::SeqCst)
    }

    fn draw<T>(&self, draw: impl FnOnce(&mut Chance) -> T) -> T {
        draw(&mut self.chance.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Faults for TroubledStore {
    fn fault(&self, call: Call) -> Option<Fault> {
        if call == Call::Register && self.without_register.load(Memory::SeqCst) {
            return Some(Fault::RetryLater);
        }
        if self.one_in == 0 || self.healed.load(Memory::SeqCst) || !self.draw(|chance| chance.one_in(self.one_in)) {
            return None;
        }
        let (fault, what) = match self.draw(|chance| chance.below(3)) {
            0 => (Fault::RetryLater, REFUSED),
            1 => (Fault::Unknown { happened: false }, FAILED),
            _ => (Fault::Unknown { happened: true }, ANSWER_LOST),
        };
        self.tally.count(what);
        Some(fault)
    }

    fn sync_delay(&self) -> Duration {
        if self.draw(|chance| chance.one_in(30)) {
            self.tally.count(SLOW_SYNC);
            return Duration::from_millis(300);
        }
        Duration::from_micros(self.draw(|chance| chance.below(3000)))
    }
}
