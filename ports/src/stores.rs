//! One store, as the parts of a process hold it.

use crate::{
    DeadLetters, EventLog, HistoryStore, ProgressStore, Registry, StoreExtent, StoreHealth, TenantStore, TokenStore,
    Workers,
};
use std::fmt;
use std::sync::Arc;

/// One store behind each of its ports. Whoever needs a store gets this, and uses what it needs.
///
/// All ten are one store: a commit copies events from the log into the dead letters, a trim looks at
/// the progress. So it is made from one thing, by [`Stores::of`]; a test may then put a watcher in the
/// place of a part.
#[derive(Clone)]
pub struct Stores {
    /// The events.
    pub log: Arc<dyn EventLog>,
    /// Progress and leases.
    pub progress: Arc<dyn ProgressStore>,
    /// Events that were given up.
    pub dead_letters: Arc<dyn DeadLetters>,
    /// What attempts met.
    pub history: Arc<dyn HistoryStore>,
    /// The destinations.
    pub registry: Arc<dyn Registry>,
    /// The tokens that are made over the HTTP interface.
    pub tokens: Arc<dyn TokenStore>,
    /// What is known of tenants beside what they own.
    pub tenants: Arc<dyn TenantStore>,
    /// Who else works on the store.
    pub workers: Arc<dyn Workers>,
    /// Whether it can be used now.
    pub health: Arc<dyn StoreHealth>,
    /// How much room it takes.
    pub extent: Arc<dyn StoreExtent>,
}

impl Stores {
    /// All that `store` offers.
    #[must_use]
    pub fn of<S>(store: Arc<S>) -> Self
    where
        S: EventLog
            + ProgressStore
            + DeadLetters
            + HistoryStore
            + Registry
            + TokenStore
            + TenantStore
            + Workers
            + StoreHealth
            + StoreExtent
            + 'static,
    {
        Self {
            log: store.clone(),
            progress: store.clone(),
            dead_letters: store.clone(),
            history: store.clone(),
            registry: store.clone(),
            tokens: store.clone(),
            tenants: store.clone(),
            workers: store.clone(),
            health: store.clone(),
            extent: store,
        }
    }
}

impl fmt::Debug for Stores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stores").field("partitions", &self.log.partitions()).finish_non_exhaustive()
    }
}
