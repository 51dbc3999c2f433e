//! A store in trouble.

use super::{Chance, Tally};
use laneway_memory::{Call, Fault, Faults};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const REFUSED: &str = "a call of the store is refused";
const FAILED: &str = "a write fails and did not happen, but may have";
const ANSWER_LOST: &str = "a write happens and its answer is lost";
const SLOW_SYNC: &str = "a write takes 0.3 s to be durable";

/// What can happen to a store that is in trouble.
pub(crate) const OF_STORES: [&str; 4] = [REFUSED, FAILED, ANSWER_LOST, SLOW_SYNC];

/// A store that sometimes fails, and takes its time.
pub(crate) struct TroubledStore {
    chance: Mutex<Chance>,
    one_in: u64,
    healed: AtomicBool,
    /// Whether the register of workers cannot be reached.
    without_register: AtomicBool,
    tally: Tally,
}

impl TroubledStore {
    pub(crate) fn new(chance: Chance, one_in: u64, tally: Tally) -> Self {
        let (healed, without_register) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { chance: Mutex::new(chance), one_in, healed, without_register, tally }
    }

    pub(crate) fn heal(&self) {
        self.healed.store(true, Ordering::SeqCst);
        self.without_register.store(false, Ordering::SeqCst);
    }

    /// Cuts the register off, or lets it be reached again. Returns whether it is cut off now.
    pub(crate) fn toggle_register(&self) -> bool {
        !self.without_register.fetch_xor(true, Ordering::SeqCst)
    }

    fn draw<T>(&self, draw: impl FnOnce(&mut Chance) -> T) -> T {
        draw(&mut self.chance.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Faults for TroubledStore {
    fn fault(&self, call: Call) -> Option<Fault> {
        if call == Call::Register && self.without_register.load(Ordering::SeqCst) {
            return Some(Fault::RetryLater);
        }
        if self.one_in == 0 || self.healed.load(Ordering::SeqCst) || !self.draw(|chance| chance.one_in(self.one_in)) {
            return None;
        }
        let (fault, what) = match self.draw(|chance| chance.below(3)) {
            0 => (Fault::RetryLater, REFUSED),
            1 => (Fault::Unknown { happened: false }, FAILED),
            _ => (Fault::Unknown { happened: true }, ANSWER_LOST),
        };
        self.tally.count(what);
        Some(fault)
    }

    fn sync_delay(&self) -> Duration {
        if self.draw(|chance| chance.one_in(30)) {
            self.tally.count(SLOW_SYNC);
            return Duration::from_millis(300);
        }
        Duration::from_micros(self.draw(|chance| chance.below(3000)))
    }
}
