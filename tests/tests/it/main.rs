//! Everything from outside: the real binaries, and the simulations.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod e2e_apply;
mod e2e_backup;
mod e2e_bad_input;
mod e2e_bad_store;
mod e2e_blocked_key;
mod e2e_chain;
mod e2e_changes;
mod e2e_crash;
mod e2e_documented_receiver;
mod e2e_edit;
mod e2e_exactly_once;
mod e2e_faults;
mod e2e_first_event;
mod e2e_hostile;
mod e2e_interface;
mod e2e_managed;
mod e2e_mongodb;
mod e2e_operator;
mod e2e_power_cut;
mod e2e_real_payloads;
mod e2e_reload;
mod e2e_secrets;
mod e2e_stack;
mod e2e_standards;
mod e2e_tokens;
mod e2e_wrong_url;
mod fleet;
mod hostile_receivers;
mod layers;
mod network;
mod secrets;
mod shapes;
mod simulation;
