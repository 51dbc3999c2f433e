//! What every [`DeadLetters`] must do, and how a commit adds to and takes from them.

use super::Subject;
use super::fixtures::{
    append, assert_refused, destination, event, failure, filled, given_up, gives_up, keyed, lease, moved, seen, worker,
};
use crate::{DeadLetterCount, DeadLetterQuery, DeadLetters, EventLog, MAX_DEAD_LETTER_PAGE, ProgressStore, Selection};
use laneway_domain::{
    Backoff, Commit, DeadLetter, Event, EventId, EventType, Failure, Key, LaneKey, NextAttempt, Offset, Partition,
    Position, Redrive, Redriven, Tenant, Timestamp, TypePattern,
};
use std::time::Duration;

/// One test per check of [`crate::contract::dead_letters`].
#[macro_export]
macro_rules! dead_letters_contract {
    ($subject:ty, #[$test:meta]) => {
        $crate::contract_tests! { dead_letters, dead_letters_contract, $subject, #[$test],
            a_dead_letter_says_what_was_committed
            a_dead_letter_keeps_its_event_after_the_trim
            a_dead_letter_that_is_not_there_has_no_event
            numbers_beyond_all_that_can_be_stored_find_nothing
            dead_letters_are_listed_by_partition_offset_and_destination
            pages_meet_every_dead_letter_once
            a_selection_needs_all_its_conditions
            dead_letters_are_selected_by_type_status_and_time
            of_many_dead_letters_exactly_the_selected_ones_are_listed_counted_and_changed
            counts_are_per_destination_in_order_of_name
            a_change_without_a_destination_is_refused
            a_retry_is_remembered_until_a_commit_ends_it
            a_retry_request_is_there_after_a_reopen
            retry_requests_are_met_once_from_one_place_to_the_next
            the_event_of_a_tenant_is_a_dead_letter_like_any_other
            of_tenants_and_sources_that_share_an_id_only_the_letter_that_is_meant_is_changed
            a_delivered_retry_removes_the_dead_letter
            a_failed_retry_leaves_the_dead_letter_with_the_failure_added
            a_failed_retry_committed_twice_adds_one_failure
            a_retry_of_one_destination_leaves_the_others
            a_discarded_dead_letter_is_gone
            the_same_event_is_a_dead_letter_of_two_destinations
        }
        $crate::contract_tests! { damaged, damaged_dead_letters_contract, $subject, #[$test],
            a_damaged_dead_letter_keeps_nobody_from_retrying_the_others
            a_commit_is_made_whatever_is_damaged
            a_damaged_copy_is_refused_and_its_retry_can_end
            of_damaged_dead_letters_the_others_are_listed_counted_and_changed
        }
    };
}

const P: Partition = Partition(0);

pub(super) fn of(name: &str) -> Selection {
    Selection { destination: Some(destination(name)), ..Selection::default() }
}

async fn list(store: &impl DeadLetters, selection: Selection) -> Vec<DeadLetter> {
    store.list(&DeadLetterQuery { selection, after: None, most: MAX_DEAD_LETTER_PAGE }).await.unwrap()
}

pub(super) async fn offsets(store: &impl DeadLetters, selection: Selection) -> Vec<u64> {
    list(store, selection).await.iter().map(|letter| letter.given_up.offset.0).collect()
}

/// Such numbers come from outside, in paths and cursors: they are no fault of the store.
pub async fn numbers_beyond_all_that_can_be_stored_find_nothing<S: Subject>() {
    let subject = dead::<S>(&["a"], &[1]).await;
    let store = subject.store();
    for beyond in [1 << 53, i64::MAX as u64, 1 << 63, u64::MAX].map(Offset) {
        assert_eq!(store.event(P, beyond, &destination("a")).await.unwrap(), None, "{beyond}");
        let after = Some((P, beyond, destination("a")));
        let query = DeadLetterQuery { selection: Selection::default(), after, most: MAX_DEAD_LETTER_PAGE };
        assert_eq!(store.list(&query).await.unwrap(), Vec::new(), "{beyond}");
    }
}

