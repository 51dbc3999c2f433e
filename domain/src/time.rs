//! Time as an argument: milliseconds since the Unix epoch, handed in by the shell.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// How far the clocks of the processes that accept events may be apart, and how far one may be set back, before what
/// they say is taken to be wrong.
pub const MAX_CLOCK_SKEW: Duration = Duration::from_secs(60);

/// A moment, in milliseconds since 1970-01-01T00:00:00Z.
///
/// The shell hands in values that never go backwards within one process, so that durations
/// between two of them are never negative there. Across restarts the clock may jump; every rule
/// that compares with a stored moment says what happens then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The Unix epoch.
    pub const ZERO: Self = Self(0);
    /// A moment that never comes.
    pub const MAX: Self = Self(u64::MAX);

    /// The moment `millis` milliseconds after the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The moment `duration` later, at most [`Timestamp::MAX`]. Parts of a millisecond round up,
    /// so that a timer never fires early.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        let millis = duration.as_nanos().div_ceil(1_000_000);
        Self(self.0.saturating_add(u64::try_from(millis).unwrap_or(u64::MAX)))
    }

    /// The moment `duration` earlier, at least [`Timestamp::ZERO`].
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The time that follows this one where a clock says `clock`: never an earlier one, unless the clock was set back
    /// by more than it may differ ([`MAX_CLOCK_SKEW`]). Then it had been wrong, and time goes back with it: otherwise
    /// one reading of a clock that is months ahead would last for months.
    #[must_use]
    pub fn followed_by(self, clock: Self) -> Self {
        if self.since(clock) > MAX_CLOCK_SKEW { clock } else { self.max(clock) }
    }

    /// How long `earlier` was before `self`; zero if it was not.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_millisecond_rounds_up() {
        assert_eq!(Timestamp::ZERO.after(Duration::from_micros(1)), Timestamp::from_millis(1));
        assert_eq!(Timestamp::ZERO.after(Duration::from_millis(2)), Timestamp::from_millis(2));
    }

    #[test]
    fn time_goes_back_only_with_a_clock_that_was_wrong() {
        let at = Timestamp::from_millis;
        assert_eq!(at(100_000).followed_by(at(100_001)), at(100_001));
        assert_eq!(at(100_000).followed_by(at(40_000)), at(100_000));
        assert_eq!(at(100_000).followed_by(at(39_999)), at(39_999));
    }

    #[test]
    fn the_far_future_saturates() {
        assert_eq!(Timestamp::from_millis(5).after(Duration::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::ZERO.since(Timestamp::MAX), Duration::ZERO);
    }

    #[test]
    fn a_moment_is_written_in_seconds_with_all_digits_of_its_milliseconds() {
        assert_eq!(Timestamp::from_millis(1_614_265_330_007).to_string(), "1614265330.007");
        assert_eq!(Timestamp::from_millis(999).to_string(), "0.999");
    }
}
