//! When a lane reads for itself, and what it has read for keys that are behind.

use super::*;

fn next_read(scene: &mut Scene, end: u64, appetite: Appetite) -> Option<u64> {
    let from = scene.act(|lane, cx| lane.next_read(Offset(end), appetite, cx));
    if from.is_some() {
        assert!(scene.lane.is_reading());
        assert_eq!(Some(scene.lane.read_ended()), from);
    }
    from.map(|from| from.0)
}

#[test]
fn a_lane_reads_on_as_soon_as_half_of_its_window_is_free() {
    for (window, most) in [(4, 2), (5, 2), (1, 0)] {
        let mut scene = Scene::bounded(Settings { window_events: window, ..Settings::default() });
        scene.lane.detach(Offset(0));
        let mut taken = 0;
        while next_read(&mut scene, 99, Appetite::Full).is_some() {
            assert!(scene.offer(&event(taken, u8::try_from(taken).unwrap() + 1)));
            taken += 1;
            scene.act(|lane, cx| lane.advance(Offset(taken), &[], cx));
        }
        assert_eq!(taken, most + 1, "of {window}");
    }
}

#[test]
fn a_lane_that_takes_what_others_read_or_has_read_all_does_not_read() {
    let mut scene = Scene::new();
    assert_eq!(next_read(&mut scene, 9, Appetite::Full), None);
    scene.lane.detach(Offset(5));
    assert_eq!(next_read(&mut scene, 9, Appetite::Full), Some(5));
    assert_eq!(next_read(&mut scene, 5, Appetite::Full), None);
    scene.act(|lane, cx| lane.advance(Offset(9), &[], cx));
    assert_eq!((scene.lane.cursor(), scene.lane.looked_up_to(Offset(0))), (Offset(9), Offset(9)));
    scene.lane.attach();
    assert_eq!((scene.lane.is_attached(), scene.lane.looked_up_to(Offset(11))), (true, Offset(11)));
}

#[test]
fn one_that_is_down_reads_only_if_it_has_nothing_to_be_probed_with_and_one_that_is_paused_never() {
    let mut scene = Scene::new();
    scene.lane.detach(Offset(0));
    assert_eq!(next_read(&mut scene, 9, Appetite::None), None);
    assert_eq!(next_read(&mut scene, 9, Appetite::ToProbe), Some(0));
    scene.offer(&event(0, 1));
    assert_eq!(next_read(&mut scene, 9, Appetite::ToProbe), None);
}

#[test]
fn without_room_nothing_is_read() {
    let mut scene = Scene::bounded(Settings { max_behind: 1, ..Settings::default() });
    scene.fail_all([1]);
    scene.lane.detach(Offset(1));
    assert_eq!(next_read(&mut scene, 9, Appetite::Full), None);
}

#[test]
fn where_waiting_has_a_limit_a_lane_reads_what_may_be_too_old_whether_it_has_room_or_not() {
    let mut scene = Scene::of(Destination { max_age: Some(SECOND), ..destination() });
    scene.lane.detach(Offset(0));
    assert_eq!(next_read(&mut scene, 9, Appetite::None), Some(0), "nobody knows how old that is");
    scene.lane.stopped_at(&event(0, 1), NOW);
    assert_eq!(next_read(&mut scene, 9, Appetite::None), None, "it has a second left");
    scene.wait(SECOND - Duration::from_millis(1));
    assert_eq!(next_read(&mut scene, 9, Appetite::None), None);
    scene.wait(Duration::from_millis(1));
    assert_eq!(next_read(&mut scene, 9, Appetite::None), Some(0));
}

/// Keys that are restored where the lane has looked at everything below 9, each with where it stands.
fn restored(settings: Settings, keys: &[(LaneKey, u64)]) -> Scene {
    let mut scene = Scene::bounded(settings);
    scene.head = Offset(9);
    for (key, offset) in keys {
        let record = Behind { offset: Offset(*offset), retry: None };
        scene.act(|lane, cx| lane.restore(key, record, Offset(9), cx));
    }
    scene
}

fn scan(scene: &mut Scene) -> Option<u64> {
    let from = scene.act(|lane, _| lane.next_scan());
    assert_eq!(scene.act(|lane, _| lane.next_scan()), None, "one is under way, or there is nothing to look for");
    assert_eq!(scene.lane.scans_from(), from);
    from.map(|from| from.0)
}

fn scanned(scene: &mut Scene, events: &[(u64, u8)], next: u64) {
    let events: Vec<_> = events.iter().map(|(offset, key)| event(*offset, *key)).collect();
    let head = scene.head;
    scene.act(|lane, cx| lane.scanned(events.iter().map(AsRef::as_ref), Offset(next), head, cx));
}

