//! The dispatcher alone: events come, attempts start and end, commits are stored.
//!
//! Four partitions, 8 events a millisecond, attempts that take 3 ms and commits that take 2. Time is a number here.

use crate::sample::{self, KEYS};
use laneway_domain::{
    Attempted, BatchPolicy, Cause, Destination, DestinationChanges, DestinationName, Dispatcher, Filter, Filters,
    Input, LoggedEvent, Met, Offset, Ordering, Outcome, Output, Partition, PartitionProgress, Settings, StartFrom,
    Timestamp, TypePattern,
};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

const PARTITIONS: u32 = 4;
/// Events that come in a millisecond.
const BURST: usize = 8;
/// One key in so many fails for ever, where some do.
const BLOCKED: usize = 8;
/// How long it goes on after the last event has come: enough for what is tried again.
const AFTERWARDS: Duration = Duration::from_secs(600);

/// Which destinations there are, and how they answer.
pub(crate) struct Scene {
    destinations: Vec<Destination>,
    answer: fn(&str, &Attempted) -> Outcome,
    /// Whether one key in [`BLOCKED`] is never taken.
    blocks: bool,
}

/// So many destinations that want and take everything.
pub(crate) fn plain(count: usize) -> Scene {
    let destinations = (0..count).map(|n| named("plain", n)).collect();
    Scene { destinations, answer: |_, _| Outcome::Delivered, blocks: false }
}

/// One that refuses every 29th event twice: its key waits meanwhile.
pub(crate) fn retrying() -> Scene {
    Scene { destinations: vec![failing()], answer: refused_twice, blocks: false }
}

/// One that never takes the events of some keys: all others go on.
pub(crate) fn blocked() -> Scene {
    let answer =
        |_: &str, attempted: &Attempted| if is_blocked(&attempted.event) { refused() } else { Outcome::Delivered };
    Scene { destinations: vec![named("blocking", 0)], answer, blocks: true }
}

/// 24 of every kind: some with a filter, in batches, without order, in strict order, slow, failing, most of them idle.
pub(crate) fn every_kind() -> Scene {
    let only = |pattern: &str| {
        let types = vec![TypePattern::new(pattern).expect("a pattern")];
        Filters::always(Filter { tenant: None, types, ..Filter::default() }).into()
    };
    let batch = BatchPolicy { max_events: 16, max_bytes: 1 << 20, linger: Duration::from_millis(2) };
    let mut destinations: Vec<_> = (0..4).map(|n| named("plain", n)).collect();
    destinations.extend((0..2).map(|n| Destination { filters: only("order.*"), ..named("some", n) }));
    destinations.push(Destination { ordering: Ordering::None, ..named("unordered", 0) });
    destinations.push(Destination { ordering: Ordering::Strict, filters: only("order.paid"), ..named("strict", 0) });
    destinations.extend((0..2).map(|n| Destination { batch, ..named("batched", n) }));
    destinations.push(failing());
    destinations.push(named("slow", 0));
    destinations.extend((0..12).map(|n| Destination { filters: only("never"), ..named("idle", n) }));
    let answer = |destination: &str, attempted: &Attempted| match destination {
        "failing-0" => refused_twice(destination, attempted),
        _ => Outcome::Delivered,
    };
    Scene { destinations, answer, blocks: false }
}

fn named(kind: &str, n: usize) -> Destination {
    let name = DestinationName::new(&format!("{kind}-{n}")).expect("a name");
    Destination { from: StartFrom::Beginning, ..Destination::new(name) }
}

/// Without a breaker: at the end only what fails is left, which it would take for an outage, and attempts during one do
/// not count.
fn failing() -> Destination {
    Destination { breaker: None, ..named("failing", 0) }
}

fn refused_twice(_: &str, attempted: &Attempted) -> Outcome {
    let fails = attempted.event.offset.0.is_multiple_of(29) && attempted.attempt < 3;
    if fails { refused() } else { Outcome::Delivered }
}

fn refused() -> Outcome {
    Outcome::retry(Cause::Refused, "answered 500".into())
}

/// Keys end with their number.
fn is_blocked(event: &LoggedEvent) -> bool {
    let key = event.event.key.as_ref().map_or("", |key| key.as_str());
    let number =
        key.bytes().filter(u8::is_ascii_digit).fold(0, |number, digit| number * 10 + usize::from(digit - b'0'));
    number % BLOCKED == 0
}

