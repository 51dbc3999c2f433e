//! What has waited for too long, and what only seems to.

use super::*;
use crate::history::{Ended, Fate};
use crate::io::AttemptId;
use crate::replay::Held;

const LIMIT: Duration = Duration::from_secs(10);
const MILLI: Duration = Duration::from_millis(1);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

fn aged() -> Scene {
    bounded(Settings { expire_every: MILLI, ..Settings::default() })
}

fn bounded(settings: Settings) -> Scene {
    Scene::with(Destination { max_age: Some(LIMIT), ..destination() }, settings)
}

fn expired(scene: &Scene) -> u64 {
    scene.uncommitted.expired.values().map(|expired| expired.count).sum()
}

/// How much has expired after so much more time has passed.
fn look_after(scene: &mut Scene, time: Duration) -> u64 {
    scene.act(|lane, cx| lane.watch_ages(cx));
    scene.wait(time);
    scene.act(Lane::age_due);
    expired(scene)
}

fn watched(scene: &mut Scene) -> Vec<u64> {
    scene.timers();
    scene.act(|lane, cx| lane.watch_ages(cx));
    scene.timers()
}

#[test]
fn an_event_expires_when_it_has_waited_for_so_long_and_not_before() {
    let mut scene = aged();
    scene.offer_all([1]);
    assert_eq!(look_after(&mut scene, LIMIT - MILLI), 0);
    assert!(scene.lane.has_ready());
    assert_eq!(look_after(&mut scene, MILLI), 1);
    assert!(scene.lane.is_idle() && !scene.lane.has_ready());
    assert_eq!((scene.uncommitted.settled, scene.uncommitted.settled_unsent), (0, 1));
    let history = scene.uncommitted.to_tell.take(1, NOW).unwrap();
    let told = &history.told[0];
    assert_eq!((told.offset, told.ended, told.fate, told.redrive), (Offset(0), Ended::Expired, Fate::Expired, false));
    let event = &event(0, 1).event;
    assert_eq!((told.id.as_ref(), &told.key), (Some(&event.id), &event.key));
}

#[test]
fn nothing_expires_where_there_is_no_limit_or_the_clock_has_not_run_for_so_long() {
    for max_age in [None, Some(YEAR * 100)] {
        let mut scene = Scene::of(Destination { max_age, ..destination() });
        assert!(scene.offer(&accepted(Timestamp::ZERO, 0, 1)));
        assert_eq!(look_after(&mut scene, YEAR), 0);
        assert_eq!(scene.begin(), [0]);
    }
}

#[test]
fn what_is_too_old_when_it_is_read_takes_no_room() {
    let mut scene = aged();
    assert!(scene.act(|lane, cx| lane.offer(&accepted(NOW.before(LIMIT), 0, 1), true, cx)));
    assert_eq!((expired(&scene), scene.uncommitted.settled_unsent), (1, 1));
    assert!(scene.lane.is_idle());
    assert!(scene.offer(&accepted(NOW.before(LIMIT - MILLI), 1, 1)));
    assert_eq!((expired(&scene), scene.begin()), (1, vec![1]));
}

#[test]
fn what_is_too_old_when_it_is_read_waits_for_what_goes_before_it() {
    type Act = fn(&mut Scene);
    let before: [(&str, Act, bool); 5] = [
        ("nothing", |_| {}, true),
        ("one that has time left", |scene| scene.offer_all([1]), false),
        ("a dead letter that is not stored", |scene| scene.lane.hold(vec![key(1)]), false),
        ("an attempt of another lane", |scene| scene.lane.begun_elsewhere([key(1)].iter()), false),
        (
            "a dead letter that is tried once more",
            |scene| scene.act(|lane, cx| lane.redrive(&key(1), Offset(0), cx)),
            true,
        ),
    ];
    for (what, before, expires) in before {
        let mut scene = aged();
        before(&mut scene);
        assert!(scene.offer(&accepted(NOW.before(LIMIT), 1, 1)));
        assert_eq!(expired(&scene) == 1, expires, "behind {what}");
    }
}

