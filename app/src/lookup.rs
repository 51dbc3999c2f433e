//! Looking up what happened: events in the log, attempts in the history, and what progress says of an event.
//!
//! What is true of an event comes from progress and the dead letters; what its attempts met comes from the history.

mod attempts;
mod log;
mod room;
mod store;
mod tenures;
mod turns;
mod way;

use async_trait::async_trait;
use laneway_domain::{DeletedTenants, Timestamp};
use laneway_ports::{
    AttemptPage, AttemptQuery, EventPage, EventQuery, FindEvent, FoundEvents, KeptHistory, Lookup, LookupError,
    StoreHolds, Stores, Tenures,
};
use std::time::Duration;
use tokio::sync::watch;
use turns::Turns;

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
    turns: Turns,
}

impl Finder {
    /// Looks up in this store.
    #[must_use]
    pub fn new(stores: Stores, setup: StoreSetup) -> Self {
        Self { stores, setup, deleted: watch::Sender::default().subscribe(), turns: Turns::new() }
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
        let _turn = self.turns.take(query.tenant.as_ref()).await?;
        log::events(&*self.stores.log, query, &self.deleted()).await
    }

    async fn find(&self, query: &FindEvent) -> Result<FoundEvents, LookupError> {
        let _turn = self.turns.take(query.tenant.as_ref()).await?;
        let found = log::find(&*self.stores.log, query, &self.deleted()).await?;
        way::of_all(&self.stores, query, found).await
    }

    async fn attempts(&self, query: &AttemptQuery) -> Result<AttemptPage, LookupError> {
        let _turn = self.turns.take(query.tenant.as_ref()).await?;
        attempts::attempts(&self.stores, query, &self.deleted()).await
    }

    async fn tenures(&self, from: Option<Timestamp>, to: Option<Timestamp>) -> Result<Tenures, LookupError> {
        Ok(tenures::tenures(&self.stores, from, to).await)
    }

    async fn store(&self) -> Result<StoreHolds, LookupError> {
        store::store(&self.stores, &self.setup).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use laneway_domain::EventId;
    use laneway_memory::{Disk, MemoryStore, Settings};
    use std::sync::Arc;

    #[tokio::test(start_paused = true)]
    async fn each_look_up_of_events_and_attempts_waits_for_its_turn() {
        let store = Arc::new(MemoryStore::open(Disk::new(2), Settings::default()));
        let (retain, duplicate_window) = (Duration::from_secs(60), Duration::from_secs(60));
        let setup = StoreSetup { place: "memory".to_owned(), retain, duplicate_window, history: None };
        let finder = Finder::new(Stores::of(store), setup);
        let (events, attempts) = (EventQuery::default(), AttemptQuery::default());
        let id = EventId::new("e").unwrap();
        let find = FindEvent { tenant: None, id, source: None, at: None, destination: None, after: None };
        let mut taken = Vec::new();
        while let Ok(turn) = finder.turns.take(None).await {
            taken.push(turn);
        }
        assert!(matches!(finder.events(&events).await, Err(LookupError::Busy)));
        assert!(matches!(finder.attempts(&attempts).await, Err(LookupError::Busy)));
        assert!(matches!(finder.find(&find).await, Err(LookupError::Busy)));
        drop(taken);
        finder.events(&events).await.unwrap();
        finder.attempts(&attempts).await.unwrap();
        finder.find(&find).await.unwrap();
    }
}
