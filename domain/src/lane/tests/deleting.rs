//! What waits of tenants that were deleted.

use super::*;
use crate::tenant::Tenant;

fn acme() -> Tenant {
    Tenant::new("acme").unwrap()
}

fn theirs(offset: u64, key: u8) -> Arc<LoggedEvent> {
    let mut event = (*event(offset, key)).clone();
    event.event.tenant = Some(acme());
    Arc::new(event)
}

fn their_key(n: u8) -> LaneKey {
    LaneKey::Tenant(acme(), Key::new(&format!("k{n}")).unwrap())
}

/// They are deleted; what that settles.
fn delete(scene: &mut Scene) -> usize {
    scene.deleted_tenants = [acme()].into_iter().collect();
    let before = scene.uncommitted.settled_unsent;
    scene.act(Lane::drop_deleted_tenants);
    scene.uncommitted.settled_unsent - before
}

fn strict(max_events: usize) -> Scene {
    let batch = BatchPolicy { max_events, max_bytes: usize::MAX, linger: Duration::ZERO };
    Scene::of(Destination { batch, ordering: Ordering::Strict, ..destination() })
}

#[test]
fn what_waits_of_a_deleted_tenant_is_settled_and_nothing_of_anybody_else() {
    let mut scene = Scene::new();
    for event in [theirs(0, 1), event(1, 1), theirs(2, 1), theirs(3, 2)] {
        assert!(scene.offer(&event));
    }
    assert_eq!(delete(&mut scene), 3);
    assert_eq!(scene.begin_all(), [[1]]);
}

#[test]
fn what_is_in_flight_of_a_deleted_tenant_ends_by_itself_and_is_never_tried_again() {
    for outcome in [failed(), Outcome::Rejected { reason: "no".into() }, Outcome::NotTried] {
        let mut scene = Scene::new();
        scene.offer(&theirs(0, 1));
        scene.begin();
        assert_eq!(delete(&mut scene), 0);
        scene.end(&outcome);
        assert_eq!((scene.uncommitted.settled, scene.uncommitted.settled_unsent), (0, 1), "{outcome:?}");
        assert!(scene.uncommitted.dead_letters.is_empty() && scene.lane.queues.is_empty());
    }
    let mut scene = Scene::new();
    scene.offer(&theirs(0, 1));
    scene.begin();
    delete(&mut scene);
    scene.end(&Outcome::Delivered);
    assert_eq!(scene.uncommitted.settled, 1);
}

#[test]
fn what_fails_of_somebody_else_is_tried_again() {
    let mut scene = Scene::new();
    scene.offer_all([1]);
    scene.begin();
    delete(&mut scene);
    scene.end(&failed());
    assert!(scene.is_behind(&key(1)));
}

#[test]
fn where_a_key_does_not_tell_whose_it_is_its_events_do() {
    let mut scene = strict(9);
    for event in [theirs(0, 1), event(1, 1), theirs(2, 1), event(3, 1)] {
        assert!(scene.offer(&event));
    }
    assert_eq!(delete(&mut scene), 1);
    assert_eq!(scene.begin(), [1], "a batch ends before one of theirs");
    scene.end(&Outcome::Delivered);
    assert_eq!((scene.begin(), scene.uncommitted.settled_unsent), (vec![3], 2));
}

#[test]
fn what_was_sent_for_a_deleted_tenant_is_known_by_what_the_attempt_carried() {
    let mut scene = strict(1);
    scene.offer(&theirs(0, 1));
    scene.begin();
    scene.wait(SECOND);
    scene.act(Lane::look_for_stragglers);
    delete(&mut scene);
    scene.end(&failed());
    assert_eq!(scene.uncommitted.settled_unsent, 1);
    assert!(scene.lane.queues.get(&LaneKey::All).is_none(), "nothing is left to be tried again");
}

#[test]
fn a_failed_event_of_which_only_the_record_tells_is_settled_if_it_is_a_deleted_tenants() {
    let mut scene = Scene::new();
    scene.head = Offset(9);
    for key in [their_key(1), key(2)] {
        let record = Behind { offset: Offset(3), retry: Some(retry_at(NOW.after(SECOND))) };
        scene.act(|lane, cx| lane.restore(&key, record, Offset(9), cx));
    }
    assert_eq!(delete(&mut scene), 1);
    let queue = scene.lane.queues.known(&their_key(1));
    assert_eq!((queue.retry(), queue.known_below()), (None, Some(Offset(4))));
    let others = scene.lane.queues.known(&key(2));
    assert_eq!((others.retry().is_some(), others.entries().len()), (true, 0));
}

#[test]
fn dead_letters_of_a_deleted_tenant_are_not_tried_once_more() {
    let mut scene = Scene::new();
    scene.act(|lane, cx| {
        lane.redrive(&their_key(1), Offset(0), cx);
        lane.redrive(&their_key(1), Offset(1), cx);
        lane.redrive(&key(1), Offset(2), cx);
    });
    delete(&mut scene);
    assert_eq!(scene.lane.queues.redrives(), 1);
    assert_eq!(scene.fetch(), Some((key(1), 2, 0)));
    for (event, left) in [(theirs(3, 1), 0), (event(3, 1), 1)] {
        let mut scene = strict(1);
        scene.act(|lane, cx| lane.redrive(&LaneKey::All, Offset(3), cx));
        scene.fetch();
        scene.act(|lane, cx| lane.fetched_dead_letter(&LaneKey::All, Offset(3), Ok(Some(event)), cx));
        delete(&mut scene);
        assert_eq!((scene.lane.queues.redrives(), scene.begin().len()), (left, left));
    }
}

#[test]
fn a_dead_letter_that_is_in_flight_is_waited_for() {
    let mut scene = Scene::new();
    scene.act(|lane, cx| lane.redrive(&their_key(1), Offset(0), cx));
    scene.fetch();
    scene.act(|lane, cx| lane.fetched_dead_letter(&their_key(1), Offset(0), Ok(Some(theirs(0, 1))), cx));
    assert_eq!(scene.begin(), [0]);
    delete(&mut scene);
    assert_eq!(scene.lane.queues.redrives(), 1);
    scene.end(&Outcome::Delivered);
    assert!(scene.lane.queues.is_empty());
}
