//! One clock for all processes of a run.

use hdrhistogram::Histogram;
use std::io;
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

/// The longest time that a histogram tells from longer ones: no run lasts so long.
const LONGEST_NANOS: u64 = 600_000_000_000;

/// An empty histogram of nanoseconds, in its full size, so that it never grows while it is filled.
pub(crate) fn histogram() -> io::Result<Histogram<u64>> {
    Histogram::new_with_bounds(1, LONGEST_NANOS, 3).map_err(io::Error::other)
}
