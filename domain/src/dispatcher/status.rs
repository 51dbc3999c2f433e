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
        let configured = self.shared.destinations.configured().map(|index| self.configured_status(index));
        let mut destinations: BTreeMap<DestinationName, DestinationStatus> =
            configured.map(|status| (status.name.clone(), status)).collect();
        for owned in self.partitions.values() {
            for (name, lane) in &owned.unconfigured {
                let status = destinations.entry(name.clone()).or_insert_with(|| empty(name.clone(), false));
                status.pending += lane.settled_below(owned.scanned()).may_wait_until(owned.reach().1);
                status.pending_exact = false;
            }
        }
        StatusReport {
            at: now,
            partitions: self.partitions.keys().copied().collect(),
            destinations: destinations.into_values().collect(),
            ..StatusReport::default()
        }
    }

    fn configured_status(&self, index: DestinationIndex) -> DestinationStatus {
        let gate = self.shared.destinations.gate(index);
        let mut status = empty(gate.destination.name.clone(), true);
        status.in_flight = u64::from(gate.in_flight);
        status.paused = match &gate.pause {
            Some(pause) => Some(pause.reason.to_string()),
            None => gate.destination.paused.then(|| "paused in the configuration".to_owned()),
        };
        if let BreakerState::Open { since, next_probe, .. } = *gate.breaker.state() {
            status.breaker = BreakerStatus::Open { since, next_probe };
        }
        for owned in self.partitions.values() {
            let (head, end) = owned.reach();
            // Given up, and not yet where dead letters are counted.
            status.pending += owned.unsaved_of(index).len() as u64;
            match owned.lane(index) {
                Some(lane) => lane.add_to(&mut status, head, end),
                None => {
                    let unseen = head.may_wait_until(end);
                    status.pending += unseen;
                    status.pending_exact &= head >= end;
                }
            }
        }
        status
    }
}

fn empty(name: DestinationName, configured: bool) -> DestinationStatus {
    DestinationStatus {
        name,
        pending: 0,
        pending_exact: true,
        in_flight: 0,
        keys_behind: 0,
        blocked_keys: 0,
        blocked: Vec::new(),
        breaker: BreakerStatus::Closed,
        paused: None,
        configured,
    }
}
