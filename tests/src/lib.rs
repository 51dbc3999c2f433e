//! What the tests and benchmarks of Laneway stand on: the real binary in a folder of its own,
//! receivers that can misbehave, a look into the store, and a checker of the guarantees.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a harness that cannot go on fails its test, with the place"
)]

pub mod changes;
pub mod checker;
pub mod client;
pub mod collector;
pub mod effort;
pub mod faults;
pub mod fleet;
pub mod hostile;
pub mod naive;
pub mod network;
pub mod payloads;
pub mod ports;
pub mod producer;
pub mod python;
pub mod receiver;
pub mod seeded;
pub mod server;
pub mod simulation;
pub mod soak;
pub mod store;
pub mod verification;
pub mod volume;
