//! The command line and the worker, over the reference store.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod binary;
mod commands;
mod destinations;
mod leases;
mod links;
mod lookup;
mod operators;
mod tenants;
mod tokens;
