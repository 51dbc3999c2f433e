//! Looking up what happened: events in the log, attempts in the history, and what progress says of an event.
//!
//! What is true of an event comes from progress and the dead letters; what its attempts met comes from the history.

mod attempts;
mod log;
mod room;
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
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::timeout;

/// How many partitions are asked at once.
const AT_ONCE: usize = 16;
/// How many look-ups of events and attempts a process makes at once. Each may read 128 MiB, and keep some 24 MiB of
/// that for a while, where deliveries want the same disk, cores and memory.
const LOOKUPS_AT_ONCE: usize = 4;
/// How long a look-up waits for its turn. Most take less than some tenths of a second.
const TURN_WITHIN: Duration = Duration::from_secs(2);

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
    turns: Semaphore,
}

impl Finder {
    /// Looks up in this store.
    #[must_use]
    pub fn new(stores: Stores, setup: StoreSetup) -> Self {
        let turns = Semaphore::new(LOOKUPS_AT_ONCE);
        Self { stores, setup, deleted: watch::Sender::default().subscribe(), turns }
    }

    /// The same, which shows nothing of the events of deleted tenants.
    #[must_use]
    pub fn hiding(self, deleted: watch::Receiver<DeletedTenants>) -> Self {
        Self { deleted, ..self }
    }

    fn deleted(&self) -> DeletedTenants {
        self.deleted.borrow().clone()
    }

    /// Waits for its turn, which lasts until it is dropped.
    async fn turn(&self) -> Result<SemaphorePermit<'_>, LookupError> {
        // Nobody closes it.
        timeout(TURN_WITHIN, self.turns.acquire()).await.ok().and_then(Result::ok).ok_or(LookupError::Busy)
    }
}

#[async_trait]
impl Lookup for Finder {
    async fn events(&self, query: &EventQuery) -> Result<EventPage, LookupError> {
        let _turn = self.turn().await?;
        log::events(&*self.stores.log, query, &self.deleted()).await
    }

    async fn find(&self, query: &FindEvent) -> Result<FoundEvents, LookupError> {
        let _turn = self.turn().await?;
        let found = log::find(&*self.stores.log, query, &self.deleted()).await?;
        way::of_all(&self.stores, query, found).await
    }

    async fn attempts(&self, query: &AttemptQuery) -> Result<AttemptPage, LookupError> {
        let _turn = self.turn().await?;
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
    use laneway_memory::{Disk, MemoryStore, Settings};
    use std::sync::Arc;

    #[tokio::test(start_paused = true)]
    async fn no_more_is_looked_up_at_once_than_may_be_and_who_waits_too_long_is_told() {
        let store = Arc::new(MemoryStore::open(Disk::new(2), Settings::default()));
        let (retain, duplicate_window) = (Duration::from_secs(60), Duration::from_secs(60));
        let setup = StoreSetup { place: "memory".to_owned(), retain, duplicate_window, history: None };
        let finder = Finder::new(Stores::of(store), setup);
        let mut turns = Vec::new();
        for _ in 0..LOOKUPS_AT_ONCE {
            turns.push(finder.turn().await.unwrap());
        }
        let (events, attempts) = (EventQuery::default(), AttemptQuery::default());
        let id = laneway_domain::EventId::new("e").unwrap();
        let find = FindEvent { tenant: None, id, source: None, at: None, destination: None, after: None };
        assert!(matches!(finder.events(&events).await, Err(LookupError::Busy)));
        assert!(matches!(finder.attempts(&attempts).await, Err(LookupError::Busy)));
        assert!(matches!(finder.find(&find).await, Err(LookupError::Busy)));
        // One that waits gets the turn that comes free.
        let (found, ()) = tokio::join!(finder.events(&events), async { drop(turns.pop()) });
        assert!(found.is_ok() && finder.find(&find).await.is_ok() && finder.attempts(&attempts).await.is_ok());
    }
}
