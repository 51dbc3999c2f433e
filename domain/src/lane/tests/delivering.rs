//! What goes together in an attempt, and when.

use super::*;

const LINGER: Duration = Duration::from_millis(10);

fn batched(max_events: usize, max_bytes: usize, linger: Duration) -> Scene {
    Scene::of(Destination { batch: BatchPolicy { max_events, max_bytes, linger }, ..destination() })
}

/// Has the failed event of this key due, with its data in hand.
fn due_again(scene: &mut Scene, n: u8) {
    scene.wait(SECOND);
    scene.act(|lane, cx| lane.key_due(&key(n), cx));
    let (key, from, _) = scene.fetch().expect("its data is asked for");
    let range = Offset(from)..Offset(from + 1);
    scene.act(|lane, cx| lane.fetched(&key, &[event(from, n)], range, cx));
}

#[test]
fn a_batch_has_so_many_events_and_what_is_left_of_it_is_for_the_next_key() {
    let mut scene = batched(3, usize::MAX, Duration::ZERO);
    scene.offer_all([1, 2, 2, 2, 3]);
    assert_eq!(scene.begin_all(), [vec![0, 1, 2], vec![4]]);
    let parts: Vec<_> = scene.in_flight[0].iter().map(|part| (part.count, part.bytes, part.first.offset)).collect();
    assert_eq!(parts, [(1, weight(), Offset(0)), (2, 2 * weight(), Offset(1))]);
    scene.end(&Outcome::Delivered);
    assert_eq!(scene.begin_all(), [[3]]);
    let mut each_by_itself = batched(1, usize::MAX, Duration::ZERO);
    each_by_itself.offer_all([1, 2]);
    assert_eq!(each_by_itself.begin_all(), [[0], [1]]);
}

#[test]
fn a_batch_has_no_more_bytes_than_it_may() {
    let begun = |bytes, keys: [u8; 3]| {
        let mut scene = batched(9, bytes, Duration::ZERO);
        scene.offer_all(keys);
        scene.begin_all()
    };
    assert_eq!(begun(2 * weight(), [1, 2, 3]), [vec![0, 1], vec![2]]);
    assert_eq!(begun(3 * weight() - 1, [1, 2, 3]), [vec![0, 1], vec![2]]);
    assert_eq!(begun(3 * weight(), [1, 2, 3]), [[0, 1, 2]]);
    assert_eq!(begun(2 * weight(), [1, 2, 2]), [[0, 1]]);
    assert_eq!(begun(1, [1, 2, 3]), [[0], [1], [2]], "a larger one goes alone");
}

#[test]
fn an_event_that_has_failed_goes_alone_in_its_turn() {
    let mut scene = batched(9, usize::MAX, Duration::ZERO);
    scene.fail_all([1]);
    scene.offer_all([2]);
    due_again(&mut scene, 1);
    scene.offer_all([3, 4]);
    assert_eq!(scene.begin_all(), [vec![1], vec![0], vec![2, 3]]);
}

#[test]
fn what_goes_alone_waits_for_nobody() {
    let mut scene = batched(9, usize::MAX, LINGER);
    scene.offer_all([1]);
    scene.wait(LINGER);
    assert_eq!(scene.begin(), [0]);
    scene.end(&failed());
    due_again(&mut scene, 1);
    assert_eq!(scene.begin(), [0]);
}

#[test]
fn a_batch_that_is_not_full_waits_for_more_for_so_long_and_no_longer() {
    let mut scene = batched(3, usize::MAX, LINGER);
    scene.offer_all([1, 2]);
    assert_eq!(scene.begin_all(), Vec::<Vec<u64>>::new());
    assert_eq!(scene.timers(), [10]);
    scene.wait(LINGER - Duration::from_millis(1));
    assert_eq!(scene.begin_all(), Vec::<Vec<u64>>::new());
    scene.wait(Duration::from_millis(1));
    assert_eq!(scene.begin_all(), [[0, 1]]);
}

#[test]
fn a_batch_is_full_with_its_events_or_its_bytes_whosever_they_are() {
    let full = |max_events, max_bytes, keys: &[u8]| {
        let mut scene = batched(max_events, max_bytes, LINGER);
        scene.offer_all(keys.iter().copied());
        !scene.begin().is_empty()
    };
    let plenty = usize::MAX;
    assert_eq!(
        [&[1, 2][..], &[1, 2, 3], &[1, 1, 2], &[1, 2, 2], &[1, 1, 1]].map(|keys| full(3, plenty, keys)),
        [false, true, true, true, true]
    );
    assert_eq!([&[1][..], &[1, 2], &[1, 1]].map(|keys| full(9, 2 * weight(), keys)), [false, true, true]);
    assert_eq!([&[1][..], &[1, 2], &[1, 1]].map(|keys| full(9, 2 * weight() + 1, keys)), [false; 3]);
}

#[test]
fn events_that_go_each_by_itself_never_wait_for_others() {
    let mut scene = batched(1, usize::MAX, LINGER);
    scene.offer_all([1]);
    assert_eq!(scene.begin(), [0]);
    scene.timers();
    assert_eq!(scene.begin(), Vec::<u64>::new());
    assert_eq!(scene.timers(), Vec::<u64>::new(), "and nothing wakes it for that");
}

