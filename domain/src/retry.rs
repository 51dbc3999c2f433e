//! Retrying: how long after a failure the next attempt comes, and when no more.

use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use thiserror::Error;

/// The most bytes kept of one failure's reason.
pub const MAX_REASON_BYTES: usize = 512;
/// How many of the last failures an event's history keeps; enough to see a pattern, few enough
/// that a lane with 100,000 keys behind stays small.
pub const MAX_HISTORY: usize = 5;

/// When a failed event is tried again. The delay after the n-th failure in a row is `initial × factor^(n-1)`, and at
/// most `limit`. When all its delays together would exceed `total`, the event is given up; without a `total` it is where
/// the next delay would exceed `limit`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryPolicy {
    /// The delay after the first failure.
    pub initial: Duration,
    /// What each further delay is multiplied by; at least 1.
    pub factor: f64,
    /// The longest delay.
    pub limit: Duration,
    /// How long all delays of an event may take together, before jitter. `None`: no more than one that doubles has
    /// until it would pass `limit`. With a factor of 1 none ever does, so an event that fails forever is then retried
    /// forever.
    pub total: Option<Duration>,
    /// By how much of itself a delay may be longer or shorter, from 0 (not at all) to 1, so that
    /// events that failed together do not come back together.
    pub jitter: f64,
}

impl Default for RetryPolicy {
    /// 1 s doubling up to 1 h, for 3 days: 83 attempts. Standard Webhooks recommends days, since a receiver may be down
    /// over a weekend and nobody look; once it is back, no key waits for longer than an hour.
    fn default() -> Self {
        let (hour, total) = (Duration::from_secs(3600), Some(Duration::from_secs(3 * 24 * 3600)));
        Self { initial: Duration::from_secs(1), factor: 2.0, limit: hour, total, jitter: 0.2 }
    }
}

/// Why a [`RetryPolicy`] cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidPolicy {
    /// `factor` is below 1 or not a number.
    #[error("factor must be 1 or more")]
    Factor,
    /// `jitter` is outside 0 to 1 or not a number.
    #[error("jitter must be from 0 to 1")]
    Jitter,
    /// `initial` is zero: a failing event would be tried again without a pause.
    #[error("initial must be longer than zero")]
    Initial,
    /// `limit` is below `initial`, so that nothing would ever be retried.
    #[error("limit must not be shorter than initial")]
    Limit,
    /// `total` is below `initial`, so that nothing would ever be retried.
    #[error("total must not be shorter than initial")]
    Total,
}

impl RetryPolicy {
    /// Checks the policy's bounds.
    ///
    /// # Errors
    /// Names the first field that is out of them.
    pub fn check(self) -> Result<Self, InvalidPolicy> {
        if !self.factor.is_finite() || self.factor < 1.0 {
            return Err(InvalidPolicy::Factor);
        }
        if !(0.0..=1.0).contains(&self.jitter) {
            return Err(InvalidPolicy::Jitter);
        }
        if self.initial.is_zero() {
            return Err(InvalidPolicy::Initial);
        }
        if self.limit < self.initial {
            return Err(InvalidPolicy::Limit);
        }
        if self.total.is_some_and(|total| total < self.initial) { Err(InvalidPolicy::Total) } else { Ok(self) }
    }

    /// The delay after `failures` failures in a row, before jitter; `None` when the event is given up.
    #[must_use]
    pub fn delay(&self, failures: u32) -> Option<Duration> {
        let failures = failures.max(1);
        let goes_on = match self.total {
            None => self.grown(failures - 1) <= self.limit.as_secs_f64(),
            Some(total) => self.taken_by(failures) <= total.as_secs_f64(),
        };
        goes_on.then(|| self.endless_delay(failures))
    }

    /// The delay after `failures` failures in a row, before jitter, of what is never given up: at most `limit`, for
    /// ever. That is how a destination that is down is probed.
    #[must_use]
    pub fn endless_delay(&self, failures: u32) -> Duration {
        Duration::from_secs_f64(self.grown(failures.max(1) - 1).min(self.limit.as_secs_f64()))
    }

    /// The seconds that a delay has after it was multiplied so often.
    fn grown(&self, times: u32) -> f64 {
        self.initial.as_secs_f64() * self.factor.powi(i32::try_from(times).unwrap_or(i32::MAX))
    }

    /// The seconds that the first `delays` delays take together.
    fn taken_by(&self, delays: u32) -> f64 {
        let (initial, limit, growth) = (self.initial.as_secs_f64(), self.limit.as_secs_f64(), self.factor - 1.0);
        // How many are below the limit, as far as a logarithm tells: what it is off by is next to the limit.
        let doubling = ((limit / initial).ln() / self.factor.ln()).ceil();
        let growing = if growth > 0.0 { doubling.clamp(0.0, f64::from(delays)) } else { f64::from(delays) };
        // The sum of a geometric series; where it hardly grows, that of equal ones, as the other would divide by
        // nothing.
        let grown = if growth * growing < 1e-9 {
            initial * growing
        } else {
            initial * (self.factor.powf(growing) - 1.0) / growth
        };
        grown + (f64::from(delays) - growing) * limit
    }
}

/// One failed attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// When its outcome came in.
    pub at: Timestamp,
    /// What went wrong, in at most [`MAX_REASON_BYTES`].
    pub reason: Box<str>,
    /// The HTTP status that was answered, if one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}

impl Failure {
    /// A failure at that moment; a longer reason is cut.
    #[must_use]
    pub fn new(at: Timestamp, reason: &str) -> Self {
        let mut end = reason.len().min(MAX_REASON_BYTES);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        Self { at, reason: reason[..end].into(), status: None }
    }

    /// The same with what was answered.
    #[must_use]
    pub fn answered(self, status: Option<u16>) -> Self {
        Self { status, ..self }
    }
}

