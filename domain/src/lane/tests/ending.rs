//! What the end of an attempt does.

use super::*;
use crate::destination::OnGiveUp;
use crate::history::{Fate, Sent};
use crate::progress::Redriven;

fn rejected() -> Outcome {
    Outcome::Rejected { reason: "no".into() }
}

/// A destination that takes so many events of the whole lane at once, three of which are under way.
fn three_under_way() -> Scene {
    let batch = BatchPolicy { max_events: 3, max_bytes: usize::MAX, linger: Duration::ZERO };
    let mut scene = Scene::of(Destination { batch, ordering: Ordering::Strict, ..destination() });
    scene.offer_all([1, 2, 3]);
    assert_eq!(scene.begin(), [0, 1, 2]);
    scene
}

/// The attempt ends so; what is told of its events.
fn told(scene: &mut Scene, outcomes: &[Outcome]) -> Vec<(u64, Fate)> {
    let parts = scene.in_flight.pop_front().unwrap();
    let sent: Vec<_> = (0..3).map(|offset| Sent::new(&event(offset, 1), 1, false)).collect();
    let ends = Ends { outcomes, statuses: &[], outage: false };
    scene.act(|lane, cx| lane.ended(&parts[0], ends, &sent, cx));
    let history = scene.uncommitted.to_tell.take(1, NOW);
    history.map_or_else(Vec::new, |history| history.told.iter().map(|told| (told.offset.0, told.fate)).collect())
}

#[test]
fn what_came_of_each_event_of_an_attempt_is_told_once_and_what_went_behind_a_failed_one_waits() {
    let told = |outcomes: [Outcome; 3]| told(&mut three_under_way(), &outcomes);
    let delivered = || Outcome::Delivered;
    let all = [(0, Fate::Delivered), (1, Fate::Delivered), (2, Fate::Delivered)];
    assert_eq!(told([delivered(), delivered(), delivered()]), all);
    let second_failed = [(0, Fate::Delivered), (1, Fate::Retried), (2, Fate::Waits)];
    assert_eq!(told([delivered(), failed(), failed()]), second_failed);
    let first_failed = [(0, Fate::Retried), (1, Fate::Waits), (2, Fate::Waits)];
    assert_eq!(told([failed(), delivered(), delivered()]), first_failed);
    assert_eq!(told([delivered(), failed(), Outcome::NotTried]), second_failed[..2], "of what was not tried nothing");
}

#[test]
fn only_the_first_event_of_an_attempt_may_be_named_from_it() {
    let named = |outcomes: &[Outcome]| {
        let mut scene = three_under_way();
        told(&mut scene, outcomes);
        let blocked = |notice: &Notice| match notice {
            Notice::KeyBlocked { event, .. } => event.as_ref().map(|event| event.offset.0),
            _ => None,
        };
        scene.notices.iter().find_map(blocked)
    };
    assert_eq!(named(&[failed(), Outcome::NotTried, Outcome::NotTried]), Some(0));
    assert_eq!(named(&[Outcome::Delivered, failed(), Outcome::NotTried]), Some(1));
}

#[test]
fn a_key_that_took_long_names_what_failed_by_what_its_attempt_carried() {
    let named = |outcomes: &[Outcome]| {
        let mut scene = three_under_way();
        scene.wait(SECOND);
        assert!(scene.act(Lane::look_for_stragglers));
        told(&mut scene, outcomes);
        let blocked = |notice: &Notice| match notice {
            Notice::KeyBlocked { event, .. } => Some(event.as_ref().map(|event| event.offset.0)),
            _ => None,
        };
        scene.notices.iter().find_map(blocked)
    };
    assert_eq!(named(&[failed(), Outcome::NotTried, Outcome::NotTried]), Some(Some(0)));
    assert_eq!(named(&[Outcome::Delivered, failed(), Outcome::NotTried]), Some(None), "its data was let go of");
}

#[test]
fn what_an_attempt_settles_is_counted_and_what_it_does_not_is_not() {
    let mut scene = three_under_way();
    told(&mut scene, &[Outcome::Delivered, Outcome::Delivered, failed()]);
    assert_eq!((scene.uncommitted.settled, scene.uncommitted.settled_unsent), (2, 0));
    assert_eq!(scene.lane.queues.known(&LaneKey::All).entries().len(), 1);
}

#[test]
fn the_outcomes_of_an_attempt_are_split_between_its_keys_with_their_statuses() {
    let outcomes = [Outcome::Delivered, failed(), rejected()];
    let split = |statuses: &[Option<u16>]| {
        let (first, rest) = Ends { outcomes: &outcomes, statuses, outage: true }.split_at(2);
        assert!(first.outage && rest.outage);
        assert_eq!((first.outcomes, rest.outcomes), outcomes.split_at(2));
        (first.statuses.to_vec(), rest.statuses.to_vec())
    };
    assert_eq!(split(&[Some(200), Some(500), Some(400)]), (vec![Some(200), Some(500)], vec![Some(400)]));
    assert_eq!(split(&[Some(500)]), (vec![Some(500)], Vec::new()));
}