#[test]
fn a_key_does_not_go_on_before_each_of_its_dead_letters_is_stored() {
    let mut scene = Scene::new();
    scene.offer_all([1, 2]);
    scene.lane.hold(vec![key(1), key(1)]);
    assert_eq!(scene.begin_all(), [[1]]);
    scene.act(|lane, cx| lane.saved(&key(1), cx));
    assert_eq!(scene.begin_all(), Vec::<Vec<u64>>::new(), "one is on its way");
    scene.act(|lane, cx| lane.saved(&key(1), cx));
    assert_eq!(scene.begin_all(), [[0]]);
}

#[test]
fn a_key_that_another_lane_has_in_flight_is_passed_over_until_that_ends() {
    let mut scene = Scene::new();
    scene.offer_all([1, 2]);
    scene.lane.begun_elsewhere([key(1)].iter());
    assert_eq!(scene.begin_all(), [[1]]);
    scene.act(|lane, cx| lane.ended_elsewhere(crate::io::AttemptId(7), [key(1)].iter(), cx));
    assert_eq!(scene.begin_all(), [[0]]);
}

#[test]
fn what_a_replay_delivers_says_so_with_its_number_and_is_counted_once() {
    let mut scene = Scene::new();
    scene.lane.replays_as(7);
    scene.offer_all([1, 2]);
    let (parts, events) = scene.act(Lane::next_delivery).unwrap();
    assert_eq!(events.iter().map(|of| (of.redrive, of.replay)).collect::<Vec<_>>(), [(true, Some(7))]);
    scene.in_flight.push_back(parts);
    scene.end(&Outcome::Delivered);
    scene.begin();
    scene.end(&Outcome::Delivered);
    assert_eq!([scene.lane.take_replayed(), scene.lane.take_replayed()], [2, 0]);
    let mut live = Scene::new();
    live.offer_all([1]);
    let (parts, events) = live.act(Lane::next_delivery).unwrap();
    assert_eq!(events.iter().map(|of| (of.redrive, of.replay)).collect::<Vec<_>>(), [(false, None)]);
    live.in_flight.push_back(parts);
    live.end(&Outcome::Delivered);
    assert_eq!(live.lane.take_replayed(), 0);
}

#[test]
fn one_timer_watches_attempts_that_take_long_and_none_where_nothing_is_on_track() {
    let mut scene = Scene::new();
    scene.offer_all([1]);
    scene.begin();
    assert_eq!(scene.timers(), [1000]);
    scene.wait(Duration::from_millis(100));
    scene.offer_all([2]);
    scene.begin();
    assert_eq!(scene.timers(), Vec::<u64>::new(), "the first one is looked at first");
    let mut scene = Scene::new();
    scene.fail_all([1]);
    scene.act(Lane::look_for_stragglers);
    due_again(&mut scene, 1);
    scene.timers();
    assert_eq!(scene.begin(), [0]);
    assert_eq!(scene.timers(), Vec::<u64>::new(), "who is behind holds nobody up");
}

#[test]
fn a_key_falls_behind_when_its_attempt_has_taken_long_and_not_while_it_waits_for_its_turn() {
    let mut scene = Scene::new();
    scene.offer_all([1, 2]);
    scene.begin();
    scene.timers();
    scene.wait(SECOND - Duration::from_millis(1));
    assert!(!scene.act(Lane::look_for_stragglers));
    assert_eq!(scene.timers(), [1000]);
    scene.wait(Duration::from_millis(1));
    assert!(scene.act(Lane::look_for_stragglers));
    assert!(scene.is_behind(&key(1)) && !scene.is_behind(&key(2)), "the second one is not in flight");
    assert_eq!(scene.timers(), [2000]);
}

#[test]
fn a_key_falls_behind_with_which_another_lane_takes_long() {
    let mut scene = Scene::new();
    scene.offer_all([1]);
    scene.lane.begun_elsewhere([key(1)].iter());
    assert!(scene.act(Lane::look_for_stragglers));
    assert!(scene.is_behind(&key(1)));
    assert!(!scene.act(Lane::look_for_stragglers), "nothing is on track");
}

#[test]
fn where_nothing_goes_on_all_that_is_on_track_is_recorded() {
    let mut scene = Scene::new();
    scene.offer_all([1, 2, 1]);
    scene.act(Lane::wind_down);
    assert!(!scene.lane.has_on_track() && scene.lane.bytes() == 0);
    assert_eq!(scene.lane.queues.waiting(), 3);
}

#[test]
fn keys_with_data_in_hand_are_ready_and_those_without_have_it_fetched() {
    let mut scene = Scene::new();
    assert!(!scene.lane.has_ready() && !scene.lane.has_to_fetch());
    scene.offer_all([1]);
    assert!(scene.lane.has_ready() && !scene.lane.has_to_fetch());
    scene.begin();
    scene.end(&failed());
    scene.wait(SECOND);
    scene.act(|lane, cx| lane.key_due(&key(1), cx));
    assert!(!scene.lane.has_ready() && scene.lane.has_to_fetch());
}
