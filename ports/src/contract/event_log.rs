//! What every [`EventLog`] must do. Trimming has a suite of its own, [`super::trim`].

use super::Subject;
use super::fixtures::{append, assert_refused, event, given, key_in, keyed, read_all, whole};
use crate::{Appended, Bounds, EventLog, accepted_since};
use bytes::Bytes;
use laneway_domain::{DEFAULT_SOURCE, EventType, LoggedEvent, NewEvent, Offset, Partition, Tenant, Timestamp};
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// One test per check of [`crate::contract::event_log`] and [`crate::contract::trim`].
#[macro_export]
macro_rules! event_log_contract {
    ($subject:ty, #[$test:meta]) => {
        $crate::contract_tests! { event_log, event_log_contract, $subject, #[$test],
            an_id_that_is_remembered_leads_to_its_event
            the_offsets_of_a_partition_are_dense_from_zero
            results_stand_in_the_order_of_the_events
            an_event_goes_to_the_partition_of_its_key_or_id
            every_field_comes_back_as_it_was_appended
            what_was_acknowledged_is_there_after_a_reopen
            concurrent_appends_lose_nothing_and_keep_the_order_of_each_call
            appending_nothing_is_answered_with_nothing
            a_given_id_sent_again_is_answered_with_the_first_place
            a_given_id_of_another_tenant_is_another_event
            a_given_id_twice_in_one_call_is_stored_once
            a_given_id_is_remembered_over_a_reopen
            the_same_id_from_another_source_is_another_event
            an_id_that_was_not_given_is_not_remembered
            the_same_id_in_another_partition_is_another_event
            a_duplicate_uses_no_offset
            a_read_keeps_to_its_number_of_events
            a_read_keeps_to_its_bytes_but_returns_one_event
            a_read_at_the_end_returns_nothing
            reading_on_from_next_meets_every_event_once
            a_moment_is_found_by_when_events_were_accepted
            a_recent_and_an_old_read_return_the_same
            grown_resolves_when_an_event_is_appended
            grown_resolves_at_once_when_there_is_more
            the_bounds_of_an_empty_partition_are_zero
            a_partition_that_is_not_there_is_refused
        }
        $crate::contract_tests! { trim, trim_contract, $subject, #[$test],
            nothing_is_trimmed_before_a_destination_was_seen
            nothing_above_what_is_settled_is_trimmed
            a_key_that_is_behind_holds_the_trim
            the_slowest_destination_holds_the_trim
            a_young_event_is_not_trimmed
            a_trim_keeps_to_its_number_of_events
            trimmed_offsets_are_not_used_again
            a_given_id_is_remembered_after_its_event_was_trimmed
            a_read_below_the_start_begins_at_the_start
            a_trim_lets_go_of_cuts_that_no_event_needs
        }
    };
}

/// By when they were accepted, events are found where they are; see [`crate::accepted_since`].
pub async fn a_moment_is_found_by_when_events_were_accepted<S: Subject>() {
    let subject = S::create(1).await;
    let log = subject.store();
    assert_eq!(accepted_since(log, Partition(0), Timestamp::MAX).await.unwrap(), Offset(0), "of an empty log");
    for n in 0..12 {
        append(log, vec![event(&n.to_string())]).await;
        if n % 3 == 2 {
            subject.pass(Duration::from_millis(5)).await;
        }
    }
    let logged = read_all(log, Partition(0), 100).await;
    let (first, last) = (logged[0].accepted_at, logged[logged.len() - 1].accepted_at);
    for millis in first.as_millis() - 1..=last.as_millis() + 1 {
        let since = Timestamp::from_millis(millis);
        let expected = logged.iter().position(|event| event.accepted_at >= since).unwrap_or(logged.len());
        let found = accepted_since(log, Partition(0), since).await.unwrap();
        assert_eq!(found, Offset(expected as u64), "since {since} of {first} to {last}");
    }
    assert!(last > first, "time has passed");
    assert_eq!(accepted_since(log, Partition(0), Timestamp::ZERO).await.unwrap(), Offset(0));
}

