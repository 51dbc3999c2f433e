//! The Redis store against real servers of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod backup;
mod broken;
mod commit_cost;
mod damaged;
mod formats;
mod large;
mod leases;
mod log;
mod look;
mod lost;
mod many;
mod model;
mod progress_contract;
mod registry;
mod rights;
mod silent;
mod support;
mod tls;
mod tokens;
mod unclear;
mod valkey;
