//! How much traffic there is, by day and by night.

use std::f64::consts::TAU;
use std::time::Duration;

/// A day of the soak, from midnight to midnight. It is short, so that a piece of an hour has two of them, and so that a
/// quarter of 24 hours has many: they are compared at the same load.
pub const DAY: Duration = Duration::from_secs(30 * 60);
/// Events a second at midnight: little, so that what is idle is met too.
const NIGHT: f64 = 50.0;
/// Events a second at noon: as much as a debug build on two cores delivers to three destinations while others build.
const NOON: f64 = 800.0;

/// How much traffic there is.
#[derive(Clone, Copy, Debug)]
pub struct Day {
    length: Duration,
    night: f64,
    noon: f64,
}

impl Day {
    /// The day of the soak.
    #[must_use]
    pub const fn of_the_soak() -> Self {
        Self { length: DAY, night: NIGHT, noon: NOON }
    }

    /// A day of which every moment is like every other.
    #[must_use]
    pub const fn steady(rate: f64) -> Self {
        Self { length: DAY, night: rate, noon: rate }
    }

    /// Events a second, so long after the soak began, which was at midnight.
    #[must_use]
    pub fn rate(&self, at: Duration) -> f64 {
        let turn = at.as_secs_f64() / self.length.as_secs_f64() * TAU;
        self.night + (self.noon - self.night) * (1.0 - turn.cos()) / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_from_night_to_noon_and_back() {
        let rate = |parts: u32| Day::of_the_soak().rate(DAY * parts / 4).round();
        assert_eq!([0, 1, 2, 3, 4, 6].map(rate), [NIGHT, 425.0, NOON, 425.0, NIGHT, NOON]);
    }
}
