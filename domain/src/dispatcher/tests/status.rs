//! What an operator is told must be what the dispatcher does.

use super::fixtures::{PARTITION, logged, name};
use crate::{
    AttemptId, BatchPolicy, BreakerPolicy, BreakerStatus, Cause, Destination, DestinationChanges, DestinationStatus,
    Dispatcher, Input, Offset, Outcome, Output, PAUSED_IN_CONFIGURATION, PartitionProgress, RECENTLY, ReadId, Settings,
    StartFrom, Timestamp,
};
use std::time::Duration;

struct Scene {
    dispatcher: Dispatcher,
    now: Timestamp,
}

impl Scene {
    /// One destination, and a log of so many events, each of a key of its own.
    fn new(events: u64, destination: Destination) -> Self {
        let now = Timestamp::from_millis(1_000_000);
        let mut dispatcher = Dispatcher::new(Settings::default(), 1);
        dispatcher.handle(Input::Destinations(DestinationChanges::present(vec![destination])), now);
        let until = now.after(Duration::from_secs(3600));
        let (progress, log) = (PartitionProgress::default(), Offset(0)..Offset(events));
        dispatcher.handle(Input::Claimed { partition: PARTITION, progress, gone: [].into(), log, until }, now);
        Self { dispatcher, now }
    }

    /// Reads whatever is asked for; the attempts that were started.
    fn run(&mut self) -> Vec<AttemptId> {
        let mut attempts = Vec::new();
        loop {
            let outputs: Vec<Output> = std::iter::from_fn(|| self.dispatcher.poll(self.now)).collect();
            if outputs.is_empty() {
                return attempts;
            }
            for output in outputs {
                match output {
                    Output::Read { read, from, .. } => self.read(read, from),
                    Output::Attempt { attempt, .. } => attempts.push(attempt),
                    _ => {}
                }
            }
        }
    }

    fn read(&mut self, read: ReadId, from: Offset) {
        let next = self.end();
        let events = (from.0..next.0).map(|n| logged(Offset(n), n as u8 + 1, 0, self.now)).collect();
        self.dispatcher.handle(Input::Read { read, events, corrupt: Vec::new(), next }, self.now);
    }

    fn end(&self) -> Offset {
        self.dispatcher.partitions[&PARTITION].reach().1
    }

    fn ended(&mut self, attempt: AttemptId, outcome: Outcome) {
        self.dispatcher
            .handle(Input::AttemptEnded { attempt, outcomes: vec![outcome], met: crate::Met::default() }, self.now);
        assert_eq!(self.run(), [], "nothing else was waiting for it");
    }

    fn status(&self) -> DestinationStatus {
        self.dispatcher.status(self.now).destinations.remove(0)
    }
}

fn failed() -> Outcome {
    Outcome::retry(Cause::Refused, "HTTP 500".into())
}

#[test]
fn while_the_breaker_is_open_no_key_is_said_to_be_attempted_before_the_probe() {
    let breaker = Some(BreakerPolicy { failures: 3, ..BreakerPolicy::default() });
    let destination = Destination { breaker, from: StartFrom::Beginning, ..Destination::new(name("down")) };
    let mut scene = Scene::new(4, destination);
    for attempt in scene.run() {
        scene.ended(attempt, failed());
    }
    // Probe after probe fails, until the keys' own backoffs are long over.
    for _ in 0..4 {
        let BreakerStatus::Open { next_probe, .. } = scene.status().breaker else { panic!("closed") };
        scene.now = next_probe;
        for probe in scene.run() {
            scene.ended(probe, failed());
        }
    }
    let status = scene.status();
    let BreakerStatus::Open { next_probe, .. } = status.breaker else { panic!("closed") };
    assert!(next_probe > scene.now);
    // The fourth failed when the breaker was open, which is not its own fault.
    assert_eq!(status.blocked.len(), 3);
    for key in &status.blocked {
        assert!(key.next_attempt.is_some_and(|at| at >= next_probe), "{key:?} before the probe at {next_probe:?}");
    }
    // And so it is: nothing starts before.
    scene.now = Timestamp::from_millis(next_probe.as_millis() - 1);
    assert_eq!(scene.run(), []);
    scene.now = next_probe;
    assert_eq!(scene.run().len(), 1);
}

