//! Commits: what one is made for, when, and what is in it.

use super::fixtures::{PARTITION, name};
use super::world::{Op, World};
use crate::destination::{Destination, StartFrom};
use crate::event::Key;
use crate::filter::{Filter, Filters, TypePattern};
use crate::io::{DestinationChanges, Input};
use crate::lane_key::LaneKey;
use crate::outcome::Outcome;
use crate::partition::Offset;
use crate::progress::Position;
use crate::settings::Settings;

fn wants(text: &str, types: &str) -> Destination {
    let filter = Filter { types: vec![TypePattern::new(types).unwrap()], ..Filter::default() };
    let filters = Filters::always(filter).into();
    Destination { from: StartFrom::Beginning, filters, ..Destination::new(name(text)) }
}

fn world(destinations: Vec<Destination>) -> World {
    let mut world = World::with(Settings { check_state: true, ..Settings::default() }, 1, destinations);
    world.pass(&[]);
    world
}

#[test]
fn how_far_was_read_is_stored_also_where_nobody_wants_what_is_there() {
    let mut world = world(vec![wants("one", "never")]);
    (0..3).for_each(|_| world.append(1, 0));
    world.pass(&[]);
    assert_eq!(world.stored.scanned, Offset(3));
}

#[test]
fn one_that_holds_the_others_back_is_set_apart_by_the_next_commit_though_nothing_else_happens() {
    let mut world = world(vec![wants("hangs", "*"), wants("idle", "never")]);
    world.append(1, 0);
    world.pass(&["hangs"]);
    let position = world.stored.lanes[&name("hangs")].position;
    assert_eq!((world.stored.scanned, position), (Offset(1), Position::At(Offset(0))));
}

#[test]
fn what_waits_for_an_attempt_when_a_partition_is_let_go_of_is_stored_key_by_key() {
    let mut world = world(vec![wants("one", "*")]);
    world.append(1, 0);
    world.append(2, 0);
    while world.work_once_but_for(&["one"]) {}
    world.destinations[0].paused = Some("a test".into());
    world.input(Input::Destinations(DestinationChanges::present(world.destinations.clone())));
    let in_flight: Vec<_> = world.attempts.keys().copied().collect();
    for (id, outcome) in in_flight.into_iter().zip([Outcome::NotTried, Outcome::Delivered]) {
        world.end_attempt(id, vec![outcome]);
    }
    world.input(Input::Release(PARTITION));
    while world.work_once() {}
    let lane = &world.stored.lanes[&name("one")];
    let waits: Vec<_> = lane.behind.iter().map(|(key, behind)| (key.clone(), behind.offset)).collect();
    assert_eq!(waits, [(LaneKey::Key(Key::new("k1").unwrap()), Offset(0))]);
    assert_eq!(lane.position.offset(world.stored.scanned), Offset(2));
}

#[test]
fn a_commit_that_failed_is_sent_again_after_its_own_wait_and_not_after_that_of_an_earlier_owner() {
    let mut world = world(vec![wants("one", "never")]);
    let fail = |world: &mut World| {
        world.step(&Op::Wait(25));
        assert_eq!(world.commits_under_way(), 1);
        world.commits.clear();
        world.input(Input::CommitFailed(PARTITION));
    };
    world.append(1, 0);
    while !world.reads.is_empty() {
        world.work_once();
    }
    fail(&mut world);
    world.step(&Op::Wait(100));
    world.input(Input::LeaseLost(PARTITION));
    world.reads.clear();
    world.claim();
    while !world.reads.is_empty() {
        world.work_once();
    }
    fail(&mut world);
    let sent = [125, 99, 25, 1].map(|millis| {
        world.step(&Op::Wait(millis));
        world.commits_under_way()
    });
    // The first is that of the earlier owner.
    assert_eq!(sent, [0, 0, 0, 1]);
}
