//! One fixed run of the dispatcher alone, whose instructions are counted: the same inputs, in the same
//! order, give the same outputs on any machine.
//!
//! ```sh
//! cargo bench -p laneway-domain --bench fixed_run --no-run
//! valgrind --tool=callgrind --callgrind-out-file=/dev/null target/release/deps/fixed_run-*
//! ```
//!
//! Four partitions, 24 destinations of every kind (some slow, some that fail, most of them idle), 40,000 events.

#![allow(clippy::expect_used)] // Everything here is made here.

use laneway_domain::{
    Attempted, BatchPolicy, Cause, Destination, DestinationChanges, DestinationName, Dispatcher, Event, EventId,
    EventType, Filter, Filters, Input, Key, LoggedEvent, Met, Offset, Ordering, Outcome, Output, Partition,
    PartitionProgress, Settings, StartFrom, Timestamp, TypePattern,
};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

const PARTITIONS: u32 = 4;
const EVENTS: usize = 40_000;
const KEYS: usize = 400;
/// Events that come in a millisecond.
const BURST: usize = 8;

fn destinations() -> Vec<Destination> {
    let named = |kind: &str, n: usize| Destination {
        from: StartFrom::Beginning,
        ..Destination::new(DestinationName::new(&format!("{kind}-{n}")).expect("a name"))
    };
    let only = |pattern: &str| Filter {
        tenant: None,
        types: vec![TypePattern::new(pattern).expect("a pattern")],
        ..Filter::default()
    };
    let batch = BatchPolicy { max_events: 16, max_bytes: 1 << 20, linger: Duration::from_millis(2) };
    let mut all: Vec<_> = (0..4).map(|n| named("plain", n)).collect();
    all.extend((0..2).map(|n| Destination { filters: Filters::always(only("order.*")).into(), ..named("some", n) }));
    all.push(Destination { ordering: Ordering::None, ..named("unordered", 0) });
    all.push(Destination {
        ordering: Ordering::Strict,
        filters: Filters::always(only("rare")).into(),
        ..named("strict", 0)
    });
    all.extend((0..2).map(|n| Destination { batch, ..named("batched", n) }));
    all.push(named("failing", 0));
    all.push(named("slow", 0));
    all.extend((0..12).map(|n| Destination { filters: Filters::always(only("never")).into(), ..named("idle", n) }));
    all
}

fn event(n: usize, offset: u64, partition: Partition) -> Arc<LoggedEvent> {
    let kind = match n % 16 {
        0 => "rare",
        1..=5 => "order.paid",
        _ => "other",
    };
    let event = Event {
        id: EventId::new(&format!("e{n}")).expect("an id"),
        event_type: EventType::new(kind).expect("a type"),
        tenant: None,
        key: (!n.is_multiple_of(11)).then(|| Key::new(&format!("key-{}", n * 7919 % KEYS)).expect("a key")),
        source: None,
        subject: None,
        time: None,
        content_type: "application/json".into(),
        attributes: [].into(),
        traceparent: None,
        data: bytes::Bytes::from_static(&[7; 200]),
    };
    Arc::new(LoggedEvent { partition, offset: Offset(offset), accepted_at: Timestamp::ZERO, event })
}

/// What is under way: an input that comes at its time.
struct World {
    now: Timestamp,
    dispatcher: Dispatcher,
    logs: Vec<Vec<Arc<LoggedEvent>>>,
    coming: VecDeque<(Timestamp, Input)>,
    slow: VecDeque<(Timestamp, Input)>,
    attempted: u64,
    commits: u64,
}

impl World {
    fn input(&mut self, input: Input) {
        self.dispatcher.handle(input, self.now);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.dispatcher.poll(self.now) {
            match output {
                Output::Read { read, partition, from, most, .. } => {
                    let log = &self.logs[partition.0 as usize];
                    let start = usize::try_from(from.0).expect("small").min(log.len());
                    let events: Vec<_> = log[start..].iter().take(most).cloned().collect();
                    let next = events.last().map_or(from, |last| last.offset.next());
                    self.coming.push_back((self.now, Input::Read { read, events, corrupt: Vec::new(), next }));
                }
                Output::Attempt { attempt, destination, events } => {
                    self.attempted += events.len() as u64;
                    let outcomes = events.iter().map(|event| outcome(destination.as_str(), event)).collect();
                    let (queue, takes) = match destination.as_str() {
                        "slow-0" => (&mut self.slow, 150),
                        _ => (&mut self.coming, 3),
                    };
                    let at = self.now.after(Duration::from_millis(takes));
                    queue.push_back((at, Input::AttemptEnded { attempt, outcomes, met: Met::default() }));
                }
                Output::Commit { partition, .. } => {
                    self.commits += 1;
                    let at = self.now.after(Duration::from_millis(2));
                    self.coming.push_back((at, Input::Committed(partition)));
                }
                _ => {}
            }
        }
    }

    fn a_millisecond(&mut self) {
        self.now = self.now.after(Duration::from_millis(1));
        for _ in 0..self.coming.len() {
            let Some((at, input)) = self.coming.pop_front() else { break };
            if at <= self.now {
                self.input(input);
            } else {
                self.coming.push_back((at, input));
            }
        }
        while self.slow.front().is_some_and(|(at, _)| *at <= self.now) {
            let (_, input) = self.slow.pop_front().expect("it was there");
            self.input(input);
        }
        self.drain();
    }
}

fn outcome(destination: &str, attempted: &Attempted) -> Outcome {
    let fails = destination == "failing-0" && attempted.event.offset.0.is_multiple_of(13) && attempted.attempt < 3;
    if fails { Outcome::retry(Cause::Refused, "answered 500".into()) } else { Outcome::Delivered }
}

fn main() {
    let mut world = World {
        now: Timestamp::from_millis(1_000_000),
        dispatcher: Dispatcher::new(Settings::default(), 42),
        logs: vec![Vec::new(); PARTITIONS as usize],
        coming: VecDeque::new(),
        slow: VecDeque::new(),
        attempted: 0,
        commits: 0,
    };
    let until = world.now.after(Duration::from_secs(86_400));
    world.input(Input::Destinations(DestinationChanges::present(destinations())));
    for partition in (0..PARTITIONS).map(Partition) {
        let progress = PartitionProgress::default();
        world.input(Input::Claimed { partition, progress, gone: [].into(), log: Offset(0)..Offset(0), until });
    }
    for n in 0..EVENTS {
        let partition = n * 7919 % KEYS % PARTITIONS as usize;
        let log = &mut world.logs[partition];
        log.push(event(n, log.len() as u64, Partition(u32::try_from(partition).expect("small"))));
        if n % BURST == BURST - 1 {
            for partition in 0..PARTITIONS {
                let end = Offset(world.logs[partition as usize].len() as u64);
                world.input(Input::Grew { partition: Partition(partition), end });
            }
            world.a_millisecond();
        }
    }
    for _ in 0..60_000 {
        world.a_millisecond();
    }
    let pending: u64 = world.dispatcher.status(world.now).destinations.iter().map(|status| status.pending).sum();
    println!("{} events attempted, {} commits, {pending} pending", world.attempted, world.commits);
}
