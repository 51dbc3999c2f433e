//! Replays that are asked for: which can be, how many, and what becomes of one that others come in the way of.

use super::fixtures::{PARTITION, name};
use super::world::{Op, World};
use crate::destination::{Destination, Ordering, StartFrom};
use crate::filter::TypePattern;
use crate::io::{DestinationChanges, Input};
use crate::outcome::Outcome;
use crate::partition::Offset;
use crate::replay::{MAX_REPLAYS, ReplayId, ReplayOrder, ReplayPart, ReplayState, Selection};
use crate::settings::Settings;
use crate::status::Command;
use crate::time::Timestamp;
use std::time::Duration;

/// Three events that wait for each other, delivered to each of these destinations, and nothing left to do.
fn world(names: &[&str]) -> World {
    let strict = |text: &&str| Destination {
        from: StartFrom::Beginning,
        ordering: Ordering::Strict,
        ..Destination::new(name(text))
    };
    let settings = Settings { check_state: true, ..Settings::default() };
    let mut world = World::with(settings, 1, names.iter().map(strict).collect());
    (0..3).for_each(|_| world.append(1, 0));
    world.pass(&[]);
    world
}

/// Everything, once more.
fn all(world: &World) -> ReplayOrder {
    let ranges = [(PARTITION, Offset::ZERO..world.end)].into();
    ReplayOrder { asked_at: world.now, ranges, selection: Selection::default(), first: false }
}

fn id(text: &str) -> ReplayId {
    ReplayId::new(text).unwrap()
}

fn begin(world: &mut World, to: &str, replay: &str, order: ReplayOrder) -> bool {
    world.command(Command::BeginReplay { destination: name(to), replay: id(replay), order: Box::new(order) })
}

fn cancel(world: &mut World, to: &str, replay: &str) -> bool {
    world.command(Command::CancelReplay { destination: name(to), replay: id(replay) })
}

/// What a status says of a replay.
fn shown(world: &World, to: &str, replay: &str) -> Option<ReplayPart> {
    let all = world.dispatcher.status(world.now).destinations;
    let of = all.into_iter().find(|status| status.name == name(to)).expect("it is there");
    of.replays.into_iter().find(|known| known.id == id(replay)).map(|known| known.partitions[0].clone())
}

fn state(world: &World, to: &str, replay: &str) -> Option<ReplayState> {
    shown(world, to, replay).map(|part| part.state)
}

fn is_stored(world: &World, to: &str, replay: &str) -> bool {
    world.stored.lanes[&name(to)].replays.contains_key(&id(replay))
}

/// What is in flight: the numbers of replays, and offsets.
fn in_flight(world: &World) -> Vec<(Option<u64>, Offset)> {
    world.attempts.values().map(|(_, events, _)| (events[0].replay, events[0].event.offset)).collect()
}

/// Delivers what is in flight.
fn deliver(world: &mut World) {
    let ids: Vec<_> = world.attempts.keys().copied().collect();
    ids.into_iter().for_each(|id| world.end_attempt(id, vec![Outcome::Delivered]));
}

fn leaves(world: &mut World, who: &str) {
    world.input(Input::Destinations(DestinationChanges { left: vec![name(who)], ..DestinationChanges::default() }));
}

fn comes_back(world: &mut World) {
    world.input(Input::Destinations(DestinationChanges::present(world.destinations.clone())));
}

#[test]
fn an_id_is_that_of_one_replay_until_it_is_gone() {
    let mut world = world(&["one"]);
    let order = all(&world);
    assert!(begin(&mut world, "one", "r", order.clone()));
    assert!(begin(&mut world, "one", "r", order.clone()), "asked for again, it is the same");
    let types = vec![TypePattern::new("t.*").unwrap()];
    for other in [
        ReplayOrder { asked_at: order.asked_at.after(Duration::from_millis(1)), ..order.clone() },
        ReplayOrder { selection: Selection { types, ..Selection::default() }, ..order.clone() },
        ReplayOrder { first: true, ..order.clone() },
    ] {
        assert!(!begin(&mut world, "one", "r", other.clone()), "{other:?} is another one");
    }
    world.pass(&["one"]);
    assert!(cancel(&mut world, "one", "r"));
    assert!(!begin(&mut world, "one", "r", order.clone()), "that it is gone is not stored yet");
    world.pass(&["one"]);
    deliver(&mut world);
    assert!(begin(&mut world, "one", "r", order));
    world.pass(&[]);
    assert_eq!(state(&world, "one", "r"), Some(ReplayState::Done));
}

