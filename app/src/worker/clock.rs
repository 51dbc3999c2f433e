//! The time of a process.

use laneway_domain::Timestamp;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// Wall-clock time that never goes backwards: where the system's clock stood at the start, and what
/// has passed since by the monotonic clock (tokio's, so that a test can pause it).
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    base: Timestamp,
    started: Instant,
}

impl Clock {
    /// The system's clock, from now on.
    #[must_use]
    pub fn system() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::starting_at(Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)))
    }

    /// A clock that shows `base` now.
    #[must_use]
    pub fn starting_at(base: Timestamp) -> Self {
        Self { base, started: Instant::now() }
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        // Whole milliseconds passed, so that a timer never seems to have come early.
        let passed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Timestamp::from_millis(self.base.as_millis().saturating_add(passed))
    }

    /// When `at` will be, for sleeping.
    #[must_use]
    pub fn instant(&self, at: Timestamp) -> Instant {
        // A century is as good as never, and does not overflow.
        const NEVER: std::time::Duration = std::time::Duration::from_secs(100 * 365 * 24 * 3600);
        self.started + at.since(self.base).min(NEVER)
    }
}
