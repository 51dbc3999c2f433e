//! Whose turn it is to look something up.

use laneway_domain::Tenant;
use laneway_ports::LookupError;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::time::timeout;

/// How many look-ups of events and attempts a process makes at once. Each may read 128 MiB, and keep some 24 MiB of
/// that for a while, where deliveries want the same disk, cores and memory.
const AT_ONCE: usize = 4;
/// How many of them may be within tenants, so that an operator who looks at everything is not kept waiting by them.
const OF_TENANTS: usize = 3;
/// How many of them may be within one tenant, so that another tenant is not kept waiting by it.
const OF_ONE_TENANT: usize = 2;
/// How long a look-up waits for its turn. Most take less than some tenths of a second.
const WITHIN: Duration = Duration::from_secs(2);

/// Gives turns, in the order in which they are asked for.
#[derive(Debug)]
pub(super) struct Turns {
    all: Semaphore,
    of_tenants: Semaphore,
    /// Those of tenants within which something is looked up or waits.
    of_each: Mutex<BTreeMap<Tenant, Arc<Semaphore>>>,
}

/// A turn, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    _one: SemaphorePermit<'a>,
    _of_tenants: Option<(OwnedSemaphorePermit, SemaphorePermit<'a>)>,
}

impl Turns {
    pub(super) const fn new() -> Self {
        Self {
            all: Semaphore::const_new(AT_ONCE),
            of_tenants: Semaphore::const_new(OF_TENANTS),
            of_each: Mutex::new(BTreeMap::new()),
        }
    }

    /// Waits for a turn: to look within a tenant, or at everything.
    pub(super) async fn take(&self, tenant: Option<&Tenant>) -> Result<Turn<'_>, LookupError> {
        let taken = async {
            let of_tenants = match tenant {
                Some(tenant) => Some((self.of(tenant).acquire_owned().await?, self.of_tenants.acquire().await?)),
                None => None,
            };
            Ok::<_, tokio::sync::AcquireError>(Turn { _one: self.all.acquire().await?, _of_tenants: of_tenants })
        };
        // Nobody closes them.
        timeout(WITHIN, taken).await.ok().and_then(Result::ok).ok_or(LookupError::Busy)
    }

    fn of(&self, tenant: &Tenant) -> Arc<Semaphore> {
        let mut of_each = self.of_each.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever has or awaits a turn holds it too.
        of_each.retain(|_, turns| Arc::strong_count(turns) > 1);
        of_each.entry(tenant.clone()).or_insert_with(|| Arc::new(Semaphore::new(OF_ONE_TENANT))).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> Tenant {
        Tenant::new(name).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_is_looked_up_at_once_than_may_be_and_who_waits_too_long_is_told() {
        let turns = Turns::new();
        let mut taken = Vec::new();
        for _ in 0..AT_ONCE {
            taken.push(turns.take(None).await.unwrap());
        }
        let began = tokio::time::Instant::now();
        assert!(matches!(turns.take(None).await, Err(LookupError::Busy)));
        assert!(matches!(turns.take(Some(&tenant("a"))).await, Err(LookupError::Busy)));
        assert_eq!(began.elapsed(), 2 * WITHIN);
        // One that waits gets the turn that comes free.
        let a = tenant("a");
        let (found, ()) = tokio::join!(turns.take(Some(&a)), async { drop(taken.pop()) });
        found.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_tenant_that_looks_up_without_end_keeps_nobody_else_waiting_nor_do_all_tenants_keep_an_operator() {
        let turns = Turns::new();
        let (a, b, c) = (tenant("a"), tenant("b"), tenant("c"));
        let mut taken = Vec::new();
        for _ in 0..OF_ONE_TENANT {
            taken.push(turns.take(Some(&a)).await.unwrap());
        }
        // Many more of it wait in front of the others.
        let waiting: Vec<_> = (0..50).map(|_| turns.take(Some(&a))).collect();
        let waiting = futures_util::future::join_all(waiting);
        let others = async {
            let began = tokio::time::Instant::now();
            let of_b = turns.take(Some(&b)).await.unwrap();
            let of_operator = turns.take(None).await.unwrap();
            assert_eq!(began.elapsed(), Duration::ZERO);
            drop(of_b);
            turns.take(Some(&c)).await.unwrap();
            drop(of_operator);
            assert_eq!(began.elapsed(), Duration::ZERO);
        };
        let (waited, ()) = tokio::join!(waiting, others);
        assert!(waited.iter().all(Result::is_err), "it has as many turns as it may have");
        drop(taken);
        drop(turns.take(Some(&a)).await.unwrap());
        turns.take(Some(&b)).await.unwrap();
        assert_eq!(turns.of_each.lock().unwrap().len(), 1, "who looks nothing up takes no memory");
    }
}