#[test]
fn a_failure_says_what_was_answered() {
    let mut scene = Scene::new();
    scene.offer_all([1]);
    scene.begin();
    let parts = scene.in_flight.pop_front().unwrap();
    let ends = Ends { outcomes: &[failed()], statuses: &[Some(503)], outage: false };
    scene.act(|lane, cx| lane.ended(&parts[0], ends, &[], cx));
    assert_eq!(scene.lane.queues.known(&key(1)).retry().unwrap().last_status(), Some(503));
}

#[test]
fn an_outage_spends_no_retry_and_the_event_goes_again_at_once() {
    let mut scene = Scene::new();
    scene.offer_all([1]);
    scene.begin();
    let parts = scene.in_flight.pop_front().unwrap();
    let ends = Ends { outcomes: &[failed()], statuses: &[], outage: true };
    scene.act(|lane, cx| lane.ended(&parts[0], ends, &[], cx));
    assert!(!scene.is_behind(&key(1)));
    assert_eq!(scene.begin(), [0]);
}

#[test]
fn failures_of_an_event_add_up_it_is_told_once_and_its_data_is_let_go_of_each_time() {
    let mut scene = Scene::new();
    scene.fail_all([1]);
    let first = scene.now;
    for attempts in 1..=3 {
        let retry = scene.lane.queues.known(&key(1)).retry().unwrap();
        assert_eq!((retry.attempts, retry.first_failure, retry.history.len()), (attempts, first, attempts as usize));
        assert_eq!((scene.lane.bytes(), scene.notices.len()), (0, 1));
        scene.wait(SECOND);
        scene.act(|lane, cx| lane.key_due(&key(1), cx));
        scene.fetch();
        scene.act(|lane, cx| lane.fetched(&key(1), &[event(0, 1)], Offset(0)..Offset(1), cx));
        let (parts, events) = scene.act(Lane::next_delivery).unwrap();
        assert_eq!(events[0].attempt, attempts + 1);
        scene.in_flight.push_back(parts);
        scene.end(&failed());
    }
}

#[test]
fn what_costs_nothing_is_repeated_at_once_so_often_and_then_counts() {
    let mut scene = Scene::new();
    scene.offer_all([1]);
    for _ in 0..4 {
        assert!(!scene.is_behind(&key(1)));
        assert_eq!(scene.begin(), [0]);
        scene.end(&Outcome::retry(Cause::Unprocessed, "refused stream".into()));
    }
    assert_eq!(scene.lane.queues.known(&key(1)).retry().unwrap().attempts, 1);
}

#[test]
fn where_this_machine_lacks_something_the_event_waits_and_nothing_is_counted() {
    let mut scene = Scene::new();
    scene.offer_all([1]);
    scene.begin();
    scene.end(&Outcome::retry(Cause::Shortage, "no files".into()));
    let retry = scene.lane.queues.known(&key(1)).retry().unwrap();
    assert_eq!((retry.attempts, retry.next_attempt), (0, NextAttempt::At(NOW.after(SECOND))));
}

#[test]
fn what_is_given_up_is_a_dead_letter_or_held_and_its_key_waits() {
    for on_give_up in [OnGiveUp::DeadLetter, OnGiveUp::Hold] {
        let mut scene = Scene::of(Destination { on_give_up, ..destination() });
        scene.offer_all([1, 2, 1, 1]);
        for _ in 0..2 {
            scene.begin();
        }
        scene.end(&rejected());
        scene.end(&rejected());
        let letters = if on_give_up == OnGiveUp::Hold { 0 } else { 2 };
        assert_eq!(scene.uncommitted.dead_letters.len(), letters);
        assert_eq!((scene.uncommitted.unsaved.len(), scene.uncommitted.settled), (letters, letters));
        assert_eq!(scene.uncommitted.dead_letter_bytes, letters * weight());
        assert_eq!(scene.begin_all(), Vec::<Vec<u64>>::new(), "nothing of the key goes on");
        let queue = scene.lane.queues.known(&key(1));
        let is_held = queue.next_attempt() == Some(NextAttempt::Never);
        assert_eq!((queue.unsaved, is_held), if letters == 0 { (0, true) } else { (1, false) });
    }
}

/// A dead letter that is under way once more.
fn redriven() -> Scene {
    let mut scene = Scene::new();
    scene.act(|lane, cx| lane.redrive(&key(1), Offset(3), cx));
    scene.fetch();
    scene.act(|lane, cx| lane.fetched_dead_letter(&key(1), Offset(3), Ok(Some(event(3, 1))), cx));
    assert_eq!(scene.begin(), [3]);
    scene
}

