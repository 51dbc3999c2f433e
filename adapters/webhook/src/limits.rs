//! How long an exchange goes on, what its answer may be at most, and how connections are kept, whatever is spoken over
//! them.

use laneway_ports::Delivery;
use std::time::Duration;
use tokio::time::Instant;

/// The most bytes of an answer's head, so that endless headers end.
pub(crate) const MAX_HEAD_BYTES: usize = 64 * 1024;
/// The most interim answers (1xx) before the final one over HTTP/1. Nobody needs more than a few; a
/// receiver that sends them without end would cost a core until the deadline.
pub(crate) const MAX_INTERIM_ANSWERS: usize = 100;

/// How long a request may be sent, and its answer waited for.
#[derive(Clone, Copy)]
pub(crate) struct Until<'d> {
    /// When its exchange ends, whatever has come by then.
    pub(crate) deadline: Instant,
    /// What it is of, which says whether it may still be sent.
    pub(crate) delivery: &'d Delivery,
}

/// How the connections of a destination are kept.
pub(crate) struct PoolOptions {
    /// Whether the settings permit nothing else.
    pub(crate) http2_only: bool,
    /// The most that are kept without a request.
    pub(crate) max_idle: usize,
    /// How long each of those is kept.
    pub(crate) idle_timeout: Duration,
}
