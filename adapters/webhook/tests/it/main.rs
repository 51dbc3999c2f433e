//! The webhook sink against receivers over real sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod batch;
mod connections;
mod contract;
mod documented_receiver;
mod egress;
mod ends;
mod events;
mod exactly_once;
mod files;
mod hostile;
mod http2;
mod leave;
mod names;
mod places;
mod receiver;
mod settings;
mod tested;
mod tls;
mod tls_receiver;
mod verified;
