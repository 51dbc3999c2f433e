//! Whose turn it is to read: who has a place, for how long, and who goes one by one.

use super::fixtures::{PARTITION, name};
use super::world::{Op, World};
use crate::destination::{Destination, StartFrom};
use crate::event::Key;
use crate::io::{Input, Output};
use crate::partition::Offset;
use crate::replay::{ReplayId, ReplayOrder, Selection};
use crate::settings::Settings;
use crate::status::Command;
use std::ops::Range;

const EVENTS: u64 = 3;

/// Destinations that have had all of some events, and that share so many places.
fn world(max_reads: usize, names: &[&str]) -> World {
    let of = |text: &&str| Destination { from: StartFrom::Beginning, ..Destination::new(name(text)) };
    let settings = Settings { max_reads, check_state: true, ..Settings::default() };
    let mut world = World::with(settings, 1, names.iter().map(of).collect());
    (0..EVENTS).for_each(|_| world.append(1, 0));
    world.pass(&[]);
    assert_eq!(world.delivered.len() as u64, EVENTS * names.len() as u64);
    world
}

/// Somebody wants events of this range once more. `in_haste`: so that new ones of their key wait for them.
fn replay(world: &mut World, to: &str, range: Range<u64>, in_haste: bool) {
    let keys = in_haste.then(|| Key::new("k1").unwrap()).into_iter().collect();
    let order = ReplayOrder {
        asked_at: world.now,
        ranges: [(PARTITION, Offset(range.start)..Offset(range.end))].into(),
        selection: Selection { keys, ..Selection::default() },
        first: false,
    };
    let (destination, replay) = (name(to), ReplayId::new("r").unwrap());
    assert!(world.command(Command::BeginReplay { destination, replay, order: Box::new(order) }));
}

/// All that were asked for begin at once, as the store has them.
fn begin_all(world: &mut World) {
    world.step(&Op::Wait(30));
    world.step(&Op::Store { which: 0, answer: 3 });
}

/// The reads under way: from where on, and whether they take their time.
fn reads(world: &World) -> Vec<(u64, bool)> {
    let read = |(read, _): &(Output, usize)| match read {
        Output::Read { from, unhurried, .. } => (from.0, *unhurried),
        other => panic!("{other:?} reads no events"),
    };
    world.reads.iter().map(read).collect()
}

#[test]
fn of_replays_that_nothing_new_waits_for_one_reads_at_a_time_and_all_come_to_their_end() {
    let mut world = world(32, &["a", "b", "c"]);
    for to in ["a", "b", "c"] {
        replay(&mut world, to, 0..EVENTS, false);
    }
    begin_all(&mut world);
    assert_eq!(reads(&world), [(0, true)]);
    while !world.reads.is_empty() {
        assert_eq!(world.reads.len(), 1);
        let (read, had) = world.reads.remove(0);
        world.answer(&read, Some(had));
    }
    world.pass(&[]);
    assert_eq!(world.delivered.len() as u64, 2 * 3 * EVENTS);
}

#[test]
fn what_takes_its_time_waits_for_no_place_of_what_is_in_haste() {
    let mut world = world(1, &["a", "b"]);
    replay(&mut world, "a", 0..EVENTS, true);
    replay(&mut world, "b", 1..EVENTS, false);
    begin_all(&mut world);
    assert_eq!(reads(&world), [(0, false), (1, true)]);
}

#[test]
fn of_two_that_ask_at_once_the_first_has_the_only_place_and_the_second_is_next() {
    let mut world = world(1, &["a", "b"]);
    replay(&mut world, "a", 0..EVENTS, true);
    replay(&mut world, "b", 1..EVENTS, true);
    begin_all(&mut world);
    assert_eq!(reads(&world), [(0, false)]);
    let (read, had) = world.reads.remove(0);
    world.answer(&read, Some(had));
    assert_eq!(reads(&world), [(1, false)]);
}

#[test]
fn reads_that_take_long_lose_their_places_to_those_that_wait_and_are_answered_all_the_same() {
    let mut world = world(2, &["a", "b", "c", "d", "e"]);
    for to in ["a", "b", "c", "d", "e"] {
        replay(&mut world, to, 0..EVENTS, true);
    }
    begin_all(&mut world);
    let mut asked = vec![world.reads.len()];
    for millis in [499, 1, 499, 1] {
        world.step(&Op::Wait(millis));
        asked.push(world.reads.len());
    }
    assert_eq!(asked, [2, 2, 4, 4, 5]);
    world.pass(&[]);
    assert_eq!(world.delivered.len() as u64, 2 * 5 * EVENTS);
}

#[test]
fn reads_of_a_partition_that_is_lost_hold_no_places() {
    let mut world = world(1, &["a", "b"]);
    replay(&mut world, "a", 0..EVENTS, true);
    replay(&mut world, "b", 1..EVENTS, true);
    begin_all(&mut world);
    assert_eq!(reads(&world), [(0, false)]);
    world.input(Input::LeaseLost(PARTITION));
    world.reads.clear();
    world.claim();
    assert_eq!(reads(&world), [(0, false)], "the next owner reads at once");
}

#[test]
fn a_read_of_what_is_new_that_failed_is_made_again_after_a_moment() {
    let mut world = world(1, &["one"]);
    world.append(1, 0);
    assert_eq!(reads(&world), [(EVENTS, false)]);
    let (read, _) = world.reads.pop().expect("it is asked for");
    world.answer(&read, None);
    world.step(&Op::Wait(249));
    assert!(world.reads.is_empty());
    world.step(&Op::Wait(1));
    assert_eq!(reads(&world), [(EVENTS, false)]);
    let (again, _) = world.reads.pop().expect("it is asked for again");
    // An answer to the first one may come all the same, and the second one's changes nothing then.
    world.answer(&read, Some(world.log.len()));
    world.answer(&again, Some(world.log.len()));
    assert_eq!(world.attempts.len(), 1);
}
