use super::*;
use crate::lane::tests::{NOW, event, key};
use crate::retry::{Backoff, Failure, RetryPolicy, Verdict};

fn entry(offset: u64) -> Entry {
    Entry { offset: Offset(offset), since: Some(NOW), event: Some(event(offset, 1)) }
}

/// The same, of which only the place is remembered.
fn place(offset: u64) -> Entry {
    Entry { event: None, ..entry(offset) }
}

fn queue(entries: impl IntoIterator<Item = Entry>) -> KeyQueue {
    let entries: VecDeque<Entry> = entries.into_iter().collect();
    let bytes = entries.iter().filter_map(|entry| entry.event.as_ref()).map(|event| event.event.weight()).sum();
    KeyQueue { entries, bytes, ..KeyQueue::default() }
}

/// The same of a key behind.
fn behind(entries: impl IntoIterator<Item = Entry>, known: Known) -> KeyQueue {
    let mut queue = queue(entries);
    let settled_below = queue.entries.front().map_or(Offset(3), |entry| entry.offset);
    queue.behind = Some(Box::new(BehindKey { retry: None, known, settled_below, ahead: false }));
    queue
}

fn failed() -> RetryState {
    let failure = Failure::new(NOW, "no");
    match Backoff::failed(&RetryPolicy::default(), None, failure, None, 0) {
        Verdict::Retry(state) => state,
        Verdict::GiveUp(state) => panic!("it is given up after one failure: {state:?}"),
    }
}

const IN_FLIGHT: InFlight = InFlight { since: NOW, entries: 1, asked: None };

#[test]
fn only_what_comes_out_of_the_keys_order_says_so() {
    let mut queue = queue([entry(7), entry(8)]);
    queue.redrive.push_back(entry(3));
    let mut taken = Vec::new();
    assert!(queue.take(9, usize::MAX, &DeletedTenants::default(), &mut taken).redrive);
    queue.redrive.clear();
    assert!(!queue.take(9, usize::MAX, &DeletedTenants::default(), &mut taken).redrive);
    let marks: Vec<_> = taken.iter().map(|taken| (taken.event.offset.0, taken.redrive)).collect();
    assert_eq!(marks, [(3, true), (7, false), (8, false)]);
}

#[test]
fn an_attempt_takes_what_is_in_hand_up_to_so_many_events_and_bytes_and_one_at_least() {
    let weight = entry(1).event.unwrap().event.weight();
    let take = |queue: &KeyQueue, most, most_bytes| {
        let mut events = Vec::new();
        let taken = queue.take(most, most_bytes, &DeletedTenants::default(), &mut events);
        assert_eq!((taken.count, taken.bytes), (events.len(), events.len() * weight));
        taken.count
    };
    let four = queue((1..=4).map(entry));
    assert_eq!(take(&four, 9, usize::MAX), 4);
    assert_eq!(take(&four, 2, usize::MAX), 2);
    assert_eq!([0, 1, 2, 3].map(|times| take(&four, 9, times * weight)), [1, 1, 2, 3]);
    assert_eq!([2, 3, 4].map(|times| take(&four, 9, times * weight - 1)), [1, 2, 3]);
    let some_in_hand = behind([entry(1), entry(2), place(3), entry(4)], Known::All);
    assert_eq!(take(&some_in_hand, 9, usize::MAX), 2, "only what is in hand in a row");
}

#[test]
fn what_the_first_event_has_been_through_is_said_of_it_alone() {
    let mut queue = behind([entry(1), entry(2)], Known::All);
    queue.behind.as_mut().unwrap().retry = Some(RetryState { attempts: 4, ..failed() });
    queue.resends = Resends::fresh();
    queue.resends.spend(Cause::StaleConnection);
    let mut events = Vec::new();
    queue.take(9, usize::MAX, &DeletedTenants::default(), &mut events);
    assert_eq!(events.iter().map(|of| (of.attempt, of.fresh)).collect::<Vec<_>>(), [(5, true), (1, false)]);
}

#[test]
fn free_resends_are_those_of_an_attempts_first_event() {
    let mut resends = Resends::fresh();
    resends.spend(Cause::StaleConnection);
    let part = Part { key: key(1), count: 2, bytes: 0, redrive: false, resends, first: event(1, 1) };
    assert!(!part.is_free(0, Cause::StaleConnection), "it had its one");
    assert!(part.is_free(1, Cause::StaleConnection), "what was behind it is sent for the first time");
    assert!(!part.is_free(0, Cause::Refused) && !part.is_free(1, Cause::Refused));
}

#[test]
fn a_dead_letter_gets_its_event_and_no_other() {
    let mut queue = KeyQueue::default();
    queue.push_redrive(Offset(3));
    queue.push_redrive(Offset(5));
    assert!(!queue.fill_redrive(event(5, 1)), "it is not the first");
    assert!(queue.redrive.iter().all(|letter| letter.event.is_none()));
    assert!(queue.fill_redrive(event(3, 1)));
    assert_eq!(queue.pop_redrive().map(|letter| letter.event.is_some()), Some(true));
    assert_eq!(queue.redrives().len(), 1);
}