#[test]
fn what_expires_is_counted_by_live_lanes_of_destinations_that_are_kept() {
    let counted = |is_replay, is_kept| {
        let mut scene = aged();
        scene.destination.is_kept = is_kept;
        if is_replay {
            scene.lane.replays_as(1);
        }
        assert!(scene.offer(&accepted(NOW.before(LIMIT), 0, 1)));
        assert_eq!(scene.lane.take_replayed(), u64::from(is_replay));
        scene.uncommitted.expired.values().map(|expired| (expired.count, expired.uncounted)).collect::<Vec<_>>()
    };
    assert_eq!(counted(false, true), [(1, 1)]);
    assert_eq!([counted(true, true), counted(false, false), counted(true, false)], [[(1, 0)], [(1, 0)], [(1, 0)]]);
}

#[test]
fn an_attempt_is_waited_for_and_what_fails_then_was_tried_for_the_last_time() {
    let mut scene = aged();
    scene.offer_all([1]);
    scene.begin();
    assert_eq!(look_after(&mut scene, LIMIT), 0);
    scene.end(&failed());
    assert_eq!(expired(&scene), 1);
    assert!(scene.notices.is_empty(), "it blocks nothing");
    assert!(scene.uncommitted.to_tell.is_empty(), "what comes of the attempt is told with it, and nothing else");
    assert!(scene.lane.queues.is_empty());
}

#[test]
fn so_many_keys_expire_at_once_the_oldest_first_and_the_rest_right_after() {
    let mut scene = bounded(Settings { expire_every: MILLI, expire_keys: 2, ..Settings::default() });
    for offset in 0..5 {
        let early = accepted(NOW.before(MILLI * u32::try_from(offset).unwrap()), offset, u8::try_from(offset).unwrap());
        assert!(scene.offer(&early));
    }
    assert_eq!(look_after(&mut scene, LIMIT), 2);
    let left: Vec<_> = scene.lane.queues.waiting_since(scene.now).map(|(_, offset, _)| offset.0).collect();
    assert_eq!(left, [2, 1, 0]);
    assert_eq!(watched(&mut scene), [10_001]);
    scene.wait(MILLI);
    scene.act(Lane::age_due);
    assert_eq!(expired(&scene), 4);
    assert_eq!(look_after(&mut scene, MILLI), 5);
    assert_eq!(watched(&mut scene), Vec::<u64>::new(), "nothing waits");
}

#[test]
fn what_is_in_flight_leaves_its_place_among_those_that_expire_to_others() {
    let mut scene = bounded(Settings { expire_every: MILLI, expire_keys: 1, ..Settings::default() });
    scene.offer_all([1, 2, 3]);
    scene.begin();
    scene.lane.begun_elsewhere([key(2)].iter());
    assert_eq!(look_after(&mut scene, LIMIT), 1);
    assert!(scene.lane.queues.get(&key(3)).is_none());
}

#[test]
fn a_commit_carries_so_much_that_has_expired_and_the_rest_waits_for_the_next() {
    let mut scene = bounded(Settings { expire_every: MILLI, max_uncommitted: 2, ..Settings::default() });
    scene.offer_all([1]);
    scene.uncommitted.settled_unsent = 2;
    assert_eq!(look_after(&mut scene, LIMIT), 0);
    assert_eq!(watched(&mut scene), [10_001], "if nobody wakes it, time does");
    assert_eq!([scene.lane.take_waits_for_commit(), scene.lane.take_waits_for_commit()], [true, false]);
    scene.uncommitted.settled_unsent = 1;
    scene.act(Lane::go_on_expiring);
    assert_eq!((expired(&scene), scene.lane.take_waits_for_commit()), (1, false));
}

#[test]
fn nothing_expires_that_a_former_lane_may_have_in_flight() {
    let mut scene = aged();
    let former = AttemptId(7);
    scene.lane.follow([former].into(), [].into(), Held::default());
    scene.offer_all([1]);
    assert_eq!(look_after(&mut scene, LIMIT), 0);
    assert_eq!(watched(&mut scene), [10_001], "it looks again");
    scene.act(|lane, cx| lane.ended_elsewhere(former, [].iter(), cx));
    assert_eq!(look_after(&mut scene, MILLI), 1);
}

