//! Judges a trace against the guarantees, from plain sets.

mod chosen;

use super::trace::{By, Line, What};
use crate::seeded::{Trace, Violation};
use chosen::Chosen;
use laneway_domain::{
    DeadLetter, Destination, DestinationName, Event, EventId, Key, LoggedEvent, Offset, Ordering, Partition,
    PartitionProgress, Position, Tenant, Timestamp,
};
use laneway_ports::Appended;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

type Place = (Partition, Offset);

/// What is known of a run from outside.
pub(super) struct Oracle {
    destinations: Vec<Destination>,
    sent: BTreeMap<EventId, Event>,
    accepted: BTreeMap<EventId, Place>,
    /// What failovers have lost: an event that is there no more holds nothing up.
    lost: Vec<Range<Place>>,
    /// Dead letters that there ever were: a retry may have delivered them since.
    dead: BTreeSet<(DestinationName, Place)>,
    left: BTreeSet<(DestinationName, Place)>,
    /// What had waited for too long, and when it expired first.
    expired: BTreeMap<(DestinationName, Place), Timestamp>,
    violations: Vec<Violation>,
}

/// What one destination has seen so far.
#[derive(Default)]
struct Seen {
    started: BTreeSet<Place>,
    delivered: BTreeSet<Place>,
    /// What is in flight, by what it is ordered with.
    in_flight: BTreeMap<OrderedBy, Vec<By>>,
    /// What replays have attempted, by what it is ordered with: the number of the replay, and the place.
    replayed: BTreeMap<OrderedBy, BTreeSet<(u64, Place)>>,
}

