//! Keys that are behind, from the store and back to the others.

use super::*;

fn restored(max_age: Option<Duration>, retry: Option<RetryState>) -> Scene {
    let mut scene = Scene::of(Destination { max_age, ..destination() });
    scene.head = Offset(9);
    scene.act(|lane, cx| lane.restore(&key(1), Behind { offset: Offset(3), retry }, Offset(9), cx));
    scene
}

#[test]
fn a_restored_key_is_woken_when_its_next_attempt_is_due_and_not_if_it_is_already() {
    let mut scene = restored(None, Some(retry_at(NOW.after(SECOND))));
    assert_eq!(scene.timers(), [1000]);
    let mut scene = restored(None, Some(retry_at(NOW)));
    assert_eq!(scene.timers(), Vec::<u64>::new());
    let mut scene = restored(None, None);
    assert_eq!(scene.timers(), Vec::<u64>::new());
}

#[test]
fn what_a_restored_key_has_waiting_is_looked_for_when_it_is_due_or_at_once_where_its_age_counts() {
    let later = || Some(retry_at(NOW.after(SECOND)));
    let mut scene = restored(None, later());
    assert_eq!(scene.act(|lane, _| lane.next_scan()), None, "its turn comes in a second");
    let mut scene = restored(Some(SECOND * 60), later());
    assert_eq!(scene.act(|lane, _| lane.next_scan()), Some(Offset(3)));
    let mut scene = restored(None, None);
    assert_eq!(scene.act(|lane, _| lane.next_scan()), Some(Offset(3)));
}

#[test]
fn a_key_that_is_ahead_is_not_looked_for_and_not_forgotten() {
    for max_age in [None, Some(SECOND)] {
        let mut scene = Scene::of(Destination { max_age, ..destination() });
        scene.head = Offset(3);
        scene.act(|lane, cx| lane.restore(&key(1), Behind { offset: Offset(3), retry: None }, Offset(3), cx));
        assert!(!scene.lane.has_to_try() && scene.act(|lane, _| lane.next_scan()).is_none());
        scene.act(|lane, cx| lane.key_due(&key(1), cx));
        assert!(scene.is_behind(&key(1)), "its events are yet to come");
    }
}

#[test]
fn a_key_behind_that_has_nothing_left_is_forgotten() {
    let mut scene = Scene::new();
    scene.fail_all([1]);
    scene.wait(SECOND);
    scene.act(|lane, cx| lane.key_due(&key(1), cx));
    let (key, ..) = scene.fetch().unwrap();
    scene.act(|lane, cx| lane.fetched(&key, &[event(0, 1)], Offset(0)..Offset(1), cx));
    assert_eq!(scene.begin(), [0]);
    scene.end(&Outcome::Delivered);
    assert!(scene.lane.queues.is_empty() && scene.lane.behind.is_empty());
    assert_eq!(scene.memory.of(GROUP).share_of(12), 12);
}

#[test]
fn data_of_what_follows_is_fetched_while_an_attempt_is_under_way_and_only_once() {
    let mut scene = Scene::new();
    scene.fail_all([1]);
    scene.offer_all([1, 1]);
    scene.wait(SECOND);
    scene.act(|lane, cx| lane.key_due(&key(1), cx));
    assert_eq!(scene.fetch(), Some((key(1), 0, 3)));
    // Only the first one has come: there was no room for more.
    scene.act(|lane, cx| lane.fetched(&key(1), &[event(0, 1)], Offset(0)..Offset(1), cx));
    assert_eq!(scene.fetch(), None, "there is something to try");
    assert_eq!(scene.begin(), [0]);
    assert_eq!((scene.fetch(), scene.fetch()), (Some((key(1), 1, 2)), None));
    scene.act(|lane, cx| lane.fetched(&key(1), &[event(1, 1), event(2, 1)], Offset(1)..Offset(3), cx));
    scene.end(&Outcome::Delivered);
    assert_eq!(scene.begin(), [1]);
}

#[test]
fn a_timer_of_a_key_that_has_gone_on_does_nothing() {
    let mut scene = Scene::new();
    scene.act(|lane, cx| lane.key_due(&key(1), cx));
    assert!(scene.lane.is_idle());
}
