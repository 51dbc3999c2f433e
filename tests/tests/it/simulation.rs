//! The seeded simulation. `LANEWAY_SIM_SEEDS=N` runs N seeds, `LANEWAY_SIM_SEED=S` one and prints
//! its trace.

use laneway_memory::Sabotage;
use laneway_tests::simulation::{self, Line};
use laneway_tests::tally::Totals;

/// Seeds of the short run: some seconds.
const SEEDS: u64 = 300;
/// Seeds within which a sabotaged store must be found out.
const SEEDS_TO_NOTICE: u64 = 200;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn no_seed_breaks_a_guarantee() {
    if let Some(seed) = number("LANEWAY_SIM_SEED") {
        let outcome = simulation::run(seed, None);
        println!("{}\nseed {seed}: {}", outcome.trace, outcome.size);
        assert!(outcome.violations.is_empty(), "seed {seed}: {:#?}", outcome.violations);
        return;
    }
    let seeds = number("LANEWAY_SIM_SEEDS").unwrap_or(SEEDS);
    let mut totals = Totals::default();
    for seed in 0..seeds {
        let outcome = simulation::run(seed, None);
        assert!(
            outcome.violations.is_empty(),
            "seed {seed} ({}): {:#?}\nfor its trace: LANEWAY_SIM_SEED={seed}",
            outcome.size,
            outcome.violations
        );
        totals.add(&outcome.tally);
    }
    println!("{seeds} seeds, none broke a guarantee\n\n{totals}");
    let never = totals.never();
    assert!(
        seeds < SEEDS || never.is_empty(),
        "in {seeds} seeds these never happened, and so nothing is known of them: {never:#?}"
    );
}

#[test]
fn one_seed_run_twice_gives_the_same_trace() {
    for seed in 0..60 {
        let (first, second) = (simulation::run(seed, None).trace.lines(), simulation::run(seed, None).trace.lines());
        let differ = first.iter().zip(&second).position(|(one, other)| one != other);
        let around = |lines: &[Line]| {
            let from = differ.unwrap_or(0).saturating_sub(8);
            lines.iter().skip(from).take(12).map(Line::to_string).collect::<Vec<_>>()
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

/// The suite can fail: with each of these promises broken, some seed shows it.
fn is_noticed(sabotage: Sabotage) {
    let found = (0..SEEDS_TO_NOTICE).find(|seed| !simulation::run(*seed, Some(sabotage)).violations.is_empty());
    assert!(found.is_some(), "{sabotage:?} was not noticed within {SEEDS_TO_NOTICE} seeds");
}

#[test]
fn a_store_that_acknowledges_before_it_syncs_is_noticed() {
    is_noticed(Sabotage::NoSync);
}

#[test]
fn a_store_that_trims_above_the_slowest_lane_is_noticed() {
    is_noticed(Sabotage::TrimAnything);
}

#[test]
fn a_store_that_forgets_the_keys_behind_is_noticed() {
    is_noticed(Sabotage::ForgetBehind);
}

#[test]
fn a_store_that_does_not_know_an_id_again_is_noticed() {
    is_noticed(Sabotage::NoDedupe);
}

#[test]
fn a_store_that_takes_commits_of_a_lost_lease_is_noticed() {
    is_noticed(Sabotage::NoFence);
}
