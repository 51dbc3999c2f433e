//! What is told of what happened, and that it is told once.

mod facts;

use super::letters::EVERY;
use super::*;
use crate::lane_key::LaneKey;
use crate::partition::Offset;
use crate::progress::{Expiry, GivenUp, LaneChange, LaneProgress, Pause};
use crate::registered::{OperatorPause, Standing};
use crate::retry::{NextAttempt, RetryState};
use crate::revision::Revision;
use crate::status::{BlockedKey, BreakerStatus, DestinationStatus};
use crate::{Key, LoggedEvent, TypePattern};
use proptest::prelude::*;
use std::sync::Arc;

const P: Partition = Partition(0);

fn name(text: &str) -> DestinationName {
    DestinationName::new(text).unwrap()
}

fn at(millis: u64) -> Timestamp {
    // Well after the epoch, so that an hour before is a moment too.
    Timestamp::from_millis(1_000_000_000 + millis)
}

fn filter(types: &[&str]) -> Filter {
    let types = types.iter().map(|pattern| TypePattern::new(pattern).unwrap()).collect();
    Filter { types, ..Filter::default() }
}

/// One of a worker where `pager` asks for everything, and `billing` for nothing of it.
fn operational(worker: &str) -> Operational {
    let mut made = Operational::new(OperationalSettings::default(), worker);
    made.destination(&name("pager"), Some(&filter(&["laneway.*"])));
    made.destination(&name("billing"), Some(&filter(&["*"])));
    made
}

fn told(operational: &mut Operational, now: Timestamp) -> Vec<OperationalEvent> {
    std::iter::from_fn(|| operational.poll(now)).collect()
}

fn types(events: &[OperationalEvent]) -> Vec<&'static str> {
    events.iter().map(|event| event.event_type).collect()
}

fn given_up(destination: &str, offset: u64, now: Timestamp) -> GivenUp {
    GivenUp {
        destination: name(destination),
        offset: Offset(offset),
        key: LaneKey::Key(Key::new("k").unwrap()),
        at: now,
        reason: "rejected by the destination: 422".into(),
        retry: RetryState { attempts: 3, first_failure: now, next_attempt: NextAttempt::Never, history: Vec::new() },
    }
}

fn logged(offset: u64, event_type: &str) -> Arc<LoggedEvent> {
    let event = Event::new(EventId::new("e1").unwrap(), EventType::new(event_type).unwrap(), Bytes::new());
    let event = Event { source: Some(OWN_SOURCE.into()), ..event };
    Arc::new(LoggedEvent { partition: P, offset: Offset(offset), accepted_at: at(0), event })
}

fn letter(operational: &mut Operational, destination: &str, offset: u64, event_type: Option<&str>, now: Timestamp) {
    let given_up = given_up(destination, offset, now);
    let event = event_type.map(|event_type| logged(offset, event_type));
    operational.notice(&Notice::GivenUp { partition: P, event, given_up: given_up.clone(), held: false }, now);
    operational.committed(P, &Commit { dead_letters: vec![given_up], ..Commit::default() }, now);
}

fn pause(millis: u64) -> Pause {
    Pause { since: at(millis), reason: "gone".into() }
}

fn commit_of_pause(destination: &str, paused: Option<Pause>) -> Commit {
    let change = LaneChange { paused: Some(paused), ..LaneChange::default() };
    Commit { lanes: [(name(destination), change)].into(), ..Commit::default() }
}

#[test]
fn a_pause_is_told_when_it_is_stored_once_and_by_the_same_id_whoever_tells_it() {
    let mut first = operational("w1");
    first.committed(P, &commit_of_pause("billing", Some(pause(5))), at(6));
    first.committed(Partition(1), &commit_of_pause("billing", Some(pause(5))), at(7));
    let told_first = told(&mut first, at(7));
    assert_eq!(types(&told_first), ["laneway.destination.paused"]);
    assert!(told_first[0].facts.text.contains("billing is paused: gone"), "{told_first:?}");
    // Another worker finds it in the store: after a crash it may be the only one to tell.
    let mut second = operational("w2");
    let lane = LaneProgress { paused: Some(pause(5)), ..LaneProgress::default() };
    let progress = PartitionProgress { lanes: [(name("billing"), lane)].into(), ..PartitionProgress::default() };
    second.claimed(P, &progress, &[], at(60_000));
    assert_eq!(told(&mut second, at(60_000))[0].id, told_first[0].id);
    // Both see its end.
    let resumed = [&mut first, &mut second].map(|worker| {
        worker.committed(P, &commit_of_pause("billing", None), at(70_000));
        worker.committed(Partition(1), &commit_of_pause("billing", None), at(70_001));
        told(worker, at(70_001))
    });
    assert_eq!(types(&resumed[0]), ["laneway.destination.resumed"]);
    assert_eq!((&resumed[0][0].id, resumed[0].len()), (&resumed[1][0].id, resumed[1].len()));
    // What was stored yesterday was told then.
    let mut late = operational("w3");
    late.claimed(P, &progress, &[], at(5).after(TOLD_AGAIN_WITHIN).after(Duration::from_millis(1)));
    assert_eq!(types(&told(&mut late, at(0))), [""; 0]);
    late.committed(P, &commit_of_pause("billing", None), at(0));
    assert_eq!(types(&told(&mut late, at(0))), ["laneway.destination.resumed"]);
}