/// Ten events, and dead letters of those at `offsets` for each of the destinations.
pub(super) async fn dead<S: Subject>(names: &[&str], offsets: &[u64]) -> S {
    let subject = filled::<S>(10).await;
    let lease = lease(subject.store()).await;
    for name in names {
        subject.store().commit(&lease, &gives_up(name, offsets)).await.unwrap();
    }
    subject
}

pub(super) async fn commit_redriven<S: Subject>(
    subject: &S,
    name: &str,
    offset: u64,
    failed: Option<Failure>,
) -> Commit {
    let redriven = vec![Redriven { destination: destination(name), offset: Offset(offset), failed }];
    let commit = Commit { redriven, ..Commit::default() };
    let lease = lease(subject.store()).await;
    subject.store().commit(&lease, &commit).await.unwrap();
    commit
}

/// Reason, history, key, moment and the event's id.
pub async fn a_dead_letter_says_what_was_committed<S: Subject>() {
    let subject = filled::<S>(3).await;
    let lease = lease(subject.store()).await;
    let mut expected = given_up("a", 1, LaneKey::Key(Key::new("k:1'ü").unwrap()));
    expected.retry = Backoff::note(Some(expected.retry), failure(9, "timeout · 15 s").answered(Some(504)));
    expected.retry.next_attempt = NextAttempt::Never;
    let commit = Commit { dead_letters: vec![expected.clone()], ..Commit::default() };
    subject.store().commit(&lease, &commit).await.unwrap();
    let subject = subject.reopen().await;
    let found = list(subject.store(), Selection::default()).await;
    let Event { id: event_id, event_type, .. } = event("e1").event;
    let event_type = Some(event_type);
    let (tenant, retry_requested) = (None, false);
    let expected = DeadLetter { partition: P, given_up: expected, event_id, event_type, tenant, retry_requested };
    assert_eq!(found, [expected]);
}

/// The copy is there also when the log has trimmed the event.
pub async fn a_dead_letter_keeps_its_event_after_the_trim<S: Subject>() {
    let subject = S::create(1).await;
    let mut new = keyed("e", "k");
    new.event.attributes.insert("tenant".into(), "ä\"".into());
    new.event.source = Some("urn:x".into());
    append(subject.store(), vec![event("first"), new.clone()]).await;
    let held = lease(subject.store()).await;
    let commit = Commit { dead_letters: gives_up("a", &[1]).dead_letters, ..moved("a", 2, Position::Shared) };
    subject.store().commit(&held, &commit).await.unwrap();
    assert_eq!(subject.store().trim(P, Timestamp::MAX, 100).await.unwrap(), 2);
    let subject = subject.reopen().await;
    let copy = subject.store().event(P, Offset(1), &destination("a")).await.unwrap().unwrap();
    assert_eq!((copy.event, copy.offset, copy.partition), (new.event, Offset(1), P));
    // Sent again after an unclear answer, the commit finds no event to copy: that must not hurt.
    let held = lease(subject.store()).await;
    let before = seen(subject.store()).await;
    subject.store().commit(&held, &commit).await.unwrap();
    assert_eq!(seen(subject.store()).await, before);
}

/// Neither an error nor another's event.
pub async fn a_dead_letter_that_is_not_there_has_no_event<S: Subject>() {
    let subject = dead::<S>(&["a"], &[1]).await;
    let store = subject.store();
    assert_eq!(store.event(P, Offset(2), &destination("a")).await.unwrap(), None);
    assert_eq!(store.event(P, Offset(1), &destination("b")).await.unwrap(), None);
}

/// In the order of partition, offset, destination.
pub async fn dead_letters_are_listed_by_partition_offset_and_destination<S: Subject>() {
    let subject = S::create(3).await;
    let store = subject.store();
    append(store, (0..60).map(|n| event(&format!("e{n}"))).collect()).await;
    for partition in [2, 0, 1] {
        let lease = store.claim(Partition(partition), &worker("w"), Duration::from_secs(60)).await.unwrap().unwrap();
        for name in ["b", "a"] {
            store.commit(&lease, &gives_up(name, &[3, 1])).await.unwrap();
        }
    }
    let found: Vec<(u32, u64, String)> = list(store, Selection::default())
        .await
        .into_iter()
        .map(|letter| (letter.partition.0, letter.given_up.offset.0, letter.given_up.destination.to_string()))
        .collect();
    let mut expected = Vec::new();
    for partition in 0..3 {
        for offset in [1, 3] {
            expected.extend(["a", "b"].map(|name| (partition, offset, name.to_string())));
        }
    }
    assert_eq!(found, expected);
}

