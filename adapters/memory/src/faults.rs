//! What a test can let go wrong.

use laneway_domain::Partition;
use laneway_ports::StoreError;
use std::fmt;
use std::time::Duration;

/// A call that can be let fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// An append of that many events.
    Append {
        /// How many.
        events: usize,
    },
    /// A read from the log.
    Read(Partition),
    /// A claim, renewal or release of a lease.
    Lease(Partition),
    /// A load of progress, or a look at the history.
    Load(Partition),
    /// A commit of progress.
    Commit(Partition),
    /// A trim.
    Trim(Partition),
    /// A look at dead letters, or a change of them or of the destinations.
    Operate,
    /// A look at the register of workers, or a change of it.
    Register,
    /// A look at the registry of destinations, or a change of it.
    Registry,
    /// A look at the tokens that are made over the HTTP interface, or a change of them.
    Tokens,
    /// A look at what is known of tenants, or a change of it.
    Tenants,
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is refused; nothing happened.
    No,
    /// It may be asked again; nothing happened.
    RetryLater,
    /// The answer is lost.
    Unknown {
        /// Whether it happened all the same. (Of a call that changes nothing, no matter.)
        happened: bool,
    },
}

impl Fault {
    pub(crate) fn error(self) -> StoreError {
        match self {
            Self::No => StoreError::refused("the test lets this call be refused"),
            Self::RetryLater => StoreError::retry_later("the test lets this call fail for now"),
            Self::Unknown { .. } => StoreError::unknown("the test lets the answer be lost"),
        }
    }
}

/// A test's hand in the store. Called in the order of the calls, so that a seeded generator behind
/// it gives the same faults in each run.
pub trait Faults: Send + Sync {
    /// How the call fails, if it does.
    fn fault(&self, call: Call) -> Option<Fault> {
        let _ = call;
        None
    }

    /// How long it takes until a write is durable. Asked once per write that reached the store.
    fn sync_delay(&self) -> Duration {
        Duration::ZERO
    }
}

impl fmt::Debug for dyn Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faults")
    }
}

/// A promise that the store breaks on purpose, so that a suite can show that it would notice.
/// Never for anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// Acknowledges at once, and loses in a crash the events accepted during the last
    /// [`Settings::unsynced`](crate::Settings::unsynced).
    NoSync,
    /// Trims whatever is old enough, settled or not.
    TrimAnything,
    /// Takes commits of any epoch.
    NoFence,
    /// Stores an id that was given again.
    NoDedupe,
    /// Loads progress without the keys that are behind.
    ForgetBehind,
}
