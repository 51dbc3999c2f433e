//! What a seed decides before the run: how big it is, and what is broken about it.

use crate::seeded::Chance;
use crate::seeded::plan::{in_flight, only_orders, small_batches, tight};
use laneway_domain::{
    BatchPolicy, BreakerPolicy, Destination, DestinationName, Filter, OnGiveUp, Ordering, RetryPolicy, Settings,
};
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
            (0..count).map(|n| destination(n, chance.one_of(orderings), chance)).collect();
        let health = destinations.iter().map(|_| health(chance)).collect();
        let small = chance.one_in(2);
        let settings = if small { tight() } else { Settings { check_state: true, ..Settings::default() } };
        let several = chance.one_in(2);
        let fails_over = chance.one_in(3);
        Self {
            partitions: if several { 1 + chance.below(8) } else { 1 + chance.below(3) } as u32,
            workers: if several { 2 + chance.below(3) as usize } else { 1 },
            keys: 1 + chance.below(8),
            crashes: chance.below(5) as usize,
            steps_a_life: 5 + chance.below(40) as usize,
            store_troubles: chance.one_of([0, 50, 10]),
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

fn destination(n: u64, ordering: Ordering, chance: &mut Chance) -> Destination {
    let name = DestinationName::new(&format!("d{n}")).expect("short and plain");
    let batch = small_batches(1500, chance);
    let drawn = Destination {
        ordering,
        filters: laneway_domain::Filters::always(if chance.one_in(3) { only_orders() } else { Filter::default() })
            .into(),
        max_in_flight: in_flight(chance),
        batch: if chance.one_in(3) { batch } else { BatchPolicy::default() },
        retry: RetryPolicy {
            initial: Duration::from_millis(100 + chance.below(1000)),
            factor: 2.0,
            limit: Duration::from_secs(2 + chance.below(18)),
            total: None,
            jitter: 0.2,
        },
        on_give_up: OnGiveUp::DeadLetter,
        breaker: (!chance.one_in(3)).then(BreakerPolicy::default),
        ..Destination::new(name)
    };
    // Drawn from what was drawn: a seed that has found something else before finds the same still.
    let has_limit = drawn.retry.initial.as_millis().is_multiple_of(4);
    Destination { max_age: has_limit.then_some(drawn.retry.limit + Duration::from_secs(1)), ..drawn }
}

fn health(chance: &mut Chance) -> Health {
    Health {
        fails: chance.one_of([0, 5, 2]),
        hangs: chance.one_of([0, 0, 20]),
        rejects: chance.one_of([0, 0, 15]),
        poisoned: chance.one_in(3).then_some(1),
        down: chance.one_in(8),
        slow: chance.one_of([1, 20, 300]),
    }
}
