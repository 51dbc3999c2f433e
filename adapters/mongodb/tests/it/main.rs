//! The MongoDB sink against a real server of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod contract;
mod events;
mod failures;
mod login;
mod modes;
mod proxy;