/// `after` is the last one of the page before.
pub async fn pages_meet_every_dead_letter_once<S: Subject>() {
    let subject = dead::<S>(&["a", "b", "c"], &[0, 2, 4, 6, 8]).await;
    let all = list(subject.store(), Selection::default()).await;
    assert_eq!(all.len(), 15);
    for most in [1, 4, 15] {
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let query = DeadLetterQuery { after, most, ..DeadLetterQuery::default() };
            let page = subject.store().list(&query).await.unwrap();
            assert!(page.len() <= most);
            let Some(last) = page.last() else { break };
            after = Some((last.partition, last.given_up.offset, last.given_up.destination.clone()));
            found.extend(page);
        }
        assert_eq!(found, all);
    }
}

/// Destination, key of the event, and id of the event.
pub async fn a_selection_needs_all_its_conditions<S: Subject>() {
    let subject = dead::<S>(&["a", "b"], &[0, 1, 2, 4, 5]).await;
    let store = subject.store();
    let key = Some(Key::new("k1").unwrap());
    let event_id = Some(event("e5").event.id);
    assert_eq!(offsets(store, Selection { key: key.clone(), ..of("a") }).await, [1, 5]);
    assert_eq!(offsets(store, Selection { key: key.clone(), event_id: event_id.clone(), ..of("a") }).await, [5]);
    assert_eq!(offsets(store, Selection { event_id: event_id.clone(), ..Selection::default() }).await, [5, 5]);
    let other_key = Some(Key::new("k0").unwrap());
    assert!(offsets(store, Selection { key: other_key, event_id, ..of("a") }).await.is_empty());
    assert_eq!(store.discard(&Selection { key, ..of("b") }).await.unwrap(), 2);
    assert_eq!(offsets(store, of("b")).await, [0, 2, 4]);
    assert_eq!(offsets(store, of("a")).await, [0, 1, 2, 4, 5]);
}

/// A store with `count` events `e0`, `e1`, …, all of them dead letters of `a` and of `b`: of the types `t.0`, `t.1`, …, of
/// which there are `kinds`, given up a millisecond after each other; every third without an answer, the others with
/// 422 or 500.
async fn of_kinds<S: Subject>(count: u64, kinds: u64) -> S {
    let subject = S::create(1).await;
    let event = |n: u64| {
        let mut new = event(&format!("e{n}"));
        new.event.event_type = EventType::new(&format!("t.{}", n % kinds)).unwrap();
        new
    };
    append(subject.store(), (0..count).map(event).collect()).await;
    let letter = |name: &str, n: u64| {
        let mut letter = given_up(name, n, LaneKey::Event(Offset(n)));
        letter.at = Timestamp::from_millis(1000 + n);
        letter.retry = Backoff::note(None, failure(7, "first").answered(Some(503)));
        let status = [None, Some(422), Some(500)][n as usize % 3];
        letter.retry = Backoff::note(Some(letter.retry), failure(8, "last").answered(status));
        letter
    };
    let held = lease(subject.store()).await;
    for name in ["a", "b"] {
        let commit = Commit { dead_letters: (0..count).map(|n| letter(name, n)).collect(), ..Commit::default() };
        subject.store().commit(&held, &commit).await.unwrap();
    }
    subject
}

