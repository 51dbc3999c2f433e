//! Whom a lane lets go first.

use super::*;
use crate::io::AttemptId;
use crate::replay::Held;

const FORMER: AttemptId = AttemptId(7);

#[test]
fn a_lane_waits_for_attempts_of_lanes_that_are_no_more_and_for_replays_of_everything() {
    let waits = |former: &[AttemptId], held: Held| {
        let mut scene = Scene::new();
        scene.lane.follow(former.iter().copied().collect(), [].into(), held);
        (scene.lane.has_to_wait(), scene.lane.is_stopped_for_replays())
    };
    assert_eq!(waits(&[], Held::default()), (false, false));
    assert_eq!(waits(&[FORMER], Held::default()), (true, false));
    assert_eq!(waits(&[], Held::All), (true, true));
    assert_eq!(waits(&[], Held::Keys([key(1)].into())), (false, false));
    let mut scene = Scene::new();
    scene.lane.follow([FORMER].into(), [].into(), Held::default());
    scene.act(|lane, cx| lane.ended_elsewhere(FORMER, [key(1)].iter(), cx));
    assert!(!scene.lane.has_to_wait());
}

#[test]
fn only_keys_that_others_have_in_flight_or_that_replays_hold_are_stopped() {
    let stopped = |elsewhere: &[u8], held: &[u8]| {
        let mut scene = Scene::new();
        let held = Held::Keys(held.iter().map(|n| key(*n)).collect());
        scene.lane.follow([].into(), elsewhere.iter().map(|n| key(*n)).collect(), held);
        scene.offer_all([1, 2, 3]);
        scene.begin_all().concat()
    };
    assert_eq!(stopped(&[], &[]), [0, 1, 2]);
    assert_eq!(stopped(&[2], &[]), [0, 2]);
    assert_eq!(stopped(&[], &[2]), [0, 2]);
    assert_eq!(stopped(&[1], &[2]), [2]);
}

#[test]
fn what_a_replay_holds_lets_go_of_the_lanes_position_and_goes_on_when_it_is_over() {
    let mut scene = Scene::new();
    scene.fail_all([4]);
    scene.offer_all([1, 2]);
    scene.lane.hold(vec![key(5)]);
    let held = |keys: &[u8]| Held::Keys(keys.iter().map(|n| key(*n)).collect());
    // One is on track, one behind already, and of one nothing waits but a dead letter.
    scene.act(|lane, cx| lane.hold_for_replays(held(&[1, 4, 5]), cx));
    assert_eq!([1, 2, 4, 5].map(|n| scene.is_behind(&key(n))), [true, false, true, false]);
    assert_eq!(scene.lane.on_track.len(), 1);
    assert_eq!(scene.begin_all(), [[2]]);
    assert_eq!(scene.fetch(), None);
    scene.act(|lane, cx| lane.hold_for_replays(held(&[5]), cx));
    assert_eq!(scene.fetch(), Some((key(1), 1, 1)));
}
