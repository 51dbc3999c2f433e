//! How often each of the things happened that a simulation is about. Seeds in which none of them
//! happened say nothing, however many there are; so the tests ask that each was met.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// What happened in one run. Clones count together.
#[derive(Clone, Debug)]
pub struct Tally(Arc<Mutex<BTreeMap<&'static str, u64>>>);

impl Tally {
    /// Nothing yet, of all that can happen.
    #[must_use]
    pub fn of(happenings: impl IntoIterator<Item = &'static str>) -> Self {
        Self(Arc::new(Mutex::new(happenings.into_iter().map(|what| (what, 0)).collect())))
    }

    /// It has happened.
    ///
    /// # Panics
    /// If it is not among what can happen: nobody would ask whether it was met.
    pub fn count(&self, what: &'static str) {
        self.add(what, 1);
    }

    /// It has happened so many times.
    ///
    /// # Panics
    /// As [`Tally::count`].
    pub fn add(&self, what: &'static str, times: u64) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.get_mut(what).unwrap_or_else(|| panic!("{what:?} is not in the list of what can happen")) += times;
    }
}

/// The tallies of many runs together.
#[derive(Debug, Default)]
pub struct Totals {
    runs: u64,
    /// In how many runs, and how many times in all.
    counts: BTreeMap<&'static str, (u64, u64)>,
}

impl Totals {
    /// Adds a run.
    pub fn add(&mut self, tally: &Tally) {
        self.runs += 1;
        for (what, times) in tally.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let (runs, all) = self.counts.entry(what).or_default();
            *runs += u64::from(*times > 0);
            *all += times;
        }
    }

    /// What did not happen in any run.
    #[must_use]
    pub fn never(&self) -> Vec<&'static str> {
        self.counts.iter().filter(|(_, (runs, _))| *runs == 0).map(|(what, _)| *what).collect()
    }
}

/// A table in Markdown.
impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| what happened | in seeds (of {}) | times |\n| --- | ---: | ---: |", self.runs)?;
        self.counts.iter().try_for_each(|(what, (runs, times))| writeln!(f, "| {what} | {runs} | {times} |"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Tally, Totals};

    #[test]
    fn what_no_run_has_met_is_named() {
        let mut totals = Totals::default();
        for happens in [&["rain"][..], &[], &["rain", "rain"]] {
            let tally = Tally::of(["rain", "hail"]);
            happens.iter().for_each(|what| tally.count(what));
            totals.add(&tally);
        }
        assert_eq!(totals.never(), ["hail"]);
        assert!(totals.to_string().ends_with("| hail | 0 | 0 |\n| rain | 2 | 3 |\n"), "{totals}");
    }

    #[test]
    #[should_panic(expected = "\"snow\" is not in the list")]
    fn what_nobody_asks_for_cannot_be_counted() {
        Tally::of(["rain"]).count("snow");
    }
}