fn waiting(scene: &Scene, key: &LaneKey) -> Vec<u64> {
    let queue = scene.lane.queues.get(key);
    queue.map_or_else(Vec::new, |queue| queue.entries().iter().map(|entry| entry.offset.0).collect())
}

#[test]
fn a_scan_finds_what_waits_of_the_keys_that_need_it_between_where_they_stand_and_the_lane() {
    let mut scene = restored(Settings::default(), &[(key(1), 3), (key(2), 5)]);
    assert_eq!(scan(&mut scene), Some(3));
    let events = [(3, 1), (4, 2), (5, 2), (6, 1), (7, 3), (8, 2), (9, 1), (10, 2)];
    scanned(&mut scene, &events, 11);
    assert_eq!((waiting(&scene, &key(1)), waiting(&scene, &key(2))), (vec![3, 6], vec![5, 8]));
    assert_eq!((waiting(&scene, &key(3)), scan(&mut scene)), (Vec::new(), None));
    let known = |key: &LaneKey| scene.lane.queues.known(key).behind().unwrap().known;
    assert_eq!((known(&key(1)), known(&key(2))), (Known::All, Known::All));
}

#[test]
fn a_scan_goes_on_from_where_it_has_read_to() {
    let mut scene = restored(Settings::default(), &[(key(1), 3), (key(2), 5)]);
    assert_eq!(scan(&mut scene), Some(3));
    scanned(&mut scene, &[(3, 1)], 6);
    assert_eq!(scene.lane.scans_from(), None, "it waits for its turn");
    assert_eq!(scan(&mut scene), Some(6));
    scanned(&mut scene, &[(6, 1), (8, 2)], 9);
    assert_eq!((waiting(&scene, &key(1)), waiting(&scene, &key(2))), (vec![3, 6], vec![8]));
    assert_eq!(scan(&mut scene), None);
}

#[test]
fn a_key_of_which_a_scan_finds_nothing_has_caught_up() {
    let mut scene = restored(Settings::default(), &[(key(1), 3)]);
    scene.lane.record.take_changed();
    scan(&mut scene);
    scanned(&mut scene, &[], 9);
    assert!(scene.lane.queues.is_empty() && !scene.is_behind(&key(1)));
    assert_eq!(scene.lane.record.take_changed(), [key(1)].into());
}

#[test]
fn what_a_scan_finds_too_much_of_is_found_again_when_little_is_left() {
    // Little: an eighth of 16.
    let mut scene = restored(Settings { waiting_per_key: 16, ..Settings::default() }, &[(key(1), 0)]);
    scene.head = Offset(30);
    assert_eq!(scan(&mut scene), Some(0));
    scanned(&mut scene, &(0..20).map(|offset| (offset, 1)).collect::<Vec<_>>(), 30);
    assert_eq!(waiting(&scene, &key(1)), (0..16).collect::<Vec<_>>());
    assert_eq!(scene.lane.queues.known(&key(1)).known_below(), Some(Offset(16)));
    for settled in 1..=14 {
        assert_eq!(scan(&mut scene), None, "{settled}");
        scene.act(|lane, cx| lane.settle_unsent(&key(1), cx));
    }
    assert_eq!(scan(&mut scene), Some(16));
    scanned(&mut scene, &(16..20).map(|offset| (offset, 1)).collect::<Vec<_>>(), 30);
    assert_eq!(waiting(&scene, &key(1)), (14..20).collect::<Vec<_>>());
}

#[test]
fn each_key_may_remember_one_event_however_many_all_have() {
    let settings = Settings { waiting_total: 1, ..Settings::default() };
    let mut scene = restored(settings, &[(key(1), 0), (key(2), 1), (key(3), 2)]);
    scan(&mut scene);
    scanned(&mut scene, &[(0, 1), (1, 2), (2, 3), (3, 1), (4, 2)], 9);
    assert_eq!([1, 2, 3].map(|n| waiting(&scene, &key(n))), [[0], [1], [2]]);
    assert_eq!(
        [1, 2, 3].map(|n| scene.lane.queues.known(&key(n)).known_below()),
        [Some(Offset(3)), Some(Offset(4)), None]
    );
}

#[test]
fn an_event_by_itself_is_looked_for_only_where_its_age_has_to_be_known() {
    let single = LaneKey::Event(Offset(3));
    let mut scene = restored(Settings::default(), &[(single.clone(), 3)]);
    assert_eq!((waiting(&scene, &single), scan(&mut scene)), (vec![3], None));
    let aged = Destination { max_age: Some(SECOND), ordering: Ordering::None, ..destination() };
    let mut scene = Scene::of(aged);
    scene.head = Offset(9);
    scene.act(|lane, cx| lane.restore(&single, Behind { offset: Offset(3), retry: None }, Offset(9), cx));
    assert_eq!(scan(&mut scene), Some(3));
    scanned(&mut scene, &[(3, 1), (4, 1)], 5);
    assert_eq!(waiting(&scene, &single), [3]);
    assert_eq!(scan(&mut scene), None, "of an event by itself there is no other");
}

