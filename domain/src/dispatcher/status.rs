//! A snapshot for operators.

use super::Dispatcher;
use super::owned::OwnedPartition;
use crate::breaker::BreakerState;
use crate::destination::{DestinationIndex, DestinationName};
use crate::partition::{Offset, Partition};
use crate::progress::LaneProgress;
use crate::revision::Revision;
use crate::status::{BreakerStatus, DestinationStatus, StatusReport};
use crate::time::Timestamp;
use std::collections::BTreeMap;

/// A status that is found out in pieces, so that events need not wait until all of it is: [`Dispatcher::survey`].
///
/// What it says of a destination in a partition is of one moment between its beginning and its end. A destination that
/// comes or goes meanwhile may be in it or not.
#[derive(Debug)]
pub struct Survey {
    list_keys: bool,
    partitions: Vec<Partition>,
    /// Those that are done, by name.
    found: Vec<DestinationStatus>,
    /// Those that there are not, and that left something behind.
    remains: BTreeMap<DestinationName, DestinationStatus>,
    next: Next,
}

/// What a survey goes on with.
#[derive(Debug)]
enum Next {
    /// It has not begun.
    Begin,
    /// The destinations behind the last one that is done.
    Destinations,
    /// A destination with something under way, that was made at this revision, from a partition on.
    Within(DestinationIndex, Revision, Box<DestinationStatus>, Partition),
    /// What is left in partitions from this one on.
    Remains(Partition),
    Done,
}

/// What waits for a destination that has nothing under way anywhere: it stands where each partition's reader is.
struct AtTheHeads {
    pending: u64,
    pending_exact: bool,
    pending_at_least: bool,
    waiting_from: Vec<(Partition, Offset)>,
}

/// How many dead letters in which partition are in no stored commit yet.
type Unsaved = BTreeMap<(DestinationIndex, Partition), u64>;

impl Survey {
    /// Begins a survey. `list_keys`: whether it lists blocked keys, which takes time; it counts them anyway.
    #[must_use]
    pub const fn new(list_keys: bool) -> Self {
        Self { list_keys, partitions: Vec::new(), found: Vec::new(), remains: BTreeMap::new(), next: Next::Begin }
    }
}

impl Dispatcher {
    /// What every destination is at. Takes time proportional to the destinations and the keys behind: whoever has
    /// something else to do meanwhile uses [`Dispatcher::survey`].
    #[must_use]
    pub fn status(&self, now: Timestamp) -> StatusReport {
        let mut survey = Survey::new(true);
        loop {
            if let Some(report) = self.survey(&mut survey, usize::MAX, now) {
                return report;
            }
        }
    }

    /// Goes on with a survey; the report, when it is done. Looks at about `most` things, each of them a destination,
    /// a lane or a key behind, and at one destination in one partition at least, which may have
    /// [`crate::Settings::max_behind`] keys behind.
    ///
    /// If partitions came or went since it began, it begins anew: it would say that nothing waits where it has not
    /// looked.
    pub fn survey(&self, survey: &mut Survey, most: usize, now: Timestamp) -> Option<StatusReport> {
        if !self.partitions.keys().eq(&survey.partitions) {
            *survey = Survey::new(survey.list_keys);
        }
        let unsaved = self.unsaved();
        let mut left = most;
        while left > 0 {
            let looked_at = match std::mem::replace(&mut survey.next, Next::Done) {
                Next::Begin => {
                    survey.partitions = self.partitions.keys().copied().collect();
                    survey.next = Next::Destinations;
                    1
                }
                Next::Destinations => self.survey_destinations(survey, left, &unsaved, now),
                Next::Within(index, born, status, from) => {
                    self.survey_within(survey, (index, born, status, from), &unsaved)
                }
                Next::Remains(from) => self.survey_remains(survey, from),
                Next::Done => return Some(self.report(survey, now)),
            };
            left = left.saturating_sub(looked_at);
        }
        None
    }

    fn unsaved(&self) -> Unsaved {
        let mut unsaved = Unsaved::new();
        for (partition, owned) in &self.partitions {
            for index in owned.unsaved(&self.shared.destinations) {
                *unsaved.entry((index, *partition)).or_default() += 1;
            }
        }
        unsaved
    }

