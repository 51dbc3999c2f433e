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
        let blocked: Vec<_> =
            status.destinations.iter().flat_map(|d| d.blocked.iter().map(|b| (d.name.clone(), b.clone()))).collect();
        if blocked.is_empty() {
            return;
        }
        let (destination, blocked) = blocked[pick(which, blocked.len())].clone();
        let key = KeyAt {
            key: LaneKey::parse(&blocked.key).unwrap(),
            partition: Some(blocked.partition),
            head: Some(blocked.head),
        };
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
    let command = Command::SkipKey { destination: name("main"), key: key(world).into() };
    world.command(command)
}

fn retry(world: &mut World) -> bool {
    let command = Command::RetryKey { destination: name("main"), key: key(world).into() };
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

/// A destination that is blocked at `all` in two partitions, at another event in each.
fn blocked_twice() -> (Dispatcher, Timestamp) {
    let now = Timestamp::from_millis(1_000);
    let mut dispatcher = Dispatcher::new(Settings::default(), 1);
    let strict = Destination { ordering: Ordering::Strict, ..Destination::new(name("main")) };
    dispatcher.handle(Input::Destinations(DestinationChanges::present(vec![strict])), now);
    for (partition, head) in [(0, 3), (1, 5)] {
        let failure = Failure { at: now, reason: "no".into(), status: None };
        let next_attempt = NextAttempt::At(now.after(Duration::from_secs(3600)));
        let retry = RetryState { attempts: 1, first_failure: now, next_attempt, history: vec![failure] };
        let behind = [(LaneKey::All, Behind { offset: Offset(head), retry: Some(retry) })].into();
        let lane = LaneProgress { position: Position::At(Offset(9)), behind, ..LaneProgress::default() };
        let lanes = [(name("main"), lane)].into();
        let progress = PartitionProgress { scanned: Offset(9), lanes, ..PartitionProgress::default() };
        let (partition, log, until) = (Partition(partition), Offset(0)..Offset(9), now.after(Duration::from_secs(5)));
        dispatcher.handle(Input::Claimed { partition, progress, gone: [].into(), log, until }, now);
        while dispatcher.poll(now).is_some() {}
    }
    (dispatcher, now)
}

/// Whether there was something to do, and the partitions that are blocked then.
fn told(dispatcher: &mut Dispatcher, command: Command, now: Timestamp) -> (bool, Vec<u32>) {
    dispatcher.handle(Input::Command { id: CommandId(7), command }, now);
    let mut acted = None;
    while let Some(output) = dispatcher.poll(now) {
        if let Output::CommandDone { acted: did, .. } = output {
            acted = Some(did);
        }
    }
    let status = dispatcher.status(now);
    (acted.unwrap(), status.destinations[0].blocked.iter().map(|blocked| blocked.partition.0).collect())
}

#[test]
fn a_skip_gives_up_the_event_that_was_named_and_no_other() {
    let skip = |partition: Option<u32>, head: Option<u64>| {
        let key = KeyAt { key: LaneKey::All, partition: partition.map(Partition), head: head.map(Offset) };
        Command::SkipKey { destination: name("main"), key }
    };
    let (mut dispatcher, now) = blocked_twice();
    assert_eq!(told(&mut dispatcher, skip(Some(1), Some(3)), now), (false, vec![0, 1]), "3 is the other one's");
    assert_eq!(told(&mut dispatcher, skip(Some(2), None), now), (false, vec![0, 1]), "nobody is there");
    assert_eq!(told(&mut dispatcher, skip(Some(1), Some(5)), now), (true, vec![0]));
    assert_eq!(told(&mut dispatcher, skip(Some(1), Some(5)), now), (false, vec![0]), "it has gone on");
    let (mut dispatcher, now) = blocked_twice();
    assert_eq!(told(&mut dispatcher, skip(Some(1), None), now), (true, vec![0]));
    let (mut dispatcher, now) = blocked_twice();
    assert_eq!(told(&mut dispatcher, skip(None, Some(5)), now), (true, vec![0]));
    let (mut dispatcher, now) = blocked_twice();
    let (acted, left) = told(&mut dispatcher, skip(None, None), now);
    assert_eq!((acted, left.len()), (true, 1), "one event, and no more");
}

#[test]
fn a_retry_is_made_wherever_the_key_is_blocked_or_where_it_is_said() {
    let due = |dispatcher: &Dispatcher, now: Timestamp| -> Vec<u32> {
        let status = dispatcher.status(now);
        let due = status.destinations[0].blocked.iter().filter(|blocked| blocked.next_attempt <= Some(now));
        due.map(|blocked| blocked.partition.0).collect()
    };
    let (mut dispatcher, now) = blocked_twice();
    let at = KeyAt { key: LaneKey::All, partition: Some(Partition(1)), head: Some(Offset(5)) };
    assert!(told(&mut dispatcher, Command::RetryKey { destination: name("main"), key: at }, now).0);
    assert_eq!(due(&dispatcher, now), [1]);
    assert!(told(&mut dispatcher, Command::RetryKey { destination: name("main"), key: LaneKey::All.into() }, now).0);
    assert_eq!(due(&dispatcher, now), [0, 1]);
}
