//! Where a lane says that it stands.

use super::*;
use crate::progress::{LaneChange, LaneProgress, Pause, Position};
use crate::revision::Revision;
use crate::status::{DestinationStatus, MAX_LISTED_KEYS};

fn restore(scene: &mut Scene, key: &LaneKey, offset: u64, retry: Option<RetryState>) {
    let head = scene.head;
    scene.act(|lane, cx| lane.restore(key, Behind { offset: Offset(offset), retry }, head, cx));
}

fn changes(scene: &mut Scene, default: u64) -> Option<LaneChange> {
    let head = scene.head;
    scene.act(|lane, _| lane.take_changes(Offset(default), head))
}

fn position(scene: &mut Scene, default: u64) -> Option<Position> {
    changes(scene, default)?.position
}

#[test]
fn what_is_below_the_first_event_of_its_key_is_settled_or_below_where_the_lane_has_looked() {
    let mut scene = Scene::new();
    scene.head = Offset(3);
    restore(&mut scene, &key(2), 1, None);
    restore(&mut scene, &key(3), 7, None);
    scene.offer_all([1]);
    scene.lane.queues.get_or_new(&key(5));
    let head = Offset(5);
    let first_unsettled = |n| (0..9).find(|offset| !scene.lane.has_settled(&key(n), Offset(*offset), head));
    assert_eq!([1, 2, 3, 4, 5].map(first_unsettled), [Some(3), Some(1), Some(7), Some(5), Some(5)]);
}

#[test]
fn a_lane_is_through_when_it_has_looked_so_far_and_nothing_is_under_way() {
    let mut scene = Scene::new();
    scene.lane.detach(Offset(3));
    assert_eq!([2, 3, 4].map(|until| scene.lane.is_through(Offset(until))), [true, true, false]);
    scene.lane.hold(vec![key(1)]);
    assert!(!scene.lane.is_through(Offset(3)));
}

#[test]
fn a_lane_says_whether_a_dead_letter_of_it_is_not_stored_yet() {
    let mut scene = Scene::new();
    scene.offer_all([1, 2, 3]);
    assert!(!scene.lane.has_unsaved());
    scene.lane.hold(vec![key(2)]);
    assert!(scene.lane.has_unsaved());
    scene.act(|lane, cx| lane.saved(&key(2), cx));
    assert!(!scene.lane.has_unsaved());
}

#[test]
fn a_lane_shares_the_others_position_while_nothing_below_that_is_on_track() {
    let mut scene = Scene::new();
    scene.head = Offset(3);
    assert_eq!(changes(&mut scene, 3), None);
    scene.offer_all([1]);
    assert_eq!((position(&mut scene, 3), scene.lane.shares_position()), (None, true), "it is at their position");
    assert_eq!(position(&mut scene, 4), Some(Position::At(Offset(3))));
    assert_eq!((scene.lane.shares_position(), scene.lane.stood_at(Offset(9))), (false, Offset(3)));
    assert_eq!(changes(&mut scene, 4), None, "it was said");
    scene.begin();
    scene.end(&Outcome::Delivered);
    assert_eq!(position(&mut scene, 4), Some(Position::Shared));
    assert_eq!((scene.lane.shares_position(), scene.lane.stood_at(Offset(9))), (true, Offset(9)));
}

#[test]
fn no_lane_goes_back_to_where_the_others_are() {
    let mut scene = Scene::new();
    scene.head = Offset(9);
    scene.lane.stands_at(Offset(8));
    assert_eq!(position(&mut scene, 7), Some(Position::At(Offset(9))), "they have yet to come there");
    scene.lane.stands_at(Offset(8));
    assert_eq!(position(&mut scene, 8), Some(Position::Shared));
}

#[test]
fn a_lane_that_reads_for_itself_stands_where_it_has_looked() {
    let mut scene = Scene::new();
    scene.head = Offset(9);
    scene.lane.detach(Offset(5));
    assert!(!scene.lane.shares_position(), "nothing was said yet, and it is not where they are");
    assert_eq!(position(&mut scene, 3), Some(Position::At(Offset(5))));
    assert_eq!(scene.lane.settled_below(Offset(9)), Offset(5));
}

#[test]
fn a_commit_is_told_of_a_key_when_it_falls_behind_and_when_it_has_caught_up() {
    let mut scene = Scene::new();
    scene.fail_all([1]);
    let retry = retry_at(NOW.after(SECOND));
    let behind = Behind { offset: Offset(0), retry: Some(retry) };
    assert!(scene.lane.has_changed_keys());
    let told = |scene: &mut Scene| changes(scene, 1).map(|change| (change.position, change.behind));
    assert_eq!(told(&mut scene), Some((None, [(key(1), Some(behind.clone()))].into())));
    assert!(!scene.lane.has_changed_keys());
    scene.lane.restate();
    assert_eq!(told(&mut scene), Some((None, [(key(1), Some(behind))].into())), "it is said again");
    assert!(scene.act(|lane, cx| lane.skip(&key(1), cx)));
    scene.act(|lane, cx| lane.saved(&key(1), cx));
    assert_eq!(told(&mut scene), Some((None, [(key(1), None)].into())));
    assert_eq!(told(&mut scene), None);
    scene.lane.forget_keys([key(7)].into_iter());
    assert_eq!(told(&mut scene), Some((None, [(key(7), None)].into())));
}