    /// Looks at destinations that have nothing under way, up to one that has. Returns at how many.
    fn survey_destinations(&self, survey: &mut Survey, most: usize, unsaved: &Unsaved, now: Timestamp) -> usize {
        let at_the_heads = self.at_the_heads();
        let last = survey.found.last().map(|last| last.name.clone());
        survey.next = Next::Destinations;
        let mut looked_at = 0;
        for index in self.shared.destinations.present_after(last.as_ref()) {
            if looked_at >= most {
                return looked_at;
            }
            looked_at += 1;
            let mut status = self.status_at_gate(index, now);
            if self.is_apart(index, unsaved) {
                let born = self.shared.destinations.get(index).born;
                survey.next = Next::Within(index, born, Box::new(status), Partition(0));
                return looked_at;
            }
            status.pending = at_the_heads.pending;
            status.pending_exact = at_the_heads.pending_exact;
            status.pending_at_least = at_the_heads.pending_at_least;
            status.waiting_from.clone_from(&at_the_heads.waiting_from);
            survey.found.push(status);
        }
        survey.next = Next::Remains(Partition(0));
        looked_at
    }

    fn at_the_heads(&self) -> AtTheHeads {
        let mut status =
            AtTheHeads { pending: 0, pending_exact: true, pending_at_least: false, waiting_from: Vec::new() };
        for (partition, owned) in &self.partitions {
            let (head, end) = owned.reach();
            status.pending += head.may_wait_until(end);
            status.pending_exact &= head >= end;
            status.pending_at_least |= !head.is_counted_until(end);
            status.waiting_from.extend((head < end).then_some((*partition, head)));
        }
        status
    }

    /// Whether a destination has something under way somewhere, or has yet to join.
    fn is_apart(&self, index: DestinationIndex, unsaved: &Unsaved) -> bool {
        let name = &self.shared.destinations.get(index).name;
        let has_unsaved = unsaved.range((index, Partition(0))..=(index, Partition(u32::MAX))).next().is_some();
        has_unsaved || self.partitions.values().any(|owned| owned.is_apart(index, name))
    }

    /// Looks at a destination in one partition. Returns at how much.
    fn survey_within(
        &self,
        survey: &mut Survey,
        (index, born, mut status, from): (DestinationIndex, Revision, Box<DestinationStatus>, Partition),
        unsaved: &Unsaved,
    ) -> usize {
        survey.next = Next::Destinations;
        if self.shared.destinations.named(&status.name) != Some(index)
            || self.shared.destinations.get(index).born != born
        {
            // It has gone meanwhile. What is left of it is looked at later, and another one of its name from its
            // beginning.
            return 1;
        }
        let Some((partition, owned)) = self.partitions.range(from..).next() else {
            survey.found.push(*status);
            return 1;
        };
        let looked_at = owned.status_weight(index);
        self.add_partition(&mut status, (index, *partition, owned), unsaved, survey.list_keys);
        survey.next = Next::Within(index, born, status, Partition(partition.0.saturating_add(1)));
        looked_at
    }

    fn add_partition(
        &self,
        status: &mut DestinationStatus,
        (index, partition, owned): (DestinationIndex, Partition, &OwnedPartition),
        unsaved: &Unsaved,
        list_keys: bool,
    ) {
        if owned.has_joined(index) {
            status.expired += owned.expired_of(&status.name);
            // Given up, and not yet where dead letters are counted.
            status.pending += unsaved.get(&(index, partition)).copied().unwrap_or_default();
            let (head, end) = owned.reach();
            match owned.lane(index) {
                Some(lane) => lane.add_to(status, (head, end), list_keys),
                None => {
                    status.waits_from(partition, head, end);
                    status.pending += head.may_wait_until(end);
                    status.pending_exact &= head >= end;
                    status.pending_at_least |= !head.is_counted_until(end);
                }
            }
        }
        if let Some(lane) = owned.unconfigured.get(&status.name) {
            // Of one before it that had its name.
            add_remains(status, (partition, owned), lane);
        }
        owned.add_replays_to(index, status, list_keys);
        if let BreakerStatus::Open { next_probe, .. } = status.breaker {
            status.wait_for_probe(next_probe);
        }
    }