fn record(revision: u64, born: u64, standing: Standing, paused: bool) -> ChangedDestination {
    let micros = |n: u64| Revision((at(0).as_millis() + n) * 1000);
    let paused = paused.then(|| OperatorPause { since: at(revision), reason: "a window".into() });
    ChangedDestination { name: name("billing"), born: micros(born), revision: micros(revision), standing, paused }
}

#[test]
fn what_operators_change_is_told_by_what_it_was_and_once_over_all_workers() {
    let steps = [
        (record(1, 1, Standing::Present, false), "laneway.destination.changed", "made"),
        (record(2, 1, Standing::Present, false), "laneway.destination.changed", "changed"),
        (record(3, 1, Standing::Present, true), "laneway.destination.paused", "by an operator: a window"),
        (record(4, 1, Standing::Present, true), "laneway.destination.changed", "changed"),
        (record(5, 1, Standing::Present, false), "laneway.destination.resumed", "by an operator"),
        (record(6, 1, Standing::Left, false), "laneway.destination.changed", "left"),
        (record(7, 1, Standing::Deleted, false), "laneway.destination.changed", "deleted"),
        (record(8, 8, Standing::Present, false), "laneway.destination.changed", "made"),
    ];
    let mut all = operational("w1");
    let mut ids = Vec::new();
    for (change, event_type, text) in &steps {
        all.changed(change, at(100));
        all.changed(change, at(101));
        let mut events = told(&mut all, at(101));
        // Nothing is remembered of what is gone; the log knows the id.
        events.dedup_by(|again, first| again.id == first.id);
        assert_eq!(types(&events), [*event_type], "{change:?}");
        assert!(events[0].facts.text.contains(text), "{events:?}");
        ids.push(events[0].id.clone());
    }
    // A worker that starts anywhere in between tells the same of it, or what another has told before.
    for (change, ..) in &steps {
        let mut one = operational("w2");
        one.changed(change, at(200));
        let events = told(&mut one, at(200));
        assert!(events.len() == 1 && ids.contains(&events[0].id), "{events:?}");
    }
    let mut late = operational("w3");
    late.changed(&steps[2].0, at(4).after(TOLD_AGAIN_WITHIN));
    assert_eq!(types(&told(&mut late, at(4))), [""; 0]);
}

#[test]
fn nothing_is_told_that_nobody_asked_for() {
    let mut nobody = Operational::new(OperationalSettings::default(), "w");
    nobody.destination(&name("billing"), Some(&filter(&["*", "laneway*"])));
    let mut some = Operational::new(OperationalSettings::default(), "w");
    some.destination(&name("pager"), Some(&filter(&["laneway.dead-letter.*"])));
    for one in [&mut nobody, &mut some] {
        one.committed(P, &commit_of_pause("billing", Some(pause(5))), at(6));
        letter(one, "billing", 1, Some("order.paid"), at(7));
    }
    assert_eq!(types(&told(&mut nobody, at(7))), [""; 0]);
    assert_eq!(types(&told(&mut some, at(7))), ["laneway.dead-letter.created"]);
    some.destination(&name("pager"), None);
    letter(&mut some, "other", 1, Some("order.paid"), at(7));
    assert_eq!((types(&told(&mut some, at(7))), some.is_asked_for()), (vec![], false));
}

