//! The reference store: its contract, and what a crash takes.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod contract;
mod crash;
