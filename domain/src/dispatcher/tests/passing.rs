//! What passes a destination's gate, and when: what counts as an outage, and what wakes a gate that is closed.

use super::fixtures::name;
use super::world::{Op, World};
use crate::breaker::BreakerPolicy;
use crate::destination::{Destination, StartFrom};
use crate::end::Cause;
use crate::io::AttemptId;
use crate::outcome::Outcome;
use crate::retry::RetryPolicy;
use crate::settings::Settings;
use crate::status::{BreakerStatus, Command};
use crate::time::Timestamp;
use std::num::NonZeroU32;
use std::time::Duration;

/// A destination whose breaker opens at three failures, and which has so many attempts in flight at most; with nine
/// events of a key each.
fn world(max_in_flight: u32) -> World {
    let one = Destination {
        from: StartFrom::Beginning,
        breaker: Some(BreakerPolicy { failures: 3, ..BreakerPolicy::default() }),
        retry: RetryPolicy { initial: Duration::from_secs(1), factor: 10.0, jitter: 0.0, ..RetryPolicy::default() },
        max_in_flight: NonZeroU32::new(max_in_flight).unwrap(),
        ..Destination::new(name("one"))
    };
    let mut world = World::with(Settings { check_state: true, ..Settings::default() }, 1, vec![one]);
    for key in 1..=9 {
        world.append(key, 0);
        settle(&mut world);
        let waiting: Vec<_> =
            world.dispatcher.shared.destinations.gates().map(|(_, gate)| gate.waiting.len()).collect();
        assert_eq!(waiting, [usize::from(u32::from(key) > max_in_flight)], "a lane stands there once");
    }
    world
}

/// Everything but attempts is answered.
fn settle(world: &mut World) {
    while world.work_once_but_for(&["one"]) {}
}

/// Time passes, with the lease held.
fn pass(world: &mut World, until: Timestamp) {
    while world.now < until {
        world.renew();
        let left = until.as_millis() - world.now.as_millis();
        world.step(&Op::Wait(u16::try_from(left.min(100)).unwrap()));
        settle(world);
    }
}

fn end(world: &mut World, outcome: Outcome) {
    let first: AttemptId = *world.attempts.keys().next().expect("one is in flight");
    world.end_attempt(first, vec![outcome]);
    settle(world);
}

/// When the next probe is due, if the breaker is open.
fn next_probe(world: &World) -> Option<Timestamp> {
    match world.dispatcher.status(world.now).destinations[0].breaker {
        BreakerStatus::Open { next_probe, .. } => Some(next_probe),
        BreakerStatus::Closed => None,
    }
}

#[test]
fn one_that_asks_to_be_left_alone_is_not_probed_before() {
    let mut world = world(9);
    for minutes in [1, 20, 10] {
        let not_before = Some(Duration::from_secs(60 * minutes));
        end(&mut world, Outcome::Retry { cause: Cause::Refused, reason: "later".into(), not_before });
    }
    assert_eq!(next_probe(&world), Some(world.now.after(Duration::from_secs(60 * 20))));
}

#[test]
fn what_is_no_fault_of_the_destination_or_costs_nothing_opens_no_breaker() {
    for (cause, opens) in [
        (Cause::Refused, true),
        (Cause::NotConnected, true),
        (Cause::Broken, false),
        (Cause::Shortage, false),
        (Cause::StaleConnection, false),
        (Cause::Unprocessed, false),
    ] {
        let mut world = world(9);
        let first: Vec<AttemptId> = world.attempts.keys().copied().collect();
        for id in first {
            world.end_attempt(id, vec![Outcome::retry(cause, "no".into())]);
        }
        assert_eq!(next_probe(&world).is_some(), opens, "{cause:?}");
    }
}

#[test]
fn a_gate_that_waits_for_a_late_probe_is_woken_by_an_earlier_one() {
    let mut world = world(1);
    let fail = |world: &mut World| end(world, Outcome::retry(Cause::Unanswered, "no answer".into()));
    (0..3).for_each(|_| fail(&mut world));
    for _ in 0..2 {
        let due = next_probe(&world).expect("it is open");
        pass(&mut world, due);
        fail(&mut world);
    }
    let late = next_probe(&world).expect("it is open");
    // It works again, says an operator; and does not.
    assert!(world.command(Command::Resume { destination: name("one") }));
    (0..3).for_each(|_| fail(&mut world));
    let early = next_probe(&world).expect("it is open");
    assert!(early < late && world.attempts.is_empty());
    pass(&mut world, early);
    assert_eq!(world.attempts.len(), 1);
}
