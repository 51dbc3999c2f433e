//! What operational events say besides a sentence for people.

use super::*;

/// What it says besides the sentence for people.
fn facts(event: &OperationalEvent) -> Facts {
    Facts { text: String::new(), ..event.facts.clone() }
}

/// What is said of everything that is about `billing`.
fn of_billing() -> Facts {
    Facts { destination: Some(name("billing")), ..Facts::default() }
}

#[test]
fn a_record_that_cannot_be_read_is_told() {
    let mut one = operational("w");
    let record = Quarantined { offset: Offset(7), reason: "checksum".into() };
    one.committed(P, &Commit { quarantined: vec![record], ..Commit::default() }, at(1));
    let events = told(&mut one, at(1));
    assert_eq!(types(&events), ["laneway.record.unreadable"]);
    assert!(events[0].facts.text.contains("partition 0, offset 7) cannot be read"), "{events:?}");
    let event = Some(EventFacts::at(P, Offset(7)));
    assert_eq!(facts(&events[0]), Facts { reason: Some("checksum".into()), event, ..Facts::default() });
}

#[test]
fn a_dead_letter_is_told_with_what_is_known_of_its_event() {
    let mut one = operational("w");
    letter(&mut one, "billing", 7, Some("order.paid"), at(1));
    let event = EventFacts::of(&logged(7, "order.paid"));
    assert_eq!((event.id.as_deref(), event.event_type.as_deref()), (Some("e1"), Some("order.paid")));
    let expected = Facts {
        reason: Some("rejected by the destination: 422".into()),
        key: Some("key:k".into()),
        attempts: Some(3),
        count: Some(1),
        event: Some(event),
        ..of_billing()
    };
    assert_eq!(told(&mut one, at(1)).iter().map(facts).collect::<Vec<_>>(), [expected]);
}

#[test]
fn a_blocked_key_is_told_with_its_failures_and_how_many_others_there_are() {
    let mut one = operational("w");
    let after = OperationalSettings::default().key_blocked_after;
    let status = DestinationStatus { blocked: vec![key(4, 5)], blocked_keys: 12, ..idle("billing") };
    let report = StatusReport { at: at(5).after(after), ..report(0, vec![status]) };
    one.status(&report);
    let expected = Facts {
        since: Some(at(5)),
        reason: Some("500".into()),
        key: Some("key:k4".into()),
        blocked_keys: Some(12),
        attempts: Some(4),
        event: Some(EventFacts::at(P, Offset(4))),
        ..of_billing()
    };
    assert_eq!(told(&mut one, report.at).iter().map(facts).collect::<Vec<_>>(), [expected]);
}

#[test]
fn a_pause_and_its_end_say_since_when_it_is_so() {
    let mut one = operational("w");
    one.committed(P, &commit_of_pause("billing", Some(pause(5))), at(6));
    one.committed(P, &commit_of_pause("billing", None), at(9));
    let paused = Facts { since: Some(at(5)), reason: Some("gone".into()), ..of_billing() };
    let resumed = Facts { since: Some(at(9)), ..of_billing() };
    assert_eq!(told(&mut one, at(9)).iter().map(facts).collect::<Vec<_>>(), [paused, resumed]);
}

#[test]
fn what_an_operator_changed_is_told_up_to_an_hour_later_with_its_revision() {
    let change = record(3, 1, Standing::Present, true);
    let mut one = operational("w");
    let now = at(3).after(TOLD_AGAIN_WITHIN);
    one.changed(&change, now);
    let (revision, since, reason) = (Some(change.revision), Some(at(3)), Some("a window".into()));
    let expected = Facts { revision, since, reason, ..of_billing() };
    assert_eq!(told(&mut one, now).iter().map(facts).collect::<Vec<_>>(), [expected]);
}

#[test]
fn what_a_worker_says_of_its_breaker_has_an_id_of_its_own_each_time_it_opens() {
    let mut ids = std::collections::BTreeSet::new();
    for (worker, since) in [("w1", 5), ("w1", 6), ("w2", 5)] {
        let mut one = operational(worker);
        assert_eq!(one.next_wakeup(), None);
        let (destination, reason) = (name("billing"), "500".to_owned());
        one.notice(&Notice::BreakerOpened { destination, reason, next_probe: at(9) }, at(since));
        let due = at(since).after(OperationalSettings::default().breaker_after);
        assert_eq!(one.next_wakeup(), Some(due));
        let opened = told(&mut one, due);
        assert_eq!(one.next_wakeup(), None, "it was told");
        one.notice(&Notice::BreakerClosed { destination: name("billing") }, due);
        let closed = told(&mut one, due);
        let expected = Facts { since: Some(at(since)), worker: Some(worker.into()), ..of_billing() };
        assert_eq!(facts(&opened[0]), Facts { reason: Some("500".into()), ..expected.clone() });
        assert_eq!(facts(&closed[0]), expected);
        ids.extend(opened.into_iter().chain(closed).map(|event| event.id));
    }
    assert_eq!(ids.len(), 6, "{ids:?}");
}