/// So many keys whose first event failed and is due again.
fn due(settings: Settings, keys: u8) -> Scene {
    let mut scene = Scene::bounded(settings);
    (1..=keys).for_each(|n| scene.fail_all([n]));
    scene.wait(SECOND);
    (1..=keys).for_each(|n| scene.act(|lane, cx| lane.key_due(&key(n), cx)));
    scene
}

#[test]
fn no_more_is_fetched_at_once_than_the_lane_has_room_for_and_for_one_key_always() {
    for (bytes, fetches) in [(1, 1), (FETCH_BYTES, 1), (FETCH_BYTES + 1, 2), (2 * FETCH_BYTES, 2)] {
        let mut scene = due(Settings { window_bytes: bytes, ..Settings::default() }, 4);
        let begun = std::iter::from_fn(|| scene.fetch()).count();
        assert_eq!(begun, fetches, "with room for {bytes} bytes");
    }
    // What is in memory already counts.
    let settings = Settings { window_bytes: 2 * FETCH_BYTES + weight(), ..Settings::default() };
    let mut scene = due(settings, 4);
    scene.offer_all([5]);
    assert_eq!(std::iter::from_fn(|| scene.fetch()).count(), 2);
}

#[test]
fn as_much_is_fetched_as_attempts_will_soon_use() {
    let fetches = |appetite| {
        let one_at_a_time = Destination { max_in_flight: std::num::NonZeroU32::MIN, ..destination() };
        let mut scene = due(Settings::default(), 4);
        scene.destination = one_at_a_time;
        std::iter::from_fn(|| scene.act(|lane, cx| lane.next_fetch(appetite, cx))).count()
    };
    assert_eq!([Appetite::Full, Appetite::ToProbe, Appetite::None].map(fetches), [2, 1, 0]);
}

#[test]
fn an_event_that_the_log_has_lost_is_told_and_its_key_goes_on() {
    let mut scene = due(Settings::default(), 1);
    scene.offer_all([1]);
    assert_eq!(scene.fetch(), Some((key(1), 0, 2)));
    scene.notices.clear();
    let missing = |scene: &Scene| {
        let offset = |notice: &Notice| match notice {
            Notice::EventMissing { offset, .. } => Some(offset.0),
            _ => None,
        };
        scene.notices.iter().filter_map(offset).collect::<Vec<_>>()
    };
    scene.act(|lane, cx| lane.fetched(&key(1), &[], Offset(1)..Offset(9), cx));
    assert_eq!(missing(&scene), [0; 0], "what was not read is not missing");
    assert!(scene.fetch().is_some());
    scene.act(|lane, cx| lane.fetched(&key(1), &[event(1, 1)], Offset(0)..Offset(2), cx));
    assert_eq!((missing(&scene), waiting(&scene, &key(1))), (vec![0], vec![1]));
    assert_eq!((scene.begin(), scene.uncommitted.settled_unsent), (vec![1], 1));
}

#[test]
fn what_has_come_is_not_missing_though_the_read_went_further() {
    let mut scene = due(Settings::default(), 1);
    scene.fetch();
    scene.act(|lane, cx| lane.fetched(&key(1), &[event(0, 1)], Offset(0)..Offset(9), cx));
    assert!(scene.notices.iter().all(|notice| !matches!(notice, Notice::EventMissing { .. })));
    assert_eq!(scene.begin(), [0]);
}

#[test]
fn the_copy_of_a_dead_letter_is_taken_once_and_that_of_no_other() {
    let mut scene = Scene::new();
    scene.act(|lane, cx| {
        lane.redrive(&key(1), Offset(3), cx);
        lane.redrive(&key(1), Offset(4), cx);
    });
    assert_eq!(scene.fetch(), Some((key(1), 3, 0)));
    scene.lane.turns.fetch_begins();
    scene.act(|lane, cx| lane.fetched_dead_letter(&key(1), Offset(4), Ok(None), cx));
    assert_eq!(scene.lane.queues.redrives(), 2, "another one's copy has come late");
    scene.act(|lane, cx| lane.fetched_dead_letter(&key(1), Offset(3), Ok(Some(event(3, 1))), cx));
    scene.lane.turns.fetch_begins();
    scene.act(|lane, cx| lane.fetched_dead_letter(&key(1), Offset(3), Ok(None), cx));
    assert_eq!(scene.lane.queues.redrives(), 2, "it is at hand already");
    assert_eq!((scene.fetch(), scene.begin()), (None, vec![3]));
}