/// By each, and by all of them: the bounds of a time are its first moment, and the first one behind.
pub async fn dead_letters_are_selected_by_type_status_and_time<S: Subject>() {
    let subject = of_kinds::<S>(8, 4).await;
    let subject = subject.reopen().await;
    let store = subject.store();
    let types = |patterns: &[&str]| patterns.iter().map(|text| TypePattern::new(text).unwrap()).collect::<Vec<_>>();
    let at = |millis| Some(Timestamp::from_millis(millis));
    let none = of("a");
    let cases = [
        (Selection { types: types(&["t.1"]), ..none.clone() }, vec![1, 5]),
        (Selection { types: types(&["t.1", "t.2"]), ..none.clone() }, vec![1, 2, 5, 6]),
        (Selection { types: types(&["t.*"]), ..none.clone() }, (0..8).collect()),
        (Selection { types: types(&["x"]), ..none.clone() }, vec![]),
        (Selection { statuses: [422].into(), ..none.clone() }, vec![1, 4, 7]),
        (Selection { statuses: [422, 500].into(), ..none.clone() }, vec![1, 2, 4, 5, 7]),
        (Selection { statuses: [503].into(), ..none.clone() }, vec![]),
        (Selection { from: at(1003), ..none.clone() }, (3..8).collect()),
        (Selection { to: at(1003), ..none.clone() }, (0..3).collect()),
        (Selection { from: at(1002), to: at(1002), ..none.clone() }, vec![]),
        (Selection { from: Some(Timestamp::MAX), ..none.clone() }, vec![]),
        (Selection { to: Some(Timestamp::MAX), ..none.clone() }, (0..8).collect()),
        (Selection { types: types(&["t.1"]), statuses: [422].into(), from: at(1001), ..none.clone() }, vec![1]),
        (Selection { statuses: [422].into(), from: at(1002), to: at(1007), ..none.clone() }, vec![4]),
        (Selection { statuses: [422].into(), event_id: Some(event("e4").event.id), ..none }, vec![4]),
    ];
    for (selection, expected) in cases {
        assert_eq!(offsets(store, selection.clone()).await, expected, "{selection:?}");
        assert_eq!(store.count(&selection).await.unwrap(), expected.len() as u64, "{selection:?}");
        assert_eq!(store.retry(&selection).await.unwrap(), expected.len() as u64, "{selection:?}");
        let wanted: Vec<Redrive> = expected.iter().map(|offset| request("a", *offset)).collect();
        assert_eq!(store.retry_requested(P, None, 10).await.unwrap(), wanted, "{selection:?}");
        for offset in expected {
            commit_redriven(
                &subject,
                "a",
                offset,
                Some(failure(9, "again").answered([None, Some(422), Some(500)][offset as usize % 3])),
            )
            .await;
        }
        assert_eq!(store.retry_requested(P, None, 10).await.unwrap(), [], "{selection:?}");
    }
}

/// More than a store looks at in one step.
pub async fn of_many_dead_letters_exactly_the_selected_ones_are_listed_counted_and_changed<S: Subject>() {
    const MANY: u64 = 1200;
    let subject = of_kinds::<S>(MANY, 600).await;
    let store = subject.store();
    let rare = Selection { types: vec![TypePattern::new("t.599").unwrap()], ..of("a") };
    assert_eq!(offsets(store, rare.clone()).await, [599, 1199]);
    let selection = Selection { statuses: [422].into(), ..of("a") };
    let expected: Vec<u64> = (0..MANY).filter(|n| n % 3 == 1).collect();
    let (mut after, mut met) = (None, Vec::new());
    loop {
        let query = DeadLetterQuery { selection: selection.clone(), after: after.clone(), most: 7 };
        let page = store.list(&query).await.unwrap();
        met.extend(page.iter().map(|letter| letter.given_up.offset.0));
        let Some(last) = page.last() else { break };
        after = Some((last.partition, last.given_up.offset, last.given_up.destination.clone()));
    }
    assert_eq!(met, expected);
    assert_eq!(store.count(&selection).await.unwrap(), 400);
    assert_eq!(store.count(&of("a")).await.unwrap(), MANY);
    assert_eq!(store.discard(&selection).await.unwrap(), 400);
    assert_eq!(store.discard(&selection).await.unwrap(), 0);
    assert_eq!((store.count(&of("a")).await.unwrap(), store.count(&of("b")).await.unwrap()), (800, MANY));
    assert_eq!(store.retry(&Selection { statuses: [500].into(), ..of("a") }).await.unwrap(), 400);
    assert_eq!(store.retry_requested(P, None, 1000).await.unwrap().len(), 400);
}

