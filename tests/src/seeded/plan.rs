//! What both simulations draw alike.

use super::Chance;
use laneway_domain::{BatchPolicy, Filter, Settings, TypePattern};
use std::num::NonZeroU32;
use std::time::Duration;

/// Bounds that are met all the time.
pub(crate) fn tight() -> Settings {
    Settings {
        straggler_after: Duration::from_millis(200),
        commit_settlements: 4,
        max_uncommitted: 12,
        commit_dead_letter_bytes: 500,
        window_events: 6,
        window_bytes: 4000,
        window_events_per_key: 3,
        max_behind: 3,
        waiting_per_key: 4,
        waiting_total: 10,
        read_events: 5,
        check_state: true,
        ..Settings::default()
    }
}

/// A filter that leaves some of the events out.
pub(crate) fn only_orders() -> Filter {
    Filter { types: vec![TypePattern::new("order.*").expect("short and plain")], ..Filter::default() }
}

/// Batches that are full all the time.
pub(crate) fn small_batches(max_bytes: usize, chance: &mut Chance) -> BatchPolicy {
    BatchPolicy { max_events: 4, max_bytes, linger: Duration::from_millis(chance.below(30)) }
}

/// A limit that is met all the time.
pub(crate) fn in_flight(chance: &mut Chance) -> NonZeroU32 {
    NonZeroU32::new(1 + chance.below(6) as u32).unwrap_or(NonZeroU32::MIN)
}
