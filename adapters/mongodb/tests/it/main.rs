//! The MongoDB sink against a real server of its own, and, of the egress guard, against hosts that are none.
#![allow(clippy::disallowed_methods, reason = "a test connects as it likes")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod contract;
mod egress;
mod events;
mod failures;
mod login;
mod member;
mod modes;
mod proxy;
