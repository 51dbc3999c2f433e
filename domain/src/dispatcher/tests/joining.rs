//! Where destinations begin that come to a partition, and what is left there of those who had it before.

use super::fixtures::{PARTITION, name};
use super::world::{Op, World};
use crate::destination::{Destination, StartFrom};
use crate::dispatcher::Dispatcher;
use crate::io::{DestinationChanges, Input, Output};
use crate::outcome::Outcome;
use crate::partition::Offset;
use crate::progress::{LaneProgress, PartitionProgress};
use crate::revision::{Cut, Cuts, Revision};
use crate::settings::Settings;
use crate::time::Timestamp;
use std::ops::Range;
use std::time::Duration;

fn from_beginning(text: &str) -> Destination {
    Destination { from: StartFrom::Beginning, ..Destination::new(name(text)) }
}

fn settings() -> Settings {
    Settings { check_state: true, ..Settings::default() }
}

/// What comes of an input.
fn outputs(dispatcher: &mut Dispatcher, input: Input, now: Timestamp) -> Vec<Output> {
    dispatcher.handle(input, now);
    std::iter::from_fn(|| dispatcher.poll(now)).collect()
}

fn claimed(progress: PartitionProgress, log: Range<Offset>, now: Timestamp) -> Input {
    let until = now.after(Duration::from_secs(5));
    Input::Claimed { partition: PARTITION, progress, gone: [].into(), log, until }
}

#[test]
fn one_that_the_store_does_not_know_joins_with_the_revision_that_made_it_also_where_that_is_followed() {
    let now = Timestamp::from_millis(1_000);
    let mut dispatcher = Dispatcher::new(settings(), 1);
    let made = |revision| DestinationChanges {
        revision: Revision(revision),
        present: vec![Destination { born: Revision(7), ..Destination::new(name("made")) }],
        ..DestinationChanges::default()
    };
    let asks = |outputs: Vec<Output>| outputs.iter().any(|output| matches!(output, Output::ReadEnd { .. }));
    // It is told of before its revision.
    assert!(!asks(outputs(&mut dispatcher, Input::Destinations(made(5)), now)));
    let follows = |revision| PartitionProgress {
        scanned: Offset(4),
        cuts: Cuts::of(vec![Cut { revision: Revision(revision), at: Offset(2) }]),
        ..PartitionProgress::default()
    };
    assert!(!asks(outputs(&mut dispatcher, claimed(follows(5), Offset(0)..Offset(4), now), now)));
    assert!(asks(outputs(&mut dispatcher, Input::Destinations(made(7)), now)));
    // A store that follows it already, and knows nothing of the destination.
    assert!(asks(outputs(&mut dispatcher, claimed(follows(7), Offset(0)..Offset(4), now), now)));
}

#[test]
fn what_begins_at_the_beginning_begins_where_the_log_begins_by_now() {
    let now = Timestamp::from_millis(1_000);
    let mut dispatcher = Dispatcher::new(settings(), 1);
    outputs(&mut dispatcher, Input::Destinations(DestinationChanges::present(vec![from_beginning("one")])), now);
    let lanes = [(name("one"), LaneProgress::default())].into();
    let progress = PartitionProgress { scanned: Offset(9), lanes, ..PartitionProgress::default() };
    outputs(&mut dispatcher, claimed(progress, Offset(0)..Offset(9), now), now);
    // What is told late does not set it back.
    for start in [3, 1] {
        outputs(&mut dispatcher, Input::Trimmed { partition: PARTITION, start: Offset(start) }, now);
    }
    let second = DestinationChanges::present(vec![from_beginning("second")]);
    let read = outputs(&mut dispatcher, Input::Destinations(second), now);
    let from = read.iter().find_map(|output| match output {
        Output::Read { from, .. } => Some(*from),
        _ => None,
    });
    assert_eq!(from, Some(Offset(3)));
}

#[test]
fn one_that_stands_in_begins_where_the_others_read_although_one_of_them_holds_the_position_back() {
    let mut world = World::with(settings(), 1, vec![from_beginning("hangs")]);
    world.append(1, 0);
    world.pass(&["hangs"]);
    assert_eq!(world.stored.scanned, Offset(0));
    world.destinations.push(Destination { is_kept: false, ..from_beginning("stands-in") });
    world.input(Input::Destinations(DestinationChanges::present(world.destinations.clone())));
    world.pass(&["hangs"]);
    world.append(2, 0);
    world.pass(&["hangs"]);
    let delivered: Vec<_> = world.delivered.iter().map(|(_, to, offset)| (to.as_str(), offset.0)).collect();
    assert_eq!(delivered, [("stands-in", 1)]);
    assert!(!world.stored.lanes.contains_key(&name("stands-in")));
}

/// Of the first of two destinations a dead letter is on its way to the store while one of them is away.
#[test]
fn a_key_waits_for_its_own_dead_letter_and_for_no_other_when_its_destination_comes_back() {
    for away in ["one", "other"] {
        let mut world = World::with(settings(), 1, vec![from_beginning("one"), from_beginning("other")]);
        world.append(1, 0);
        world.append(1, 0);
        world.pass(&["one", "other"]);
        let first = world.attempts.iter().find(|(_, (to, ..))| *to == name("one")).map(|(id, _)| *id).unwrap();
        world.end_attempt(first, vec![Outcome::Rejected { reason: "never".into() }]);
        world.step(&Op::Wait(30));
        assert_eq!(world.commits_under_way(), 1);
        let left = vec![name(away)];
        world.input(Input::Destinations(DestinationChanges { left, ..DestinationChanges::default() }));
        world.input(Input::Destinations(DestinationChanges::present(world.destinations.clone())));
        let of_one = |world: &World| world.attempts.values().any(|(to, ..)| *to == name("one"));
        assert!(!of_one(&world), "its dead letter is not stored");
        world.pass(&[]);
        let got = |of: &str| -> Vec<u64> {
            let delivered = world.delivered.iter().filter(|(_, to, _)| to.as_str() == of);
            delivered.map(|(_, _, offset)| offset.0).collect()
        };
        // What was in flight when it left counts for nothing, and is attempted again.
        let others: &[u64] = if away == "other" { &[0, 0, 1] } else { &[0, 1] };
        assert_eq!((got("one"), got("other").as_slice(), world.dead.len()), (vec![1], others, 1), "{away} was away");
    }
}