#[test]
fn what_is_remembered_behind_another_event_takes_no_past_away() {
    let mut queue = behind([], Known::All);
    let retry = |queue: &KeyQueue| queue.retry().is_some();
    queue.behind.as_mut().unwrap().retry = Some(failed());
    queue.remember(Offset(3), NOW, false);
    assert!(retry(&queue), "it is the one that has failed");
    queue.remember(Offset(4), NOW, false);
    assert!(retry(&queue), "it comes behind it");
    let mut queue = behind([], Known::All);
    queue.behind.as_mut().unwrap().retry = Some(failed());
    queue.remember(Offset(4), NOW, false);
    assert!(!retry(&queue), "the one that had failed is not wanted any more");
}

#[test]
fn what_there_is_no_room_for_is_not_known_any_more() {
    let mut queue = behind([place(3)], Known::All);
    queue.remember(Offset(7), NOW, true);
    assert_eq!((queue.known_below(), queue.entries().len()), (Some(Offset(7)), 1));
    queue.remember_failed();
    assert_eq!((queue.known_below(), queue.entries().len()), (Some(Offset(7)), 1), "it is remembered already");
}

#[test]
fn a_restored_key_knows_where_its_first_event_is_only_if_it_is_that_of_one_event_that_was_looked_at() {
    let restored = |key: &LaneKey, looked_up_to, aging| {
        let mut queue = KeyQueue::default();
        let record = Behind { offset: Offset(5), retry: None };
        let is_ahead = queue.restore(key, record, Offset(looked_up_to), aging);
        assert_eq!(queue.stands_at(), Some(Offset(5)));
        (is_ahead, queue.known_below(), queue.entries().len())
    };
    let single = LaneKey::Event(Offset(5));
    let below = Some(Offset(5));
    for (key, looked_up_to, aging, expected) in [
        (&key(1), 4, false, (true, None, 0)),
        (&key(1), 5, false, (true, None, 0)),
        (&key(1), 6, false, (false, below, 0)),
        (&key(1), 6, true, (false, below, 0)),
        (&single, 5, false, (true, None, 0)),
        (&single, 6, false, (false, None, 1)),
        // Its age has to be found out, which a scan does.
        (&single, 6, true, (false, below, 0)),
    ] {
        assert_eq!(restored(key, looked_up_to, aging), expected, "{key} {looked_up_to} {aging}");
    }
}

#[test]
fn the_age_of_a_first_event_is_looked_for_where_nobody_knows_it_or_is_about_to() {
    let unknown = || behind([Entry { since: None, ..place(3) }], Known::All);
    let mut queue = unknown();
    assert!(queue.seek_age());
    assert_eq!((queue.known_below(), queue.entries().len()), (Some(Offset(3)), 0), "a scan finds it again");
    let known: [fn(&mut KeyQueue); 7] = [
        |queue| queue.behind = None,
        |queue| queue.in_flight = Some(IN_FLIGHT),
        |queue| queue.fetching = true,
        |queue| queue.unsaved = 1,
        |queue| queue.behind.as_mut().unwrap().ahead = true,
        |queue| queue.entries[0].since = Some(NOW),
        |queue| queue.entries[0].event = Some(event(3, 1)),
    ];
    for (n, know) in known.into_iter().enumerate() {
        let mut queue = unknown();
        know(&mut queue);
        assert!(!queue.seek_age(), "{n}");
        assert_eq!(queue.entries().len(), 1, "{n}");
    }
    assert!(behind([], Known::Below(Offset(3))).seek_age());
    assert!(!behind([], Known::All).seek_age(), "there is nothing whose age could be known");
}

#[test]
fn a_first_event_is_nobodys_unless_it_is_in_flight_or_behind_an_unsaved_dead_letter() {
    let mut queue = queue([entry(1)]);
    assert!(queue.is_free());
    queue.unsaved = 1;
    assert!(!queue.is_free());
    queue = self::queue([entry(1)]);
    queue.in_flight = Some(IN_FLIGHT);
    assert!(!queue.is_free());
}

#[test]
fn a_key_is_at_rest_when_nothing_of_it_waits_or_is_under_way() {
    assert!(KeyQueue::default().is_at_rest());
    let stir: [fn(&mut KeyQueue); 5] = [
        |queue| queue.entries.push_back(place(1)),
        |queue| queue.push_redrive(Offset(1)),
        |queue| queue.in_flight = Some(IN_FLIGHT),
        |queue| queue.queued = Queued::Ready,
        |queue| queue.unsaved = 1,
    ];
    for (n, stir) in stir.into_iter().enumerate() {
        let mut queue = KeyQueue::default();
        stir(&mut queue);
        assert!(!queue.is_at_rest(), "{n}");
    }
}

