//! What `verify` sends and `receiver` counts: runs of numbered events.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// The runs that are remembered; older ones are forgotten.
const MOST_RUNS: usize = 16;
/// The keys of a run that are remembered, so that a stranger cannot fill the memory.
const MOST_KEYS: usize = 100_000;

/// The data of an event of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbered {
    /// Which run.
    pub run: String,
    /// Its key.
    pub key: String,
    /// How many events of the key were sent before.
    pub n: u64,
}

/// What came of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Different events.
    pub taken: u64,
    /// Deliveries of events that were there already.
    pub duplicates: u64,
    /// Events that came before, or after, one that they should not have.
    pub out_of_order: u64,
}

#[derive(Debug, Default)]
struct Run {
    report: Report,
    next: BTreeMap<String, u64>,
}

/// The latest runs.
#[derive(Debug, Default)]
pub struct Runs {
    runs: BTreeMap<String, Run>,
    order: VecDeque<String>,
}

impl Runs {
    /// An event of a run has come. `is_new`: for the first time.
    pub fn note(&mut self, event: &Numbered, is_new: bool) {
        if !self.runs.contains_key(&event.run) {
            self.order.push_back(event.run.clone());
            if self.order.len() > MOST_RUNS {
                let oldest = self.order.pop_front().unwrap_or_default();
                self.runs.remove(&oldest);
            }
        }
        let run = self.runs.entry(event.run.clone()).or_default();
        if !is_new {
            run.report.duplicates += 1;
            return;
        }
        run.report.taken += 1;
        if run.next.len() >= MOST_KEYS && !run.next.contains_key(&event.key) {
            return;
        }
        let next = run.next.entry(event.key.clone()).or_default();
        run.report.out_of_order += u64::from(*next != event.n);
        *next = event.n + 1;
    }

    /// What came of a run so far.
    #[must_use]
    pub fn report(&self, run: &str) -> Report {
        self.runs.get(run).map(|run| run.report.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(key: &str, n: u64) -> Numbered {
        Numbered { run: "r".into(), key: key.into(), n }
    }

    #[test]
    fn a_gap_and_a_step_back_are_out_of_order_and_a_repetition_is_not() {
        let mut runs = Runs::default();
        for (key, n, is_new) in [("a", 0, true), ("b", 0, true), ("a", 0, false), ("a", 1, true)] {
            runs.note(&event(key, n), is_new);
        }
        assert_eq!(runs.report("r"), Report { taken: 3, duplicates: 1, out_of_order: 0 });
        runs.note(&event("a", 3), true);
        runs.note(&event("a", 2), true);
        assert_eq!(runs.report("r").out_of_order, 2);
    }

    #[test]
    fn old_runs_are_forgotten() {
        let mut runs = Runs::default();
        for n in 0..=MOST_RUNS {
            runs.note(&Numbered { run: n.to_string(), key: "k".into(), n: 0 }, true);
        }
        assert_eq!((runs.report("0").taken, runs.report("1").taken), (0, 1));
    }
}
