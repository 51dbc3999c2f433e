//! Lanes that do not keep up: who gets what a read has brought, and what is read for nobody.

use super::fixtures::{logged, name};
use super::world::World;
use crate::destination::{Destination, DestinationName, StartFrom};
use crate::event::Key;
use crate::filter::TypePattern;
use crate::io::{DestinationChanges, Input, Output};
use crate::lane_key::LaneKey;
use crate::partition::Offset;
use crate::progress::{Behind, LaneProgress, PartitionProgress, ReplayMark, ReplayProgress};
use crate::replay::{ReplayId, ReplaySpec, Selection};
use crate::settings::Settings;
use std::collections::BTreeMap;
use std::time::Duration;

fn settings() -> Settings {
    Settings { check_state: true, ..Settings::default() }
}

fn of(text: &str) -> Destination {
    Destination { from: StartFrom::Beginning, ..Destination::new(name(text)) }
}

/// The key numbered so, of which everything from an offset on waits.
fn behind(key: u8, offset: u64) -> BTreeMap<LaneKey, Behind> {
    let key = LaneKey::Key(Key::new(&format!("k{key}")).unwrap());
    [(key, Behind { offset: Offset(offset), retry: None })].into()
}

/// A process that has just started, over a log of events with these keys. Everything was settled before but for what
/// these lanes say.
fn world(settings: Settings, log: &[u8], lanes: BTreeMap<DestinationName, LaneProgress>) -> World {
    let mut world = World::with(settings, 1, lanes.keys().map(|name| of(name.as_str())).collect());
    for (n, key) in (0..).zip(log) {
        world.log.push(logged(world.end, *key, n % 3, world.now));
        world.end = world.end.next();
    }
    for (to, lane) in &lanes {
        let is_settled = |offset: Offset, key: &LaneKey| lane.behind.get(key).is_none_or(|of| offset < of.offset);
        let settled = world.log.iter().filter(|event| is_settled(event.offset, &world.lane_key(to, event)));
        let settled: Vec<_> = settled.map(|event| (to.clone(), event.offset)).collect();
        world.settled.extend(settled);
    }
    world.stored = PartitionProgress { scanned: world.end, lanes, ..PartitionProgress::default() };
    world.crash();
    world
}

/// From where on is read.
fn reads(world: &World) -> Vec<u64> {
    let from = |(read, _): &(Output, usize)| match read {
        Output::Read { from, .. } => from.0,
        other => panic!("{other:?} reads no events"),
    };
    let mut all: Vec<u64> = world.reads.iter().map(from).collect();
    all.sort_unstable();
    all
}

/// All that the log has is said to whoever asked from there on first.
fn answer(world: &mut World, wanted: u64) {
    let is_it = |(read, _): &(Output, usize)| matches!(read, Output::Read { from, .. } if from.0 == wanted);
    let at = world.reads.iter().position(is_it).expect("it was asked for");
    let (read, had) = world.reads.remove(at);
    world.answer(&read, Some(had));
}

fn attempted(world: &World) -> Vec<(&str, u64)> {
    world.started.iter().map(|(_, to, offset)| (to.as_str(), offset.0)).collect()
}

#[test]
fn a_read_serves_those_that_get_half_of_it_and_the_others_wait_for_their_own() {
    let lanes = [("a", 1, 0), ("b", 2, 4), ("c", 3, 8)];
    let lanes = lanes.map(|(to, key, at)| (name(to), LaneProgress { behind: behind(key, at), ..Default::default() }));
    let mut world = world(settings(), &[1, 9, 9, 9, 2, 9, 9, 9, 3, 9], lanes.into());
    assert_eq!(reads(&world), [0, 4, 8]);
    answer(&mut world, 0);
    // What was found is fetched, of the first two.
    assert_eq!(reads(&world), [0, 4, 4, 8]);
    world.pass(&[]);
    assert_eq!(attempted(&world), [("a", 0), ("b", 4), ("c", 8)]);
}

#[test]
fn what_nobody_waits_for_any_more_when_its_turn_comes_is_not_read() {
    let lanes = [("goes", 2, 3), ("stays", 1, 1)];
    let lanes = lanes.map(|(to, key, at)| (name(to), LaneProgress { behind: behind(key, at), ..Default::default() }));
    let mut world = world(Settings { max_reads: 1, ..settings() }, &[9, 1, 9, 2, 9, 9], lanes.into());
    let first = reads(&world);
    assert_eq!(first.len(), 1, "there is one place");
    // The one that waits for the place leaves, whichever that is.
    let (leaves, next) = if first == [3] { ("stays", 3) } else { ("goes", 1) };
    let left = vec![name(leaves)];
    world.destinations.retain(|destination| destination.name != left[0]);
    world.input(Input::Destinations(DestinationChanges { left, ..DestinationChanges::default() }));
    answer(&mut world, first[0]);
    assert_eq!(reads(&world), [next], "what was found is fetched");
    world.pass(&[]);
    assert_eq!(attempted(&world).len(), 1);
}

