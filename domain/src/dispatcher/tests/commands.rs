//! What an operator asks for while an attempt at the key is under way, which it is most of the time where a receiver
//! hangs.

use super::fixtures::name;
use super::world::{World, pick};
use crate::*;
use std::time::Duration;

impl World {
    /// An operator retries or skips one of the keys that a status lists.
    pub(super) fn operate(&mut self, which: u64, skip: bool) {
        let status = self.dispatcher.status(self.now);
        let blocked: Vec<_> = status
            .destinations
            .iter()
            .flat_map(|d| d.blocked.iter().map(|b| (d.name.clone(), b.key.clone())))
            .collect();
        if blocked.is_empty() {
            return;
        }
        let (destination, key) = blocked[pick(which, blocked.len())].clone();
        let key = LaneKey::parse(&key).unwrap();
        let command = if skip { Command::SkipKey { destination, key } } else { Command::RetryKey { destination, key } };
        assert!(self.command(command), "what is listed as blocked can be retried and skipped");
    }
}

/// A world whose one destination is in its second attempt at the first of two events of a key.
fn in_second_attempt(on_give_up: OnGiveUp) -> World {
    let retry = RetryPolicy {
        initial: Duration::from_secs(10),
        factor: 1.0,
        jitter: 0.0,
        limit: Duration::from_secs(3600),
        total: None,
    };
    let destination = Destination { retry, on_give_up, ..Destination::new(name("main")) };
    let mut world = World::with(Settings { check_state: true, ..Settings::default() }, 1, vec![destination]);
    world.append(1, 0);
    world.append(1, 0);
    settle(&mut world);
    end(&mut world, failed());
    settle(&mut world);
    assert_eq!(world.attempts.len(), 0, "it waits for its second attempt");
    wait(&mut world, 10);
    assert_eq!(world.attempts.len(), 1);
    world
}

fn failed() -> Outcome {
    Outcome::retry(Cause::Refused, "no".into())
}

/// Everything but attempts is answered.
fn settle(world: &mut World) {
    while world.work_once_but_for(&["main"]) {}
}

fn wait(world: &mut World, seconds: u64) {
    world.now = world.now.after(Duration::from_secs(seconds));
    world.renew();
    settle(world);
}

/// The attempt under way ends so.
fn end(world: &mut World, outcome: Outcome) {
    let (id, count) =
        world.attempts.iter().map(|(id, (_, events, _))| (*id, events.len())).next().expect("one is under way");
    let mut outcomes = vec![outcome];
    outcomes.resize(count, Outcome::NotTried);
    world.end_attempt(id, outcomes);
    // Long enough for a commit.
    wait(world, 1);
}

fn key(world: &World) -> LaneKey {
    let status = world.dispatcher.status(world.now);
    LaneKey::parse(&status.destinations[0].blocked.first().expect("it is listed as blocked").key).unwrap()
}

fn skip(world: &mut World) -> bool {
    let command = Command::SkipKey { destination: name("main"), key: key(world) };
    world.command(command)
}

fn retry(world: &mut World) -> bool {
    let command = Command::RetryKey { destination: name("main"), key: key(world) };
    world.command(command)
}

/// Which event is in flight.
fn in_flight(world: &World) -> Vec<Offset> {
    world.attempts.values().flat_map(|(_, events, _)| events.iter().map(|event| event.event.offset)).collect()
}

#[test]
fn a_skip_during_an_attempt_takes_place_when_that_fails() {
    for on_give_up in [OnGiveUp::DeadLetter, OnGiveUp::Hold] {
        for outcome in [failed(), Outcome::NotTried, Outcome::Rejected { reason: "no".into() }] {
            let mut world = in_second_attempt(on_give_up);
            assert!(skip(&mut world));
            assert_eq!(world.dead.len(), 0, "it may yet be delivered");
            end(&mut world, outcome.clone());
            assert_eq!(world.dead.len(), 1, "{outcome:?}");
            assert_eq!(in_flight(&world), [Offset(1)], "the key goes on, after {outcome:?}");
        }
    }
}

#[test]
fn a_skip_during_an_attempt_is_without_effect_when_that_delivers() {
    let mut world = in_second_attempt(OnGiveUp::DeadLetter);
    assert!(skip(&mut world));
    end(&mut world, Outcome::Delivered);
    end(&mut world, failed());
    assert_eq!((world.dead.len(), world.delivered.len()), (0, 1), "the next one's failure is its first");
}

#[test]
fn a_retry_during_an_attempt_follows_when_that_fails_and_only_once() {
    let mut world = in_second_attempt(OnGiveUp::DeadLetter);
    assert!(retry(&mut world));
    end(&mut world, failed());
    assert_eq!(in_flight(&world), [Offset(0)], "at once");
    end(&mut world, failed());
    assert_eq!(world.attempts.len(), 0, "then it waits as ever");
}

#[test]
fn of_a_skip_and_a_retry_the_last_counts() {
    let mut world = in_second_attempt(OnGiveUp::DeadLetter);
    assert!(skip(&mut world) && retry(&mut world));
    end(&mut world, failed());
    assert_eq!((world.dead.len(), in_flight(&world)), (0, vec![Offset(0)]));
    assert!(retry(&mut world) && skip(&mut world));
    end(&mut world, failed());
    assert_eq!((world.dead.len(), in_flight(&world)), (1, vec![Offset(1)]));
}

#[test]
fn a_destination_that_moves_is_tried_at_once_where_an_attempt_at_its_former_place_fails() {
    let mut world = in_second_attempt(OnGiveUp::DeadLetter);
    let mut moved = world.destinations[0].clone();
    moved.target_since = Revision(1);
    world.input(Input::Destinations(DestinationChanges::present(vec![moved])));
    end(&mut world, failed());
    assert_eq!(in_flight(&world), [Offset(0)]);
}
