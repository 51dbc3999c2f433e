//! How well it is known what waits for a destination.

use super::DestinationStatus;

/// What [`DestinationStatus::pending`] is, of the events that wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PendingIs {
    /// Their number.
    Exact,
    /// At most so many wait: some were not looked at, and may not be wanted.
    AtMost,
    /// At least so many: it is not known how many there were before data was lost, or a backup was put back.
    AtLeast,
}

impl PendingIs {
    /// What to write before the number, where there is little room.
    #[must_use]
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Exact => "",
            Self::AtMost => "≤ ",
            Self::AtLeast => "≥ ",
        }
    }

    /// The same in a sentence.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Exact => "",
            Self::AtMost => "at most ",
            Self::AtLeast => "at least ",
        }
    }
}

impl DestinationStatus {
    /// What its number of pending events is.
    #[must_use]
    pub const fn pending_is(&self) -> PendingIs {
        match self {
            Self { pending_at_least: true, .. } => PendingIs::AtLeast,
            Self { pending_exact: true, .. } | Self { pending: 0, .. } => PendingIs::Exact,
            Self { .. } => PendingIs::AtMost,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destination::DestinationName;

    #[test]
    fn a_number_says_what_it_is() {
        let status = |pending, pending_exact, pending_at_least| DestinationStatus {
            pending,
            pending_exact,
            pending_at_least,
            ..DestinationStatus::idle(DestinationName::new("a").unwrap(), true)
        };
        let sign = |pending, exact, at_least| status(pending, exact, at_least).pending_is().sign();
        assert_eq!([sign(0, true, false), sign(0, false, false), sign(3, true, false)], [""; 3]);
        assert_eq!([sign(3, false, false), sign(3, false, true)], ["≤ ", "≥ "]);
        assert_eq!(status(1, false, true).pending_is().words(), "at least ");
    }
}