#[test]
fn what_is_called_off_is_shown_as_ending_until_that_is_stored() {
    let mut world = world(&["one"]);
    let order = all(&world);
    assert!(!cancel(&mut world, "one", "r"), "there is none");
    assert!(begin(&mut world, "one", "r", order.clone()));
    assert_eq!(state(&world, "one", "r"), Some(ReplayState::Asked));
    assert!(cancel(&mut world, "one", "r"));
    assert_eq!(state(&world, "one", "r"), None, "the store knows nothing of it");
    assert!(begin(&mut world, "one", "r", order));
    world.pass(&["one"]);
    assert_eq!(state(&world, "one", "r"), Some(ReplayState::Running));
    assert!(cancel(&mut world, "one", "r"));
    assert!(!cancel(&mut world, "one", "r"), "it was called off before");
    assert_eq!(state(&world, "one", "r"), Some(ReplayState::Ending));
    world.pass(&["one"]);
    assert_eq!((state(&world, "one", "r"), is_stored(&world, "one", "r")), (None, false));
    assert!(!cancel(&mut world, "one", "r"), "it is gone");
}

#[test]
fn a_replay_more_than_there_may_be_takes_the_place_of_the_oldest_that_is_done() {
    let mut world = world(&["one"]);
    for done in ["older", "later"] {
        let order = all(&world);
        assert!(begin(&mut world, "one", done, order));
        world.pass(&[]);
        assert_eq!(state(&world, "one", done), Some(ReplayState::Done));
    }
    // Of the others the first runs, and all have been asked for before.
    let open: Vec<String> = (2..MAX_REPLAYS).map(|n| format!("open-{n}")).collect();
    let order = ReplayOrder { asked_at: Timestamp::from_millis(7), ..all(&world) };
    for replay in &open {
        assert!(begin(&mut world, "one", replay, order.clone()));
    }
    world.pass(&["one"]);
    assert_eq!(world.stored.lanes[&name("one")].replays.len(), MAX_REPLAYS);
    assert!(begin(&mut world, "one", "new-1", order.clone()));
    world.pass(&["one"]);
    let which = |world: &World| ["older", "later", "new-1", "new-2"].map(|replay| is_stored(world, "one", replay));
    assert_eq!(which(&world), [false, true, true, false]);
    assert!(begin(&mut world, "one", "new-2", order.clone()));
    assert!(!begin(&mut world, "one", "new-3", order), "no other one is done");
    world.pass(&["one"]);
    assert_eq!(which(&world), [false, false, true, true]);
    assert!(open.iter().all(|replay| is_stored(&world, "one", replay)));
}

#[test]
fn a_replay_reaches_back_to_where_its_destination_began() {
    use super::changing::Change::Put;
    for (variant, began) in [(0, Offset(3)), (3, Offset(0))] {
        let mut world = world(&["one"]);
        world.change(0, Put(variant));
        world.pass(&[]);
        (0..3).for_each(|_| world.append(1, 0));
        world.pass(&[]);
        let order = all(&world);
        assert!(begin(&mut world, "api-key", "r", order));
        let part = shown(&world, "api-key", "r").expect("it is asked for");
        assert_eq!((part.from, part.until), (began, Offset(6)));
    }
}

#[test]
fn a_replay_that_another_comes_before_stops_and_goes_on_behind_it_under_a_larger_number() {
    let mut world = world(&["one"]);
    let order = all(&world);
    assert!(begin(&mut world, "one", "stops", order.clone()));
    world.pass(&["one"]);
    let before = in_flight(&world);
    assert!(begin(&mut world, "one", "goes-first", ReplayOrder { first: true, ..order }));
    world.pass(&["one"]);
    let states =
        |world: &World| ["stops", "goes-first"].map(|replay| state(world, "one", replay).expect("it is known"));
    assert_eq!(states(&world), [ReplayState::Running, ReplayState::Waiting]);
    assert_eq!(in_flight(&world), before, "its attempt is waited for");
    let mut seen = Vec::new();
    while let [one] = in_flight(&world)[..] {
        seen.push(one);
        deliver(&mut world);
        if seen.len() == 1 {
            world.step(&Op::Wait(30));
            assert_eq!(world.commits_under_way(), 1);
            assert_eq!(states(&world)[0], ReplayState::Waiting, "that it stops is on its way to the store");
        }
        world.pass(&["one"]);
        if seen.len() == 1 {
            assert_eq!(states(&world), [ReplayState::Waiting, ReplayState::Running]);
        }
    }
    let seen: Vec<_> = seen.into_iter().map(|(number, offset)| (number.expect("it is a replay's"), offset.0)).collect();
    assert_eq!(seen, [(3, 0), (4, 0), (4, 1), (4, 2), (5, 1), (5, 2)]);
    assert_eq!(states(&world), [ReplayState::Done; 2]);
}

