//! What a start reads of the store, and how it waits for one that is away: machines and services begin in any order,
//! and a store may go away again at any moment of a start.

use super::Role;
use super::destinations::{Begun, Known};
use crate::config::{Config, CurrentTenantBounds};
use crate::registry::check_keys;
use crate::tenants::KnownTenants;
use laneway_ports::{StoreError, Stores};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often it is said why a start waits, when nothing else is known of that.
const SAY_EVERY: Duration = Duration::from_secs(30);
/// How long after a request whose answer was lost the store is asked again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What a process knows when its start is over.
pub(super) struct Begin {
    pub(super) tenants: Arc<KnownTenants>,
    /// What its delivering half begins with, if it has one.
    pub(super) destinations: Option<Begun>,
}

impl Begin {
    /// Reads what there is, and registers the file's destinations. Waits for a store that is away.
    ///
    /// # Errors
    /// Says what only people can mend.
    pub(super) async fn read(
        config: &Config,
        role: Role,
        known: &Known,
        bounds: CurrentTenantBounds,
        stores: &Stores,
    ) -> Result<Self, String> {
        let tenants = Arc::new(KnownTenants::new(bounds, stores.health.clone()));
        let unread = |error| format!("limits and deletions of tenants cannot be read: {error}");
        patiently(|| tenants.begin(&*stores.tenants)).await.map_err(unread)?;
        let destinations = if role.delivers() {
            Some(patiently(|| known.begin(config, stores)).await.map_err(|error| error.to_string())?)
        } else {
            patiently(|| check_keys(&*stores.registry, &known.reader)).await.map_err(|error| error.to_string())?;
            None
        };
        Ok(Self { tenants, destinations })
    }
}

/// Asks a store until it answers, and says meanwhile why that takes so long. For what may be asked twice.
///
/// # Errors
/// If the store refuses, which only people can mend.
pub(super) async fn patiently<T, F>(mut ask: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut said: Option<(String, Instant)> = None;
    loop {
        let (what, after) = match ask().await {
            Err(StoreError::RetryLater { what, after }) => (what, after),
            Err(StoreError::Unknown { what }) => (what, AGAIN_AFTER),
            answered => return answered,
        };
        if said.as_ref().is_none_or(|(known, at)| *known != what || at.elapsed() >= SAY_EVERY) {
            tracing::warn!("the start waits for the store: {what}");
            said = Some((what, Instant::now()));
        }
        sleep(after).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::reload::TenantsNow;
    use laneway_memory::{Call, Disk, Fault, Faults, MemoryStore, Settings};
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Fails each of the first calls of each kind, with one fault after the other.
    struct Away {
        calls: Mutex<Vec<Call>>,
        fault: fn(usize) -> Option<Fault>,
    }

    impl Faults for Away {
        fn fault(&self, call: Call) -> Option<Fault> {
            let mut calls = self.calls.lock().unwrap();
            let before = calls.iter().filter(|known| **known == call).count();
            calls.push(call);
            (self.fault)(before)
        }
    }

    /// A start on such a store, and how many destinations it begins with.
    async fn started(role: Role, fault: fn(usize) -> Option<Fault>) -> (Result<Option<usize>, String>, Vec<Call>) {
        let config = Config::from_toml(
            "[store]\nkey = 'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8='\n\
             [[destination]]\nname = 'a'\nurl = 'console:'",
        )
        .unwrap();
        let away = Arc::new(Away { calls: Mutex::default(), fault });
        let faults = Some(away.clone() as Arc<dyn Faults>);
        let stores = Stores::of(Arc::new(MemoryStore::open(Disk::new(1), Settings { faults, ..Settings::default() })));
        let known = Known::of(&config).unwrap();
        let begin = Begin::read(&config, role, &known, TenantsNow::of(&config.tenants).bounds, &stores).await;
        let calls = away.calls.lock().unwrap().clone();
        (begin.map(|begin| begin.destinations.map(|begun| begun.change.destinations.present.len())), calls)
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_goes_away_during_a_start_is_waited_for() {
        // Longer than whoever applies the file is patient itself.
        let away: fn(usize) -> Option<Fault> = |call| match call {
            0..100 => Some(Fault::RetryLater),
            100..103 => Some(Fault::Unknown { happened: true }),
            _ => None,
        };
        for (role, begins_with) in [(Role::Both, Some(1)), (Role::Worker, Some(1)), (Role::Ingest, None)] {
            let (started, calls) = started(role, away).await;
            assert_eq!(started, Ok(begins_with), "{role:?}");
            for kind in [Call::Tenants, Call::Registry] {
                assert!(
                    calls.iter().filter(|call| **call == kind).count() > 103,
                    "{role:?} does not wait for {kind:?}"
                );
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_refuses_ends_the_start() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        for role in [Role::Both, Role::Ingest] {
            let (started, _) = started(role, |_| {
                ASKED.fetch_add(1, Ordering::Relaxed);
                Some(Fault::No)
            })
            .await;
            started.unwrap_err();
            assert_eq!(ASKED.swap(0, Ordering::Relaxed), 1, "{role:?} asks again");
        }
    }
}