/// When an event that failed is attempted again. Stored as a moment: [`NextAttempt::Never`] as [`Timestamp::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Timestamp", into = "Timestamp")]
pub enum NextAttempt {
    /// Not before this moment.
    At(Timestamp),
    /// It was given up: its key is held, or goes on behind the dead letter.
    Never,
}

impl NextAttempt {
    /// The moment, if there is one.
    #[must_use]
    pub const fn at(self) -> Option<Timestamp> {
        match self {
            Self::At(at) => Some(at),
            Self::Never => None,
        }
    }

    /// Whether it is due by `now`.
    #[must_use]
    pub fn is_due(self, now: Timestamp) -> bool {
        self.at().is_some_and(|at| at <= now)
    }
}

impl From<Timestamp> for NextAttempt {
    fn from(at: Timestamp) -> Self {
        if at == Timestamp::MAX { Self::Never } else { Self::At(at) }
    }
}

impl From<NextAttempt> for Timestamp {
    fn from(next: NextAttempt) -> Self {
        next.at().unwrap_or(Self::MAX)
    }
}

/// How far an event that failed has come: kept with its key until it is settled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryState {
    /// Failed attempts so far that count.
    pub attempts: u32,
    /// When the first of them failed.
    pub first_failure: Timestamp,
    /// When the next attempt is due.
    pub next_attempt: NextAttempt,
    /// The last failures, oldest first, at most [`MAX_HISTORY`].
    pub history: Vec<Failure>,
}

impl RetryState {
    /// The HTTP status that the last failure was answered with, if it was with one.
    #[must_use]
    pub fn last_status(&self) -> Option<u16> {
        self.history.last()?.status
    }

    /// The reason of the last failure.
    #[must_use]
    pub fn last_error(&self) -> &str {
        self.history.last().map_or("", |failure| &failure.reason)
    }

    /// The same as a clock that shows `now` has it. Its last failure is not in the future: if it seems so, the
    /// clock that noted it was ahead, or has been set back since, and every time in it is moved by as much. Or
    /// an attempt that was due in a second would wait until the clock is there again.
    #[must_use]
    pub fn as_of(mut self, now: Timestamp) -> Self {
        let ahead = self.history.last().map_or(0, |last| last.at.as_millis().saturating_sub(now.as_millis()));
        let back = |at: Timestamp| Timestamp::from_millis(at.as_millis().saturating_sub(ahead));
        if let NextAttempt::At(at) = self.next_attempt {
            self.next_attempt = NextAttempt::At(back(at));
        }
        self.first_failure = back(self.first_failure);
        self.history.iter_mut().for_each(|failure| failure.at = back(failure.at));
        self
    }

    /// Whether the key is held: its event was given up and nobody has said what to do with it.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.next_attempt == NextAttempt::Never
    }
}

/// What a failure leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Another attempt at the state's `next_attempt`.
    Retry(RetryState),
    /// No further attempt: its retries are used up ([`RetryPolicy::delay`]). `next_attempt` is
    /// [`NextAttempt::Never`].
    GiveUp(RetryState),
}

/// The rule that turns failures into delays. It has no state of its own: what an event has been
/// through is its [`RetryState`].
pub struct Backoff;

impl Backoff {
    /// Counts `failure` against what was before it, and says what follows.
    ///
    /// `not_before` is how long the receiver asked to be left alone (Retry-After). It is honoured up
    /// to the policy's limit: a receiver cannot park an event for longer than its operator allows.
    /// `random` is any number; the same one gives the same jitter.
    #[must_use]
    pub fn failed(
        policy: &RetryPolicy,
        before: Option<RetryState>,
        failure: Failure,
        not_before: Option<Duration>,
        random: u64,
    ) -> Verdict {
        let now = failure.at;
        let mut state = Self::note(before, failure);
        let Some(delay) = policy.delay(state.attempts) else {
            state.next_attempt = NextAttempt::Never;
            return Verdict::GiveUp(state);
        };
        let asked = not_before.unwrap_or(Duration::ZERO).min(policy.limit);
        state.next_attempt = NextAttempt::At(now.after(jittered(delay, policy.jitter, random).max(asked)));
        Verdict::Retry(state)
    }

    /// Notes a failure that does not count: the next attempt comes after `pause`, and is the same by number.
    #[must_use]
    pub fn postponed(before: Option<RetryState>, failure: Failure, pause: Duration) -> RetryState {
        let due = failure.at.after(pause);
        let mut state = Self::note(before, failure);
        state.attempts -= 1;
        state.next_attempt = NextAttempt::At(due);
        state
    }

    /// Counts a failure after which there is no further attempt (the sink rejected the event).
    #[must_use]
    pub fn note(before: Option<RetryState>, failure: Failure) -> RetryState {
        let mut state = before.unwrap_or_else(|| RetryState {
            attempts: 0,
            first_failure: failure.at,
            next_attempt: NextAttempt::Never,
            history: Vec::new(),
        });
        state.attempts = state.attempts.saturating_add(1);
        state.next_attempt = NextAttempt::Never;
        if state.history.len() >= MAX_HISTORY {
            state.history.remove(0);
        }
        state.history.push(failure);
        state
    }
}

/// `delay`, made longer or shorter by up to `jitter` of itself.
pub(crate) fn jittered(delay: Duration, jitter: f64, random: u64) -> Duration {
    // 53 bits are what an f64 holds exactly; the unit interval's end is included.
    #[allow(clippy::cast_precision_loss)]
    let unit = (random >> 11) as f64 / ((1_u64 << 53) - 1) as f64;
    Duration::from_secs_f64(delay.as_secs_f64() * (1.0 + jitter * (2.0 * unit - 1.0)))
}

#[cfg(test)]
mod tests;
