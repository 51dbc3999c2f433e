use super::*;

const D: &str = "steady";

fn arrival(number: u64) -> Arrival<'static> {
    Arrival { key: "k", number, offset: 10 * number, redrive: false }
}

/// A ledger in which so many events of one key were acknowledged.
fn acknowledged(events: u64) -> Ledger {
    let mut ledger = Ledger::new(&[D]);
    (1..=events).for_each(|number| ledger.acknowledge("k", number));
    ledger
}

fn taken(ledger: &mut Ledger, numbers: &[u64]) {
    for number in numbers {
        ledger.arrive(D, arrival(*number), Answer::Takes);
    }
}

/// What comes of a comparison with a Laneway that says that nothing waits, and that there are so many dead letters.
fn violations(mut ledger: Ledger, dead: u64) -> Vec<String> {
    ledger.balance(&BTreeMap::from([(D.to_owned(), Reported { dead, ..Reported::default() })]));
    ledger.findings().to_vec()
}

#[test]
fn what_has_all_arrived_in_order_balances() {
    let mut ledger = acknowledged(3);
    taken(&mut ledger, &[1, 2]);
    assert_eq!(ledger.figures(D), Figures { acknowledged: 3, delivered: 2, dead: 0, pending: 1 });
    assert!(!ledger.all_arrived());
    taken(&mut ledger, &[3]);
    assert!(ledger.all_arrived());
    assert_eq!(violations(ledger, 0), Vec::<String>::new());
}

#[test]
fn a_lost_event_is_noticed() {
    let mut ledger = acknowledged(3);
    taken(&mut ledger, &[1, 2]);
    assert!(violations(ledger, 0)[0].contains("1 events are lost: k 3..=3"));
}

#[test]
fn a_lost_event_in_the_middle_is_noticed_although_later_ones_came() {
    let mut ledger = acknowledged(3);
    taken(&mut ledger, &[1, 3]);
    assert_eq!(ledger.figures(D).pending, 1);
    let found = violations(ledger, 0);
    assert!(found[0].contains("3 came, and 2..3 had not") && found[1].contains("1 events are lost: k 2"), "{found:?}");
}

#[test]
fn an_overtaken_event_is_out_of_order_also_if_it_comes_later() {
    let mut ledger = acknowledged(3);
    taken(&mut ledger, &[1, 3, 2]);
    assert!(ledger.all_arrived());
    assert_eq!((ledger.accounts["steady"].out_of_order, ledger.violations), (1, 1));
}

#[test]
fn an_attempt_that_fails_must_not_overtake_either() {
    let mut ledger = acknowledged(2);
    ledger.arrive(D, arrival(2), Answer::Fails);
    assert_eq!(ledger.violations, 1);
    ledger = acknowledged(2);
    ledger.arrive(D, arrival(1), Answer::Fails);
    assert_eq!((ledger.violations, ledger.figures(D).pending), (0, 2));
}

#[test]
fn repetitions_are_counted_and_allowed() {
    let mut ledger = acknowledged(3);
    taken(&mut ledger, &[1, 2, 3, 2, 3]);
    assert_eq!((ledger.accounts[D].duplicates, ledger.figures(D).delivered), (2, 3));
    assert_eq!(violations(ledger, 0), Vec::<String>::new());
}

#[test]
fn an_event_that_is_stored_twice_is_noticed() {
    let mut ledger = acknowledged(2);
    taken(&mut ledger, &[1, 2]);
    ledger.arrive(D, Arrival { offset: 99, ..arrival(1) }, Answer::Takes);
    assert!(ledger.findings()[0].contains("stored a second time"), "{:?}", ledger.findings());
}

#[test]
fn an_offset_that_does_not_rise_is_noticed() {
    let mut ledger = acknowledged(2);
    taken(&mut ledger, &[1]);
    ledger.arrive(D, Arrival { offset: 10, ..arrival(2) }, Answer::Takes);
    assert_eq!(ledger.violations, 1);
}

#[test]
fn dead_letters_are_settled_and_have_to_be_laneways_too() {
    let mut ledger = acknowledged(3);
    taken(&mut ledger, &[1]);
    ledger.arrive(D, arrival(2), Answer::Rejects);
    taken(&mut ledger, &[3]);
    assert_eq!(ledger.figures(D), Figures { acknowledged: 3, delivered: 2, dead: 1, pending: 0 });
    assert_eq!(violations(ledger.clone(), 1), Vec::<String>::new());
    assert_eq!(violations(ledger.clone(), 0).len(), 1, "a dead letter that Laneway does not have");
    assert_eq!(violations(ledger.clone(), 2).len(), 1, "a dead letter that nobody asked for");
    // Once it is retried, it is delivered.
    ledger.arrive(D, Arrival { redrive: true, ..arrival(2) }, Answer::Takes);
    assert_eq!(ledger.figures(D), Figures { acknowledged: 3, delivered: 3, dead: 0, pending: 0 });
    assert_eq!(violations(ledger, 0), Vec::<String>::new());
}

#[test]
fn an_event_that_nobody_acknowledged_is_noticed() {
    let mut ledger = acknowledged(1);
    taken(&mut ledger, &[1, 2]);
    assert!(violations(ledger, 0)[0].contains("do not add up"));
}

#[test]
fn what_laneway_still_has_to_do_is_noticed() {
    let mut ledger = acknowledged(1);
    taken(&mut ledger, &[1]);
    ledger.balance(&BTreeMap::from([(D.to_owned(), Reported { pending: 1, ..Reported::default() })]));
    assert_eq!(ledger.violations, 1);
    ledger.balance(&BTreeMap::new());
    assert_eq!(ledger.violations, 2, "a destination that Laneway does not know");
}

#[test]
fn it_is_the_same_after_it_was_saved() {
    let mut ledger = acknowledged(3);
    taken(&mut ledger, &[1, 3]);
    ledger.arrive(D, arrival(3), Answer::Rejects);
    let text = serde_json::to_string(&ledger).unwrap();
    let read: Ledger = serde_json::from_str(&text).unwrap();
    assert_eq!((read.figures(D), read.last_acknowledged("k")), (ledger.figures(D), 3));
}
