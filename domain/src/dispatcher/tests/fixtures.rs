//! What the dispatcher's tests are about: destinations of all kinds, and events.

use crate::*;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

pub(super) const PARTITION: Partition = Partition(0);

pub(super) fn name(text: &str) -> DestinationName {
    DestinationName::new(text).unwrap()
}

/// A bit of a variant: two of the destinations have a limit on waiting.
pub(super) const AGED: u8 = 16;
/// The other two have.
pub(super) const AGED_TOO: u8 = 32;

/// Three attempts within a tenth of a second, about.
pub(super) const fn retry() -> RetryPolicy {
    let (initial, limit) = (Duration::from_millis(20), Duration::from_millis(100));
    RetryPolicy { initial, factor: 2.0, limit, total: None, jitter: 0.2 }
}

/// Destinations that between them use every ordering, filter and limit.
pub(super) fn destinations(variant: u8) -> Vec<Destination> {
    let base = |text: &str| Destination { retry: retry(), from: StartFrom::Beginning, ..Destination::new(name(text)) };
    let some = Filter { tenant: None, types: vec![TypePattern::new("t.*").unwrap()], attributes: BTreeMap::new() };
    let age = |bit: u8, millis| (variant & bit != 0).then_some(Duration::from_millis(millis));
    let mut all = vec![
        Destination { breaker: None, max_age: age(AGED, 150), ..base("by-key") },
        Destination {
            max_age: age(AGED_TOO, 90),
            ordering: Ordering::Strict,
            on_give_up: if variant & 1 == 0 { OnGiveUp::DeadLetter } else { OnGiveUp::Hold },
            max_in_flight: NonZeroU32::MIN,
            ..base("strict")
        },
        Destination {
            max_age: age(AGED, 60),
            ordering: Ordering::None,
            filters: Filters::always(some).into(),
            paused: (variant & 2 != 0).then(|| "a test".into()),
            ..base("unordered")
        },
        Destination {
            max_age: age(AGED_TOO, 120),
            batch: BatchPolicy { max_events: 3, max_bytes: 1 << 20, linger: Duration::from_millis(10) },
            breaker: Some(BreakerPolicy { failures: 3, limit: Duration::from_millis(300) }),
            rate: NonZeroU32::new(200).map(|per_second| Rate { per_second }),
            ..base("batched")
        },
        Destination {
            filters: Filters::always(Filter { tenant: Some(tenant()), ..Filter::default() }).into(),
            ..base("acme:own")
        },
    ];
    if variant & 4 != 0 {
        all.remove(usize::from(variant >> 3 & 1));
    }
    all
}

/// The tenant of every fourth event.
pub(super) fn tenant() -> Tenant {
    Tenant::new("acme").unwrap()
}

/// An event of the key numbered `key`, or of none if that is 0. Every fourth is a tenant's, whose keys are called as those
/// that no tenant has.
pub(super) fn logged(offset: Offset, key: u8, n: u8, accepted_at: Timestamp) -> Arc<LoggedEvent> {
    let event = Event {
        tenant: (n % 4 == 3).then(tenant),
        key: (key > 0).then(|| Key::new(&format!("k{key}")).unwrap()),
        content_type: "text/plain".into(),
        ..Event::new(
            EventId::new(&format!("e{}", offset.0)).unwrap(),
            EventType::new(if n.is_multiple_of(2) { "t.even" } else { "odd" }).unwrap(),
            Bytes::from_static(&[7; 100]),
        )
    };
    Arc::new(LoggedEvent { partition: PARTITION, offset, accepted_at, event })
}
