//! The worker processes that share a store.

mod register;

pub use register::Register;

use crate::{StoreError, WorkerId};
use async_trait::async_trait;
use std::time::Duration;

/// The most bytes of one worker's report: room for the status of some ten thousand destinations.
pub const MAX_REPORT_BYTES: usize = 4 << 20;

/// A worker process that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Present {
    /// Which.
    pub worker: WorkerId,
    /// What it said last by [`Workers::report`]; empty if nothing yet.
    pub report: String,
}

/// The register of the workers that share a store: who is there, and what each says of itself.
///
/// Nothing that is safe to do depends on it (that is what leases are for): only how evenly the
/// partitions are spread, and what an operator sees. It may forget everything, as long as the next
/// [`Workers::announce`] puts a worker back.
#[async_trait]
pub trait Workers: Send + Sync {
    /// Says that `worker` is there until `ttl` from now by the store's clock, and returns the ids of
    /// all that are there, itself included, in ascending order.
    async fn announce(&self, worker: &WorkerId, ttl: Duration) -> Result<Vec<WorkerId>, StoreError>;

    /// Leaves what `worker` wants others to know of it, instead of what it left before.
    ///
    /// - Must be seen by [`Workers::present`] only for as long as the worker is announced.
    /// - Must refuse more than [`MAX_REPORT_BYTES`].
    async fn report(&self, worker: &WorkerId, report: String) -> Result<(), StoreError>;

    /// Says that `worker` is gone: the others need not wait until its time has run out.
    async fn leave(&self, worker: &WorkerId) -> Result<(), StoreError>;

    /// The workers that are there, with their reports, in ascending order of their ids.
    async fn present(&self) -> Result<Vec<Present>, StoreError>;
}
