//! The seeded simulation. `LANEWAY_SIM_SEEDS=N` runs N seeds, `LANEWAY_SIM_SEED=S` one and prints its trace.

use laneway_memory::Sabotage;
use laneway_tests::seeded::Suite;
use laneway_tests::simulation::{Line, run};

const SUITE: Suite<Line> = Suite { run, seeds: 300, dearer: 1, twice: 30, to_notice: 200 };

#[test]
fn no_seed_breaks_a_guarantee() {
    SUITE.no_seed_breaks_a_guarantee();
}

#[test]
fn one_seed_run_twice_gives_the_same_trace() {
    SUITE.one_seed_gives_one_trace();
}

#[test]
fn a_store_that_acknowledges_before_it_syncs_is_noticed() {
    SUITE.notices(Sabotage::NoSync, 0);
}

#[test]
fn a_store_that_trims_above_the_slowest_lane_is_noticed() {
    SUITE.notices(Sabotage::TrimAnything, 0);
}

#[test]
fn a_store_that_forgets_the_keys_behind_is_noticed() {
    SUITE.notices(Sabotage::ForgetBehind, 0);
}

#[test]
fn a_store_that_does_not_know_an_id_again_is_noticed() {
    SUITE.notices(Sabotage::NoDedupe, 0);
}

#[test]
fn a_store_that_takes_commits_of_a_lost_lease_is_noticed() {
    SUITE.notices(Sabotage::NoFence, 0);
}