/// Must give the events of a partition rising offsets, dense while nothing was lost.
pub async fn the_offsets_of_a_partition_are_dense_from_zero<S: Subject>() {
    let subject = S::create(3).await;
    let mut next = [0; 3];
    for call in 0..10 {
        let events = (0..7).map(|n| event(&format!("{call}-{n}"))).collect();
        for placed in append(subject.store(), events).await {
            let next = &mut next[placed.partition.0 as usize];
            assert_eq!(placed.offset, Offset(*next));
            *next += 1;
        }
    }
    for (partition, end) in next.into_iter().enumerate() {
        let partition = Partition(u32::try_from(partition).unwrap());
        assert_eq!(subject.store().bounds(partition).await.unwrap(), Bounds { start: Offset(0), end: Offset(end) });
    }
}

/// Results are in the order of `events`, one each.
pub async fn results_stand_in_the_order_of_the_events<S: Subject>() {
    let subject = S::create(4).await;
    let store = subject.store();
    let events: Vec<NewEvent> = (0..100).map(|n| keyed(&format!("e{n}"), &format!("k{}", n % 13))).collect();
    let placed = append(store, events.clone()).await;
    for (new, placed) in events.iter().zip(placed) {
        let chunk = store.read(placed.partition, placed.offset, 1, usize::MAX).await.unwrap();
        assert_eq!(whole(chunk.records[0].clone()).event, new.event);
    }
}

/// An event's partition is that of its key or, without one, of its id.
pub async fn an_event_goes_to_the_partition_of_its_key_or_id<S: Subject>() {
    let subject = S::create(5).await;
    assert_eq!(subject.store().partitions(), 5);
    for n in 0..20 {
        let (id, key) = (format!("id{n}"), format!("key{n}"));
        let placed = append(subject.store(), vec![event(&id), keyed("x", &key)]).await;
        assert_eq!(placed[0].partition, Partition::of(&id, 5));
        assert_eq!(placed[1].partition, Partition::of(&key, 5));
    }
}

fn of_every_kind() -> Vec<NewEvent> {
    let mut empty = keyed("empty", "k");
    empty.event.data = Bytes::new();
    let mut binary = keyed("binary", "k");
    binary.event.data = (0..=255).cycle().take(100_000).collect::<Vec<u8>>().into();
    binary.event.content_type = "application/octet-stream".into();
    let mut full = keyed("größe/日本 🚚 'quoted\" %", "schlüssel:{}\\");
    full.event.event_type = EventType::new("órder.paid·x").unwrap();
    full.event.tenant = Some(Tenant::new(&format!("0.a-b_{}", "x".repeat(58))).unwrap());
    full.event.source = Some("urn:x:ü".into());
    full.event.subject = Some("a b\\c\"d'".into());
    full.event.time = Some("2024-02-29T23:59:59.123456789+05:30".into());
    full.event.attributes = (0..64).map(|n| (format!("a{n}").into(), format!("\"{n}\" ✓\\").into())).collect();
    full.event.attributes.insert("a0".into(), "".into());
    full.event.attributes.insert("a1".into(), "x".repeat(4096).into());
    vec![empty, binary, full, event("plain"), NewEvent { id_given: true, ..event("given") }]
}

/// Must return every event exactly as it was appended, now and after a reopen.
pub async fn every_field_comes_back_as_it_was_appended<S: Subject>() {
    let subject = S::create(1).await;
    let events = of_every_kind();
    append(subject.store(), events.clone()).await;
    let before = read_all(subject.store(), Partition(0), 100).await;
    let subject = subject.reopen().await;
    let after = read_all(subject.store(), Partition(0), 100).await;
    for (n, new) in events.iter().enumerate() {
        for logged in [&before[n], &after[n]] {
            assert_eq!(logged.event, new.event);
            assert_eq!((logged.partition, logged.offset), (Partition(0), Offset(n as u64)));
        }
        assert_eq!(before[n].accepted_at, after[n].accepted_at);
    }
}