/// Only destinations that have any.
pub async fn counts_are_per_destination_in_order_of_name<S: Subject>() {
    let subject = dead::<S>(&["b"], &[1, 2, 3]).await;
    let held = lease(subject.store()).await;
    subject.store().commit(&held, &gives_up("a", &[1])).await.unwrap();
    subject.store().commit(&held, &moved("none", 1, Position::Shared)).await.unwrap();
    let count = |name, count| DeadLetterCount { destination: destination(name), count };
    assert_eq!(subject.store().counts().await.unwrap(), [count("a", 1), count("b", 3)]);
}

/// So that nothing is swept by accident.
pub async fn a_change_without_a_destination_is_refused<S: Subject>() {
    let subject = dead::<S>(&["a"], &[1]).await;
    let before = seen(subject.store()).await;
    let selection = Selection { event_id: Some(event("e1").event.id), ..Selection::default() };
    assert_refused(&subject.store().retry(&selection).await, "retry");
    assert_refused(&subject.store().discard(&selection).await, "discard");
    assert_eq!(seen(subject.store()).await, before);
}

fn request(name: &str, offset: u64) -> Redrive {
    Redrive { destination: destination(name), offset: Offset(offset), key: LaneKey::Event(Offset(offset)) }
}

/// They stay until a commit says how the retry ended; by ascending offset, at most `most`.
pub async fn a_retry_is_remembered_until_a_commit_ends_it<S: Subject>() {
    let subject = dead::<S>(&["a"], &[1, 3, 5]).await;
    let store = subject.store();
    assert!(store.retry_requested(P, None, 10).await.unwrap().is_empty());
    assert_eq!(store.retry(&of("a")).await.unwrap(), 3);
    assert_eq!(store.retry(&of("b")).await.unwrap(), 0);
    for _ in 0..2 {
        assert_eq!(store.retry_requested(P, None, 2).await.unwrap(), [request("a", 1), request("a", 3)]);
    }
    assert!(list(store, of("a")).await.iter().all(|letter| letter.retry_requested));
    commit_redriven(&subject, "a", 1, None).await;
    assert_eq!(store.retry_requested(P, None, 10).await.unwrap(), [request("a", 3), request("a", 5)]);
    assert_eq!(store.load(P).await.unwrap().redrives, [request("a", 3), request("a", 5)]);
}

/// Durable when it resolves.
pub async fn a_retry_request_is_there_after_a_reopen<S: Subject>() {
    let subject = dead::<S>(&["a"], &[1]).await;
    subject.store().retry(&of("a")).await.unwrap();
    let subject = subject.reopen().await;
    assert_eq!(subject.store().retry_requested(P, None, 10).await.unwrap(), [request("a", 1)]);
}

/// Delivered: the dead letter is no more.
pub async fn a_delivered_retry_removes_the_dead_letter<S: Subject>() {
    let subject = dead::<S>(&["a"], &[1, 2]).await;
    subject.store().retry(&of("a")).await.unwrap();
    commit_redriven(&subject, "a", 1, None).await;
    assert_eq!(offsets(subject.store(), of("a")).await, [2]);
    assert_eq!(subject.store().event(P, Offset(1), &destination("a")).await.unwrap(), None);
}

/// Failed: it stays one, is no longer to be retried, and has one failure more.
pub async fn a_failed_retry_leaves_the_dead_letter_with_the_failure_added<S: Subject>() {
    let subject = dead::<S>(&["a"], &[1]).await;
    let before = list(subject.store(), of("a")).await;
    subject.store().retry(&of("a")).await.unwrap();
    let again = failure(1_700_000_099_000, "answered 500 again");
    commit_redriven(&subject, "a", 1, Some(again.clone())).await;
    let mut expected = before[0].clone();
    expected.given_up.retry = Backoff::note(Some(expected.given_up.retry), again);
    assert_eq!(list(subject.store(), of("a")).await, [expected]);
    assert!(subject.store().retry_requested(P, None, 10).await.unwrap().is_empty());
    assert_eq!(subject.store().retry(&of("a")).await.unwrap(), 1);
}

