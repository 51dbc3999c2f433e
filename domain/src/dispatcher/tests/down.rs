//! Destinations that are down, or paused, with much waiting: they do next to nothing, and go on when they are back.

use super::fixtures::{PARTITION, logged, name};
use super::world::World;
use crate::*;
use std::time::Duration;

const EVENTS: usize = 100;
/// Failures in a row with which a breaker opens.
const FAILURES: u32 = 4;

/// A destination that gets everything, each event by itself. It is probed every second.
fn of(text: &str) -> Destination {
    let breaker = BreakerPolicy { failures: FAILURES, ..BreakerPolicy::default() };
    let retry = RetryPolicy {
        initial: Duration::from_secs(1),
        factor: 1.0,
        jitter: 0.0,
        total: None,
        ..RetryPolicy::default()
    };
    let (from, ordering) = (StartFrom::Beginning, Ordering::None);
    Destination { breaker: Some(breaker), from, ordering, retry, ..Destination::new(name(text)) }
}

/// One event at a time has room in a lane, so that whoever wants another one has to read again.
fn settings() -> Settings {
    Settings { window_events: 1, read_events: 4, check_state: true, ..Settings::default() }
}

/// Time passes, and everything is answered but attempts at `hanging`.
fn pass(world: &mut World, time: Duration, hanging: &[&str]) {
    let until = world.now.after(time);
    while world.now < until {
        while world.work_once_but_for(hanging) {}
        let next = world.dispatcher.next_wakeup().map_or(until, |at| at.min(until));
        world.now = next.max(world.now);
        // What is due then may start.
        world.renew();
    }
    while world.work_once_but_for(hanging) {}
}

/// Attempts at a destination end without an answer.
fn no_answer(world: &mut World, of: &str) {
    let attempts = world.attempts.iter().filter(|(_, (to, ..))| to.as_str() == of);
    for (id, events) in attempts.map(|(id, (_, events, _))| (*id, events.len())).collect::<Vec<_>>() {
        world.end_attempt(id, vec![Outcome::retry(Cause::Unanswered, "no answer".into()); events]);
    }
}

fn status(world: &World, of: &str) -> DestinationStatus {
    let all = world.dispatcher.status(world.now).destinations;
    all.into_iter().find(|status| status.name == name(of)).expect("it is there")
}

#[test]
fn one_that_is_down_reads_no_more_than_it_needs_to_be_probed_and_goes_on_when_it_is_back() {
    let mut world = World::with(settings(), 1, vec![of("down"), of("works")]);
    for _ in 0..EVENTS {
        world.append(0, 0);
        while world.work_once_but_for(&["down"]) {}
    }
    for _ in 0..EVENTS {
        pass(&mut world, Duration::from_secs(5), &["down"]);
        no_answer(&mut world, "down");
    }
    let down = status(&world, "down");
    assert!(matches!(down.breaker, BreakerStatus::Open { .. }));
    let known = u64::from(FAILURES) + 2;
    assert!(down.keys_behind <= known, "it has come to know {} events, and probes need one", down.keys_behind);
    assert_eq!(status(&world, "works").pending, 0);
    // The first probe that is answered is enough.
    pass(&mut world, Duration::from_secs(3600), &[]);
    assert_eq!((status(&world, "down").pending, world.delivered.len()), (0, 2 * EVENTS));
}

#[test]
fn one_that_is_down_with_nothing_left_to_probe_it_with_reads_on() {
    let mut world = World::with(settings(), 1, vec![of("down")]);
    for _ in 0..EVENTS {
        world.append(0, 0);
    }
    while status(&world, "down").breaker == BreakerStatus::Closed {
        pass(&mut world, Duration::from_secs(1), &["down"]);
        no_answer(&mut world, "down");
    }
    // An operator skips all that it knows of.
    let mut skipped = 0;
    while let Some(blocked) = status(&world, "down").blocked.first() {
        let (destination, key) = (name("down"), LaneKey::parse(&blocked.key).unwrap());
        assert!(world.command(Command::SkipKey { destination, key: key.into() }));
        skipped += 1;
    }
    pass(&mut world, Duration::from_secs(60), &[]);
    assert_eq!((status(&world, "down").pending, world.delivered.len()), (0, EVENTS - skipped));
}

#[test]
fn one_that_is_not_paused_any_more_goes_on_though_nothing_new_comes() {
    let paused = Destination { paused: Some("a test".into()), ..of("paused") };
    // It is back from a restart: nothing of it is in memory.
    let mut world = World::with(settings(), 1, vec![paused, of("works")]);
    for _ in 0..EVENTS {
        world.append(0, 0);
        while world.work_once() {}
    }
    pass(&mut world, Duration::from_secs(60), &[]);
    world.crash();
    pass(&mut world, Duration::from_secs(60), &[]);
    assert_eq!(world.delivered.len(), EVENTS, "only the other one has got anything");
    world.destinations[0].paused = None;
    let present = world.destinations.clone();
    world.input(Input::Destinations(DestinationChanges { present, ..DestinationChanges::default() }));
    pass(&mut world, Duration::from_secs(60), &[]);
    assert_eq!(world.delivered.len(), 2 * EVENTS);
}

/// Of keys that are behind the data is fetched when their turn comes, and no sooner than it can be used.
#[test]
fn what_waits_behind_takes_no_more_memory_than_the_lane_has_and_none_while_it_is_paused() {
    const SHARE: usize = 100_000;
    const WEIGHT: usize = 11_000;
    let settings = Settings { window_bytes: SHARE, check_state: true, ..Settings::default() };
    let one = Destination { breaker: None, ..of("one") };
    let mut world = World::with(settings, 1, vec![one.clone()]);
    for _ in 0..200 {
        let mut event = (*logged(world.end, 0, 0, world.now)).clone();
        event.event.data = vec![7; 10_000].into();
        assert!(event.event.weight() < WEIGHT);
        world.end = event.offset.next();
        world.log.push(event.into());
    }
    let end = world.end;
    world.input(Input::Grew { partition: PARTITION, end });
    let known = |world: &World| status(world, "one").keys_behind;
    while known(&world) < 200 {
        while world.work_once_but_for(&["one"]) {}
        no_answer(&mut world, "one");
    }
    let change = |world: &mut World, to: Destination| {
        world.destinations = vec![to];
        world.input(Input::Destinations(DestinationChanges::present(world.destinations.clone())));
    };
    let bytes = |world: &World| {
        let index = world.dispatcher.shared.destinations.named(&name("one")).unwrap();
        world.dispatcher.partitions[&PARTITION].lane(index).map_or(0, |lane| lane.bytes())
    };
    change(&mut world, Destination { paused: Some("a test".into()), ..one.clone() });
    pass(&mut world, Duration::from_secs(10), &["one"]);
    assert_eq!((known(&world), bytes(&world)), (200, 0));
    // One attempt a second may start, and none ends.
    let rate = std::num::NonZeroU32::new(1).map(|per_second| Rate { per_second });
    change(&mut world, Destination { rate, ..one.clone() });
    for _ in 0..5 {
        while world.work_once_but_for(&["one"]) {}
        assert!(bytes(&world) <= SHARE + WEIGHT, "{} bytes", bytes(&world));
        pass(&mut world, Duration::from_secs(1), &["one"]);
    }
    assert!(bytes(&world) > SHARE / 2, "some are at hand: {} bytes", bytes(&world));
    change(&mut world, one);
    pass(&mut world, Duration::from_secs(60), &[]);
    assert_eq!((known(&world), world.delivered.len()), (0, 200));
}
