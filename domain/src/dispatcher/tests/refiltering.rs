//! A change of a destination applies to what comes after it, and to nothing before.

use super::changing::Change::{Put, Remake};
use super::fixtures::name;
use super::world::{Op, World};
use crate::io::Output;
use crate::revision::Revision;
use crate::settings::Settings;

/// A destination that wants everything, made by a change.
fn world() -> World {
    let settings = Settings { commit_settlements: 1, check_state: true, ..Settings::default() };
    let mut world = World::with(settings, 1, Vec::new());
    world.change(0, Put(0));
    world.pass(&[]);
    world
}

/// Says where the log ended when that was asked.
fn tell_end(world: &mut World) {
    let asks = world.reads.iter().position(|(read, _)| matches!(read, Output::ReadEnd { .. }));
    let (end, had) = world.reads.remove(asks.expect("it is asked for"));
    world.answer(&end, Some(had));
}

/// Which events a destination has got.
fn got(world: &World, of: &str) -> Vec<u64> {
    world.delivered.iter().filter(|(_, to, _)| to.as_str() == of).map(|(.., offset)| offset.0).collect()
}

#[test]
fn what_was_accepted_before_a_filter_was_narrowed_is_judged_by_the_one_before() {
    let mut world = world();
    // Of a type that is wanted by the first filter only; and it is not read yet.
    world.append(1, 1);
    world.change(0, Put(1));
    tell_end(&mut world);
    world.append(2, 1);
    world.append(3, 0);
    world.pass(&[]);
    let delivered: Vec<_> = world.delivered.iter().map(|(.., offset)| offset.0).collect();
    assert_eq!(delivered, [0, 2]);
}

#[test]
fn several_that_read_together_are_each_judged_by_the_filter_of_before() {
    let mut world = world();
    world.change(2, Put(0));
    world.pass(&[]);
    world.append(1, 1);
    for which in [0, 2] {
        world.change(which, Put(1));
    }
    world.pass(&[]);
    let mut delivered: Vec<_> = world.delivered.iter().map(|(_, to, offset)| (to.as_str(), offset.0)).collect();
    delivered.sort_unstable();
    assert_eq!(delivered, [("api-key", 0), ("api-none", 0)]);
}

#[test]
fn one_whose_filter_changes_reads_nothing_for_itself_that_the_shared_reader_is_about_to_read() {
    let mut world = world();
    world.change(1, Put(0));
    world.pass(&[]);
    world.append(1, 1);
    world.change(0, Put(1));
    let is_of_events = |(read, _): &&(Output, usize)| matches!(read, Output::Read { .. });
    assert_eq!(world.reads.iter().filter(is_of_events).count(), 1);
    world.pass(&[]);
    assert_eq!(world.delivered.len(), 2);
}

/// From the end on, and from the beginning on.
const BEGINS: [(u8, &[u64]); 2] = [(0, &[2]), (3, &[0, 1, 2])];

#[test]
fn one_that_is_changed_before_it_has_joined_is_judged_by_its_first_filter_up_to_the_change() {
    for (made, expected) in BEGINS {
        let mut world = world();
        world.append(1, 1);
        world.change(1, Put(made));
        world.append(2, 1);
        world.change(1, Put(1));
        // That was asked when only the first change was known.
        tell_end(&mut world);
        world.append(3, 1);
        while world.commits_under_way() > 0 {
            world.step(&Op::Store { which: 1, answer: 3 });
        }
        tell_end(&mut world);
        world.append(4, 1);
        world.pass(&[]);
        assert_eq!(got(&world, "api-strict"), expected, "{made}");
        assert_eq!(got(&world, "api-key"), [0, 1, 2, 3]);
    }
}

#[test]
fn one_that_begins_at_the_beginning_is_judged_by_its_first_filter_up_to_where_it_has_joined() {
    let mut world = world();
    world.append(1, 1);
    world.change(1, Put(3));
    world.change(1, Put(1));
    // Whoever owns the partition now hears of both at once.
    world.crash();
    tell_end(&mut world);
    world.append(2, 1);
    world.append(3, 0);
    world.pass(&[]);
    assert_eq!(got(&world, "api-strict"), [0, 2]);
}

#[test]
fn what_comes_from_a_cut_on_is_judged_by_nobody_before_that_is_stored() {
    let mut world = world();
    world.append(1, 1);
    world.change(1, Put(0));
    tell_end(&mut world);
    assert_eq!(world.commits_under_way(), 1, "it is stored at once");
    world.append(2, 1);
    let head = world.reads.iter().position(|(read, _)| matches!(read, Output::Read { .. })).expect("it was asked for");
    let (read, _) = world.reads.remove(head);
    world.answer(&read, Some(2));
    let started = |world: &World| world.started.iter().map(|(.., offset)| offset.0).collect::<Vec<_>>();
    assert_eq!(started(&world), [0]);
    world.pass(&[]);
    assert_eq!((got(&world, "api-key"), got(&world, "api-strict")), (vec![0, 1], vec![1]));
}

#[test]
fn one_that_was_lost_and_made_again_is_stored_as_what_it_is_now() {
    let mut world = world();
    let born = |world: &World| world.stored.lanes[&name("api-key")].born;
    let before = born(&world);
    world.change(0, Remake);
    world.pass(&[]);
    assert!(Revision::ORIGIN < before && before < born(&world));
    assert_eq!(born(&world), world.all_destinations().revision);
}