#[test]
fn what_waits_and_what_was_delivered_is_told() {
    let destination = Destination { from: StartFrom::Beginning, ..Destination::new(name("billing")) };
    let mut scene = Scene::new(3, destination);
    assert_eq!(scene.status().waiting_from, [(PARTITION, Offset(0))]);
    let attempts = scene.run();
    assert_eq!(attempts.len(), 3);
    scene.ended(attempts[0], Outcome::Delivered);
    assert_eq!(scene.status().waiting_from, [(PARTITION, Offset(1))]);
    scene.ended(attempts[1], failed());
    scene.ended(attempts[2], Outcome::Delivered);
    let status = scene.status();
    assert_eq!((status.waiting_from.as_slice(), status.delivered_recently), ([(PARTITION, Offset(1))].as_slice(), 2));
    assert_eq!(status.failed_recently, 1);
    let retry = scene.status().blocked[0].next_attempt.unwrap();
    scene.now = retry;
    let again = scene.run();
    scene.ended(again[0], Outcome::Delivered);
    assert_eq!((scene.status().waiting_from, scene.status().delivered_recently), (Vec::new(), 3));
    scene.now = scene.now.after(RECENTLY * 2);
    assert_eq!((scene.status().delivered_recently, scene.status().failed_recently), (0, 0));
}

#[test]
fn of_a_batch_what_was_tried_and_not_delivered_counts_as_failed() {
    let batch = BatchPolicy { max_events: 3, max_bytes: 1 << 20, linger: Duration::ZERO };
    let destination = Destination { batch, from: StartFrom::Beginning, ..Destination::new(name("billing")) };
    let mut scene = Scene::new(3, destination);
    let attempts = scene.run();
    assert_eq!(attempts.len(), 1, "they go together");
    // Of the third nothing is said: it was not tried.
    let (outcomes, met) = (vec![Outcome::Delivered, failed()], crate::Met::default());
    scene.dispatcher.handle(Input::AttemptEnded { attempt: attempts[0], outcomes, met }, scene.now);
    let status = scene.status();
    assert_eq!((status.delivered_recently, status.failed_recently), (1, 1));
}

#[test]
fn a_pause_in_the_configuration_is_told_as_one() {
    let scene = Scene::new(
        0,
        Destination { paused: Some(PAUSED_IN_CONFIGURATION.into()), ..Destination::new(name("billing")) },
    );
    assert_eq!(scene.status().paused.as_deref(), Some(PAUSED_IN_CONFIGURATION));
    assert_eq!(scene.status().paused_since, None, "nobody wrote down when");
}

#[test]
fn a_pause_is_told_with_the_moment_since_when_it_is() {
    let destination = Destination { from: StartFrom::Beginning, ..Destination::new(name("billing")) };
    let mut scene = Scene::new(1, destination);
    let attempts = scene.run();
    let gone = Outcome::Gone { reason: "the receiver answered 410 Gone".into() };
    let met = crate::Met::default();
    scene.dispatcher.handle(Input::AttemptEnded { attempt: attempts[0], outcomes: vec![gone], met }, scene.now);
    let since = scene.now;
    scene.now = since.after(RECENTLY);
    assert_eq!((scene.status().paused.is_some(), scene.status().paused_since), (true, Some(since)));

    let by_operator = Destination {
        paused: Some("paused by an operator".into()),
        paused_since: Some(Timestamp::from_millis(7)),
        ..Destination::new(name("billing"))
    };
    assert_eq!(Scene::new(0, by_operator).status().paused_since, Some(Timestamp::from_millis(7)));
}