/// How many events the first destination got, and how many wait for ever.
pub(crate) fn run(scene: Scene, events: usize) -> usize {
    let mut world = World::new(scene);
    for n in 0..events {
        world.append(n);
        if n % BURST == BURST - 1 {
            world.tell();
            world.go_to(world.now.after(Duration::from_millis(1)));
        }
    }
    world.tell();
    let end = world.now.after(AFTERWARDS);
    while let Some(next) = world.next().filter(|next| *next < end) {
        world.go_to(next);
    }
    let pending: u64 = world.dispatcher.status(world.now).destinations.iter().map(|status| status.pending).sum();
    // Of those that nobody blocks, nothing is to be left.
    let left = usize::try_from(pending).expect("small");
    world.delivered + if world.scene.blocks || left == 0 { left } else { usize::MAX / 2 }
}

/// What is under way: an input that comes at its time.
struct World {
    scene: Scene,
    now: Timestamp,
    dispatcher: Dispatcher,
    logs: Vec<Vec<Arc<LoggedEvent>>>,
    coming: VecDeque<(Timestamp, Input)>,
    slow: VecDeque<(Timestamp, Input)>,
    /// By the first destination.
    delivered: usize,
}

impl World {
    fn new(scene: Scene) -> Self {
        let mut world = Self {
            scene,
            now: Timestamp::from_millis(1_769_860_800_000),
            dispatcher: Dispatcher::new(Settings::default(), 42),
            logs: vec![Vec::new(); PARTITIONS as usize],
            coming: VecDeque::new(),
            slow: VecDeque::new(),
            delivered: 0,
        };
        let until = world.now.after(Duration::from_secs(86_400));
        world.input(Input::Destinations(DestinationChanges::present(world.scene.destinations.clone())));
        for partition in (0..PARTITIONS).map(Partition) {
            let progress = PartitionProgress::default();
            world.input(Input::Claimed { partition, progress, gone: [].into(), log: Offset(0)..Offset(0), until });
        }
        world
    }

    /// The `n`th event comes into its key's partition.
    fn append(&mut self, n: usize) {
        let partition = n * 7919 % KEYS % PARTITIONS as usize;
        let log = &mut self.logs[partition];
        log.push(sample::logged(n, Partition(u32::try_from(partition).expect("small")), log.len() as u64));
    }

    /// The dispatcher hears of what has come.
    fn tell(&mut self) {
        let ends: Vec<_> = self.logs.iter().map(|log| Offset(log.len() as u64)).collect();
        for (partition, end) in (0..).map(Partition).zip(ends) {
            self.input(Input::Grew { partition, end });
        }
    }

    fn input(&mut self, input: Input) {
        self.dispatcher.handle(input, self.now);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.dispatcher.poll(self.now) {
            self.perform(output);
        }
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Read { read, partition, from, most, .. } => {
                let log = &self.logs[partition.0 as usize];
                let start = usize::try_from(from.0).expect("small").min(log.len());
                let events: Vec<_> = log[start..].iter().take(most).cloned().collect();
                let next = events.last().map_or(from, |last| last.offset.next());
                self.coming.push_back((self.now, Input::Read { read, events, corrupt: Vec::new(), next }));
            }
            Output::Attempt { attempt, destination, events } => {
                let answer = self.scene.answer;
                let outcomes: Vec<_> = events.iter().map(|event| answer(destination.as_str(), event)).collect();
                if destination == self.scene.destinations[0].name {
                    self.delivered += outcomes.iter().filter(|outcome| **outcome == Outcome::Delivered).count();
                }
                let (queue, takes) = match destination.as_str() {
                    "slow-0" => (&mut self.slow, 150),
                    _ => (&mut self.coming, 3),
                };
                let at = self.now.after(Duration::from_millis(takes));
                queue.push_back((at, Input::AttemptEnded { attempt, outcomes, met: Met::default() }));
            }
            Output::Commit { partition, .. } => {
                self.coming.push_back((self.now.after(Duration::from_millis(2)), Input::Committed(partition)));
            }
            _ => {}
        }
    }

    /// When something happens next.
    fn next(&self) -> Option<Timestamp> {
        let under_way = self.coming.iter().chain(&self.slow).map(|(at, _)| *at);
        let next = under_way.chain(self.dispatcher.next_wakeup()).min()?;
        Some(next.max(self.now.after(Duration::from_millis(1))))
    }

    /// Then everything happens that was to happen by then.
    fn go_to(&mut self, then: Timestamp) {
        self.now = then;
        for _ in 0..self.coming.len() {
            let Some((at, input)) = self.coming.pop_front() else { break };
            if at <= self.now {
                self.input(input);
            } else {
                self.coming.push_back((at, input));
            }
        }
        while let Some((_, input)) = self.slow.pop_front_if(|(at, _)| *at <= then) {
            self.input(input);
        }
        self.drain();
    }
}
