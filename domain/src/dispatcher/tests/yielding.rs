//! Replays and what is new beside them: who waits for whom, and for how long.

use super::fixtures::{PARTITION, name};
use super::world::{Op, World};
use crate::destination::{Destination, Ordering, StartFrom};
use crate::event::Key;
use crate::io::{AttemptId, DestinationChanges, Input};
use crate::outcome::Outcome;
use crate::partition::Offset;
use crate::progress::ReplayProgress;
use crate::replay::{ReplayId, ReplayOrder, ReplayState, Selection};
use crate::settings::Settings;
use crate::status::Command;

/// A destination, and an event of each of these keys that it has got.
fn world(ordering: Ordering, keys: &[u8]) -> World {
    let one = Destination { from: StartFrom::Beginning, ordering, ..Destination::new(name("one")) };
    let mut world = World::with(Settings { check_state: true, ..Settings::default() }, 1, vec![one]);
    keys.iter().for_each(|key| world.append(*key, 0));
    world.pass(&[]);
    assert_eq!(world.delivered.len(), keys.len());
    world
}

fn settle(world: &mut World, hanging: &[&str]) {
    while world.work_once_but_for(hanging) {}
}

/// What is of these keys, or of all if there are none, once more.
fn order(world: &World, keys: &[&str]) -> ReplayOrder {
    let keys = keys.iter().map(|key| Key::new(key).unwrap()).collect();
    let ranges = [(PARTITION, Offset::ZERO..world.end)].into();
    ReplayOrder { asked_at: world.now, ranges, selection: Selection { keys, ..Selection::default() }, first: false }
}

fn id(text: &str) -> ReplayId {
    ReplayId::new(text).unwrap()
}

fn begin(world: &mut World, to: &str, replay: &str, order: ReplayOrder) -> bool {
    world.command(Command::BeginReplay { destination: name(to), replay: id(replay), order: Box::new(order) })
}

fn state(world: &World, replay: &str) -> ReplayState {
    let status = &world.dispatcher.status(world.now).destinations[0];
    status.replays.iter().find(|known| known.id == id(replay)).expect("it is known").state()
}

/// What is in flight: whether it is of a replay, and which event.
fn in_flight(world: &World) -> Vec<(bool, u64)> {
    world.attempts.values().map(|(_, events, _)| (events[0].replay.is_some(), events[0].event.offset.0)).collect()
}

fn deliver(world: &mut World, offset: u64) {
    let is_it = |events: &[crate::io::Attempted]| events[0].event.offset == Offset(offset);
    let found: Option<AttemptId> = world.attempts.iter().find(|(_, (_, events, _))| is_it(events)).map(|(id, _)| *id);
    world.end_attempt(found.expect("it is in flight"), vec![Outcome::Delivered]);
}

#[test]
fn what_is_new_of_a_replayed_key_waits_until_the_replay_has_passed_that_key_and_for_no_other() {
    let mut world = world(Ordering::Key, &[1, 2]);
    // So that there is a lane of what is new when the replay begins.
    world.append(3, 0);
    settle(&mut world, &["one"]);
    let order = order(&world, &["k1", "k2"]);
    assert!(begin(&mut world, "one", "r", order));
    for key in [1, 2, 4] {
        world.append(key, 0);
    }
    world.pass(&["one"]);
    assert_eq!(in_flight(&world), [(false, 2), (false, 5), (true, 0), (true, 1)]);
    deliver(&mut world, 1);
    world.pass(&["one"]);
    assert_eq!(in_flight(&world), [(false, 2), (false, 5), (true, 0), (false, 4)], "all is known of the second key");
    world.pass(&[]);
    assert_eq!((state(&world, "r"), world.delivered.len()), (ReplayState::Done, 6 + 2));
}

#[test]
fn a_replay_begins_when_nothing_new_of_what_waits_for_it_is_in_flight() {
    let mut world = world(Ordering::Key, &[1]);
    let order = order(&world, &["k1"]);
    world.append(1, 0);
    settle(&mut world, &["one"]);
    assert!(begin(&mut world, "one", "r", order));
    world.pass(&["one"]);
    assert_eq!((state(&world, "r"), in_flight(&world)), (ReplayState::Asked, vec![(false, 1)]));
    deliver(&mut world, 1);
    world.pass(&["one"]);
    assert_eq!((state(&world, "r"), in_flight(&world)), (ReplayState::Running, vec![(true, 0)]));
}

#[test]
fn one_that_gives_way_before_it_is_stored_is_stored_and_done_after_the_other() {
    let mut world = world(Ordering::Strict, &[1]);
    let order = order(&world, &["k1"]);
    world.append(1, 0);
    settle(&mut world, &["one"]);
    for (replay, first) in [("second", false), ("first", true)] {
        assert!(begin(&mut world, "one", replay, ReplayOrder { first, ..order.clone() }));
    }
    // Both wait for the attempt, while commits are made.
    world.pass(&["one"]);
    world.append(1, 0);
    world.pass(&["one"]);
    assert_eq!(["first", "second"].map(|replay| state(&world, replay)), [ReplayState::Asked; 2]);
    world.pass(&[]);
    let stored = &world.stored.lanes[&name("one")].replays;
    assert_eq!(stored.len(), 2);
    assert!(stored.values().all(ReplayProgress::is_done));
    assert_eq!(world.delivered.len(), 3 + 2);
}

