//! Looking up what happened: events in the log, attempts in the history, and what progress says of an event.
//!
//! What is true of an event comes from progress and the dead letters; what its attempts met comes from the history.

mod attempts;
mod log;
mod store;
mod tenures;
mod way;

use async_trait::async_trait;
use laneway_domain::{DeletedTenants, Timestamp};
use laneway_ports::{
    AttemptPage, AttemptQuery, EventPage, EventQuery, FindEvent, FoundEvents, KeptHistory, Lookup, LookupError,
    StoreHolds, Stores, Tenures,
};
use std::time::Duration;
use tokio::sync::watch;

/// How many partitions are asked at once.
const AT_ONCE: usize = 16;

/// What is set about a store and its history.
#[derive(Clone, Debug)]
pub struct StoreSetup {
    /// Where it is, without credentials.
    pub place: String,
    /// How long a settled event is kept.
    pub retain: Duration,
    /// How long an id that a producer gave is remembered.
    pub duplicate_window: Duration,
    /// How much of the history is kept; `None` if there is none.
    pub history: Option<KeptHistory>,
}

/// Looks up in a store.
pub struct Finder {
    stores: Stores,
    setup: StoreSetup,
    deleted: watch::Receiver<DeletedTenants>,
}

impl Finder {
    /// Looks up in this store.
    #[must_use]
    pub fn new(stores: Stores, setup: StoreSetup) -> Self {
        Self { stores, setup, deleted: watch::Sender::default().subscribe() }
    }

    /// The same, which shows nothing of the events of deleted tenants.
    #[must_use]
    pub fn hiding(self, deleted: watch::Receiver<DeletedTenants>) -> Self {
        Self { deleted, ..self }
    }

    fn deleted(&self) -> DeletedTenants {
        self.deleted.borrow().clone()
    }
}

#[async_trait]
impl Lookup for Finder {
    async fn events(&self, query: &EventQuery) -> Result<EventPage, LookupError> {
        log::events(&*self.stores.log, query, &self.deleted()).await
    }

    async fn find(&self, query: &FindEvent) -> Result<FoundEvents, LookupError> {
        let found = log::find(&*self.stores.log, query, &self.deleted()).await?;
        way::of_all(&self.stores, query, found).await
    }

    async fn attempts(&self, query: &AttemptQuery) -> Result<AttemptPage, LookupError> {
        attempts::attempts(&self.stores, query, &self.deleted()).await
    }

    async fn tenures(&self, from: Option<Timestamp>, to: Option<Timestamp>) -> Result<Tenures, LookupError> {
        Ok(tenures::tenures(&self.stores, from, to).await)
    }

    async fn store(&self) -> Result<StoreHolds, LookupError> {
        store::store(&self.stores, &self.setup).await
    }
}
