//! The seeded simulation of the network. `LANEWAY_SIM_SEEDS=N` runs a tenth of N seeds,
//! `LANEWAY_SIM_SEED=S` one and prints its story.

use laneway_memory::Sabotage;
use laneway_tests::network;
use laneway_tests::tally::Totals;

/// Seeds of the short run: some seconds.
const SEEDS: u64 = 20;
/// One seed here for so many of the other simulation, which are cheaper.
const DEARER: u64 = 10;
/// Seeds that are run twice.
const SEEDS_TWICE: u64 = 20;
/// Seeds within which a sabotaged store must be found out.
const SEEDS_TO_NOTICE: u64 = 60;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn no_seed_breaks_a_guarantee_over_the_network() {
    if let Some(seed) = number("LANEWAY_SIM_SEED") {
        let outcome = network::run(seed, None);
        println!("{}\nseed {seed}: {}", outcome.story, outcome.size);
        assert!(outcome.violations.is_empty(), "seed {seed}: {:#?}", outcome.violations);
        return;
    }
    let seeds = number("LANEWAY_SIM_SEEDS").map_or(SEEDS, |seeds| seeds.div_ceil(DEARER));
    let mut totals = Totals::default();
    for seed in 0..seeds {
        let outcome = network::run(seed, None);
        assert!(
            outcome.violations.is_empty(),
            "{}\nseed {seed} ({}): {:#?}\nonce more: LANEWAY_SIM_SEED={seed}",
            outcome.story,
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
fn one_seed_run_twice_gives_the_same_story() {
    for seed in 0..SEEDS_TWICE {
        let (first, second) = (network::run(seed, None).story.lines(), network::run(seed, None).story.lines());
        let differ = first.iter().zip(&second).find(|(one, other)| one != other);
        assert!(differ.is_none(), "seed {seed} gave two different stories: {differ:#?}");
        assert!(first.len() == second.len(), "seed {seed} gave two stories, one longer than the other");
        assert!(!first.is_empty());
    }
}

/// The suite can fail: with each of these promises broken, some seed shows it.
fn is_noticed(sabotage: Sabotage) {
    let found = (0..SEEDS_TO_NOTICE).find(|seed| !network::run(*seed, Some(sabotage)).violations.is_empty());
    assert!(found.is_some(), "{sabotage:?} was not noticed within {SEEDS_TO_NOTICE} seeds");
}

#[test]
fn a_store_that_acknowledges_before_it_syncs_is_noticed() {
    is_noticed(Sabotage::NoSync);
}

#[test]
fn a_store_that_forgets_the_keys_behind_is_noticed() {
    is_noticed(Sabotage::ForgetBehind);
}

#[test]
fn a_store_that_does_not_know_an_id_again_is_noticed() {
    is_noticed(Sabotage::NoDedupe);
}