#[test]
fn what_is_read_for_all_that_is_behind_is_chosen_for_each_replay_by_its_own_selection() {
    let spec = ReplaySpec {
        asked_at: crate::time::Timestamp::from_millis(7),
        from: Offset(0),
        until: Offset(9),
        selection: Selection { types: vec![TypePattern::new("t.*").unwrap()], ..Selection::default() },
        first: false,
    };
    let mark = ReplayMark { number: 5, scanned: Offset(9), settled: 0 };
    // Of the key that is left of it, the first event is chosen, and the second is of another type.
    let replay = ReplayProgress { spec, mark, behind: behind(1, 0) };
    let lane = LaneProgress {
        behind: behind(2, 2),
        replays: [(ReplayId::new("r").unwrap(), replay)].into(),
        last_replay: 5,
        ..LaneProgress::default()
    };
    let mut world = world(settings(), &[1, 1, 2, 9, 9, 9, 9, 9, 9], [(name("a"), lane)].into());
    assert_eq!(reads(&world), [0, 2]);
    answer(&mut world, 0);
    world.pass(&[]);
    let mut attempted = attempted(&world);
    attempted.sort_unstable();
    assert_eq!(attempted, [("a", 0), ("a", 2)]);
    assert!(world.stored.lanes[&name("a")].replays.values().all(ReplayProgress::is_done));
}

#[test]
fn what_the_shared_reader_is_about_to_bring_is_left_to_it_by_those_that_have_come_as_far() {
    let narrow = Settings { window_events: 2, ..settings() };
    let mut world = World::with(narrow, 1, vec![of("fast"), of("slow")]);
    for key in 1..=3 {
        world.append(key, 0);
        while world.work_once_but_for(&["slow"]) {}
    }
    let hanging = |world: &World| -> Vec<_> {
        let of_slow = world.attempts.iter().filter(|(_, (to, ..))| *to == name("slow"));
        of_slow.map(|(id, (_, events, _))| (*id, events[0].event.offset.0)).collect()
    };
    assert_eq!(hanging(&world).iter().map(|(_, offset)| *offset).collect::<Vec<_>>(), [0, 1], "its window is full");
    world.append(4, 0);
    world.append(5, 0);
    assert_eq!(reads(&world), [3]);
    for (id, _) in hanging(&world) {
        world.end_attempt(id, vec![crate::outcome::Outcome::Delivered]);
    }
    assert_eq!(reads(&world), [2, 3]);
    let own = world.reads.iter().position(|(read, _)| matches!(read, Output::Read { from: Offset(2), .. })).unwrap();
    let (read, _) = world.reads.remove(own);
    world.answer(&read, Some(5));
    assert_eq!(hanging(&world).iter().map(|(_, offset)| *offset).collect::<Vec<_>>(), [2]);
    world.pass(&[]);
    assert_eq!(world.delivered.len(), 2 * 5);
}

#[test]
fn one_that_is_paused_and_looks_for_what_is_too_old_takes_nothing_in_that_is_not() {
    let paused =
        Destination { max_age: Some(Duration::from_secs(3600)), paused: Some("a test".into()), ..of("paused") };
    let mut world = World::with(settings(), 1, vec![paused, of("works")]);
    (1..=3).for_each(|key| world.append(key, 0));
    world.pass(&[]);
    // What it had in hand is gone with the process, and what it reads again is for its age only.
    world.crash();
    world.pass(&[]);
    let index = world.dispatcher.shared.destinations.named(&name("paused")).unwrap();
    let lane = world.dispatcher.partitions[&super::fixtures::PARTITION].lane(index).expect("it has something to do");
    assert_eq!((lane.bytes(), lane.cursor()), (0, Offset(0)));
    assert_eq!(world.dispatcher.status(world.now).destinations[0].pending, 3);
}

#[test]
fn one_that_has_caught_up_goes_along_with_the_others_again_and_costs_no_lane() {
    let mut world = World::with(Settings { window_events: 1, ..settings() }, 1, vec![of("slow"), of("fast")]);
    for key in 1..=5 {
        world.append(key, 0);
        while world.work_once_but_for(&["slow"]) {}
    }
    world.pass(&[]);
    let owned = &world.dispatcher.partitions[&super::fixtures::PARTITION];
    let mut indices = world.dispatcher.shared.destinations.present();
    assert!(indices.all(|index| owned.lane(index).is_none()));
    assert_eq!(world.delivered.len(), 2 * 5);
}
