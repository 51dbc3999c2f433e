//! Bounds at which something happens: there, and not before.

use super::fixtures::name;
use super::world::{Op, World};
use crate::*;
use std::num::NonZeroU32;
use std::time::Duration;

/// One destination that wants everything, known to the store.
fn world(settings: &Settings) -> World {
    let destination = Destination { from: StartFrom::Beginning, ..Destination::new(name("one")) };
    let mut world = World::with(Settings { check_state: true, ..settings.clone() }, 1, vec![destination]);
    world.step(&Op::Wait(25));
    while world.work_once() {}
    world
}

/// Events of so many keys, each in flight.
fn in_flight(world: &mut World, keys: u8) {
    (1..=keys).for_each(|key| world.append(key, 0));
    // The read that was asked for by the first, and the one for the rest.
    world.step(&Op::Answer(0));
    world.step(&Op::Answer(0));
}

fn deliver(world: &mut World, key: u8) {
    let wanted = Key::new(&format!("k{key}")).unwrap();
    let of_key = |attempted: &Attempted| attempted.event.event.key.as_ref() == Some(&wanted);
    let id = world.attempts.iter().find(|(_, (_, events, _))| events.iter().any(of_key)).map(|(id, _)| *id);
    world.end_attempt(id.expect("the key is in flight"), vec![Outcome::Delivered]);
}

#[test]
fn a_commit_is_made_at_its_number_of_settlements_and_not_before() {
    let mut world = world(&Settings { commit_settlements: 3, ..Settings::default() });
    in_flight(&mut world, 5);
    for (key, commits) in [(1, 0), (2, 0), (3, 1)] {
        deliver(&mut world, key);
        assert_eq!(world.commits_under_way(), commits, "after {key} of 3 settlements");
    }
}

#[test]
fn a_commit_is_made_after_its_interval_and_not_before() {
    let mut world = world(&Settings::default());
    in_flight(&mut world, 1);
    world.step(&Op::Renew);
    world.step(&Op::Wait(30)); // What the read has changed.
    deliver(&mut world, 1);
    world.step(&Op::Wait(24));
    assert_eq!(world.commits_under_way(), 0);
    world.step(&Op::Wait(1));
    assert_eq!(world.commits_under_way(), 1);
}

#[test]
fn too_much_that_is_not_stored_stops_attempts_until_it_is() {
    let settings = Settings { commit_settlements: 1, max_uncommitted: 3, ..Settings::default() };
    let mut world = world(&settings);
    in_flight(&mut world, 3);
    (1..=3).for_each(|key| deliver(&mut world, key));
    world.append(4, 0);
    world.step(&Op::Answer(0));
    assert!(world.attempts.is_empty(), "three are delivered, and no commit of them is stored");
    assert_eq!(world.commits_under_way(), 1);
    world.step(&Op::Store { which: 0, answer: 3 });
    assert_eq!(world.attempts.len(), 1, "one was stored");
}

#[test]
fn a_commit_carries_no_more_dead_letters_than_it_may_and_the_rest_waits_in_flight() {
    let mut world = world(&Settings { commit_dead_letter_bytes: 1, ..Settings::default() });
    in_flight(&mut world, 4);
    // Enough at once, which is not put off; enough for the next; and two that have to wait.
    for id in world.attempts.keys().copied().collect::<Vec<_>>() {
        world.end_attempt(id, vec![Outcome::Rejected { reason: "too large".into() }]);
    }
    assert_eq!((world.commits_under_way(), world.attempts.len()), (1, 2));
    let waiting = world.attempts.keys().copied().min().expect("two wait");
    world.end_attempt(waiting, vec![Outcome::Delivered]);
    for (letters, waiting) in [(1, 1), (2, 0), (3, 0), (4, 0)] {
        world.step(&Op::Store { which: 0, answer: 3 });
        assert_eq!((world.dead.len(), world.attempts.len()), (letters, waiting), "the first end of an attempt counts");
    }
}

#[test]
fn a_key_that_takes_long_is_recorded_and_holds_the_others_no_longer() {
    let mut world = world(&Settings { straggler_after: Duration::from_millis(300), ..Settings::default() });
    in_flight(&mut world, 4);
    (2..=4).for_each(|key| deliver(&mut world, key));
    let after = |world: &mut World, millis: u16| {
        world.step(&Op::Wait(millis));
        world.step(&Op::Renew);
        world.step(&Op::Store { which: 0, answer: 3 });
        let lane = &world.stored.lanes[&name("one")];
        (lane.position.offset(world.stored.scanned), lane.behind.clone())
    };
    assert_eq!(after(&mut world, 299), (Offset(0), [].into()));
    // What the last commit had nothing to say of comes with the next one.
    let slow = LaneKey::Key(Key::new("k1").unwrap());
    let recorded = [(slow, Behind { offset: Offset(0), retry: None })].into();
    assert_eq!(after(&mut world, 26), (Offset(4), recorded));
}

#[test]
fn a_batch_that_is_full_waits_for_nobody_also_where_all_is_of_one_key() {
    for ordering in [Ordering::Strict, Ordering::Key] {
        let batch = BatchPolicy { max_events: 3, max_bytes: 1 << 20, linger: Duration::from_secs(10) };
        let from = StartFrom::Beginning;
        let one = Destination { batch, from, ordering, ..Destination::new(name("one")) };
        let settings = Settings { check_state: true, ..Settings::default() };
        let mut world = World::with(settings, 1, vec![one]);
        (0..5).for_each(|_| world.append(1, 0));
        while let Some((read, had)) = world.reads.pop() {
            world.answer(&read, Some(had));
        }
        let in_flight = |world: &World| world.attempts.values().map(|(_, events, _)| events.len()).collect::<Vec<_>>();
        assert_eq!(in_flight(&world), [3]);
        while world.work_once() {}
        assert_eq!(world.delivered.len(), 3, "and the rest waits for a third one");
        for _ in 0..100 {
            world.renew();
            world.step(&Op::Wait(100));
        }
        assert_eq!(in_flight(&world), [2]);
    }
}

#[test]
fn nothing_of_a_lost_partition_waits_at_a_gate_that_is_closed() {
    let busy =
        Destination { from: StartFrom::Beginning, max_in_flight: NonZeroU32::MIN, ..Destination::new(name("one")) };
    let mut world = World::with(Settings { check_state: true, ..Settings::default() }, 1, vec![busy]);
    in_flight(&mut world, 3);
    assert_eq!(world.attempts.len(), 1, "the others wait");
    world.input(Input::LeaseLost(super::fixtures::PARTITION));
    let gates = world.dispatcher.shared.destinations.gates();
    assert_eq!(gates.map(|(_, gate)| gate.waiting.len()).collect::<Vec<_>>(), [0]);
}

#[test]
fn what_a_lost_partition_held_is_given_back() {
    // Of a key with more waiting than may be on track, offsets are remembered.
    let settings = Settings { window_events_per_key: 1, waiting_total: 4, ..Settings::default() };
    let mut world = world(&settings);
    (0..4).for_each(|n| world.append(1, n));
    world.step(&Op::Answer(0));
    world.step(&Op::Answer(0));
    assert!(world.dispatcher.status(world.now).destinations[0].keys_behind > 0);
    world.input(Input::LeaseLost(super::fixtures::PARTITION));
    world.dispatcher.check();
    assert_eq!(world.dispatcher.partitions().count(), 0);
}
