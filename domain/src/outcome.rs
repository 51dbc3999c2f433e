//! What became of one event in one attempt.

use std::time::Duration;

/// What a sink says of one event after an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The destination has it.
    Delivered,
    /// It may work later. Also everything that is unclear: unknown never counts as delivered.
    Retry {
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
    /// Not tried, because an earlier event of its key failed in the same batch.
    NotTried,
}

impl Outcome {
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
