//! Which destinations need a person, and which first. Nothing here knows of pages.

use laneway_domain::{BreakerStatus, DestinationStatus, PausedBy, Timestamp};
use std::time::Duration;

/// From which age of its oldest waiting event on a destination is late: what is younger is on its way.
pub(crate) const LATE: Duration = Duration::from_secs(60);

/// What a destination needs a person for; the most pressing first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    /// Laneway itself has paused it: nothing goes there until somebody resumes it.
    Stopped,
    /// Its breaker is open: nothing but a probe goes there.
    Down,
    /// Keys wait for somebody, and for nothing else.
    Held,
    /// Keys are blocked: Laneway goes on trying.
    Blocked,
    /// Events were given up, and wait for somebody.
    DeadLetters,
    /// Nothing fails, but its events wait for longer than they should.
    Late,
    /// Somebody has paused it.
    Paused,
    /// It is in no configuration any more, and what waits for it is kept.
    Left,
    /// Nothing.
    Nothing,
}

impl Need {
    pub(crate) const ALL: [Self; 9] = [
        Self::Stopped,
        Self::Down,
        Self::Held,
        Self::Blocked,
        Self::DeadLetters,
        Self::Late,
        Self::Paused,
        Self::Left,
        Self::Nothing,
    ];

    /// What a destination needs now.
    pub(crate) fn of(status: &DestinationStatus, dead_letters: u64, now: Timestamp) -> Self {
        match status.paused_by() {
            Some(PausedBy::Laneway) => return Self::Stopped,
            Some(PausedBy::Operator | PausedBy::Configuration) => {
                return if dead_letters > 0 { Self::DeadLetters } else { Self::Paused };
            }
            None => {}
        }
        if !status.configured {
            return Self::Left;
        }
        if matches!(status.breaker, BreakerStatus::Open { .. }) {
            return Self::Down;
        }
        if status.blocked.iter().any(|key| key.next_attempt.is_none()) {
            return Self::Held;
        }
        match () {
            () if status.blocked_keys > 0 => Self::Blocked,
            () if dead_letters > 0 => Self::DeadLetters,
            () if lag(status, now).is_some_and(|lag| lag >= LATE) => Self::Late,
            () => Self::Nothing,
        }
    }

    /// In a word or two, for a table.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Down => "down",
            Self::Held => "held",
            Self::Blocked => "failing",
            Self::DeadLetters => "dead letters",
            Self::Late => "late",
            Self::Paused => "paused",
            Self::Left => "left",
            Self::Nothing => "ok",
        }
    }

    /// What that means.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Stopped => "Laneway has paused it: nothing is sent until you resume it",
            Self::Down => "its breaker is open: one probe at a time is sent until one gets through",
            Self::Held => "keys are held: they wait for you to retry or skip their events",
            Self::Blocked => "keys are blocked: their events are retried",
            Self::DeadLetters => "events were given up: they wait for you to retry or discard them",
            Self::Late => "nothing fails, but events wait for longer than a minute",
            Self::Paused => "you have paused it: its events wait",
            Self::Left => "it is in no configuration any more: what waits for it is kept until you forget it",
            Self::Nothing => "everything is delivered as it comes",
        }
    }

    /// How loudly it is shown.
    pub(crate) const fn tone(self) -> Tone {
        match self {
            Self::Stopped | Self::Down | Self::Held => Tone::Bad,
            Self::Blocked | Self::DeadLetters | Self::Late => Tone::Warning,
            Self::Paused | Self::Left => Tone::Quiet,
            Self::Nothing => Tone::Good,
        }
    }
}

/// How loudly something is shown. Never by its colour alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Bad,
    Warning,
    Quiet,
    Good,
}

impl Tone {
    /// The name of its style.
    pub(crate) const fn class(self) -> &'static str {
        match self {
            Self::Bad => "bad",
            Self::Warning => "warning",
            Self::Quiet => "quiet",
            Self::Good => "good",
        }
    }
}

/// For how long the oldest event that waits has waited, as far as that is known. `None` if none waits.
pub(crate) fn lag(status: &DestinationStatus, now: Timestamp) -> Option<Duration> {
    status.oldest_accepted_at.filter(|_| status.pending > 0).map(|accepted| now.since(accepted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use laneway_domain::{BlockedKey, DestinationName, Offset, PAUSED_BY_OPERATOR, PAUSED_IN_CONFIGURATION, Partition};

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn idle() -> DestinationStatus {
        DestinationStatus::idle(DestinationName::new("billing").unwrap(), true)
    }

    fn key(next_attempt: Option<Timestamp>) -> BlockedKey {
        let (key, last_error) = ("key:a".to_owned(), String::new());
        BlockedKey { key, partition: Partition(0), head: Offset(0), attempts: 1, since: NOW, next_attempt, last_error }
    }

    fn blocked(next_attempt: Option<Timestamp>) -> DestinationStatus {
        DestinationStatus { blocked_keys: 1, blocked: vec![key(next_attempt)], ..idle() }
    }

    fn paused(why: &str) -> DestinationStatus {
        DestinationStatus { paused: Some(why.to_owned()), ..idle() }
    }

    fn waiting(millis: u64) -> DestinationStatus {
        let oldest = Timestamp::from_millis(NOW.as_millis() - millis);
        DestinationStatus { pending: 1, oldest_accepted_at: Some(oldest), ..idle() }
    }

    #[test]
    fn what_a_destination_needs() {
        let open = BreakerStatus::Open { since: NOW, next_probe: NOW };
        let table = [
            (idle(), 0, Need::Nothing),
            (idle(), 1, Need::DeadLetters),
            (waiting(59_999), 0, Need::Nothing),
            (waiting(60_000), 0, Need::Late),
            // What is old, but waits no more, is not late.
            (DestinationStatus { pending: 0, ..waiting(60_000) }, 0, Need::Nothing),
            (blocked(Some(NOW)), 1, Need::Blocked),
            (blocked(None), 1, Need::Held),
            (DestinationStatus { breaker: open, ..blocked(None) }, 1, Need::Down),
            (paused("the receiver answered 410 Gone"), 0, Need::Stopped),
            (paused("on worker a-1: the receiver answered 410 Gone"), 0, Need::Stopped),
            (paused(PAUSED_IN_CONFIGURATION), 0, Need::Paused),
            (paused(PAUSED_BY_OPERATOR), 0, Need::Paused),
            (paused("paused by an operator: they move house"), 0, Need::Paused),
            (paused("on worker a-1: paused by an operator: they move house"), 0, Need::Paused),
            (paused(PAUSED_BY_OPERATOR), 3, Need::DeadLetters),
            (DestinationStatus { configured: false, ..waiting(60_000) }, 0, Need::Left),
        ];
        for (status, dead_letters, need) in table {
            assert_eq!(Need::of(&status, dead_letters, NOW), need, "{status:?}");
        }
    }

    #[test]
    fn the_order_is_the_one_that_is_written_down_and_every_label_is_its_own() {
        assert!(Need::ALL.is_sorted());
        let labels: std::collections::BTreeSet<&str> = Need::ALL.into_iter().map(Need::label).collect();
        assert_eq!(labels.len(), Need::ALL.len());
    }
}
