//! What went wrong at a store, and whether the thing that was asked for has happened.

use laneway_domain::Partition;
use std::time::Duration;
use thiserror::Error;

/// Why a store did not say yes.
///
/// The variant says whether the thing happened and whether asking again can help; `what` says what
/// happened, to what, and what to do, for the person who reads it.
#[derive(Clone, Debug, Error)]
pub enum StoreError {
    /// It did not happen, and asking again would not help: the request or the store's own
    /// settings are wrong.
    #[error("{what}")]
    Refused {
        /// What happened and what to do.
        what: String,
    },
    /// It did not happen. Asking again may work (the disk is full, the server is away).
    #[error("{what}")]
    RetryLater {
        /// What happened and what to do.
        what: String,
        /// When asking again is worth while; a hint for Retry-After.
        after: Duration,
    },
    /// It may or may not have happened. Never to be taken for a success.
    #[error("{what} (it is not known whether this was stored)")]
    Unknown {
        /// What happened and what to do.
        what: String,
    },
}

impl StoreError {
    /// It did not happen and will not.
    pub fn refused(what: impl Into<String>) -> Self {
        Self::Refused { what: what.into() }
    }

    /// It did not happen; asking again in a second may work.
    pub fn retry_later(what: impl Into<String>) -> Self {
        Self::RetryLater { what: what.into(), after: Duration::from_secs(1) }
    }

    /// The same error, told in other words.
    #[must_use]
    pub fn told(self, tell: impl FnOnce(String) -> String) -> Self {
        match self {
            Self::Refused { what } => Self::Refused { what: tell(what) },
            Self::RetryLater { what, after } => Self::RetryLater { what: tell(what), after },
            Self::Unknown { what } => Self::Unknown { what: tell(what) },
        }
    }

    /// It may have happened.
    pub fn unknown(what: impl Into<String>) -> Self {
        Self::Unknown { what: what.into() }
    }
}

/// Why a commit, a renewal or a release of a lease was not done.
#[derive(Clone, Debug, Error)]
pub enum CommitError {
    /// The lease is no longer held under this epoch: whoever asks must give the partition up.
    /// Nothing was changed.
    #[error("partition {partition} is no longer leased under epoch {epoch}: another worker has taken it over")]
    Fenced {
        /// The partition.
        partition: Partition,
        /// The epoch that the store no longer accepts.
        epoch: u64,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