impl Seen {
    /// What is from there on has to be attempted and settled as if it never was.
    fn forget(&mut self, from: &BTreeMap<Partition, Offset>) {
        for seen in [&mut self.started, &mut self.delivered] {
            seen.retain(|(partition, offset)| from.get(partition).is_none_or(|from| offset < from));
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum OrderedBy {
    Key(Option<Tenant>, Key),
    Event(Place),
    Partition(Partition),
}

fn place(event: &LoggedEvent) -> Place {
    (event.partition, event.offset)
}

impl Oracle {
    pub(super) fn new(destinations: Vec<Destination>) -> Self {
        Self {
            destinations,
            sent: BTreeMap::new(),
            accepted: BTreeMap::new(),
            lost: Vec::new(),
            dead: BTreeSet::new(),
            left: BTreeSet::new(),
            expired: BTreeMap::new(),
            violations: Vec::new(),
        }
    }

    pub(super) fn sent(&mut self, event: &Event) {
        self.sent.insert(event.id.clone(), event.clone());
    }

    pub(super) fn accepted(&mut self, id: &EventId, appended: Appended) {
        let place = (appended.partition, appended.offset);
        let before = self.accepted.insert(id.clone(), place);
        if before.is_some_and(|before| before != place) {
            self.violations.push(format!("{id} was accepted twice, at {before:?} and {place:?}"));
        }
    }

    /// A failover has lost these. Whoever sends them again gets another place.
    pub(super) fn lost(&mut self, partition: Partition, offsets: &Range<Offset>) -> usize {
        let places = (partition, offsets.start)..(partition, offsets.end);
        let before = self.accepted.len();
        self.accepted.retain(|_, place| !places.contains(place));
        self.lost.push(places);
        before - self.accepted.len()
    }

    pub(super) fn stuck(&mut self, status: &str) {
        self.violations.push(format!("it does not come to an end: {status}"));
    }

    pub(super) fn broken(&mut self, what: String) {
        self.violations.push(what);
    }

    pub(super) fn dead_letters(&mut self, letters: Vec<DeadLetter>) {
        let places =
            letters.into_iter().map(|letter| (letter.given_up.destination, (letter.partition, letter.given_up.offset)));
        self.dead.extend(places);
    }

    /// What the history tells of dead letters, of those included that a replay has taken back before anybody saw them.
    pub(super) fn given_up(&mut self, places: Vec<(DestinationName, Place)>) {
        self.dead.extend(places);
    }

    /// What the history tells of what has expired.
    pub(super) fn expired(&mut self, places: Vec<(DestinationName, Place, Timestamp)>) {
        for (name, place, at) in places {
            let first = self.expired.entry((name, place)).or_insert(at);
            *first = at.min(*first);
        }
    }

    /// These are left when everything has come to its end.
    pub(super) fn at_the_end(&mut self, letters: &[DeadLetter]) {
        let place = |letter: &DeadLetter| (letter.partition, letter.given_up.offset);
        self.left = letters.iter().map(|letter| (letter.given_up.destination.clone(), place(letter))).collect();
    }

    /// G2, G6: at the end, stored progress says that all is settled.
    pub(super) fn progress(&mut self, partition: Partition, progress: &PartitionProgress, end: Offset) {
        for destination in &self.destinations {
            let Some(lane) = progress.lanes.get(&destination.name) else {
                self.violations.push(format!("partition {partition} has no lane of {}", destination.name));
                continue;
            };
            let position = match lane.position {
                Position::Shared => progress.scanned,
                Position::At(offset) => offset,
            };
            if position != end || !lane.behind.is_empty() {
                let name = &destination.name;
                self.violations.push(format!(
                    "partition {partition}, {name}: progress ends at {position} of {end} with {:?}",
                    lane.behind
                ));
            }
        }
    }

    /// What the trace shows that must not have happened.
    pub(super) fn judge(&self, trace: &Trace<Line>) -> Vec<Violation> {
        let mut violations = self.violations.clone();
        let lines = trace.lines();
        let log = log_of(&lines);
        for destination in &self.destinations {
            let mut judge = Judge {
                oracle: self,
                destination,
                log: &log,
                seen: Seen::default(),
                chosen: None,
                violations: &mut violations,
            };
            for line in &lines {
                match line {
                    Line::At(_, name, by, what) if *name == destination.name => judge.look(*by, what),
                    Line::Replay(_, name, from) if *name == destination.name => judge.seen.forget(from),
                    Line::Chosen(_, name, order) if *name == destination.name => judge.chosen(order),
                    _ => {}
                }
            }
            judge.end();
        }
        violations
    }
}

/// Every event that some destination was given, by place.
fn log_of(lines: &[Line]) -> BTreeMap<Place, Arc<LoggedEvent>> {
    let events = |line: &Line| match line {
        Line::At(_, _, _, What::Started(events)) => events.clone(),
        _ => Vec::new(),
    };
    lines.iter().flat_map(events).map(|event| (place(&event), event)).collect()
}

struct Judge<'a> {
    oracle: &'a Oracle,
    destination: &'a Destination,
    log: &'a BTreeMap<Place, Arc<LoggedEvent>>,
    seen: Seen,
    /// What was chosen in the end.
    chosen: Option<Chosen>,
    violations: &'a mut Vec<Violation>,
}

impl Judge<'_> {
    fn ordered_by(&self, event: &LoggedEvent) -> OrderedBy {
        match (self.destination.ordering, &event.event.key) {
            (Ordering::Strict, _) => OrderedBy::Partition(event.partition),
            (Ordering::Key, Some(key)) => OrderedBy::Key(event.event.tenant.clone(), key.clone()),
            _ => OrderedBy::Event(place(event)),
        }
    }

    fn broken(&mut self, what: &str) {
        self.violations.push(format!("{}: {what}", self.destination.name));
    }

    fn look(&mut self, by: By, what: &What) {
        match what {
            What::Started(events) => {
                if by.epoch.is_none() && !by.late {
                    self.broken(&format!("{by} an attempt began"));
                }
                let keys: BTreeSet<OrderedBy> = events.iter().map(|event| self.ordered_by(event)).collect();
                for key in keys {
                    let in_flight = self.seen.in_flight.entry(key.clone()).or_default();
                    // What another process has begun under an earlier lease, nobody can call back.
                    let twice = in_flight.iter().any(|other| (other.process, other.epoch) == (by.process, by.epoch));
                    in_flight.push(by);
                    if twice {
                        self.broken(&format!("{by} two attempts of {key:?} in flight"));
                    }
                }
                match by.replay {
                    Some(number) => self.replayed(by, number, events),
                    None => self.comes_after_what_was_chosen(events),
                }
                for (n, event) in events.iter().enumerate() {
                    self.started(event, &events[..n]);
                }
            }
            What::Ended(events, delivered) => {
                self.ended(by, events);
                for (event, _) in events.iter().zip(delivered).filter(|(_, delivered)| **delivered) {
                    self.seen.delivered.insert(place(event));
                    if by.replay.is_some()
                        && let Some(chosen) = &mut self.chosen
                    {
                        chosen.delivered.push(place(event));
                    }
                }
            }
            What::Abandoned(events) => self.ended(by, events),
        }
    }

    fn ended(&mut self, by: By, events: &[Arc<LoggedEvent>]) {
        let keys: BTreeSet<OrderedBy> = events.iter().map(|event| self.ordered_by(event)).collect();
        for key in keys {
            if let Some(in_flight) = self.seen.in_flight.get_mut(&key)
                && let Some(at) = in_flight.iter().position(|other| *other == by)
            {
                in_flight.swap_remove(at);
            }
        }
    }

    fn started(&mut self, event: &Arc<LoggedEvent>, before: &[Arc<LoggedEvent>]) {
        if self.oracle.sent.get(&event.event.id) != Some(&event.event) {
            self.broken(&format!("{} is not what was sent", event.event.id));
        }
        if !self.destination.filters.current.wants(&event.event) {
            self.broken(&format!("{} is not wanted", event.event.id));
        }
        if !self.seen.started.insert(place(event)) {
            return;
        }
        // G3: a first attempt comes after everything earlier of the key is settled.
        let key = self.ordered_by(event);
        let earlier = self.log.range((event.partition, Offset::ZERO)..place(event)).map(|(_, earlier)| earlier);
        let unsettled: Vec<String> = earlier
            .filter(|earlier| self.ordered_by(earlier) == key && self.destination.filters.current.wants(&earlier.event))
            .filter(|earlier| !before.contains(earlier) && !self.settled(place(earlier)))
            .filter(|earlier| !self.oracle.lost.iter().any(|lost| lost.contains(&place(earlier))))
            .map(|earlier| earlier.event.id.to_string())
            .collect();
        if !unsettled.is_empty() {
            self.broken(&format!("{} was attempted before {unsettled:?} of {key:?}", event.event.id));
        }
    }

    /// Nothing expires where waiting has no limit, nor before that.
    fn only_what_is_old_expires(&mut self) {
        let of = self.oracle.expired.iter().filter(|((name, _), _)| *name == self.destination.name);
        let early = of.filter(|((_, place), at)| {
            let since = self.log.get(place).map_or(Timestamp::ZERO, |event| event.accepted_at);
            self.destination.max_age.is_none_or(|max_age| **at < since.after(max_age))
        });
        let early: Vec<_> = early.map(|((_, place), at)| (*place, *at)).collect();
        if !early.is_empty() {
            self.broken(&format!("expired too early: {early:?}"));
        }
    }

    /// Delivered so far, or a dead letter in the end. (When it was given up is not seen from outside;
    /// but not before it was attempted.)
    fn settled(&self, place: Place) -> bool {
        let dead = self.oracle.dead.contains(&(self.destination.name.clone(), place));
        let expired = self.oracle.expired.contains_key(&(self.destination.name.clone(), place));
        self.seen.delivered.contains(&place) || (dead && self.seen.started.contains(&place)) || expired
    }

    /// G1, G6: whatever was accepted and wanted has been delivered or is a dead letter.
    fn end(&mut self) {
        let lost: Vec<String> = self
            .oracle
            .accepted
            .iter()
            .filter(|(id, place)| {
                let wanted =
                    self.oracle.sent.get(*id).is_some_and(|event| self.destination.filters.current.wants(event));
                let left = self.oracle.left.contains(&(self.destination.name.clone(), **place));
                let expired = self.oracle.expired.contains_key(&(self.destination.name.clone(), **place));
                wanted && !left && !expired && !self.seen.delivered.contains(*place)
            })
            .map(|(id, (partition, offset))| format!("{id} at {partition}/{offset}"))
            .collect();
        if !lost.is_empty() {
            self.broken(&format!("accepted, and neither delivered nor a dead letter: {lost:?}"));
        }
        self.just_what_was_chosen_has_come();
        self.only_what_is_old_expires();
    }
}
