//! What a lane takes in, and what it has no room for.

use super::*;
use crate::replay::Held;
use crate::tenant::Tenant;

/// How many of the next nine events, each of a key of its own, it has room for.
fn room(scene: &mut Scene) -> u64 {
    let first = scene.head.0;
    (first..first + 9).take_while(|offset| scene.offer(&event(*offset, u8::try_from(*offset).unwrap() + 1))).count()
        as u64
}

#[test]
fn what_is_below_its_beginning_or_of_a_deleted_tenant_is_looked_at_and_left() {
    let mut scene = Scene::new();
    scene.lane = Lane::new(1, (DestinationIndex(0), GROUP), Partition(0), Ordering::Key, Offset(5), 1);
    let acme = Tenant::new("acme").unwrap();
    scene.deleted_tenants = [acme.clone()].into_iter().collect();
    let mut theirs = (*event(6, 1)).clone();
    theirs.event.tenant = Some(acme);
    assert!(scene.offer(&event(4, 1)) && scene.offer(&Arc::new(theirs)));
    assert!(scene.lane.queues.is_empty() && !scene.lane.has_on_track());
    let mut scene = Scene::new();
    scene.lane = Lane::new(1, (DestinationIndex(0), GROUP), Partition(0), Ordering::Key, Offset(5), 1);
    assert!(scene.offer(&event(5, 1)));
    assert_eq!(scene.lane.on_track.first(), Some((Offset(5), &key(1))));
}

#[test]
fn a_window_has_room_for_so_many_events() {
    for most in [1, 2, 5] {
        let mut scene = Scene::bounded(Settings { window_events: most, ..Settings::default() });
        assert_eq!(room(&mut scene), most as u64);
    }
}

#[test]
fn a_window_has_room_while_less_than_its_share_is_in_memory_and_for_one_event_at_least() {
    for (bytes, events) in [(1, 1), (weight(), 1), (weight() + 1, 2), (2 * weight(), 2), (2 * weight() + 1, 3)] {
        let mut scene = Scene::bounded(Settings { window_bytes: bytes, ..Settings::default() });
        assert_eq!(room(&mut scene), events, "{bytes} bytes");
    }
}

#[test]
fn a_lane_with_as_many_keys_behind_as_it_may_have_takes_only_what_is_theirs() {
    let mut scene = Scene::bounded(Settings { max_behind: 2, ..Settings::default() });
    scene.fail_all([1]);
    assert!(scene.notices.iter().all(|notice| !matches!(notice, Notice::TooManyBehind { .. })));
    assert!(scene.offer(&event(1, 2)), "there is room for one more");
    scene.begin_all();
    scene.end(&failed());
    let told = |notice: &&Notice| matches!(notice, Notice::TooManyBehind { keys: 2, .. });
    assert_eq!(scene.notices.iter().filter(told).count(), 1, "it is told");
    assert!(!scene.offer(&event(2, 3)));
    assert!(scene.offer(&event(2, 1)));
    assert_eq!(scene.lane.queues.waiting(), 3);
}

#[test]
fn what_has_time_left_is_not_taken_where_only_what_is_old_is_wanted() {
    let mut scene = Scene::new();
    assert!(!scene.act(|lane, cx| lane.offer(&event(0, 1), true, cx)));
    assert!(scene.lane.queues.is_empty());
}

#[test]
fn a_key_with_more_than_its_part_of_the_window_falls_behind_unless_it_is_the_whole_lane() {
    for (ordering, falls_behind) in [(Ordering::Key, true), (Ordering::Strict, false)] {
        let settings = Settings { window_events_per_key: 2, ..Settings::default() };
        let mut scene = Scene::with(Destination { ordering, ..destination() }, settings);
        let key = ordering.key_of(&event(0, 1));
        scene.offer_all([1, 1]);
        assert!(!scene.is_behind(&key));
        scene.offer_all([1]);
        assert_eq!(scene.is_behind(&key), falls_behind);
        assert_eq!(scene.lane.queues.known(&key).entries().len(), 3);
    }
}

#[test]
fn a_key_that_waits_for_a_replay_falls_behind_with_its_first_event_and_no_other_does() {
    let mut scene = Scene::new();
    scene.act(|lane, cx| lane.hold_for_replays(Held::Keys([key(1)].into()), cx));
    scene.offer_all([1]);
    assert!(scene.is_behind(&key(1)));
    scene.offer_all([2, 1]);
    assert!(!scene.is_behind(&key(2)));
    assert_eq!(scene.lane.queues.known(&key(1)).entries().len(), 2);
    assert_eq!(scene.begin_all(), [[1]]);
}