#[test]
fn a_key_runs_low_only_if_few_are_remembered_and_there_are_more() {
    let low = |count, known| behind((1..=count).map(place), known).runs_low(2);
    assert_eq!([0, 2, 3].map(|count| low(count, Known::Below(Offset(9)))), [true, true, false]);
    assert_eq!([0, 2, 3].map(|count| low(count, Known::All)), [false; 3]);
    assert!(!queue([]).runs_low(2), "it is not behind");
}

#[test]
fn a_key_stands_at_its_first_event_or_where_what_is_known_of_it_ends() {
    assert_eq!(queue([entry(4)]).stands_at(), None, "it is not behind");
    assert_eq!(behind([place(4)], Known::Below(Offset(9))).stands_at(), Some(Offset(4)));
    assert_eq!(behind([], Known::Below(Offset(9))).stands_at(), Some(Offset(9)));
    let mut queue = behind([], Known::All);
    assert_eq!(queue.stands_at(), None, "it has caught up");
    queue.behind.as_mut().unwrap().ahead = true;
    assert_eq!(queue.stands_at(), Some(Offset(3)));
}

#[test]
fn a_failed_event_and_a_dead_letter_go_alone() {
    let mut queue = behind([entry(1)], Known::All);
    assert!(!queue.goes_alone());
    queue.behind.as_mut().unwrap().retry = Some(failed());
    assert!(queue.goes_alone());
    let mut queue = self::queue([entry(1)]);
    queue.push_redrive(Offset(0));
    assert!(queue.goes_alone());
    assert_eq!(queue.first_weight(), 0, "its data is not at hand");
    queue.redrive.clear();
    assert_eq!(queue.first_weight(), queue.entries[0].event.as_ref().unwrap().event.weight());
}

#[test]
fn what_is_in_hand_counts_up_to_the_first_event_without_data() {
    let on_track = queue((1..=3).map(entry));
    assert_eq!([2, 9].map(|most| on_track.in_hand(most)), [(2, on_track.bytes), (3, on_track.bytes)]);
    let behind = behind([entry(1), entry(2), place(3), entry(4)], Known::All);
    assert_eq!([1, 9].map(|most| behind.in_hand(most)), [(1, behind.bytes), (2, behind.bytes)]);
}

#[test]
fn data_is_fetched_ahead_where_the_next_event_behind_the_attempt_has_none() {
    let needs = |queue: &KeyQueue| (0..=3).map(|taken| queue.needs_prefetch(taken)).collect::<Vec<_>>();
    let mut queue = behind([entry(1), place(2), entry(3)], Known::All);
    assert_eq!(needs(&queue), [false, true, false, false]);
    queue.fetching = true;
    assert_eq!(needs(&queue), [false; 4], "it is on its way");
    assert_eq!(needs(&self::queue([entry(1), entry(2)])), [false; 4], "on track all is in hand");
}

#[test]
fn what_is_missing_is_fetched_from_the_first_gap_behind_the_attempt_as_far_as_it_is_near() {
    let missing = |queue: &KeyQueue| queue.missing().map(|(from, most)| (from.0, most));
    assert_eq!(missing(&behind([entry(1), entry(2)], Known::All)), None);
    assert_eq!(missing(&behind([place(5)], Known::All)), Some((5, 1)));
    assert_eq!(missing(&behind([entry(1), place(5), place(7)], Known::All)), Some((5, 3)));
    let far = [place(5), place(5 + PREFETCH_SPAN - 1), place(5 + PREFETCH_SPAN)];
    assert_eq!(missing(&behind(far, Known::All)), Some((5, 32)));
    let mut queue = behind([place(1), place(2), entry(3), place(4)], Known::All);
    queue.in_flight = Some(InFlight { entries: 2, ..IN_FLIGHT });
    assert_eq!(missing(&queue), Some((4, 1)), "what is in flight has had its data");
}

#[test]
fn the_weight_of_what_a_key_holds_is_that_of_its_events_in_memory() {
    let weight = event(1, 1).event.weight();
    let mut queue = KeyQueue::default();
    (1..=3).for_each(|offset| queue.push(&event(offset, 1), NOW));
    assert_eq!(queue.held(), Held { bytes: 3 * weight, waiting: 0, redrives: 0 });
    assert_eq!(queue.settle_first(), (Offset(1), true));
    assert_eq!(queue.held().bytes, 2 * weight);
    queue.fall_behind();
    queue.push_redrive(Offset(0));
    assert_eq!(queue.held(), Held { bytes: 0, waiting: 2, redrives: 1 });
    for offset in [3, 3, 9] {
        queue.fill(&event(offset, 1), NOW);
    }
    assert_eq!(queue.held().bytes, weight, "it is taken once, and what does not wait is not");
    assert_eq!(queue.settle_first(), (Offset(2), false));
    assert_eq!(queue.settle_first(), (Offset(3), false));
    assert_eq!(
        (queue.held(), queue.behind().unwrap().settled_below),
        (Held { redrives: 1, ..Held::default() }, Offset(4))
    );
}
