//! A lane by itself: what it takes in, whose turn it is, and what it says of itself.

mod age;
mod behind;
mod deleting;
mod delivering;
mod ending;
mod reading;
mod standing;
mod taking_in;
mod yielding;

use super::*;
use crate::deleted_tenants::DeletedTenants;
use crate::destination::{Destination, DestinationName};
use crate::end::Cause;
use crate::event::{Event, EventId, EventType, Key};
use crate::outcome::Outcome;
use crate::random::Random;
use crate::retry::{Failure, RetryPolicy, RetryState};
use crate::settings::Settings;
use crate::timers::Timers;
use bytes::Bytes;
use std::collections::VecDeque;
use std::time::Duration;

pub(in crate::lane) const NOW: Timestamp = Timestamp::from_millis(1_000_000);
const SECOND: Duration = Duration::from_secs(1);
/// An operator's destination, for whose lanes nobody else takes memory.
const GROUP: GroupIndex = GroupIndex(0);

pub(in crate::lane) fn key(n: u8) -> LaneKey {
    LaneKey::Key(Key::new(&format!("k{n}")).unwrap())
}

/// An event of the key numbered `key`, or of none if that is 0.
pub(in crate::lane) fn event(offset: u64, key: u8) -> Arc<LoggedEvent> {
    let id = EventId::new(&format!("e{offset}")).unwrap();
    let event = Event::new(id, EventType::new("t").unwrap(), Bytes::from_static(&[7; 100]));
    let event = Event { key: (key > 0).then(|| Key::new(&format!("k{key}")).unwrap()), ..event };
    Arc::new(LoggedEvent { partition: Partition(0), offset: Offset(offset), accepted_at: NOW, event })
}

/// The same, accepted then.
fn accepted(at: Timestamp, offset: u64, key: u8) -> Arc<LoggedEvent> {
    Arc::new(LoggedEvent { accepted_at: at, ..(*event(offset, key)).clone() })
}

fn weight() -> usize {
    event(0, 1).event.weight()
}

/// A destination whose failed events are tried again after a second each time.
fn destination() -> Destination {
    let retry = RetryPolicy { factor: 1.0, jitter: 0.0, total: None, ..RetryPolicy::default() };
    Destination { retry, breaker: None, ..Destination::new(DestinationName::new("one").unwrap()) }
}

fn failed() -> Outcome {
    Outcome::retry(Cause::Refused, "no".into())
}

/// One failure, after which the next attempt is due then.
fn retry_at(at: Timestamp) -> RetryState {
    let history = vec![Failure::new(NOW, "no")];
    RetryState { attempts: 1, first_failure: NOW, next_attempt: NextAttempt::At(at), history }
}

/// A lane, and what it is given for its decisions.
pub(in crate::lane) struct Scene {
    pub(in crate::lane) lane: Lane,
    now: Timestamp,
    settings: Settings,
    destination: Destination,
    deleted_tenants: DeletedTenants,
    random: Random,
    timers: Timers,
    memory: Memory,
    notices: VecDeque<Notice>,
    uncommitted: Uncommitted,
    /// Where the partition's reader is.
    head: Offset,
    /// Attempts under way, in the order in which they began.
    in_flight: VecDeque<Vec<Part>>,
}

impl Scene {
    pub(in crate::lane) fn new() -> Self {
        Self::with(destination(), Settings::default())
    }

    fn of(destination: Destination) -> Self {
        Self::with(destination, Settings::default())
    }

    pub(in crate::lane) fn bounded(settings: Settings) -> Self {
        Self::with(destination(), settings)
    }

    fn with(destination: Destination, settings: Settings) -> Self {
        let mut memory = Memory::default();
        memory.of(GROUP);
        let mut lane = Lane::new(1, (DestinationIndex(0), GROUP), Partition(0), destination.ordering, Offset(0), 1);
        if destination.max_age.is_some() {
            lane.has_max_age(&mut memory);
        }
        Self {
            lane,
            now: NOW,
            settings,
            destination,
            deleted_tenants: DeletedTenants::default(),
            random: Random::new(1),
            timers: Timers::default(),
            memory,
            notices: VecDeque::new(),
            uncommitted: Uncommitted::default(),
            head: Offset(0),
            in_flight: VecDeque::new(),
        }
    }