/// A key behind that was restored, where the lane is at 3.
fn restored(offset: u64) -> Scene {
    let mut scene = Scene::new();
    scene.head = Offset(3);
    let record = Behind { offset: Offset(offset), retry: None };
    scene.act(|lane, cx| lane.restore(&key(1), record, Offset(3), cx));
    scene.lane.record.take_changed();
    scene
}

#[test]
fn of_a_key_that_the_lane_has_yet_to_come_to_what_is_settled_is_not_taken_up_again() {
    let mut scene = restored(5);
    assert!(scene.offer(&event(4, 1)));
    assert!(scene.lane.queues.known(&key(1)).entries().is_empty() && !scene.lane.has_changed_keys());
    assert!(scene.offer(&event(5, 1)));
    let queue = scene.lane.queues.known(&key(1));
    assert_eq!((queue.stands_at(), queue.entries().len()), (Some(Offset(5)), 1));
    assert!(matches!(queue.queued, Queued::ToFetch(_)) && scene.lane.has_changed_keys());
    assert!(scene.offer(&event(6, 1)));
    assert_eq!(scene.lane.queues.waiting(), 2);
}

#[test]
fn of_a_key_of_which_not_all_is_known_nothing_is_remembered_that_a_scan_will_find() {
    let mut scene = restored(1);
    assert!(scene.offer(&event(4, 1)));
    let queue = scene.lane.queues.known(&key(1));
    assert_eq!((queue.known_below(), queue.entries().len()), (Some(Offset(1)), 0));
}

#[test]
fn there_is_something_to_try_while_anything_is_on_track_or_has_its_turn_or_is_looked_for() {
    let give: [fn(&mut Scene); 4] = [
        |scene| scene.offer_all([1]),
        |scene| scene.lane.turns.will_need_data(key(1)),
        |scene| scene.lane.behind.needs_scan(&key(1)),
        |scene| scene.lane.on_track.add(Offset(1), key(1), &mut scene.memory.of(GROUP)),
    ];
    assert!(!Scene::new().lane.has_to_try());
    for (n, give) in give.into_iter().enumerate() {
        let mut scene = Scene::new();
        give(&mut scene);
        assert!(scene.lane.has_to_try(), "{n}");
    }
}

#[test]
fn a_lane_is_idle_only_if_nothing_is_under_way_and_there_is_nothing_to_tell() {
    let stir: [fn(&mut Scene); 10] = [
        |scene| _ = scene.lane.queues.get_or_new(&key(1)),
        |scene| scene.lane.on_track.add(Offset(1), key(1), &mut scene.memory.of(GROUP)),
        |scene| scene.lane.behind.is_ahead(Offset(9), key(1)),
        |scene| scene.lane.turns.will_need_data(key(1)),
        |scene| scene.lane.record.changed(key(1)),
        |scene| scene.lane.stands_at(Offset(3)),
        |scene| scene.lane.detach(Offset(0)),
        |scene| scene.act(|lane, cx| lane.hold_for_replays(Held::All, cx)),
        |scene| scene.lane.follow([crate::io::AttemptId(1)].into(), [].into(), Held::default()),
        |scene| scene.lane.queued_at_gate = true,
    ];
    assert!(Scene::new().lane.is_idle());
    for (n, stir) in stir.into_iter().enumerate() {
        let mut scene = Scene::new();
        stir(&mut scene);
        assert!(!scene.lane.is_idle(), "{n}");
    }
}

#[test]
fn asking_for_a_dead_letter_twice_changes_nothing_and_there_is_room_for_so_many() {
    let mut scene = Scene::new();
    scene.act(|lane, cx| {
        lane.redrive(&key(1), Offset(0), cx);
        lane.redrive(&key(1), Offset(0), cx);
    });
    assert_eq!(scene.lane.queues.redrives(), 1);
    scene.act(|lane, cx| (1..1100).for_each(|offset| lane.redrive(&key(1), Offset(offset), cx)));
    assert_eq!(scene.lane.queues.redrives(), 1000);
}

#[test]
fn what_a_lane_held_of_the_shared_memory_is_given_back_with_it() {
    let mut scene = Scene::new();
    scene.fail_all([1, 2]);
    scene.offer_all([3]);
    assert_ne!(scene.memory, Memory::default());
    scene.lane.discard(&mut scene.memory);
    scene.memory.check(Memory::default());
}
