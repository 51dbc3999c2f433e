//! What a status says of what is gone or has yet to come, and at how much a survey looks for it.

use super::changing::Change::Put;
use super::fixtures::{PARTITION, name};
use super::world::World;
use crate::destination::{Destination, DestinationName, StartFrom};
use crate::dispatcher::{Dispatcher, Survey};
use crate::event::Key;
use crate::io::{DestinationChanges, Input};
use crate::lane_key::LaneKey;
use crate::partition::{Offset, Partition};
use crate::progress::{Behind, Expiry, LaneProgress, PartitionProgress, Position};
use crate::settings::Settings;
use crate::time::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

const NOW: Timestamp = Timestamp::from_millis(1_000);

fn dispatcher(names: &[&str]) -> Dispatcher {
    let mut dispatcher = Dispatcher::new(Settings { check_state: true, ..Settings::default() }, 1);
    let present = names.iter().map(|text| Destination::new(name(text))).collect();
    handle(&mut dispatcher, Input::Destinations(DestinationChanges::present(present)));
    dispatcher
}

fn handle(dispatcher: &mut Dispatcher, input: Input) {
    dispatcher.handle(input, NOW);
    while dispatcher.poll(NOW).is_some() {}
}

/// Takes over a partition in which everything up to `scanned` was looked at.
fn claim(
    dispatcher: &mut Dispatcher,
    partition: Partition,
    lanes: BTreeMap<DestinationName, LaneProgress>,
    (scanned, end): (Offset, Offset),
) {
    let progress = PartitionProgress { scanned, lanes, ..PartitionProgress::default() };
    let (log, until) = (Offset(0)..end, NOW.after(Duration::from_secs(3600)));
    handle(dispatcher, Input::Claimed { partition, progress, gone: [].into(), log, until });
}

/// With how many things to look at a survey is done at once.
fn weight(dispatcher: &Dispatcher) -> usize {
    let is_enough = |most: &usize| dispatcher.survey(&mut Survey::new(true), *most, NOW).is_some();
    (1..1000).find(is_enough).expect("it is done some time")
}

/// What a survey looks at in any case: that it begins, the end of what is left in partitions, and that it is done.
const ANYWAY: usize = 3;

#[test]
fn of_what_has_nothing_under_way_a_survey_looks_at_each_once_however_many_partitions_there_are() {
    let mut dispatcher = dispatcher(&["a", "b", "c", "d", "e"]);
    for partition in 0..7 {
        claim(&mut dispatcher, Partition(partition), [].into(), (Offset(0), Offset(0)));
    }
    assert_eq!(weight(&dispatcher), ANYWAY + 5 + 7);
}

#[test]
fn a_survey_counts_every_key_behind_as_something_to_look_at() {
    let mut dispatcher = dispatcher(&["a"]);
    let key = |n| LaneKey::Key(Key::new(&format!("k{n}")).unwrap());
    let behind = (0..4).map(|n| (key(n), Behind { offset: Offset(n), retry: None })).collect();
    let lanes = [(name("a"), LaneProgress { behind, ..LaneProgress::default() })].into();
    claim(&mut dispatcher, PARTITION, lanes, (Offset(9), Offset(9)));
    // The destination, its lane and its keys, that there is no other partition, and what is left in this one.
    assert_eq!(weight(&dispatcher), ANYWAY + 1 + 1 + 4 + 1 + 1);
}

#[test]
fn a_survey_counts_what_others_have_left_behind_as_something_to_look_at() {
    let mut dispatcher = dispatcher(&[]);
    let lanes = ["left-1", "left-2"].map(|left| (name(left), LaneProgress::default())).into();
    claim(&mut dispatcher, PARTITION, lanes, (Offset(9), Offset(9)));
    assert_eq!(weight(&dispatcher), ANYWAY + 1 + 2);
}

#[test]
fn of_one_that_has_left_a_status_tells_what_has_expired_and_whether_more_may_wait_than_is_counted() {
    let second = |at| Offset::in_generation(1, at);
    for (end, at_least) in [(Offset(9), false), (second(4), true)] {
        let mut dispatcher = dispatcher(&[]);
        let expiry = Expiry { expired: 3, ..Expiry::default() };
        let lane = LaneProgress { position: Position::At(Offset(2)), expiry, ..LaneProgress::default() };
        claim(&mut dispatcher, PARTITION, [(name("left"), lane)].into(), (Offset(2), end));
        let report = dispatcher.status(NOW);
        let left = &report.destinations[0];
        assert_eq!((report.at, &left.name, left.configured), (NOW, &name("left"), false));
        assert_eq!((left.expired, left.pending_at_least, left.pending_exact), (3, at_least, false));
    }
}

#[test]
fn an_attempt_at_one_that_has_left_is_told_until_it_ends() {
    let one = Destination { from: StartFrom::Beginning, ..Destination::new(name("one")) };
    let mut world = World::with(Settings { check_state: true, ..Settings::default() }, 1, vec![one]);
    world.append(1, 0);
    while world.work_once_but_for(&["one"]) {}
    let left = vec![name("one")];
    world.input(Input::Destinations(DestinationChanges { left, ..DestinationChanges::default() }));
    let told = |world: &World| {
        let status = &world.dispatcher.status(world.now).destinations[0];
        (status.configured, status.in_flight)
    };
    assert_eq!(told(&world), (false, 1));
    while world.work_once() {}
    assert_eq!(told(&world), (false, 0));
}

#[test]
fn nothing_waits_for_one_that_has_yet_to_join() {
    let one = Destination { from: StartFrom::Beginning, ..Destination::new(name("one")) };
    let mut world = World::with(Settings { check_state: true, ..Settings::default() }, 1, vec![one]);
    world.append(1, 0);
    world.change(0, Put(0));
    let report = world.dispatcher.status(world.now);
    let waiting: Vec<_> =
        report.destinations.iter().map(|of| (of.name.as_str(), of.pending, of.waiting_from.len())).collect();
    assert_eq!(waiting, [("api-key", 0, 0), ("one", 1, 1)]);
}