#[test]
fn a_limit_that_comes_counts_for_what_waits_already_and_one_that_goes_lets_it_wait() {
    let mut scene = Scene::bounded(Settings { expire_every: MILLI, ..Settings::default() });
    scene.fail_all([3]);
    scene.offer_all([1, 2]);
    assert_eq!(scene.begin(), [1]);
    assert!(!scene.lane.has_limit());
    scene.wait(LIMIT);
    scene.destination.max_age = Some(LIMIT * 2);
    scene.act(Lane::follow_max_age);
    assert_eq!((expired(&scene), scene.lane.has_limit()), (0, true));
    scene.destination.max_age = None;
    scene.act(Lane::follow_max_age);
    assert!(!scene.lane.has_limit());
    scene.destination.max_age = Some(LIMIT);
    scene.act(Lane::follow_max_age);
    assert_eq!(expired(&scene), 2, "one is in flight");
}

#[test]
fn a_lane_is_woken_in_whole_steps_when_the_next_event_is_due_and_no_more_than_so_far_ahead() {
    let due = |waited: Duration, limit: Duration| {
        let mut scene = Scene::of(Destination { max_age: Some(limit), ..destination() });
        assert!(scene.offer(&accepted(NOW.before(waited), 0, 1)));
        let first = watched(&mut scene);
        assert_eq!(watched(&mut scene), Vec::<u64>::new(), "it is set");
        first
    };
    assert_eq!(due(Duration::ZERO, LIMIT), [10_000]);
    assert_eq!(due(MILLI, LIMIT), [10_000]);
    assert_eq!(due(SECOND, LIMIT), [9_000]);
    assert_eq!(due(Duration::ZERO, LIMIT * 100), [60_000]);
    assert_eq!(watched(&mut aged()), Vec::<u64>::new(), "nothing waits");
}

#[test]
fn a_timer_is_set_again_where_something_is_due_sooner() {
    let mut scene = aged();
    scene.offer_all([1]);
    assert_eq!(watched(&mut scene), [10_000]);
    assert!(scene.offer(&accepted(NOW.before(SECOND), 1, 2)));
    assert_eq!(watched(&mut scene), [9_000]);
    assert!(scene.offer(&accepted(NOW.before(MILLI), 2, 3)));
    assert_eq!(watched(&mut scene), Vec::<u64>::new());
}

#[test]
fn a_lane_is_woken_for_what_it_has_not_read_yet_unless_that_is_due_already() {
    let mut scene = aged();
    scene.lane.detach(Offset(0));
    scene.lane.stopped_at(&accepted(NOW.before(LIMIT), 0, 1), NOW);
    assert_eq!(watched(&mut scene), Vec::<u64>::new(), "whoever can read it does");
    scene.lane.stopped_at(&accepted(NOW.before(LIMIT - MILLI), 0, 1), NOW);
    assert_eq!(watched(&mut scene), [1]);
}

#[test]
fn what_a_lane_could_not_go_past_it_reads_again_after_a_step() {
    let mut scene = bounded(Settings { expire_every: SECOND, ..Settings::default() });
    let reads = |scene: &mut Scene| {
        let read = scene.act(|lane, cx| lane.next_read(Offset(9), Appetite::None, cx));
        read.is_some_and(|read| read == scene.lane.read_ended())
    };
    scene.lane.detach(Offset(0));
    scene.act(|lane, cx| lane.advance(Offset(1), &[], cx));
    assert!(reads(&mut scene), "nobody knows how old that is");
    scene.act(|lane, cx| lane.advance(Offset(1), &[], cx));
    assert!(!reads(&mut scene), "it has not come any further");
    assert_eq!(watched(&mut scene), [1000]);
    scene.wait(SECOND - MILLI);
    assert!(!reads(&mut scene));
    scene.wait(MILLI);
    assert!(reads(&mut scene));
    scene.act(Lane::age_due);
    assert_eq!(watched(&mut scene), Vec::<u64>::new(), "it may look now");
}

#[test]
fn a_time_says_nothing_if_it_is_further_ahead_than_clocks_may_differ() {
    let scene = aged();
    let skew = crate::time::MAX_CLOCK_SKEW;
    let surely = |at| scene.lane.waits_since_surely(&accepted(at, 0, 1), NOW);
    assert_eq!(surely(NOW.before(YEAR)), Some(Timestamp::ZERO));
    assert_eq!(surely(NOW.after(skew)), Some(NOW.after(skew)));
    assert_eq!(surely(NOW.after(skew + MILLI)), None);
}

