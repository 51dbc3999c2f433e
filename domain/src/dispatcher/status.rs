//! A snapshot for operators.

use super::Dispatcher;
use crate::breaker::BreakerState;
use crate::destination::{DestinationIndex, DestinationName};
use crate::status::{BreakerStatus, DestinationStatus, StatusReport};
use crate::time::Timestamp;
use std::collections::BTreeMap;

impl Dispatcher {
    /// What every destination is at. Takes time proportional to the lanes and the keys behind.
    #[must_use]
    pub fn status(&self, now: Timestamp) -> StatusReport {
        let configured = self.shared.destinations.present().map(|index| self.configured_status(index, now));
        let mut destinations: BTreeMap<DestinationName, DestinationStatus> =
            configured.map(|status| (status.name.clone(), status)).collect();
        for (partition, owned) in &self.partitions {
            for (name, lane) in &owned.unconfigured {
                let status =
                    destinations.entry(name.clone()).or_insert_with(|| DestinationStatus::idle(name.clone(), false));
                let (from, end) = (lane.settled_below(owned.scanned()), owned.reach().1);
                status.waits_from(*partition, from, end);
                status.pending += from.may_wait_until(end);
                status.pending_exact = false;
            }
        }
        for (index, gate) in self.shared.destinations.gates() {
            if !self.shared.destinations.is_present(index) {
                let name = &gate.destination.name;
                let status =
                    destinations.entry(name.clone()).or_insert_with(|| DestinationStatus::idle(name.clone(), false));
                status.in_flight += u64::from(gate.in_flight);
            }
        }
        StatusReport {
            at: now,
            partitions: self.partitions.keys().copied().collect(),
            destinations: destinations.into_values().collect(),
            ..StatusReport::default()
        }
    }

    fn configured_status(&self, index: DestinationIndex, now: Timestamp) -> DestinationStatus {
        let gate = self.shared.destinations.gate(index);
        let mut status = DestinationStatus::idle(gate.destination.name.clone(), true);
        status.in_flight = u64::from(gate.in_flight);
        status.delivered_recently = gate.delivered.count(now);
        status.paused = match &gate.pause {
            Some(pause) => Some(pause.reason.to_string()),
            None => gate.destination.paused.as_ref().map(ToString::to_string),
        };
        if let BreakerState::Open { since, next_probe, .. } = *gate.breaker.state() {
            status.breaker = BreakerStatus::Open { since, next_probe };
        }
        for (partition, owned) in &self.partitions {
            let (head, end) = owned.reach();
            // Given up, and not yet where dead letters are counted.
            if !owned.has_joined(index) {
                continue;
            }
            status.pending += owned.unsaved_of(&gate.destination) as u64;
            match owned.lane(index) {
                Some(lane) => lane.add_to(&mut status, head, end),
                None => {
                    let unseen = head.may_wait_until(end);
                    status.waits_from(*partition, head, end);
                    status.pending += unseen;
                    status.pending_exact &= head >= end;
                }
            }
        }
        if let BreakerStatus::Open { next_probe, .. } = status.breaker {
            status.wait_for_probe(next_probe);
        }
        status
    }
}