/// Must not say [`Appended`] before the event would survive a power cut.
pub async fn what_was_acknowledged_is_there_after_a_reopen<S: Subject>() {
    let mut subject = S::create(2).await;
    let mut count = 0;
    for round in 0..3 {
        for n in 0..20 {
            count += append(subject.store(), vec![event(&format!("{round}-{n}"))]).await.len();
        }
        subject = subject.reopen().await;
        let [a, b] = [Partition(0), Partition(1)].map(|p| read_all(subject.store(), p, 7));
        assert_eq!(a.await.len() + b.await.len(), count);
    }
}

/// Offsets rise in the order of `events`, whoever else appends.
pub async fn concurrent_appends_lose_nothing_and_keep_the_order_of_each_call<S: Subject>() {
    let subject = S::create(1).await;
    let call = |call: usize| {
        let events = (0..10).map(|n| event(&format!("{call}-{n}"))).collect();
        append(subject.store(), events)
    };
    let (a, b, c, d) = tokio::join!(call(0), call(1), call(2), call(3));
    let mut offsets = Vec::new();
    for placed in [a, b, c, d] {
        let of_call: Vec<Offset> = placed.iter().map(|placed| placed.offset).collect();
        assert!(of_call.is_sorted(), "{of_call:?}");
        offsets.extend(of_call);
    }
    offsets.sort_unstable();
    assert_eq!(offsets, (0..40).map(Offset).collect::<Vec<_>>());
}

/// No events, no results.
pub async fn appending_nothing_is_answered_with_nothing<S: Subject>() {
    let subject = S::create(1).await;
    assert!(subject.store().append(Vec::new()).await.is_empty());
}

/// Must recognise an id that was given, and answer with the first event's place.
pub async fn a_given_id_sent_again_is_answered_with_the_first_place<S: Subject>() {
    let subject = S::create(2).await;
    let first = append(subject.store(), vec![given("a", "k"), given("b", "k")]).await;
    let again = append(subject.store(), vec![given("b", "k"), given("c", "k"), given("a", "k")]).await;
    assert!(first.iter().all(|placed| !placed.duplicate));
    assert_eq!(again[0], Appended { duplicate: true, ..first[1] });
    assert_eq!(again[1], Appended { offset: Offset(2), ..first[0] });
    assert_eq!(again[2], Appended { duplicate: true, ..first[0] });
}

/// An id is unique only within its tenant; no tenant is one of its own.
pub async fn a_given_id_of_another_tenant_is_another_event<S: Subject>() {
    let subject = S::create(2).await;
    let of = |tenant: Option<&str>| {
        let mut new = given("e", "k");
        new.event.tenant = tenant.map(|name| Tenant::new(name).unwrap());
        new
    };
    let all = || vec![of(None), of(Some("a")), of(Some("b"))];
    let placed = append(subject.store(), all()).await;
    let there = placed[0].partition;
    assert!(placed.iter().all(|placed| !placed.duplicate && placed.partition == there), "{placed:?}");
    let subject = subject.reopen().await;
    for (again, first) in append(subject.store(), all()).await.iter().zip(&placed) {
        assert_eq!((again.offset, again.duplicate), (first.offset, true));
    }
    let stored = read_all(subject.store(), placed[0].partition, 10).await;
    let events: Vec<_> = stored.into_iter().map(|logged| logged.event.clone()).collect();
    assert_eq!(events, all().into_iter().map(|new| new.event).collect::<Vec<_>>());
}

/// … also within one call.
pub async fn a_given_id_twice_in_one_call_is_stored_once<S: Subject>() {
    let subject = S::create(1).await;
    let placed = append(subject.store(), vec![given("a", "k"), given("a", "k"), given("b", "k")]).await;
    assert_eq!(placed[1], Appended { duplicate: true, ..placed[0] });
    assert_eq!(placed[2].offset, Offset(1));
    assert_eq!(read_all(subject.store(), Partition(0), 10).await.len(), 2);
}

/// … also after a crash.
pub async fn a_given_id_is_remembered_over_a_reopen<S: Subject>() {
    let subject = S::create(1).await;
    append(subject.store(), vec![event("x"), given("a", "k")]).await;
    let subject = subject.reopen().await;
    let again = append(subject.store(), vec![given("a", "k")]).await;
    assert_eq!(again, [Appended { partition: Partition(0), offset: Offset(1), duplicate: true }]);
}