#[test]
fn a_replay_that_ends_while_a_commit_of_it_is_on_its_way_is_not_begun_again() {
    let mut world = world(Ordering::Strict, &[1, 1, 1]);
    let order = order(&world, &[]);
    assert!(begin(&mut world, "one", "r", order));
    world.pass(&["one"]);
    deliver(&mut world, 0);
    world.step(&Op::Wait(30));
    assert_eq!(world.commits_under_way(), 1);
    deliver(&mut world, 1);
    deliver(&mut world, 2);
    world.pass(&[]);
    assert_eq!((state(&world, "r"), world.delivered.len()), (ReplayState::Done, 3 + 3));
}

#[test]
fn a_replay_ends_where_it_is_to_end() {
    let mut world = world(Ordering::Key, &[1, 2, 3]);
    let order = order(&world, &[]);
    let ranges = [(PARTITION, Offset(0)..Offset(2))].into();
    assert!(begin(&mut world, "one", "r", ReplayOrder { ranges, ..order }));
    world.pass(&["one"]);
    assert_eq!(in_flight(&world), [(true, 0), (true, 1)]);
}

#[test]
fn a_replay_at_one_that_is_paused_reads_on_when_it_is_not_any_more() {
    let mut world = world(Ordering::Key, &[1, 2, 3]);
    let pause = |world: &mut World, paused: Option<&str>| {
        world.destinations[0].paused = paused.map(Into::into);
        world.input(Input::Destinations(DestinationChanges::present(world.destinations.clone())));
    };
    pause(&mut world, Some("a test"));
    let order = order(&world, &[]);
    assert!(begin(&mut world, "one", "r", order));
    world.pass(&[]);
    assert_eq!((state(&world, "r"), world.delivered.len()), (ReplayState::Running, 3));
    pause(&mut world, None);
    world.pass(&[]);
    assert_eq!((state(&world, "r"), world.delivered.len()), (ReplayState::Done, 3 + 3));
}

#[test]
fn what_the_lane_of_a_replay_held_is_given_back_when_its_partition_is_lost() {
    let mut world = world(Ordering::Key, &[1, 2, 3]);
    let order = order(&world, &[]);
    assert!(begin(&mut world, "one", "r", order));
    world.pass(&["one"]);
    assert_eq!(in_flight(&world).len(), 3);
    world.input(Input::LeaseLost(PARTITION));
    world.dispatcher.check();
}

#[test]
fn no_replay_begins_where_nothing_was_settled_or_nothing_is_kept_or_that_is_let_go_of() {
    use super::changing::Change::Put;
    let mut world = world(Ordering::Key, &[1]);
    let order = order(&world, &[]);
    world.change(0, Put(3));
    assert!(!begin(&mut world, "api-key", "r", order.clone()), "it has yet to join");
    world.pass(&[]);
    assert!(begin(&mut world, "api-key", "r", order.clone()));
    world.destinations.push(Destination { is_kept: false, ..Destination::new(name("stands-in")) });
    world.input(Input::Destinations(DestinationChanges::present(world.destinations.clone())));
    assert!(!begin(&mut world, "stands-in", "r", order.clone()), "nothing is kept of it");
    world.append(5, 0);
    settle(&mut world, &["one", "api-key", "stands-in"]);
    world.input(Input::Release(PARTITION));
    assert!(!begin(&mut world, "one", "r", order), "the partition is let go of when what is in flight has ended");
}

#[test]
fn one_that_is_to_go_back_to_where_it_has_yet_to_come_stays_as_it_is() {
    let mut world = world(Ordering::Key, &[1]);
    world.append(1, 0);
    settle(&mut world, &["one"]);
    let goes_back = |from| Command::Replay { destination: name("one"), from: [(PARTITION, Offset(from))].into() };
    assert!(world.command(goes_back(2)));
    deliver(&mut world, 1);
    world.pass(&[]);
    assert_eq!((world.started.len(), world.delivered.len()), (2, 2));
}

#[test]
fn a_number_is_larger_than_that_of_every_replay_before_also_if_none_is_left_of_them() {
    let mut world = world(Ordering::Key, &[1, 2, 3]);
    world.stored.lanes.get_mut(&name("one")).expect("it is stored").last_replay = 9;
    world.crash();
    world.pass(&[]);
    let order = order(&world, &[]);
    assert!(begin(&mut world, "one", "r", order));
    world.pass(&["one"]);
    let numbers: Vec<_> = world.attempts.values().map(|(_, events, _)| events[0].replay).collect();
    assert_eq!(numbers, [Some(10); 3]);
}
