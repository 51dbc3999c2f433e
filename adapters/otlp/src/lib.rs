//! Spans out to an OpenTelemetry collector: OTLP over HTTP, in protobuf.
//!
//! [`exporter`] gives two halves. The [`Exporter`] takes spans from wherever something is done: it hands each to a
//! bounded queue and returns at once. The [`Sending`] takes them from there and posts them in batches. A collector that
//! is slow, away or refuses costs nobody anything but spans: what does not fit the queue, and what could not be sent
//! after a few tries, is dropped and counted ([`DROPPED`]).
//!
//! The collector is the operator's own, named in the configuration of the process, and mostly on the same machine. So
//! the connection does not go through the egress guard, which keeps destinations to public addresses. It has deadlines.

mod collector;
mod encode;
mod exporter;
mod protobuf;
mod sending;

pub use collector::{Endpoint, InvalidEndpoint};
pub use exporter::{Exporter, MAX_QUEUED, OtlpConfig, exporter};
pub use sending::{DROPPED, EXPORT_WITHIN, EXPORTED, FLUSH_WITHIN, MAX_BATCH, Sending};
