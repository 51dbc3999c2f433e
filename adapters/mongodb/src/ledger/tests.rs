use super::*;
use laneway_domain::{Event, EventId, EventType, Key, LoggedEvent, Offset, Partition, Timestamp};
use std::sync::Arc;

fn delivery(keys: &[Option<&str>]) -> Delivery {
    let attempted = |(n, key): (usize, &Option<&str>)| {
        let event = Event {
            key: key.map(|key| Key::new(key).unwrap()),
            content_type: "text/plain".into(),
            ..Event::new(EventId::new(&format!("e{n}")).unwrap(), EventType::new("t").unwrap(), bytes::Bytes::new())
        };
        let accepted_at = Timestamp::ZERO;
        let event = Arc::new(LoggedEvent { partition: Partition(0), offset: Offset(n as u64), accepted_at, event });
        Attempted { event, attempt: 1, redrive: false, replay: None, fresh: false }
    };
    Delivery::of(keys.iter().enumerate().map(attempted).collect())
}

#[test]
fn a_failure_stops_its_key_and_no_other() {
    let delivery = delivery(&[Some("a"), Some("b"), Some("a"), None, None, Some("a")]);
    let mut ledger = Ledger::new(&delivery);
    ledger.delivered(0);
    ledger.failed(2, rejected("no"));
    assert_eq!(ledger.open().collect::<Vec<_>>(), [1, 3, 4]);
    ledger.failed(3, retry("later"));
    ledger.delivered(1);
    let outcomes = ledger.close(|| Failure::new(Cause::Refused, "late"));
    let expected =
        [Outcome::Delivered, Outcome::Delivered, rejected("no"), retry("later"), retry("late"), Outcome::NotTried];
    assert_eq!(outcomes, expected);
}

#[test]
fn a_group_is_what_is_open_of_a_key() {
    let delivery = delivery(&[Some("a"), Some("b"), Some("a"), None, Some("b"), None, Some("a")]);
    let mut ledger = Ledger::new(&delivery);
    ledger.delivered(0);
    assert_eq!(ledger.open_by_key(), [vec![1, 4], vec![2, 6], vec![3], vec![5]]);
}

#[test]
fn an_earlier_failure_takes_back_what_was_said_of_later_events() {
    let delivery = delivery(&[Some("a"), Some("a")]);
    let mut ledger = Ledger::new(&delivery);
    ledger.failed(1, rejected("too large"));
    let lost = Failure::new(Cause::Unanswered, "lost");
    ledger.all_failed(&lost);
    assert_eq!(ledger.close(|| Failure::new(Cause::Broken, "")), [lost.outcome(), Outcome::NotTried]);
}
