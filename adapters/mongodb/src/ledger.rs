//! What is known so far of the events of one delivery.

use crate::failure::Failure;
use laneway_domain::{Cause, Outcome};
use laneway_ports::{Attempted, Delivery};
use std::collections::HashMap;

/// The outcomes of a delivery while it is under way. What is still open when time runs out can
/// be told at any moment.
pub(crate) struct Ledger<'e> {
    delivery: &'e Delivery,
    outcomes: Vec<Option<Outcome>>,
    /// For each event the next one of its key.
    next: Vec<Option<usize>>,
}

impl<'e> Ledger<'e> {
    pub(crate) fn new(delivery: &'e Delivery) -> Self {
        let events = &delivery.events;
        let mut next = vec![None; events.len()];
        let mut latest = HashMap::new();
        for (index, attempted) in events.iter().enumerate() {
            let event = &attempted.event.event;
            let Some(key) = &event.key else { continue };
            if let Some(before) = latest.insert((&event.tenant, key.as_str()), index) {
                next[before] = Some(index);
            }
        }
        Self { delivery, outcomes: vec![None; events.len()], next }
    }

    pub(crate) fn event(&self, index: usize) -> &'e Attempted {
        &self.delivery.events[index]
    }

    pub(crate) fn is_open(&self, index: usize) -> bool {
        self.outcomes[index].is_none()
    }

    /// The events that nothing is known of yet, in their order.
    pub(crate) fn open(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.outcomes.len()).filter(|index| self.is_open(*index))
    }

    /// The open events in groups: those of one key, in their order.
    pub(crate) fn open_by_key(&self) -> Vec<Vec<usize>> {
        let mut seen = vec![false; self.delivery.events.len()];
        let mut groups = Vec::new();
        for first in self.open() {
            if seen[first] {
                continue;
            }
            let chain = std::iter::successors(Some(first), |index| self.next[*index]);
            let group: Vec<usize> = chain.filter(|index| self.is_open(*index)).collect();
            for index in &group {
                seen[*index] = true;
            }
            groups.push(group);
        }
        groups
    }

    pub(crate) fn delivered(&mut self, index: usize) {
        self.outcomes[index] = Some(Outcome::Delivered);
    }

    /// The event failed, and its key stops here: what comes later of it was not tried.
    pub(crate) fn failed(&mut self, index: usize, outcome: Outcome) {
        self.outcomes[index] = Some(outcome);
        let mut later = self.next[index];
        while let Some(index) = later {
            self.outcomes[index] = Some(Outcome::NotTried);
            later = self.next[index];
        }
    }

    /// Whether what is open may still be sent. Where it may not, it is not tried.
    pub(crate) fn may_go_on(&mut self) -> bool {
        let may = self.delivery.may_be_sent();
        if !may {
            self.outcomes
                .iter_mut()
                .filter(|outcome| outcome.is_none())
                .for_each(|open| *open = Some(Outcome::NotTried));
        }
        may
    }

    /// Nothing more will be known: all that is open failed for this reason.
    pub(crate) fn all_failed(&mut self, failure: &Failure) {
        for index in 0..self.outcomes.len() {
            if self.is_open(index) {
                self.failed(index, failure.outcome());
            }
        }
    }

    /// The outcomes; what is open failed as `failure` says.
    pub(crate) fn close(mut self, failure: impl FnOnce() -> Failure) -> Vec<Outcome> {
        if self.open().next().is_some() {
            self.all_failed(&failure());
        }
        self.outcomes.into_iter().flatten().collect()
    }
}

/// MongoDB answered, and it may go better later.
pub(crate) fn retry(reason: &str) -> Outcome {
    Outcome::retry(Cause::Refused, reason.to_owned())
}

pub(crate) fn rejected(reason: impl Into<String>) -> Outcome {
    Outcome::Rejected { reason: reason.into() }
}

#[cfg(test)]
mod tests;
