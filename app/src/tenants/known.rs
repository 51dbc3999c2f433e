//! What this process knows of tenants, and what they have sent to it.

use crate::config::CurrentTenantBounds;
use laneway_domain::{
    DeletedTenants, Quota, Quotas, Revision, Tenant, TenantBook, TenantLimits, TenantRefusal, Timestamp,
};
use laneway_ports::{StoreError, StoreHealth, TenantDoor, TenantStore, Unwelcome};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use tokio::sync::watch;
use tokio::time::Instant;

/// What a process that takes events in is called in the register of processes.
const TAKE_IN: [&str; 2] = ["serve", "ingest"];

/// What this process knows of tenants.
pub struct KnownTenants {
    /// What all may where nothing else is said.
    bounds: CurrentTenantBounds,
    book: RwLock<Arc<TenantBook>>,
    deleted: watch::Sender<DeletedTenants>,
    quotas: Mutex<Quotas>,
    health: Arc<dyn StoreHealth>,
    /// How many processes take events in, as far as is known; 0 until it was counted.
    sharing: AtomicU32,
    began: Instant,
}

impl KnownTenants {
    /// Nothing yet but what the file says of all. `health` tells who else takes events in.
    #[must_use]
    pub fn new(bounds: CurrentTenantBounds, health: Arc<dyn StoreHealth>) -> Self {
        let (book, quotas, sharing) = (RwLock::default(), Mutex::default(), AtomicU32::default());
        Self { bounds, book, deleted: watch::Sender::default(), quotas, health, sharing, began: Instant::now() }
    }

    /// Asks the store once, for a process that starts.
    ///
    /// # Errors
    /// If the store cannot say: then nothing may be delivered, since it may be of a tenant that was deleted.
    pub async fn begin(&self, store: &dyn TenantStore) -> Result<(), StoreError> {
        let seen = store.tenants(Revision::ORIGIN).await?;
        if let Some(book) = seen.book {
            self.set(book);
        }
        Ok(())
    }

    /// What is known.
    #[must_use]
    pub fn book(&self) -> Arc<TenantBook> {
        self.book.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set(&self, book: TenantBook) {
        let deleted = book.deleted();
        *self.book.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(book);
        self.deleted.send_if_modified(|known| {
            let differs = *known != deleted;
            *known = deleted;
            differs
        });
    }

    /// Those that were deleted, as that changes.
    #[must_use]
    pub fn deleted(&self) -> watch::Receiver<DeletedTenants> {
        self.deleted.subscribe()
    }

    /// What a tenant may.
    #[must_use]
    pub fn limits_of(&self, tenant: &Tenant) -> TenantLimits {
        self.book().limits_of(tenant).or(self.bounds.now().of_all())
    }

    /// Counts anew who takes events in: they come and go.
    pub(super) fn count_processes(&self) {
        let processes = self.health.processes();
        let count = processes.iter().filter(|process| TAKE_IN.contains(&process.role.as_str())).count();
        self.sharing.store(u32::try_from(count).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    fn sharing(&self) -> NonZeroU32 {
        // Of a store that a process has to itself, nobody is told.
        NonZeroU32::new(self.sharing.load(Ordering::Relaxed)).unwrap_or(NonZeroU32::MIN)
    }

    /// Asks what is left of the tenant's quota, if it has one.
    fn ask(
        &self,
        tenant: &Tenant,
        quota: Quota,
        ask: impl FnOnce(&mut Quotas, NonZeroU32, Timestamp) -> Result<(), Timestamp>,
    ) -> Result<(), Unwelcome> {
        if quota == Quota::default() {
            return Ok(());
        }
        // Since it began: a clock that is set back must not make anybody wait.
        let now = Timestamp::ZERO.after(self.began.elapsed());
        let mut quotas = self.quotas.lock().unwrap_or_else(PoisonError::into_inner);
        ask(&mut quotas, self.sharing(), now).map_err(|at| Unwelcome::OverQuota {
            tenant: tenant.clone(),
            what: written(quota),
            after: at.since(now),
        })
    }

    fn check(&self, tenant: &Tenant) -> Result<TenantLimits, Unwelcome> {
        let book = self.book();
        if book.is_deleted(tenant) {
            return Err(Unwelcome::Deleted(TenantRefusal::Deleted(tenant.clone())));
        }
        Ok(book.limits_of(tenant).or(self.bounds.now().of_all()))
    }
}

fn written(quota: Quota) -> String {
    let events = quota.events_per_second.map(|events| format!("{events} events a second"));
    let bytes = quota.bytes_per_second.map(|bytes| format!("{bytes} bytes a second"));
    events.into_iter().chain(bytes).collect::<Vec<_>>().join(" and ")
}

impl TenantDoor for KnownTenants {
    fn look(&self, tenant: &Tenant) -> Result<(), Unwelcome> {
        let quota = self.check(tenant)?.quota();
        self.ask(tenant, quota, |quotas, sharing, now| quotas.look(tenant, quota, sharing, now))
    }

    fn fits(&self, tenant: &Tenant, largest: usize) -> Result<(), Unwelcome> {
        let most = self.check(tenant)?.event_bytes.map(|most| u64::from(most.get()));
        match most.filter(|most| largest as u64 > *most) {
            Some(most) => Err(Unwelcome::TooLarge { tenant: tenant.clone(), bytes: largest, most }),
            None => Ok(()),
        }
    }

    fn take(&self, tenant: &Tenant, events: u64, bytes: u64) -> Result<(), Unwelcome> {
        let quota = self.limits_of(tenant).quota();
        self.ask(tenant, quota, |quotas, sharing, now| quotas.take(tenant, quota, sharing, (events, bytes), now))
    }
}