#[test]
fn the_retry_of_a_dead_letter_ends_once_it_is_delivered_or_fails_and_it_is_told() {
    let outcomes = [Outcome::Delivered, failed(), rejected(), Outcome::NotTried];
    let reasons = [None, Some("no"), Some("no"), Some("the sink did not try it")];
    for (outcome, reason) in outcomes.into_iter().zip(reasons) {
        let mut scene = redriven();
        scene.end(&outcome);
        let ended = |redriven: &Redriven| redriven.failed.as_ref().map(|failure| failure.reason.to_string());
        assert_eq!(scene.uncommitted.redriven.iter().map(ended).collect::<Vec<_>>(), [reason.map(Into::into)]);
        assert!(
            matches!(&scene.notices[0], Notice::Redriven { event: Some(_), failed, .. } if failed.as_deref() == reason)
        );
        assert!(scene.lane.queues.is_empty());
    }
}

#[test]
fn what_is_told_of_the_retry_of_a_dead_letter_is_what_it_is_then() {
    for (outcome, fate) in [(Outcome::Delivered, Fate::Delivered), (failed(), Fate::DeadLetter)] {
        assert_eq!(told(&mut redriven(), &[outcome]), [(0, fate)]);
    }
    let unprocessed = Outcome::retry(Cause::Unprocessed, "refused stream".into());
    assert_eq!(told(&mut redriven(), &[unprocessed]), [(0, Fate::Waits)]);
}

#[test]
fn the_retry_of_a_dead_letter_is_repeated_at_once_so_often_and_never_after_a_pause() {
    let mut scene = redriven();
    for _ in 0..3 {
        scene.end(&Outcome::retry(Cause::Unprocessed, "refused stream".into()));
        assert_eq!((scene.begin(), scene.uncommitted.redriven.len()), (vec![3], 0));
    }
    scene.end(&Outcome::retry(Cause::Unprocessed, "refused stream".into()));
    assert_eq!(scene.uncommitted.redriven.len(), 1);
    let mut scene = redriven();
    scene.end(&Outcome::retry(Cause::Shortage, "no files".into()));
    assert_eq!(scene.uncommitted.redriven.len(), 1, "whoever asked for it is told");
}

#[test]
fn a_dead_letter_that_cannot_be_read_has_failed() {
    let mut scene = Scene::new();
    scene.act(|lane, cx| lane.redrive(&key(1), Offset(3), cx));
    scene.fetch();
    scene.act(|lane, cx| lane.fetched_dead_letter(&key(1), Offset(3), Err("damaged".into()), cx));
    assert_eq!(scene.uncommitted.redriven[0].failed.as_ref().unwrap().reason.as_ref(), "damaged");
    assert!(scene.lane.queues.is_empty());
}

#[test]
fn a_replay_that_delivers_a_dead_letter_takes_it_back_and_a_live_lane_does_not() {
    for is_replay in [true, false] {
        let mut scene = Scene::new();
        if is_replay {
            scene.lane.replays_as(1);
        }
        scene.offer_all([1]);
        scene.begin();
        scene.end(&Outcome::Delivered);
        assert_eq!(scene.uncommitted.redriven.len(), usize::from(is_replay));
    }
}

#[test]
fn a_failed_event_is_blocked_under_its_own_name_and_no_other() {
    let mut scene = Scene::new();
    scene.fail_all([2, 1]);
    scene.offer_all([3]);
    let blocked = |n, head: Option<u64>| scene.lane.is_blocked(&key(n), head.map(Offset));
    assert_eq!([None, Some(0), Some(1)].map(|head| blocked(1, head)), [true, false, true]);
    assert!(!blocked(3, None) && !blocked(4, None), "nothing of them has failed");
}

#[test]
fn an_operator_has_a_failed_event_tried_at_once_or_given_up_and_nothing_else() {
    let mut scene = Scene::new();
    scene.fail_all([1, 2]);
    scene.offer_all([3]);
    for n in [3, 4] {
        assert!(!scene.act(|lane, cx| lane.retry_now(&key(n), cx) || lane.skip(&key(n), cx)));
    }
    assert_eq!(scene.fetch(), None);
    assert!(scene.act(|lane, cx| lane.retry_now(&key(1), cx)));
    assert_eq!(scene.fetch(), Some((key(1), 0, 1)));
    assert!(scene.act(|lane, cx| lane.skip(&key(2), cx)));
    assert_eq!(scene.uncommitted.dead_letters.len(), 1);
    assert!(scene.uncommitted.dead_letter_bytes > weight(), "its data is not at hand");
    assert!(!scene.act(|lane, cx| lane.skip(&key(2), cx)), "it is no more");
}

#[test]
fn what_failed_is_tried_at_once_where_the_reason_is_gone_and_what_is_held_is_the_operators() {
    let mut scene = Scene::of(Destination { on_give_up: OnGiveUp::Hold, ..destination() });
    scene.fail_all([1, 2]);
    scene.offer_all([3]);
    scene.begin();
    scene.end(&rejected());
    scene.act(Lane::retry_all);
    let fetched: Vec<_> = std::iter::from_fn(|| scene.fetch()).map(|(key, ..)| key).collect();
    assert_eq!(fetched, [key(1), key(2)]);
}