#[test]
fn nothing_is_about_the_delivery_of_an_operational_event() {
    let mut one = operational("w");
    letter(&mut one, "pager", 1, Some("laneway.breaker.opened"), at(1));
    letter(&mut one, "pager", 2, None, at(2));
    assert_eq!(types(&told(&mut one, at(2))), [""; 0]);
    let blocked = |destination: &str| DestinationStatus { blocked: vec![key(1, 0)], ..idle(destination) };
    one.status(&report(700_000, vec![blocked("pager")]));
    assert_eq!(types(&told(&mut one, at(700_000))), [""; 0]);
    // One that gets other events too has dead letters of those.
    letter(&mut one, "pager", 3, Some("order.paid"), at(3));
    // Of an event that is not at hand, where it can be none.
    letter(&mut one, "billing", 4, None, at(4));
    let events = told(&mut one, at(4));
    assert_eq!(types(&events), ["laneway.dead-letter.created"; 2]);
    let ids: Vec<_> = events.iter().map(|event| event.facts.event.as_ref().unwrap().id.clone()).collect();
    assert_eq!(ids, [Some("e1".to_owned()), None]);
}

#[test]
fn a_dead_letter_that_was_not_stored_is_not_told() {
    let mut one = operational("w");
    let given_up = given_up("billing", 1, at(1));
    let event = Some(logged(1, "order.paid"));
    one.notice(&Notice::GivenUp { partition: P, event, given_up, held: false }, at(1));
    one.lost(P);
    assert_eq!(types(&told(&mut one, at(1))), [""; 0]);
    assert!(one.letters.is_at_rest());
}

fn idle(text: &str) -> DestinationStatus {
    DestinationStatus::idle(name(text), true)
}

fn key(head: u64, since: u64) -> BlockedKey {
    BlockedKey {
        key: format!("key:k{head}"),
        partition: P,
        head: Offset(head),
        attempts: 4,
        since: at(since),
        next_attempt: None,
        last_error: "500".into(),
    }
}

fn report(millis: u64, destinations: Vec<DestinationStatus>) -> StatusReport {
    StatusReport { at: at(millis), destinations, ..StatusReport::default() }
}

#[test]
fn a_key_is_told_when_it_has_been_blocked_for_long_enough_and_once() {
    let after = u64::try_from(OperationalSettings::default().key_blocked_after.as_millis()).unwrap();
    let mut one = operational("w1");
    let of = |heads: &[(u64, u64)]| {
        let blocked: Vec<BlockedKey> = heads.iter().map(|(head, since)| key(*head, *since)).collect();
        vec![DestinationStatus { blocked_keys: blocked.len() as u64, blocked, ..idle("billing") }]
    };
    let mut look = |millis: u64, heads: &[(u64, u64)]| {
        one.status(&report(millis, of(heads)));
        let events = told(&mut one, at(millis));
        assert!(events.iter().all(|event| event.event_type == "laneway.key.blocked"));
        events.into_iter().map(|event| event.facts.event.unwrap().offset.0).collect::<Vec<_>>()
    };
    assert_eq!(look(after - 1, &[(1, 0), (2, 9)]), [0; 0]);
    assert_eq!(look(after, &[(1, 0), (2, 9)]), [1]);
    assert_eq!(look(after + 9, &[(1, 0), (2, 9)]), [2]);
    // It heals, and its next event is blocked: another thing.
    assert_eq!(look(2 * after, &[(1, 0), (7, after)]), [7]);
    assert_eq!(look(2 * after + 5, &[(1, 0), (7, after)]), [0; 0]);
    // Very many: ten a minute.
    let many: Vec<(u64, u64)> = (100..150).map(|head| (head, 0)).collect();
    assert_eq!(look(3 * after, &many).len(), blocked::MOST_AT_ONCE);
    assert_eq!(look(3 * after + 5_000, &many).len(), 0);
    assert_eq!(look(3 * after + 60_000, &many).len(), blocked::MOST_AT_ONCE);
    // Another worker tells it by the same id.
    let ids = ["w1", "w2"].map(|worker| {
        let mut one = operational(worker);
        one.status(&report(after, of(&[(1, 0)])));
        told(&mut one, at(after))[0].id.clone()
    });
    assert_eq!(ids[0], ids[1]);
}

