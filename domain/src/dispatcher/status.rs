//! A snapshot for operators.

use super::Dispatcher;
use crate::breaker::BreakerState;
use crate::destination::{DestinationIndex, DestinationName};
use crate::partition::{Offset, Partition};
use crate::status::{BreakerStatus, DestinationStatus, StatusReport};
use crate::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// What waits for a destination that has nothing under way anywhere: it stands where each partition's reader is.
struct AtTheHeads {
    pending: u64,
    pending_exact: bool,
    waiting_from: Vec<(Partition, Offset)>,
}

impl Dispatcher {
    /// What every destination is at. Takes time proportional to the lanes and the keys behind; what is the same for all
    /// that have nothing under way is found out once.
    #[must_use]
    pub fn status(&self, now: Timestamp) -> StatusReport {
        let (at_the_heads, apart) = (self.at_the_heads(), self.apart());
        let configured = self.shared.destinations.present_by_name().map(|index| {
            if apart.contains(&index) {
                return self.status_of_one_apart(index, now);
            }
            let mut status = self.status_at_gate(index, now);
            status.pending = at_the_heads.pending;
            status.pending_exact = at_the_heads.pending_exact;
            status.waiting_from.clone_from(&at_the_heads.waiting_from);
            status
        });
        StatusReport {
            at: now,
            partitions: self.partitions.keys().copied().collect(),
            destinations: self.with_those_not_configured(configured.collect()),
            ..StatusReport::default()
        }
    }

    fn at_the_heads(&self) -> AtTheHeads {
        let mut status = AtTheHeads { pending: 0, pending_exact: true, waiting_from: Vec::new() };
        for (partition, owned) in &self.partitions {
            let (head, end) = owned.reach();
            status.pending += head.may_wait_until(end);
            status.pending_exact &= head >= end;
            status.waiting_from.extend((head < end).then_some((*partition, head)));
        }
        status
    }

    /// The destinations that have something under way somewhere, or have yet to join.
    fn apart(&self) -> BTreeSet<DestinationIndex> {
        let mut apart = BTreeSet::new();
        for owned in self.partitions.values() {
            apart.extend(owned.apart(&self.shared.destinations));
        }
        apart
    }

    /// `configured` has those that there are, by name. Others may have left something behind.
    fn with_those_not_configured(&self, mut configured: Vec<DestinationStatus>) -> Vec<DestinationStatus> {
        let mut others: BTreeMap<DestinationName, DestinationStatus> = BTreeMap::new();
        let mut add = |name: &DestinationName, what: &dyn Fn(&mut DestinationStatus)| {
            what(match configured.binary_search_by(|known| known.name.cmp(name)) {
                Ok(at) => &mut configured[at],
                Err(_) => others.entry(name.clone()).or_insert_with(|| DestinationStatus::idle(name.clone(), false)),
            });
        };
        for (partition, owned) in &self.partitions {
            let end = owned.reach().1;
            for (name, lane) in &owned.unconfigured {
                let from = lane.settled_below(owned.scanned());
                add(name, &|status| {
                    status.waits_from(*partition, from, end);
                    status.pending += from.may_wait_until(end);
                    status.pending_exact = false;
                    status.expired += lane.expiry.expired;
                });
            }
        }
        for (index, gate) in self.shared.destinations.gates() {
            if !self.shared.destinations.is_present(index) {
                add(&gate.destination.name, &|status| status.in_flight += u64::from(gate.in_flight));
            }
        }
        if !others.is_empty() {
            configured.extend(others.into_values());
            configured.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        }
        configured
    }

    /// What does not depend on a partition.
    fn status_at_gate(&self, index: DestinationIndex, now: Timestamp) -> DestinationStatus {
        let gate = self.shared.destinations.gate(index);
        let mut status = DestinationStatus::idle(gate.destination.name.clone(), true);
        status.in_flight = u64::from(gate.in_flight);
        status.delivered_recently = gate.delivered.count(now);
        status.failed_recently = gate.failed.count(now);
        status.paused = match &gate.pause {
            Some(pause) => Some(pause.reason.to_string()),
            None => gate.destination.paused.as_ref().map(ToString::to_string),
        };
        if let BreakerState::Open { since, next_probe, .. } = *gate.breaker.state() {
            status.breaker = BreakerStatus::Open { since, next_probe };
        }
        status
    }

    /// One destination, partition by partition.
    fn status_of_one_apart(&self, index: DestinationIndex, now: Timestamp) -> DestinationStatus {
        let mut status = self.status_at_gate(index, now);
        for (partition, owned) in &self.partitions {
            if !owned.has_joined(index) {
                continue;
            }
            let (head, end) = owned.reach();
            status.expired += owned.expired_of(&self.shared.destinations.get(index).name);
            // Given up, and not yet where dead letters are counted.
            status.pending += owned.unsaved_of(self.shared.destinations.get(index)) as u64;
            match owned.lane(index) {
                Some(lane) => lane.add_to(&mut status, head, end),
                None => {
                    status.waits_from(*partition, head, end);
                    status.pending += head.may_wait_until(end);
                    status.pending_exact &= head >= end;
                }
            }
        }
        for owned in self.partitions.values() {
            owned.add_replays_to(index, &mut status);
        }
        if let BreakerStatus::Open { next_probe, .. } = status.breaker {
            status.wait_for_probe(next_probe);
        }
        status
    }

    /// What is found out once for many is what each of them would say.
    pub(super) fn check_status(&self, now: Timestamp) {
        let apart = self.apart();
        let all = self.status(now).destinations;
        for index in self.shared.destinations.present().filter(|index| !apart.contains(index)) {
            let one = self.status_of_one_apart(index, now);
            let told = all.binary_search_by(|known| known.name.cmp(&one.name)).map(|at| &all[at]);
            // Of one before it that had its name, something may be left.
            let is_alone = self.partitions.values().all(|owned| !owned.unconfigured.contains_key(&one.name))
                && self
                    .shared
                    .destinations
                    .gates()
                    .all(|(other, gate)| other == index || gate.destination.name != one.name);
            assert!(!is_alone || told == Ok(&one), "the status of {} is {told:?}, not {one:?}", one.name);
        }
    }
}
