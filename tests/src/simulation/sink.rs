//! A destination whose every answer comes from the seed.

use super::happenings::{FAILS, HANGS, NOT_BEFORE, REJECTS};
use super::plan::Health;
use super::trace::{By, Recorder, What};
use crate::seeded::Chance;
use laneway_domain::{Cause, Destination, LoggedEvent, Outcome};
use laneway_ports::Delivery;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::sleep;

pub(super) struct SimulatedSink {
    destination: Destination,
    health: Health,
    chance: Mutex<Chance>,
    healed: AtomicBool,
    trace: Recorder,
}

impl SimulatedSink {
    pub(super) fn new(destination: Destination, health: Health, chance: Chance, trace: Recorder) -> Self {
        Self { destination, health, chance: Mutex::new(chance), healed: AtomicBool::new(false), trace }
    }

    pub(super) fn heal(&self) {
        self.healed.store(true, Ordering::SeqCst);
    }

    fn draw<T>(&self, draw: impl FnOnce(&mut Chance) -> T) -> T {
        draw(&mut self.chance.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn duration(&self) -> Duration {
        let hangs = if self.healed.load(Ordering::SeqCst) { 0 } else { self.health.hangs };
        Duration::from_millis(self.draw(|chance| {
            if hangs > 0 && chance.one_in(hangs) {
                self.trace.count(HANGS);
                3000 + chance.below(9000)
            } else {
                chance.below(self.health.slow + 1)
            }
        }))
    }

    fn outcome(&self, event: &LoggedEvent) -> Outcome {
        let one_in = |n: u64| n > 0 && self.draw(|chance| chance.one_in(n));
        let poisoned = self.health.poisoned.map(|key| format!("k{key}"));
        let is_poisoned = event.event.key.as_ref().is_some_and(|key| Some(key.as_str()) == poisoned.as_deref());
        if self.healed.load(Ordering::SeqCst) {
            Outcome::Delivered
        } else if self.health.down || is_poisoned || one_in(self.health.fails) {
            let not_before = one_in(4).then(|| Duration::from_millis(700));
            self.trace.count(if not_before.is_some() { NOT_BEFORE } else { FAILS });
            Outcome::Retry { cause: Cause::Refused, reason: "the seed says no".to_owned(), not_before }
        } else if one_in(self.health.rejects) {
            self.trace.count(REJECTS);
            Outcome::Rejected { reason: "the seed says never".to_owned() }
        } else {
            Outcome::Delivered
        }
    }
}

impl SimulatedSink {
    /// Takes what a process delivers.
    pub(super) async fn take(&self, delivery: &Delivery, by: By) -> Vec<Outcome> {
        let events: Vec<Arc<LoggedEvent>> = delivery.events.iter().map(|attempted| attempted.event.clone()).collect();
        let name = &self.destination.name;
        self.trace.at(name, by, What::Started(events.clone()));
        let mut attempt = Attempt { sink: self, by, events, ended: false };
        sleep(self.duration()).await;
        let mut failed = BTreeSet::new();
        let outcomes: Vec<Outcome> = attempt
            .events
            .iter()
            .map(|event| {
                // A sink stops at a key's first failure; under `strict` that is any failure.
                let event_key = || (event.event.tenant.clone(), event.event.key.clone());
                let key = (self.destination.ordering != laneway_domain::Ordering::Strict).then(event_key);
                if failed.contains(&key) {
                    return Outcome::NotTried;
                }
                let outcome = self.outcome(event);
                if outcome != Outcome::Delivered && (key.is_none() || event.event.key.is_some()) {
                    failed.insert(key);
                }
                outcome
            })
            .collect();
        attempt.ended = true;
        let delivered = outcomes.iter().map(|outcome| *outcome == Outcome::Delivered).collect();
        self.trace.at(name, by, What::Ended(attempt.events.clone(), delivered));
        outcomes
    }
}

/// Notes when an attempt is dropped before its end.
struct Attempt<'a> {
    sink: &'a SimulatedSink,
    by: By,
    events: Vec<Arc<LoggedEvent>>,
    ended: bool,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.ended {
            let name = &self.sink.destination.name;
            self.sink.trace.at(name, self.by, What::Abandoned(self.events.clone()));
        }
    }
}
