//! The time of a process.

use laneway_domain::Timestamp;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// Wall-clock time that never goes backwards: where the system's clock stood at the start, and what has passed since.
///
/// It does not follow a clock that is set while the process runs: events of a destination with a `max_age` would expire
/// because somebody mistyped a date. See [`Clock::system_is_ahead`].
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    base: Timestamp,
    began: Began,
    /// Whether `base` is what the system's clock showed.
    is_system: bool,
}

/// When it began, by the clock that tells what has passed.
#[derive(Clone, Copy, Debug)]
enum Began {
    /// By the system's, which goes on while the machine sleeps: a lease runs out meanwhile, and events grow older.
    Booted(Duration),
    /// By tokio's, which a test can pause.
    Tokio(Instant),
}

impl Clock {
    /// The system's clock, from now on.
    #[must_use]
    pub fn system() -> Self {
        let began = since_boot().map_or_else(|| Began::Tokio(Instant::now()), Began::Booted);
        Self { base: system_time(), began, is_system: true }
    }

    /// A clock that shows `base` now.
    #[must_use]
    pub fn starting_at(base: Timestamp) -> Self {
        Self { base, began: Began::Tokio(Instant::now()), is_system: false }
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        // Whole milliseconds passed, so that a timer never seems to have come early.
        Timestamp::from_millis(self.base.as_millis().saturating_add(millis(self.passed())))
    }

    fn passed(&self) -> Duration {
        match self.began {
            Began::Booted(then) => since_boot().unwrap_or(then).saturating_sub(then),
            Began::Tokio(then) => then.elapsed(),
        }
    }

    /// When `at` will be, for sleeping.
    #[must_use]
    pub fn instant(&self, at: Timestamp) -> Instant {
        // A century is as good as never, and does not overflow.
        const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
        let after = at.since(self.base).min(NEVER);
        match self.began {
            // From here on: tokio's clock stands still while the machine sleeps.
            Began::Booted(_) => Instant::now() + after.saturating_sub(self.passed()),
            Began::Tokio(then) => then + after,
        }
    }

    /// By how many milliseconds the system's clock is ahead of this one (behind it, if negative): it was set since this
    /// one began. Nothing for a clock that was not the system's.
    #[must_use]
    pub fn system_is_ahead(&self) -> i64 {
        if !self.is_system {
            return 0;
        }
        let (system, own) = (system_time().as_millis(), self.now().as_millis());
        i64::try_from(i128::from(system) - i128::from(own)).unwrap_or(if system > own { i64::MAX } else { i64::MIN })
    }
}

fn system_time() -> Timestamp {
    Timestamp::from_millis(millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// How long ago the machine was started, its sleep included.
#[cfg(target_os = "linux")]
fn since_boot() -> Option<Duration> {
    let since = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Some(Duration::new(u64::try_from(since.tv_sec).ok()?, u32::try_from(since.tv_nsec).ok()?))
}

/// Elsewhere what passes is told by the clock that tokio has.
#[cfg(not(target_os = "linux"))]
const fn since_boot() -> Option<Duration> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_s_clock_shows_the_time_and_goes_on() {
        let clock = Clock::system();
        let before = clock.now();
        assert!(clock.system_is_ahead().abs() < 60_000, "nobody sets the clock here: {}", clock.system_is_ahead());
        assert!(clock.now() >= before);
        let at = clock.now().after(Duration::from_secs(3600));
        let wait = clock.instant(at).saturating_duration_since(Instant::now());
        assert!(wait <= Duration::from_secs(3600) && wait > Duration::from_secs(3000), "{wait:?}");
        assert!(clock.instant(before) <= Instant::now(), "what has been is not waited for");
    }

    #[test]
    fn a_clock_that_was_set_is_noticed() {
        let behind = Clock { base: system_time().before(Duration::from_secs(7200)), ..Clock::system() };
        assert_eq!(behind.system_is_ahead() / 600_000, 12);
        let ahead = Clock { base: system_time().after(Duration::from_secs(7200)), ..Clock::system() };
        assert_eq!((ahead.system_is_ahead() - 300_000) / 600_000, -12);
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_of_a_test_goes_with_tokio_s() {
        let clock = Clock::starting_at(Timestamp::from_millis(1_000));
        tokio::time::advance(Duration::from_millis(2_500)).await;
        assert_eq!(clock.now(), Timestamp::from_millis(3_500));
        assert_eq!(clock.instant(Timestamp::from_millis(3_600)), Instant::now() + Duration::from_millis(100));
    }
}