#[test]
fn what_the_store_has_lost_is_told_by_whoever_claims_the_partition_next_by_one_id() {
    let losses = [Offset(2)..Offset(4), Offset(5)..Offset(8)];
    let claims = |worker: &str, scanned: Offset| {
        let mut one = operational(worker);
        one.claimed(P, &PartitionProgress { scanned, ..PartitionProgress::default() }, &losses, at(1));
        told(&mut one, at(1))
    };
    let (first, second) = (claims("w1", Offset(5)), claims("w2", Offset(5)));
    assert_eq!(types(&first), ["laneway.log.lost"; 2]);
    let ids = |events: &[OperationalEvent]| events.iter().map(|event| event.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&first), ids(&second));
    assert_eq!(first[1].facts.lost, Some(Lost { partition: P, from: Offset(5), last: Offset(7), count: 3 }));
    assert!(first[1].facts.text.contains("lost 3 acknowledged events of partition 0"), "{first:?}");
    // The same numbers came again before the loss was noticed, so that progress is beyond them.
    assert_eq!(claims("w1", Offset(9)).len(), 2);
    // What comes after it was delivered: it was told then.
    assert_eq!(types(&claims("w1", Offset::in_generation(1, 1))), [""; 0]);
}

#[test]
fn what_waits_is_bounded_and_what_is_dropped_counted() {
    let mut one = operational("w");
    for n in 0..MAX_WAITING_OPERATIONAL as u64 + 7 {
        let record = Quarantined { offset: Offset(n), reason: "checksum".into() };
        one.committed(P, &Commit { quarantined: vec![record], ..Commit::default() }, at(1));
    }
    assert_eq!((one.take_dropped(), one.take_dropped()), (7, 0));
    assert_eq!(told(&mut one, at(1)).len(), MAX_WAITING_OPERATIONAL);
}

#[test]
fn a_breaker_that_was_closed_without_a_word_is_told_from_the_status() {
    let mut one = operational("w");
    let opened = Notice::BreakerOpened { destination: name("billing"), reason: "500".into(), next_probe: at(9) };
    one.notice(&opened, at(0));
    let later = 60_000;
    assert_eq!(types(&told(&mut one, at(later))), ["laneway.breaker.opened"]);
    // A status that was made before it opened says nothing of it.
    one.breakers.look(&report(0, vec![idle("billing")]), &mut one.outbox);
    let open = BreakerStatus::Open { since: at(0), next_probe: at(9) };
    one.status(&report(later, vec![DestinationStatus { breaker: open, ..idle("billing") }]));
    assert_eq!(types(&told(&mut one, at(later))), [""; 0]);
    one.status(&report(later + 1, vec![idle("billing")]));
    assert_eq!(types(&told(&mut one, at(later + 1))), ["laneway.breaker.closed"]);
}

proptest! {
    /// Every dead letter is counted once; the first after a quiet minute at once, and no more than one event a minute.
    #[test]
    fn dead_letters_are_counted_exactly_and_told_at_most_once_a_minute(
        steps in prop::collection::vec((0_u64..90_000, 0_u64..4, prop::sample::select(vec!["a", "b"])), 1..60),
    ) {
        let mut one = operational("w");
        let (mut now, mut offset) = (0, 0);
        let mut stored: BTreeMap<&str, u64> = BTreeMap::new();
        let mut events: Vec<(u64, OperationalEvent)> = Vec::new();
        let mut last: BTreeMap<&str, u64> = BTreeMap::new();
        for (wait, count, destination) in steps {
            let until = now + wait;
            // The shell wakes when it is asked to.
            while let Some(due) = one.next_wakeup().map(|due| due.as_millis() - at(0).as_millis()).filter(|due| *due <= until) {
                now = now.max(due);
                events.extend(told(&mut one, at(now)).into_iter().map(|event| (now, event)));
            }
            now = until;
            for _ in 0..count {
                offset += 1;
                let quiet = last.get(destination).is_none_or(|before| now - before >= 2 * 60_000);
                letter(&mut one, destination, offset, Some("order.paid"), at(now));
                *stored.entry(destination).or_default() += 1;
                let at_once = told(&mut one, at(now));
                prop_assert!(!quiet || at_once.len() == 1, "not told at once");
                events.extend(at_once.into_iter().map(|event| (now, event)));
                last.insert(destination, now);
            }
        }
        while let Some(due) = one.next_wakeup() {
            now = due.as_millis() - at(0).as_millis();
            events.extend(told(&mut one, due).into_iter().map(|event| (now, event)));
        }
        prop_assert!(one.letters.is_at_rest());
        for (destination, count) in stored {
            let of: Vec<_> = events.iter().filter(|(_, event)| event.facts.destination == Some(name(destination))).collect();
            prop_assert_eq!(of.iter().map(|(_, event)| event.facts.count.unwrap()).sum::<u64>(), count);
            for pair in of.windows(2) {
                prop_assert!(pair[1].0 - pair[0].0 >= u64::try_from(EVERY.as_millis()).unwrap());
            }
        }
        let ids: std::collections::BTreeSet<_> = events.iter().map(|(_, event)| &event.id).collect();
        prop_assert_eq!(ids.len(), events.len(), "two events have one id");
    }

    /// A breaker is told if and only if it stayed open for long enough, and its end if and only if it was told.
    #[test]
    fn breakers_are_told_after_a_while_in_pairs(steps in prop::collection::vec((1_u64..150_000, any::<bool>()), 1..60)) {
        let after = 60_000;
        let mut one = operational("w");
        let (mut now, mut open, mut expected) = (0, None, Vec::new());
        let mut events = Vec::new();
        for (wait, flip) in steps {
            if flip {
                let destination = name("billing");
                match open.take() {
                    Some(since) => {
                        if now - since >= after {
                            expected.extend(["laneway.breaker.opened", "laneway.breaker.closed"]);
                        }
                        one.notice(&Notice::BreakerClosed { destination }, at(now));
                    }
                    None => {
                        open = Some(now);
                        let opened = Notice::BreakerOpened { destination, reason: "500".into(), next_probe: at(now) };
                        one.notice(&opened, at(now));
                    }
                }
            }
            now += wait;
            events.extend(told(&mut one, at(now)));
        }
        if open.is_some_and(|since| now - since >= after) {
            expected.push("laneway.breaker.opened");
        }
        prop_assert_eq!(types(&events), expected);
    }
}