/// The same commit again changes nothing more.
pub async fn a_failed_retry_committed_twice_adds_one_failure<S: Subject>() {
    let subject = dead::<S>(&["a"], &[1]).await;
    subject.store().retry(&of("a")).await.unwrap();
    let commit = commit_redriven(&subject, "a", 1, Some(failure(9, "again"))).await;
    let once = seen(subject.store()).await;
    let held = lease(subject.store()).await;
    subject.store().commit(&held, &commit).await.unwrap();
    assert_eq!(seen(subject.store()).await, once);
}

/// A retry names its destination.
pub async fn a_retry_of_one_destination_leaves_the_others<S: Subject>() {
    let subject = dead::<S>(&["a", "b"], &[1]).await;
    subject.store().retry(&of("a")).await.unwrap();
    assert_eq!(subject.store().retry_requested(P, None, 10).await.unwrap(), [request("a", 1)]);
    commit_redriven(&subject, "a", 1, None).await;
    assert_eq!(offsets(subject.store(), of("b")).await, [1]);
}

/// For good.
pub async fn a_discarded_dead_letter_is_gone<S: Subject>() {
    let subject = dead::<S>(&["a", "b"], &[1, 2]).await;
    subject.store().retry(&of("a")).await.unwrap();
    assert_eq!(subject.store().discard(&of("a")).await.unwrap(), 2);
    let subject = subject.reopen().await;
    assert!(offsets(subject.store(), of("a")).await.is_empty());
    assert!(subject.store().retry_requested(P, None, 10).await.unwrap().is_empty());
    assert_eq!(offsets(subject.store(), of("b")).await, [1, 2]);
    assert_eq!(subject.store().discard(&of("a")).await.unwrap(), 0);
}

/// Each destination has its own, with its own copy.
pub async fn the_same_event_is_a_dead_letter_of_two_destinations<S: Subject>() {
    let subject = dead::<S>(&["a", "b"], &[1]).await;
    assert_eq!(subject.store().discard(&of("a")).await.unwrap(), 1);
    let copy = subject.store().event(P, Offset(1), &destination("b")).await.unwrap().unwrap();
    assert_eq!(copy.event, keyed("e1", "k1").event);
}

/// Whoever goes on behind the last one meets all of them, whatever their destinations.
pub async fn retry_requests_are_met_once_from_one_place_to_the_next<S: Subject>() {
    let subject = dead::<S>(&["b", "a"], &[1, 3, 5, 7]).await;
    let store = subject.store();
    for name in ["a", "b"] {
        store.retry(&of(name)).await.unwrap();
    }
    let (mut met, mut after) = (Vec::new(), None);
    loop {
        let page = store.retry_requested(P, after.as_ref(), 3).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.offset, last.destination.clone()));
        met.extend(page.into_iter().map(|request| (request.offset.0, request.destination.to_string())));
    }
    let all = [1, 3, 5, 7].into_iter().flat_map(|offset| ["a", "b"].map(|name| (offset, name.to_owned())));
    assert_eq!(met, all.collect::<Vec<_>>());
    let beyond = (Offset(u64::MAX >> 11), destination("a"));
    assert_eq!(store.retry_requested(P, Some(&beyond), 3).await.unwrap(), []);
}