/// An id is unique only within its source; no source is the one that receivers see then.
pub async fn the_same_id_from_another_source_is_another_event<S: Subject>() {
    let from = |source: Option<&str>| {
        let mut new = given("a", "k");
        new.event.source = source.map(Into::into);
        new
    };
    let sources = [None, Some("/shop"), Some("/crm"), Some("/shop/a")];
    let subject = S::create(1).await;
    let first = append(subject.store(), sources.map(from).into()).await;
    assert!(first.iter().all(|placed| !placed.duplicate), "{first:?}");
    let again = append(subject.store(), sources.map(from).into()).await;
    for (first, again) in first.iter().zip(again) {
        assert_eq!(again, Appended { duplicate: true, ..*first });
    }
    let subject = subject.reopen().await;
    let again = append(subject.store(), vec![from(Some("/crm")), from(Some("/new")), from(Some(DEFAULT_SOURCE))]).await;
    assert_eq!(again[0], Appended { duplicate: true, ..first[2] });
    assert_eq!((again[1].offset, again[1].duplicate), (Offset(4), false));
    assert_eq!(again[2], Appended { duplicate: true, ..first[0] });
}

/// Ids that Laneway made cannot come again, and are not remembered.
pub async fn an_id_that_was_not_given_is_not_remembered<S: Subject>() {
    let subject = S::create(1).await;
    append(subject.store(), vec![keyed("a", "k")]).await;
    let placed = append(subject.store(), vec![keyed("a", "k"), given("a", "k")]).await;
    assert!(placed.iter().all(|placed| !placed.duplicate), "{placed:?}");
}

/// Duplicates are those of the same partition.
pub async fn the_same_id_in_another_partition_is_another_event<S: Subject>() {
    let subject = S::create(2).await;
    let keys = [key_in(Partition(0), 2), key_in(Partition(1), 2)];
    let placed = append(subject.store(), vec![given("a", &keys[0]), given("a", &keys[1])]).await;
    assert!(placed.iter().all(|placed| !placed.duplicate && placed.offset == Offset(0)), "{placed:?}");
}

/// Nothing is stored of a duplicate.
pub async fn a_duplicate_uses_no_offset<S: Subject>() {
    let subject = S::create(1).await;
    append(subject.store(), vec![given("a", "k")]).await;
    for _ in 0..5 {
        append(subject.store(), vec![given("a", "k")]).await;
    }
    assert_eq!(append(subject.store(), vec![given("b", "k")]).await[0].offset, Offset(1));
}

async fn with_events<S: Subject>(count: usize) -> S {
    super::fixtures::filled(count).await
}

/// At most `max_events`; `next` is behind the last of them.
pub async fn a_read_keeps_to_its_number_of_events<S: Subject>() {
    let subject = with_events::<S>(10).await;
    let chunk = subject.store().read(Partition(0), Offset(3), 4, usize::MAX).await.unwrap();
    let offsets: Vec<u64> = chunk.records.iter().map(|record| record.offset().0).collect();
    assert_eq!((offsets, chunk.next), (vec![3, 4, 5, 6], Offset(7)));
}

/// At most `max_bytes` by weight, but at least one event if there is one.
pub async fn a_read_keeps_to_its_bytes_but_returns_one_event<S: Subject>() {
    let subject = with_events::<S>(10).await;
    let store = subject.store();
    let weight = keyed("e0", "k0").event.weight();
    let chunk = store.read(Partition(0), Offset(0), 10, weight * 3).await.unwrap();
    assert_eq!((chunk.records.len(), chunk.next), (3, Offset(3)));
    let chunk = store.read(Partition(0), Offset(5), 10, 0).await.unwrap();
    assert_eq!((chunk.records.len(), chunk.next), (1, Offset(6)));
}

