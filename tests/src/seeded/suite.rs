//! What is asked of every simulation: that no seed breaks a guarantee, that a seed is one trace, and that a
//! broken promise is noticed.

use super::trace::Shown;
use super::{Line, Tally, Totals, Trace};
use laneway_memory::Sabotage;

/// A guarantee that was broken, and how.
pub type Violation = String;

/// What a run has come to.
#[derive(Debug)]
pub struct Outcome<L> {
    /// Everything that happened.
    pub trace: Trace<L>,
    /// What must not have happened.
    pub violations: Vec<Violation>,
    /// How often each thing happened.
    pub tally: Tally,
    /// How much was done: events, attempts, crashes.
    pub size: String,
}

/// A simulation, and how many seeds it takes.
#[derive(Clone, Copy, Debug)]
pub struct Suite<L> {
    /// Runs one seed, with a store that breaks a promise on purpose if one is named.
    pub run: fn(u64, Option<Sabotage>) -> Outcome<L>,
    /// Seeds of the short run: some seconds.
    pub seeds: u64,
    /// One seed here for so many of `LANEWAY_SIM_SEEDS`.
    pub dearer: u64,
    /// Seeds that are run twice.
    pub twice: u64,
    /// Seeds within which a sabotaged store must be found out.
    pub to_notice: u64,
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

impl<L: Line> Suite<L> {
    /// Runs the short run, or as many seeds as `LANEWAY_SIM_SEEDS` says, or the one of `LANEWAY_SIM_SEED`.
    ///
    /// # Panics
    /// If one broke a guarantee, or if something that can happen never did.
    pub fn no_seed_breaks_a_guarantee(&self) {
        if let Some(seed) = number("LANEWAY_SIM_SEED") {
            let outcome = (self.run)(seed, None);
            println!("{}\nseed {seed}: {}", outcome.trace, outcome.size);
            assert!(outcome.violations.is_empty(), "seed {seed}: {:#?}", outcome.violations);
            return;
        }
        let seeds = number("LANEWAY_SIM_SEEDS").map_or(self.seeds, |seeds| seeds.div_ceil(self.dearer));
        let mut totals = Totals::default();
        for seed in 0..seeds {
            let Outcome { violations, size, tally, .. } = (self.run)(seed, None);
            assert!(
                violations.is_empty(),
                "seed {seed} ({size}): {violations:#?}\nfor its trace: LANEWAY_SIM_SEED={seed}"
            );
            totals.add(&tally);
        }
        println!("{seeds} seeds, none broke a guarantee\n\n{totals}");
        let never = totals.never();
        assert!(
            seeds < self.seeds || never.is_empty(),
            "in {seeds} seeds these never happened, and so nothing is known of them: {never:#?}"
        );
    }

    /// # Panics
    /// If a seed that is run twice gives two traces.
    pub fn one_seed_gives_one_trace(&self) {
        for seed in 0..self.twice {
            let (first, second) = ((self.run)(seed, None).trace.lines(), (self.run)(seed, None).trace.lines());
            let differ = first.iter().zip(&second).position(|(one, other)| one != other);
            let around = |lines: &[L]| {
                let from = differ.unwrap_or(0).saturating_sub(8);
                lines.iter().skip(from).take(12).map(|line| Shown(line).to_string()).collect::<Vec<_>>()
            };
            assert!(
                differ.is_none() && first.len() == second.len(),
                "seed {seed} gave two different traces: {:#?}\n{:#?}",
                around(&first),
                around(&second)
            );
            assert!(!first.is_empty());
        }
    }

    /// The suite can fail: with this promise broken, some seed shows it. They are tried from `first` on, then those
    /// before it: the first one that showed it, when somebody last looked, saves the time of all before.
    ///
    /// # Panics
    /// If none does.
    pub fn notices(&self, sabotage: Sabotage, first: u64) {
        let mut seeds = (first..self.to_notice).chain(0..first);
        let found = seeds.find(|seed| !(self.run)(*seed, Some(sabotage)).violations.is_empty());
        println!("{sabotage:?} is noticed by seed {found:?}");
        assert!(found.is_some(), "{sabotage:?} was not noticed within {} seeds", self.to_notice);
    }
}