#[test]
fn what_comes_next_waits_since_the_first_of_it_whose_time_says_something() {
    let scene = aged();
    let ahead = NOW.after(YEAR);
    let at = |seconds| NOW.before(SECOND * seconds);
    let events: Vec<_> =
        [at(9), ahead, at(7), at(6)].into_iter().zip(0..).map(|(at, offset)| accepted(at, offset, 1)).collect();
    let next = |events: &[Arc<LoggedEvent>], next| scene.lane.next_waits_since(events, Offset(next), NOW);
    assert_eq!([0, 1, 2, 3].map(|from| next(&events, from)), [9, 7, 7, 6].map(|seconds| Some(at(seconds))));
    assert_eq!(next(&events, 4), Some(at(6)), "it is hardly older than what was before it");
    assert_eq!(next(&events[..2], 2), Some(at(9)));
    assert_eq!(next(&events[..2], 1), Some(NOW), "it is yet to be accepted");
    assert_eq!((next(&events[1..2], 2), next(&[], 2)), (None, None));
}

#[test]
fn what_a_clock_ahead_has_accepted_goes_with_what_is_old_behind_it_and_stays_behind_it() {
    let mut scene = aged();
    for (offset, at) in [NOW.after(YEAR), NOW, NOW.after(YEAR)].into_iter().enumerate() {
        let offset = offset as u64;
        assert!(scene.offer(&accepted(at, offset, u8::try_from(offset).unwrap() + 1)));
    }
    assert_eq!(look_after(&mut scene, LIMIT - MILLI), 0);
    assert_eq!(look_after(&mut scene, MILLI), 2);
    assert!(scene.lane.queues.get(&key(3)).is_some());
}

#[test]
fn what_a_clock_ahead_has_accepted_goes_with_what_is_old_of_its_own_key() {
    let mut scene = aged();
    for (offset, at) in [NOW.after(YEAR), NOW.after(YEAR), NOW].into_iter().enumerate() {
        assert!(scene.offer(&accepted(at, offset as u64, 1)));
    }
    // Something else wakes it: nothing is known to be due.
    scene.wait(LIMIT - MILLI);
    scene.act(Lane::go_on_expiring);
    assert_eq!(expired(&scene), 0);
    scene.wait(MILLI);
    scene.act(Lane::go_on_expiring);
    assert_eq!(expired(&scene), 3);
}

#[test]
fn what_a_lane_has_read_tells_of_what_was_accepted_before() {
    let ahead = accepted(NOW.after(YEAR), 3, 1);
    for (at, offset, expires) in
        [(NOW.before(LIMIT), 4, true), (NOW.before(LIMIT), 2, false), (NOW.before(LIMIT - MILLI), 4, false)]
    {
        let mut scene = aged();
        assert!(scene.offer(&ahead));
        scene.act(|lane, cx| lane.sees(&[accepted(at, offset, 2)], cx));
        scene.act(|lane, cx| lane.key_due(&key(1), cx));
        assert_eq!(expired(&scene) == 1, expires, "{at} at {offset}");
    }
}

#[test]
fn what_counts_again_expires_no_sooner_than_it_has_waited_again() {
    let mut scene = aged();
    scene.lane.waits_since_again(Offset(5), NOW);
    assert!(scene.offer(&accepted(NOW.before(YEAR), 0, 1)), "it is below");
    assert!(scene.offer(&accepted(NOW.after(YEAR), 1, 2)), "and so is this");
    assert!(scene.offer(&accepted(NOW.after(YEAR), 6, 3)), "this one is not");
    scene.act(|lane, cx| lane.sees(&[accepted(NOW.before(LIMIT), 7, 4)], cx));
    (1..=3).for_each(|n| scene.act(|lane, cx| lane.key_due(&key(n), cx)));
    assert_eq!((expired(&scene), scene.lane.queues.get(&key(3)).is_none()), (1, true));
    scene.wait(LIMIT);
    (1..=2).for_each(|n| scene.act(|lane, cx| lane.key_due(&key(n), cx)));
    assert_eq!(expired(&scene), 3);
}

#[test]
fn a_timer_that_comes_before_the_one_that_is_set_changes_nothing() {
    let mut scene = aged();
    scene.offer_all([1]);
    assert_eq!(watched(&mut scene), [10_000]);
    scene.act(Lane::age_due);
    assert_eq!((expired(&scene), watched(&mut scene)), (0, Vec::new()), "the one that is set stands");
}
