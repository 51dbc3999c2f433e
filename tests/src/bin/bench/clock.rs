//! One clock for all processes of a run.

use std::time::{SystemTime, UNIX_EPOCH};

/// Nanoseconds since the Unix epoch. (Nothing steps the clock while a benchmark runs; and if
/// something did, the figures would show it.)
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Nanoseconds as milliseconds.
#[allow(clippy::cast_precision_loss, reason = "a figure for people")]
pub(crate) fn millis(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e6
}
