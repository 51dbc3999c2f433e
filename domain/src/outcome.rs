//! What became of one event in one attempt.

use crate::end::{Cause, End};
use std::time::Duration;

/// What a sink says of one event after an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The destination has it.
    Delivered,
    /// It may work later. Also everything that is unclear: unknown never counts as delivered.
    Retry {
        /// Which of the ends that may pass this is. What follows from it is said in [`End::meaning`].
        cause: Cause,
        /// What went wrong, for people.
        reason: String,
        /// How long from now the receiver asked to be left alone.
        not_before: Option<Duration>,
    },
    /// It will never work: the destination refused this very event.
    Rejected {
        /// What the destination said, for people.
        reason: String,
    },
    /// The destination is gone for good (HTTP 410): it is to be paused, and the event waits.
    Gone {
        /// What the destination said, for people.
        reason: String,
    },
    /// Not tried, because an earlier event of its key failed in the same batch, because the lease was over before anything
    /// of it could be sent, or because the attempt was broken off ([`crate::Output::Abandon`]).
    NotTried,
}

impl Outcome {
    /// A failure that may pass, after which nobody asked for a pause.
    #[must_use]
    pub const fn retry(cause: Cause, reason: String) -> Self {
        Self::Retry { cause, reason, not_before: None }
    }

    /// Its row in the table of ends.
    #[must_use]
    pub const fn end(&self) -> End {
        match self {
            Self::Delivered => End::Delivered,
            Self::Retry { cause, .. } => End::Failed(*cause),
            Self::Rejected { .. } => End::Rejected,
            Self::Gone { .. } => End::Gone,
            Self::NotTried => End::NotTried,
        }
    }

    /// What went wrong, for people; nothing of what was delivered or not tried.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Retry { reason, .. } | Self::Rejected { reason } | Self::Gone { reason } => Some(reason),
            Self::Delivered | Self::NotTried => None,
        }
    }

    /// The outcome's name as a metric label.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Retry { .. } => "retry",
            Self::Rejected { .. } => "rejected",
            Self::Gone { .. } => "gone",
            Self::NotTried => "not-tried",
        }
    }
}

/// Which of these is the first that failed in a way that may pass, and why.
pub(crate) fn first_cause(outcomes: &[Outcome]) -> Option<(usize, Cause)> {
    outcomes.iter().enumerate().find_map(|(nth, outcome)| match outcome {
        Outcome::Retry { cause, .. } => Some((nth, *cause)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_a_name_of_its_own_and_what_went_wrong_a_reason() {
        let reason = || "answered so".to_owned();
        for (outcome, label, said) in [
            (Outcome::Delivered, "delivered", None),
            (Outcome::retry(Cause::Refused, reason()), "retry", Some("answered so")),
            (Outcome::Rejected { reason: reason() }, "rejected", Some("answered so")),
            (Outcome::Gone { reason: reason() }, "gone", Some("answered so")),
            (Outcome::NotTried, "not-tried", None),
        ] {
            assert_eq!((outcome.label(), outcome.reason()), (label, said));
        }
    }
}