fn commit_of_expired(destination: &str, expired: u64) -> Commit {
    let expiry = Some(Expiry { expired, ..Expiry::default() });
    let change = LaneChange { expiry, ..LaneChange::default() };
    Commit { lanes: [(name(destination), change)].into(), ..Commit::default() }
}

#[test]
fn what_has_expired_is_told_at_once_and_then_one_count_a_minute() {
    let mut first = operational("w1");
    first.committed(P, &commit_of_expired("billing", 3), at(0));
    // A commit that says it again, since something else has changed, is about nothing more.
    first.committed(P, &commit_of_expired("billing", 3), at(1));
    let at_once = told(&mut first, at(1));
    assert_eq!((types(&at_once), at_once[0].facts.count), (vec!["laneway.waiting.expired"], Some(3)));
    assert!(at_once[0].facts.text.contains("billing does not get 3 events"), "{at_once:?}");
    first.committed(P, &commit_of_expired("billing", 4), at(2));
    first.committed(Partition(1), &commit_of_expired("billing", 40), at(3));
    assert_eq!(types(&told(&mut first, at(4))), [""; 0]);
    let due = first.next_wakeup().expect("a count is due");
    assert_eq!(due, at(1).after(EVERY).before(Duration::from_millis(1)));
    let counted = told(&mut first, due);
    assert_eq!((counted.len(), counted[0].facts.count), (1, Some(41)));
    // Nothing for a minute: the next one is told at once, as one.
    assert_eq!(types(&told(&mut first, due.after(EVERY))), [""; 0]);
    assert_eq!(first.next_wakeup(), None);
    first.committed(P, &commit_of_expired("billing", 5), due.after(EVERY));
    let next = told(&mut first, due.after(EVERY));
    assert_eq!(next[0].facts.count, Some(1));
    assert!(next[0].facts.text.contains("does not get an event"), "{next:?}");
}

#[test]
fn what_was_stored_before_a_claim_is_not_told_again_and_the_same_has_the_same_id() {
    let lane = LaneProgress { expiry: Expiry { expired: 7, ..Expiry::default() }, ..LaneProgress::default() };
    let progress = PartitionProgress { lanes: [(name("billing"), lane)].into(), ..PartitionProgress::default() };
    let ids = ["w1", "w2"].map(|worker| {
        let mut made = operational(worker);
        made.claimed(P, &progress, &[], at(0));
        made.committed(P, &commit_of_expired("billing", 9), at(1));
        let all = told(&mut made, at(1));
        assert_eq!(all[0].facts.count, Some(2));
        all[0].id.clone()
    });
    assert_eq!(ids[0], ids[1]);
}

#[test]
fn what_expires_at_a_destination_that_asks_for_operational_events_is_not_told() {
    let mut made = operational("w1");
    made.committed(P, &commit_of_expired("pager", 3), at(0));
    assert_eq!(types(&told(&mut made, at(0).after(EVERY))), [""; 0]);
    assert_eq!(made.next_wakeup(), None);
}