#[test]
fn a_replay_that_has_begun_waits_until_its_number_is_stored() {
    let mut world = world(&["one"]);
    let order = all(&world);
    for replay in ["first", "second"] {
        assert!(begin(&mut world, "one", replay, order.clone()));
    }
    world.pass(&["one"]);
    let mut seen = Vec::new();
    while seen.last() != Some(&Some(ReplayState::Running)) {
        assert!(seen.len() < 10, "it is the second one's turn by now: {seen:?}");
        deliver(&mut world);
        world.step(&Op::Wait(30));
        assert_eq!(world.commits_under_way(), 1, "what was delivered, or the number");
        seen.push(state(&world, "one", "second"));
        world.step(&Op::Store { which: 0, answer: 3 });
        seen.push(state(&world, "one", "second"));
    }
    seen.dedup();
    assert_eq!(seen, [Some(ReplayState::Waiting), Some(ReplayState::Running)]);
}

/// A replay of the only destination, and the commit that begins it on its way.
fn on_its_way() -> World {
    let mut world = world(&["one"]);
    let order = all(&world);
    assert!(begin(&mut world, "one", "r", order));
    world.step(&Op::Wait(30));
    assert_eq!(world.commits_under_way(), 1);
    world
}

#[test]
fn a_replay_runs_as_soon_as_it_is_stored_also_where_its_destination_was_away_meanwhile() {
    let mut world = on_its_way();
    leaves(&mut world, "one");
    comes_back(&mut world);
    assert_eq!(state(&world, "one", "r"), Some(ReplayState::Asked), "it is not stored");
    world.step(&Op::Store { which: 0, answer: 3 });
    assert_eq!(state(&world, "one", "r"), Some(ReplayState::Running));
}

#[test]
fn what_a_replay_has_delivered_is_kept_when_its_destination_leaves() {
    let mut world = on_its_way();
    world.pass(&["one"]);
    deliver(&mut world);
    let kept = |world: &World| {
        let replay = &world.stored.lanes[&name("one")].replays[&id("r")];
        (replay.mark.settled, replay.needs_from())
    };
    assert_eq!(kept(&world), (0, Some(Offset(0))), "no commit says it yet");
    leaves(&mut world, "one");
    // What it had begun since has to end first.
    deliver(&mut world);
    world.pass(&[]);
    assert_eq!(kept(&world), (1, Some(Offset(1))));
    comes_back(&mut world);
    let before = world.started.len();
    world.pass(&[]);
    assert_eq!(world.started[before..].iter().map(|(.., offset)| offset.0).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn a_replay_that_is_called_off_is_gone_also_if_its_destination_leaves_at_once() {
    let mut world = on_its_way();
    world.pass(&["one"]);
    assert!(is_stored(&world, "one", "r"));
    assert!(cancel(&mut world, "one", "r"));
    leaves(&mut world, "one");
    world.pass(&[]);
    assert!(!is_stored(&world, "one", "r"));
}

#[test]
fn a_replay_that_the_lease_has_stopped_goes_on_with_it_whoever_has_gone_meanwhile() {
    let mut world = world(&["goes", "stays"]);
    // The lease runs out, and nobody renews it.
    world.step(&Op::Wait(600));
    for to in ["goes", "stays"] {
        let order = all(&world);
        assert!(begin(&mut world, to, "r", order));
    }
    for _ in 0..10 {
        while world.work_once() {}
        world.step(&Op::Wait(30));
    }
    assert_eq!(["goes", "stays"].map(|to| state(&world, to, "r")), [Some(ReplayState::Running); 2]);
    assert!(world.attempts.is_empty());
    let deleted = vec![name("goes")];
    world.destinations.retain(|destination| destination.name != deleted[0]);
    world.input(Input::Destinations(DestinationChanges { deleted, ..DestinationChanges::default() }));
    world.renew();
    let to: Vec<_> = world.attempts.values().map(|(to, ..)| to.clone()).collect();
    assert_eq!(to, [name("stays")]);
}
