//! What an answer may be at most, and how connections are kept, whatever is spoken over them.

use std::time::Duration;

/// The most bytes of an answer's head, so that endless headers end.
pub(crate) const MAX_HEAD_BYTES: usize = 64 * 1024;
/// The most interim answers (1xx) before the final one over HTTP/1. Nobody needs more than a few; a
/// receiver that sends them without end would cost a core until the deadline.
pub(crate) const MAX_INTERIM_ANSWERS: usize = 100;

/// How the connections of a destination are kept.
pub(crate) struct PoolOptions {
    /// Whether the settings permit nothing else.
    pub(crate) http2_only: bool,
    /// The most that are kept without a request.
    pub(crate) max_idle: usize,
    /// How long each of those is kept.
    pub(crate) idle_timeout: Duration,
}