/// It is listed, chosen by its id and key, and a retry of it ends, however that does.
pub async fn the_event_of_a_tenant_is_a_dead_letter_like_any_other<S: Subject>() {
    let subject = S::create(1).await;
    let mut new = keyed("e", "k");
    new.event.tenant = Some(Tenant::new("acme").unwrap());
    append(subject.store(), vec![new.clone(), event("other")]).await;
    let held = lease(subject.store()).await;
    subject.store().commit(&held, &gives_up("acme:shop", &[0, 1])).await.unwrap();
    let subject = subject.reopen().await;
    let chosen = [
        Selection { event_id: Some(new.event.id.clone()), ..of("acme:shop") },
        Selection { key: new.event.key.clone(), ..of("acme:shop") },
    ];
    for selection in chosen {
        let found = list(subject.store(), selection.clone()).await;
        let said: Vec<_> = found.iter().map(|letter| (&letter.event_id, letter.event_type.as_ref())).collect();
        assert_eq!(said, [(&new.event.id, Some(&new.event.event_type))]);
        assert_eq!(subject.store().retry(&selection).await.unwrap(), 1);
        commit_redriven(&subject, "acme:shop", 0, Some(failure(9, "answered 500"))).await;
    }
    let found = list(subject.store(), Selection::default()).await;
    assert_eq!(found.iter().map(|letter| letter.given_up.retry.attempts).collect::<Vec<_>>(), [3, 1]);
    assert!(subject.store().retry_requested(P, None, 10).await.unwrap().is_empty(), "a retry that failed has ended");
    let copy = subject.store().event(P, Offset(0), &destination("acme:shop")).await.unwrap().unwrap();
    assert_eq!(copy.event, new.event);
    subject.store().retry(&of("acme:shop")).await.unwrap();
    commit_redriven(&subject, "acme:shop", 0, None).await;
    assert_eq!(offsets(subject.store(), Selection::default()).await, [1]);
}

/// Keys and ids are each tenant's and each source's own: of those that share them, only what is meant is changed.
pub async fn of_tenants_and_sources_that_share_an_id_only_the_letter_that_is_meant_is_changed<S: Subject>() {
    let subject = S::create(1).await;
    let of_owner = |tenant: Option<&str>, source: &str| {
        let mut new = keyed("e", "k");
        new.event.tenant = tenant.map(|tenant| Tenant::new(tenant).unwrap());
        new.event.source = Some(source.into());
        // What stands before the tenant in a stored event.
        new.event.attributes = [("plan".into(), "gold".into()), ("seats".into(), 7.into())].into();
        new
    };
    let events = vec![
        of_owner(None, "shop"),
        of_owner(Some("acme"), "shop"),
        of_owner(Some("acme"), "till"),
        of_owner(Some("globex"), "shop"),
    ];
    append(subject.store(), events).await;
    let held = lease(subject.store()).await;
    subject.store().commit(&held, &gives_up("a", &[0, 1, 2, 3])).await.unwrap();
    let subject = subject.reopen().await;
    let store = subject.store();
    let tenant = |name: &str| Tenant::new(name).ok();
    let owners: Vec<_> = list(store, of("a")).await.into_iter().map(|letter| letter.tenant).collect();
    assert_eq!(owners, [None, tenant("acme"), tenant("acme"), tenant("globex")]);
    let (key, event_id) = (Key::new("k").ok(), EventId::new("e").ok());
    for (selection, expected) in [
        (Selection { key: key.clone(), event_id: event_id.clone(), ..of("a") }, vec![0, 1, 2, 3]),
        (Selection { tenant: tenant("acme"), key, ..of("a") }, vec![1, 2]),
        (Selection { tenant: tenant("globex"), event_id, ..of("a") }, vec![3]),
        (Selection { tenant: tenant("other"), ..of("a") }, vec![]),
        (Selection { tenant: tenant("acme"), places: [(P, Offset(2)), (P, Offset(3))].into(), ..of("a") }, vec![2]),
    ] {
        assert_eq!(offsets(store, selection.clone()).await, expected, "{selection:?}");
        assert_eq!(store.count(&selection).await.unwrap(), expected.len() as u64, "{selection:?}");
    }
    let second = Selection { places: [(P, Offset(1))].into(), ..of("a") };
    assert_eq!(store.retry(&second).await.unwrap(), 1);
    let requested = store.retry_requested(P, None, 10).await.unwrap();
    assert_eq!(requested.iter().map(|request| request.offset).collect::<Vec<_>>(), [Offset(1)]);
    assert_eq!(store.discard(&second).await.unwrap(), 1);
    assert_eq!(store.discard(&Selection { tenant: tenant("globex"), ..of("a") }).await.unwrap(), 1);
    assert_eq!(offsets(store, of("a")).await, [0, 2]);
}