    /// Looks at what is left in one partition of destinations that there were not. Returns of how many.
    fn survey_remains(&self, survey: &mut Survey, from: Partition) -> usize {
        let Some((partition, owned)) = self.partitions.range(from..).next() else { return 1 };
        for (name, lane) in &owned.unconfigured {
            if survey.found.binary_search_by(|known| known.name.cmp(name)).is_err() {
                let status = survey.remains.entry(name.clone());
                let status = status.or_insert_with(|| DestinationStatus::idle(name.clone(), false));
                add_remains(status, (*partition, owned), lane);
            }
        }
        survey.next = Next::Remains(Partition(partition.0.saturating_add(1)));
        1 + owned.unconfigured.len()
    }

    /// What a survey has found.
    fn report(&self, survey: &mut Survey, now: Timestamp) -> StatusReport {
        let mut destinations = std::mem::take(&mut survey.found);
        let mut others = std::mem::take(&mut survey.remains);
        for gate in self.shared.destinations.gone() {
            let name = &gate.destination.name;
            let status = match destinations.binary_search_by(|known| known.name.cmp(name)) {
                Ok(at) => &mut destinations[at],
                Err(_) => others.entry(name.clone()).or_insert_with(|| DestinationStatus::idle(name.clone(), false)),
            };
            status.in_flight += u64::from(gate.in_flight);
        }
        if !others.is_empty() {
            destinations.extend(others.into_values());
            destinations.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        }
        let partitions = std::mem::take(&mut survey.partitions);
        StatusReport { at: now, partitions, destinations, ..StatusReport::default() }
    }

    /// What does not depend on a partition.
    fn status_at_gate(&self, index: DestinationIndex, now: Timestamp) -> DestinationStatus {
        let gate = self.shared.destinations.gate(index);
        let mut status = DestinationStatus::idle(gate.destination.name.clone(), true);
        status.in_flight = u64::from(gate.in_flight);
        status.delivered_recently = gate.delivered.count(now);
        status.failed_recently = gate.failed.count(now);
        (status.paused, status.paused_since) = match (&gate.pause, &gate.destination.paused) {
            (Some(pause), _) => (Some(pause.reason.to_string()), Some(pause.since)),
            (None, Some(reason)) => (Some(reason.to_string()), gate.destination.paused_since),
            (None, None) => (None, None),
        };
        if let BreakerState::Open { since, next_probe, .. } = *gate.breaker.state() {
            status.breaker = BreakerStatus::Open { since, next_probe };
        }
        status
    }

    /// A survey comes to the same in however many pieces it is made, if nothing happens meanwhile; and what is found
    /// out once for many is what each of them would say.
    pub(super) fn check_status(&self, now: Timestamp) {
        let whole = self.status(now);
        let (mut survey, unsaved) = (Survey::new(true), self.unsaved());
        let in_pieces = std::iter::repeat_with(|| self.survey(&mut survey, 1, now)).flatten().next();
        assert_eq!(in_pieces.as_ref(), Some(&whole), "what a survey finds in pieces, and at once");
        for index in self.shared.destinations.present().filter(|index| !self.is_apart(*index, &unsaved)) {
            let mut one = self.status_at_gate(index, now);
            for (partition, owned) in &self.partitions {
                self.add_partition(&mut one, (index, *partition, owned), &unsaved, true);
            }
            let told = whole.destinations.binary_search_by(|known| known.name.cmp(&one.name));
            let told = told.map(|at| &whole.destinations[at]);
            // Attempts at one before it that had its name are found out at the end.
            let is_alone = self.shared.destinations.gone().all(|gate| gate.destination.name != one.name);
            assert!(!is_alone || told == Ok(&one), "the status of {} is {told:?}, not {one:?}", one.name);
        }
    }
}

/// Adds what a destination that there is not left behind in a partition.
fn add_remains(status: &mut DestinationStatus, (partition, owned): (Partition, &OwnedPartition), lane: &LaneProgress) {
    let (from, end) = (lane.settled_below(owned.scanned()), owned.reach().1);
    status.waits_from(partition, from, end);
    status.pending += from.may_wait_until(end);
    status.pending_exact = false;
    status.pending_at_least |= !from.is_counted_until(end);
    status.expired += lane.expiry.expired;
}