    /// Has it do something.
    pub(in crate::lane) fn act<R>(&mut self, act: impl FnOnce(&mut Lane, &mut Context<'_>) -> R) -> R {
        let mut cx = Context {
            now: self.now,
            settings: &self.settings,
            destination: &self.destination,
            deleted_tenants: &self.deleted_tenants,
            random: &mut self.random,
            timers: &mut self.timers,
            memory: self.memory.of(GROUP),
            notices: &mut self.notices,
            uncommitted: &mut self.uncommitted,
        };
        let result = act(&mut self.lane, &mut cx);
        self.lane.check();
        self.memory.check(Memory::counted([self.lane.holds()].into_iter()));
        result
    }

    fn wait(&mut self, time: Duration) {
        self.now = self.now.after(time);
    }

    /// Offers it an event that comes next. Whether it has looked at it.
    fn offer(&mut self, event: &Arc<LoggedEvent>) -> bool {
        let looked = self.act(|lane, cx| lane.offer(event, false, cx));
        if looked && self.lane.is_attached() {
            self.head = event.offset.next();
        }
        looked
    }

    /// Offers it an event of each of these keys, from the reader's place on.
    fn offer_all(&mut self, keys: impl IntoIterator<Item = u8>) {
        for key in keys {
            let event = event(self.head.0, key);
            assert!(self.offer(&event), "there is no room for {}", event.offset);
        }
    }

    /// Begins the next attempt, and says at which events.
    fn begin(&mut self) -> Vec<u64> {
        let Some((parts, events)) = self.act(Lane::next_delivery) else { return Vec::new() };
        self.in_flight.push_back(parts);
        events.iter().map(|attempted| attempted.event.offset.0).collect()
    }

    /// Begins all attempts that may.
    fn begin_all(&mut self) -> Vec<Vec<u64>> {
        std::iter::from_fn(|| Some(self.begin()).filter(|events| !events.is_empty())).collect()
    }

    /// The attempt that is under way for longest ends, with the same for each event.
    fn end(&mut self, outcome: &Outcome) {
        let parts = self.in_flight.pop_front().expect("an attempt is under way");
        for part in parts {
            let outcomes = vec![outcome.clone(); part.count];
            self.end_part(&part, &outcomes);
        }
    }

    fn end_part(&mut self, part: &Part, outcomes: &[Outcome]) {
        let ends = Ends { outcomes, statuses: &[], outage: false };
        self.act(|lane, cx| lane.ended(part, ends, &[], cx));
    }

    /// Has an event of each of these keys fail.
    fn fail_all(&mut self, keys: impl IntoIterator<Item = u8>) {
        self.offer_all(keys);
        self.begin_all();
        while !self.in_flight.is_empty() {
            self.end(&failed());
        }
    }

    /// What it asks for, with appetite, and for how many events.
    fn fetch(&mut self) -> Option<(LaneKey, u64, usize)> {
        match self.act(|lane, cx| lane.next_fetch(Appetite::Full, cx))? {
            Fetch::Log { key, from, most } => Some((key, from.0, most)),
            Fetch::DeadLetter { key, offset } => Some((key, offset.0, 0)),
        }
    }

    /// When the timers come that were set since it was asked last, in milliseconds from the beginning.
    fn timers(&mut self) -> Vec<u64> {
        let mut all = Vec::new();
        while let Some(at) = self.timers.next() {
            self.timers.pop(at);
            all.push(at.as_millis() - NOW.as_millis());
        }
        all
    }

    fn is_behind(&self, key: &LaneKey) -> bool {
        self.lane.queues.get(key).is_some_and(|queue| queue.behind().is_some())
    }
}