/// At the log's end there is nothing, and reading goes on there.
pub async fn a_read_at_the_end_returns_nothing<S: Subject>() {
    let subject = with_events::<S>(3).await;
    for store_is_new in [false, true] {
        let other;
        let (store, end) = if store_is_new {
            other = S::create(1).await;
            (other.store(), Offset(0))
        } else {
            (subject.store(), Offset(3))
        };
        let chunk = store.read(Partition(0), end, 10, usize::MAX).await.unwrap();
        assert!(chunk.records.is_empty());
        assert_eq!(chunk.next, end);
    }
}

/// Without a gap: each chunk begins where the one before said.
pub async fn reading_on_from_next_meets_every_event_once<S: Subject>() {
    let subject = with_events::<S>(100).await;
    for max_events in [1, 3, 64, 100, 1000] {
        let ids: Vec<String> =
            read_all(subject.store(), Partition(0), max_events).await.iter().map(|e| e.event.id.to_string()).collect();
        assert_eq!(ids, (0..100).map(|n| format!("e{n}")).collect::<Vec<_>>());
    }
}

/// Whether a store answers from memory or from disk must not be seen.
pub async fn a_recent_and_an_old_read_return_the_same<S: Subject>() {
    let subject = with_events::<S>(50).await;
    let recent: Vec<LoggedEvent> =
        read_all(subject.store(), Partition(0), 9).await.iter().map(|event| event.as_ref().clone()).collect();
    let subject = subject.reopen().await;
    let old: Vec<LoggedEvent> =
        read_all(subject.store(), Partition(0), 9).await.iter().map(|event| event.as_ref().clone()).collect();
    assert_eq!(recent, old);
}

/// Waits until the end is beyond `seen`.
pub async fn grown_resolves_when_an_event_is_appended<S: Subject>() {
    let subject = with_events::<S>(3).await;
    let mut grown = pin!(subject.store().grown(Partition(0), Offset(3)));
    let polled = grown.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Pending), "grown resolved although nothing was appended: {polled:?}");
    let (end, _) = tokio::join!(grown, append(subject.store(), vec![event("more")]));
    assert_eq!(end.unwrap(), Offset(4));
}

/// Resolves at once if it is.
pub async fn grown_resolves_at_once_when_there_is_more<S: Subject>() {
    let subject = with_events::<S>(3).await;
    assert_eq!(subject.store().grown(Partition(0), Offset(2)).await.unwrap(), Offset(3));
    assert_eq!(subject.reopen().await.store().grown(Partition(0), Offset(0)).await.unwrap(), Offset(3));
}

/// A new partition begins at zero.
pub async fn the_bounds_of_an_empty_partition_are_zero<S: Subject>() {
    let subject = S::create(2).await;
    let zero = Bounds { start: Offset(0), end: Offset(0) };
    assert_eq!(subject.store().bounds(Partition(1)).await.unwrap(), zero);
    assert_eq!(subject.reopen().await.store().bounds(Partition(1)).await.unwrap(), zero);
}

/// Not a panic, and not an empty partition.
pub async fn a_partition_that_is_not_there_is_refused<S: Subject>() {
    let subject = S::create(2).await;
    let store = subject.store();
    assert_refused(&store.bounds(Partition(2)).await, "bounds");
    assert_refused(&store.read(Partition(2), Offset(0), 1, 1).await.map(|_| ()), "read");
    assert_refused(&store.grown(Partition(2), Offset(0)).await, "grown");
    assert_refused(&store.trim(Partition(2), Timestamp::MAX, 1).await, "trim");
}

/// Of ids that producers gave; every partition that knows it says so.
pub async fn an_id_that_is_remembered_leads_to_its_event<S: Subject>() {
    let subject = S::create(2).await;
    let store = subject.store();
    let [first, second] = [0, 1].map(|p| key_in(Partition(p), 2));
    let placed = append(store, vec![given("e", &first), given("e", &second), given("f", &first), event("g")]).await;
    let of = |n: usize| (placed[n].partition, placed[n].offset);
    assert_eq!(store.remembered("e").await.unwrap(), [of(0), of(1)]);
    assert_eq!(store.remembered("f").await.unwrap(), [of(2)]);
    assert_eq!(store.remembered("g").await.unwrap(), [], "nobody gave this id");
}