#[test]
fn a_tenants_destination_is_of_concern_to_that_tenant_and_to_operators() {
    let of = |tenant| Filter { tenant: Some(Tenant::new(tenant).unwrap()), ..filter(&["laneway.*"]) };
    let mut one = Operational::new(OperationalSettings::default(), "w");
    one.destination(&name("acme:pager"), Some(&of("acme")));
    for destination in ["acme:billing", "other:billing", "billing"] {
        letter(&mut one, destination, 1, Some("order.paid"), at(1));
    }
    let events = told(&mut one, at(1));
    let of_acme = |event: &OperationalEvent| (event.facts.destination.clone(), event.tenant());
    let expected = (Some(name("acme:billing")), Some(Tenant::new("acme").unwrap()));
    assert_eq!(events.iter().map(of_acme).collect::<Vec<_>>(), [expected]);
}

#[test]
fn of_a_destination_that_is_gone_nothing_is_remembered() {
    let mut one = operational("w");
    let is_gone = |one: &mut Operational, text: &str| one.destination(&name(text), None);
    // Neither that its breaker was open ...
    let opened = Notice::BreakerOpened { destination: name("billing"), reason: "500".into(), next_probe: at(9) };
    one.notice(&opened, at(0));
    is_gone(&mut one, "billing");
    assert_eq!((types(&told(&mut one, at(60_000))), one.next_wakeup()), (vec![], None));
    // ... nor that it was paused ...
    one.committed(P, &commit_of_pause("billing", Some(pause(5))), at(6));
    assert_eq!(types(&told(&mut one, at(6))), ["laneway.destination.paused"]);
    is_gone(&mut one, "billing");
    one.committed(P, &commit_of_pause("billing", None), at(7));
    assert_eq!(types(&told(&mut one, at(7))), [""; 0]);
    // ... nor how much of it had expired: one of the same name begins anew. Others go on.
    for (destination, expired) in [("billing", 3), ("shipping", 40)] {
        one.committed(P, &commit_of_expired(destination, expired), at(8));
    }
    assert_eq!(told(&mut one, at(8)).len(), 2);
    is_gone(&mut one, "billing");
    one.committed(P, &commit_of_expired("billing", 2), at(9));
    one.committed(P, &commit_of_expired("shipping", 41), at(9));
    assert_eq!(told(&mut one, at(9)).iter().map(|event| event.facts.count).collect::<Vec<_>>(), [Some(2)]);
    assert_eq!(told(&mut one, at(8).after(EVERY)).iter().map(|event| event.facts.count).collect::<Vec<_>>(), [Some(1)]);
}

#[test]
fn dead_letters_of_a_destination_that_is_gone_are_not_waited_for_and_those_of_others_are() {
    let mut one = operational("w");
    letter(&mut one, "billing", 1, Some("order.paid"), at(1));
    assert_eq!(told(&mut one, at(1)).len(), 1);
    for destination in ["billing", "shipping"] {
        let (event, given_up) = (Some(logged(2, "order.paid")), given_up(destination, 2, at(2)));
        one.notice(&Notice::GivenUp { partition: P, event, given_up, held: false }, at(2));
    }
    one.destination(&name("billing"), None);
    assert_eq!(one.next_wakeup(), None);
    one.committed(P, &Commit { dead_letters: vec![given_up("shipping", 2, at(2))], ..Commit::default() }, at(2));
    let events = told(&mut one, at(2));
    assert_eq!(events[0].facts.event, Some(EventFacts::of(&logged(2, "order.paid"))), "its event is known still");
    one.destination(&name("shipping"), None);
    assert!(one.letters.is_at_rest());
}

#[test]
fn what_has_expired_counts_from_what_a_claim_finds_in_each_partition() {
    let found = |expired| {
        let lane = LaneProgress { expiry: Expiry { expired, ..Expiry::default() }, ..LaneProgress::default() };
        PartitionProgress { lanes: [(name("billing"), lane)].into(), ..PartitionProgress::default() }
    };
    let mut one = operational("w");
    one.claimed(P, &found(7), &[], at(0));
    one.claimed(Partition(1), &found(70), &[], at(0));
    one.committed(P, &commit_of_expired("billing", 9), at(1));
    assert_eq!(told(&mut one, at(1))[0].facts.count, Some(2));
    // Another worker had the partition meanwhile, and its lane is another destination's by now.
    one.claimed(P, &PartitionProgress::default(), &[], at(2));
    one.committed(P, &commit_of_expired("billing", 3), at(2));
    assert_eq!(told(&mut one, at(1).after(EVERY))[0].facts.count, Some(3));
}
