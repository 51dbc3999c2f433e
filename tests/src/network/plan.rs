//! What a seed decides before the run.

use crate::seeded::Chance;
use crate::seeded::plan::{in_flight, only_orders, small_batches, tight};
use laneway_domain::{
    BatchPolicy, Destination, DestinationName, Event, Filter, LaneKey, OnGiveUp, Ordering, RetryPolicy, Settings,
};
use std::time::Duration;

/// The receiver that nothing happens to.
pub(super) const STEADY: usize = 0;
/// A status that gives an event up at once.
pub(super) const REJECTED: u16 = 422;

/// About how much time there is between two turns, in milliseconds.
pub(super) const TURN: u64 = 600;

pub(super) struct Plan {
    pub(super) partitions: u32,
    pub(super) producers: usize,
    pub(super) keys: usize,
    pub(super) events_per_key: usize,
    /// The longest pause of a producer between two events of a key, in milliseconds.
    pub(super) pace: u64,
    /// How many times something happens to the network or a host.
    pub(super) turns: usize,
    /// How many replays are asked for meanwhile.
    pub(super) replays: usize,
    /// The longest time of a message on its way, at first.
    pub(super) latency: Duration,
    /// One connection in so many is cut; 0 for none.
    pub(super) cuts: u64,
    /// One call of the store in so many fails; 0 for none.
    pub(super) store_troubles: u64,
    /// The most time for one delivery.
    pub(super) timeout: Duration,
    pub(super) settings: Settings,
    pub(super) destinations: Vec<Destination>,
    /// Which of them is spoken to over HTTP/2, in the same order.
    pub(super) http2: Vec<bool>,
    /// How each receiver is, in the same order.
    pub(super) moods: Vec<Mood>,
}

/// How a receiver is until all is healed. Numbers are "one request in so many", 0 for none.
#[derive(Clone, Debug, Default)]
pub(super) struct Mood {
    /// Answers 500, 503 or 429.
    pub(super) fails: u64,
    /// Never answers.
    pub(super) hangs: u64,
    /// Does what it is asked, and closes the connection without an answer.
    pub(super) loses: u64,
    /// Answers [`REJECTED`].
    pub(super) rejects: u64,
    /// The longest that an answer takes, in milliseconds.
    pub(super) slow: u64,
}

impl Plan {
    pub(super) fn draw(chance: &mut Chance) -> Self {
        let receivers = 2 + chance.below(2) as usize;
        let (events_per_key, turns) = (4 + chance.below(30), 5 + chance.below(30));
        Self {
            partitions: 1 + chance.below(3) as u32,
            producers: 1 + chance.below(2) as usize,
            keys: 2 + chance.below(5) as usize,
            events_per_key: events_per_key as usize,
            // All at once now and then; else for about as long as things go wrong.
            pace: if chance.one_in(4) { 5 } else { 2 * TURN * turns / events_per_key },
            turns: turns as usize,
            replays: chance.below(4) as usize,
            latency: Duration::from_millis(1 + chance.below(60)),
            cuts: chance.one_of([0, 10, 3]),
            store_troubles: chance.one_of([0, 0, 50]),
            timeout: Duration::from_millis(500 + chance.below(2500)),
            settings: if chance.one_in(2) { tight() } else { Settings::default() },
            destinations: (0..receivers).map(|n| destination(n, chance)).collect(),
            http2: (0..receivers).map(|_| chance.one_in(3)).collect(),
            moods: (0..receivers).map(|n| if n == STEADY { Mood::default() } else { mood(chance) }).collect(),
        }
    }

    /// Whether the receiver wants the event.
    pub(super) fn wants(&self, receiver: usize, event: &Event) -> bool {
        self.destinations[receiver].filters.current.wants(event)
    }

    /// What the event is ordered with at the receiver, within its partition.
    pub(super) fn lane_key(&self, receiver: usize, event: &Event) -> Option<LaneKey> {
        match self.destinations[receiver].ordering {
            Ordering::Strict => Some(LaneKey::All),
            Ordering::Key => event.key.as_ref().map(|key| LaneKey::of(event.tenant.as_ref(), key)),
            Ordering::None => None,
        }
    }
}

fn destination(n: usize, chance: &mut Chance) -> Destination {
    let name = DestinationName::new(&format!("r{n}")).expect("short and plain");
    // Some try for ever, some give up after a few failures: then there are dead letters.
    let gives_up = n != STEADY && chance.one_in(2);
    let batch = small_batches(2000, chance);
    Destination {
        ordering: if chance.one_in(4) { Ordering::Strict } else { Ordering::Key },
        batch: if chance.one_in(3) { batch } else { BatchPolicy::default() },
        filters: laneway_domain::Filters::always(if chance.one_in(3) { only_orders() } else { Filter::default() })
            .into(),
        max_in_flight: in_flight(chance),
        retry: RetryPolicy {
            initial: Duration::from_millis(100 + chance.below(400)),
            factor: if gives_up { 2.0 } else { 1.0 },
            limit: Duration::from_secs(3),
            total: None,
            jitter: 0.2,
        },
        on_give_up: OnGiveUp::DeadLetter,
        ..Destination::new(name)
    }
}

fn mood(chance: &mut Chance) -> Mood {
    Mood {
        fails: chance.one_of([0, 8, 3]),
        hangs: chance.one_of([0, 0, 15]),
        loses: chance.one_of([0, 10, 4]),
        rejects: chance.one_of([0, 0, 15]),
        slow: chance.one_of([1, 50, 800]),
    }
}
