//! Which destinations need a person, and which first.

use super::{BreakerStatus, DestinationStatus, PausedBy};
use crate::time::Timestamp;
use std::cmp::Reverse;
use std::time::Duration;

/// From which age of its oldest waiting event on a destination is late: what is younger is on its way.
const LATE: Duration = Duration::from_secs(60);

/// What a destination needs a person for; the most pressing first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
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
    /// All of them, the most pressing first.
    pub const ALL: [Self; 9] = [
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

    /// What a destination needs now, if it has so many dead letters. Whether keys are held is known only of a status
    /// that lists blocked keys; else they are blocked.
    #[must_use]
    pub fn of(status: &DestinationStatus, dead_letters: u64, now: Timestamp) -> Self {
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
            () if status.lag(now).is_some_and(|lag| lag >= LATE) => Self::Late,
            () => Self::Nothing,
        }
    }

    /// Its name, wherever a person sees it: at the console and at the command line.
    #[must_use]
    pub const fn label(self) -> &'static str {
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

    /// Where a destination that needs this stands in a list.
    #[must_use]
    pub fn urgency(self, status: &DestinationStatus, dead_letters: u64, now: Timestamp) -> Urgency {
        let failed = status.failed_recently;
        // Where all else is well, what failed lately is where it may begin.
        let begins_to_fail = self == Self::Nothing && failed > 0;
        Urgency(self, !begins_to_fail, Reverse(status.lag(now)), Reverse(failed), Reverse(dead_letters))
    }
}

/// Where a destination stands in a list of all: the least first, which needs a person most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Urgency(Need, bool, Reverse<Option<Duration>>, Reverse<u64>, Reverse<u64>);

impl DestinationStatus {
    /// For how long the oldest event that waits has waited, as far as that is known. `None` if none waits.
    #[must_use]
    pub fn lag(&self, now: Timestamp) -> Option<Duration> {
        self.oldest_accepted_at.filter(|_| self.pending > 0).map(|accepted| now.since(accepted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{BlockedKey, PAUSED_BY_OPERATOR, PAUSED_IN_CONFIGURATION};
    use crate::{DestinationName, Offset, Partition};

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
    fn the_order_is_the_one_that_is_written_down() {
        assert!(Need::ALL.is_sorted());
    }

    #[test]
    fn every_label_is_its_own() {
        let labels: std::collections::BTreeSet<&str> = Need::ALL.into_iter().map(Need::label).collect();
        assert_eq!(labels.len(), Need::ALL.len());
    }

    #[test]
    fn what_waits_longer_comes_first_and_where_all_is_well_what_failed_lately() {
        let of = |status: &DestinationStatus, dead| Need::of(status, dead, NOW).urgency(status, dead, NOW);
        let fails = |status: DestinationStatus| DestinationStatus { failed_recently: 1, ..status };
        let in_order = [
            of(&DestinationStatus { pending: 1, ..paused("the receiver answered 410 Gone") }, 0),
            of(&blocked(None), 0),
            of(&DestinationStatus { blocked_keys: 1, ..waiting(90_000) }, 0),
            of(&DestinationStatus { blocked_keys: 1, ..waiting(1_000) }, 0),
            of(&fails(DestinationStatus { blocked_keys: 1, ..idle() }), 0),
            of(&DestinationStatus { blocked_keys: 1, ..idle() }, 0),
            of(&idle(), 60),
            of(&idle(), 1),
            of(&fails(idle()), 0),
            of(&waiting(1_000), 0),
            of(&idle(), 0),
        ];
        assert!(in_order.is_sorted_by(|a, b| a < b), "{in_order:?}");
    }
}