#[test]
fn a_pause_is_told_and_kept() {
    let mut scene = Scene::new();
    let pause = Pause { since: NOW, reason: "gone".into() };
    scene.lane.set_paused(Some(pause.clone()));
    let told = changes(&mut scene, 0).unwrap();
    assert_eq!(told, LaneChange { paused: Some(Some(pause.clone())), ..LaneChange::default() });
    assert_eq!(scene.lane.progress(Offset(0), Revision::ORIGIN).paused, Some(pause.clone()));
    let mut scene = Scene::new();
    scene.lane.restore_paused(Some(pause.clone()));
    assert_eq!(changes(&mut scene, 0), None);
    assert_eq!(scene.lane.progress(Offset(0), Revision::ORIGIN).paused, Some(pause));
}

#[test]
fn all_of_a_lanes_progress_says_where_it_and_its_keys_stand() {
    let mut scene = Scene::new();
    scene.fail_all([1]);
    scene.offer_all([2, 3]);
    let expected = LaneProgress {
        born: Revision(7),
        position: Position::At(Offset(1)),
        behind: [(key(1), Behind { offset: Offset(0), retry: Some(retry_at(NOW.after(SECOND))) })].into(),
        ..LaneProgress::default()
    };
    assert_eq!(scene.lane.progress(scene.head, Revision(7)), expected);
}

#[test]
fn a_restored_key_of_which_nothing_came_has_caught_up_when_the_lane_has_passed_it() {
    let mut scene = Scene::new();
    scene.head = Offset(3);
    restore(&mut scene, &key(1), 5, None);
    scene.act(|lane, cx| lane.key_due(&key(1), cx));
    assert!(scene.lane.has_ahead());
    assert_eq!(changes(&mut scene, 3), None);
    scene.head = Offset(5);
    assert_eq!(changes(&mut scene, 5), None, "its event may be the next one");
    scene.head = Offset(6);
    let told = changes(&mut scene, 6).unwrap();
    assert_eq!((told.behind, scene.lane.has_ahead()), ([(key(1), None)].into(), false));
    assert!(scene.lane.queues.is_empty());
}

#[test]
fn a_restored_key_that_the_lane_has_passed_keeps_what_else_waits_of_it() {
    let mut scene = Scene::new();
    scene.head = Offset(3);
    for (n, came) in [(1, true), (2, false)] {
        restore(&mut scene, &key(n), 3 + u64::from(n), None);
        if came {
            scene.offer(&event(4, n));
        }
    }
    scene.act(|lane, cx| lane.redrive(&key(2), Offset(1), cx));
    scene.head = Offset(9);
    changes(&mut scene, 9);
    assert!(!scene.lane.has_ahead());
    assert_eq!((scene.lane.queues.redrives(), scene.lane.queues.waiting()), (1, 1));
}

fn status(scene: &Scene, end: u64, list_keys: bool) -> DestinationStatus {
    let mut status = DestinationStatus::idle(scene.destination.name.clone(), true);
    scene.lane.add_to(&mut status, (scene.head, Offset(end)), list_keys);
    status
}

#[test]
fn what_is_on_track_and_what_waits_behind_is_pending_and_so_is_what_was_not_looked_at() {
    let mut scene = Scene::new();
    scene.fail_all([3, 4]);
    scene.offer_all([1, 2, 3, 3]);
    let looked_at_all = status(&scene, 6, true);
    assert_eq!((looked_at_all.pending, looked_at_all.pending_exact, looked_at_all.pending_at_least), (6, true, false));
    assert_eq!(looked_at_all.waiting_from, [(Partition(0), Offset(0))]);
    assert_eq!((looked_at_all.keys_behind, looked_at_all.blocked_keys, scene.lane.behind_count()), (2, 2, 2));
    let more = status(&scene, 9, true);
    assert_eq!((more.pending, more.pending_exact, more.pending_at_least), (9, false, false));
    let mut twice = status(&scene, 9, true);
    scene.lane.add_to(&mut twice, (Offset(6), Offset(6)), true);
    assert_eq!((twice.pending, twice.pending_exact, twice.keys_behind, twice.blocked_keys), (15, false, 4, 4));
}

#[test]
fn across_generations_what_has_failed_is_pending_at_least() {
    let mut scene = Scene::new();
    scene.head = Offset(9);
    for n in 1..=3 {
        restore(&mut scene, &key(n), 3, (n < 3).then(|| retry_at(NOW.after(SECOND))));
    }
    let end = Offset::in_generation(1, 0);
    let status = status(&scene, end.0, false);
    assert_eq!((status.pending, status.pending_exact, status.pending_at_least), (2, false, true));
    assert_eq!((status.keys_behind, status.blocked_keys, status.blocked), (3, 2, Vec::new()));
}

#[test]
fn so_many_blocked_keys_are_listed_and_each_says_what_it_waits_for() {
    let mut scene = Scene::new();
    scene.head = Offset(9);
    for offset in 0..MAX_LISTED_KEYS as u64 + 2 {
        let key = LaneKey::Key(Key::new(&format!("k{offset:05}")).unwrap());
        restore(&mut scene, &key, offset.min(8), Some(retry_at(NOW.after(SECOND))));
    }
    let status = status(&scene, 9, true);
    assert_eq!((status.blocked.len(), status.blocked_keys), (MAX_LISTED_KEYS, MAX_LISTED_KEYS as u64 + 2));
    let second = &status.blocked[1];
    assert_eq!((second.key.as_str(), second.head, second.attempts), ("key:k00001", Offset(1), 1));
    assert_eq!((second.next_attempt, second.last_error.as_str()), (Some(NOW.after(SECOND)), "no"));
}
