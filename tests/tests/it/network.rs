//! The seeded simulation of the network. `LANEWAY_SIM_SEEDS=N` runs a tenth of N seeds, `LANEWAY_SIM_SEED=S` one
//! and prints its trace.

use laneway_memory::Sabotage;
use laneway_tests::network::{Moment, run};
use laneway_tests::seeded::Suite;

const SUITE: Suite<Moment> = Suite { run, seeds: 20, dearer: 10, twice: 10, to_notice: 200 };

#[test]
fn no_seed_breaks_a_guarantee_over_the_network() {
    SUITE.no_seed_breaks_a_guarantee();
}

#[test]
fn one_seed_run_twice_gives_the_same_trace() {
    SUITE.one_seed_gives_one_trace();
}

#[test]
fn a_store_that_acknowledges_before_it_syncs_is_noticed() {
    SUITE.notices(Sabotage::NoSync, 89);
}

#[test]
fn a_store_that_forgets_the_keys_behind_is_noticed() {
    SUITE.notices(Sabotage::ForgetBehind, 0);
}

#[test]
fn a_store_that_does_not_know_an_id_again_is_noticed() {
    SUITE.notices(Sabotage::NoDedupe, 0);
}
