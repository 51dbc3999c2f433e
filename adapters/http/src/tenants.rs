//! What is bounded of what tenants do over HTTP.

use crate::problem::{Kind, Problem};
use laneway_domain::{Tenant, TenantAct, TenantBuckets, TenantRates, Timestamp};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use tokio::time::Instant;

/// Changes of a tenant in a minute: more than people make, and as many as a program needs that keeps a hundred
/// destinations as they are to be. Each is a durable write that every process takes over.
pub const DEFAULT_CHANGES_PER_MINUTE: u32 = 120;
/// Test events: one every two seconds, for somebody who mends a receiver. Each is a request to an address that the tenant
/// chooses.
pub const DEFAULT_TESTS_PER_MINUTE: u32 = 30;
/// Replays begun, or counted beforehand: somebody who recovers one key after the other. Each reads a part of the log.
pub const DEFAULT_REPLAYS_PER_MINUTE: u32 = 30;
/// Searches: five a second, for somebody who goes through pages. Each reads up to a bounded part of the log or the
/// history, which deliveries read from too; or it asks for a status, which a worker finds out between two deliveries.
pub const DEFAULT_SEARCHES_PER_MINUTE: u32 = 300;
/// Tokens of a tenant: one for each of its services, and one for somebody who changes them.
pub const DEFAULT_TENANT_TOKENS: usize = 10;
/// Replays of a tenant that are under way: each reads the log beside what is new.
pub const DEFAULT_REPLAYS_AT_ONCE: usize = 4;

/// The bounds. The rates are of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActBounds {
    /// How often a tenant may do what costs others something. Beyond: 429.
    pub rates: TenantRates,
    /// The most tokens of a tenant that are made over HTTP ([`DEFAULT_TENANT_TOKENS`]). Beyond: 409.
    pub tokens: usize,
    /// The most replays of a tenant that are under way ([`DEFAULT_REPLAYS_AT_ONCE`]). Beyond: 409.
    pub replays_at_once: usize,
}

impl Default for ActBounds {
    fn default() -> Self {
        let rate = |of| NonZeroU32::new(of).unwrap_or(NonZeroU32::MIN);
        let rates = TenantRates {
            changes: rate(DEFAULT_CHANGES_PER_MINUTE),
            tests: rate(DEFAULT_TESTS_PER_MINUTE),
            replays: rate(DEFAULT_REPLAYS_PER_MINUTE),
            searches: rate(DEFAULT_SEARCHES_PER_MINUTE),
        };
        Self { rates, tokens: DEFAULT_TENANT_TOKENS, replays_at_once: DEFAULT_REPLAYS_AT_ONCE }
    }
}

/// The bounds of a running server, which can be replaced.
#[derive(Clone, Debug, Default)]
pub struct CurrentActBounds(Arc<RwLock<ActBounds>>);

impl CurrentActBounds {
    /// These from now on. Whether any is another one than before.
    pub fn replace(&self, bounds: ActBounds) -> bool {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *current, bounds) != bounds
    }

    /// Those that hold now.
    #[must_use]
    pub fn now(&self) -> ActBounds {
        *self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<ActBounds> for CurrentActBounds {
    fn from(bounds: ActBounds) -> Self {
        Self(Arc::new(RwLock::new(bounds)))
    }
}

/// What each tenant has done lately over this process.
pub(crate) struct Pace {
    bounds: CurrentActBounds,
    began: Instant,
    done: Mutex<TenantBuckets>,
}

impl Pace {
    pub(crate) fn new(bounds: CurrentActBounds) -> Self {
        let done = Mutex::new(TenantBuckets::new(bounds.now().rates));
        Self { bounds, began: Instant::now(), done }
    }

    /// The tenant does `count` such things now. An operator may do as many as they like.
    ///
    /// # Errors
    /// 429, with when to try again.
    pub(crate) fn act(&self, tenant: Option<&Tenant>, act: TenantAct, count: usize) -> Result<(), Box<Problem>> {
        let Some(tenant) = tenant else { return Ok(()) };
        let now = Timestamp::ZERO.after(self.began.elapsed());
        let rates = self.bounds.now().rates;
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.set_rates(rates, now);
        let acted = done.act(tenant, act, u64::try_from(count).unwrap_or(u64::MAX), now);
        drop(done);
        acted.map_err(|at| too_often(act, rates.of(act), at.since(now)))
    }
}

#[cold]
fn too_often(act: TenantAct, most: NonZeroU32, wait: Duration) -> Box<Problem> {
    let (setting, what) = act.setting();
    let what = format!("a tenant may make {most} {what} a minute over each process ({setting}): slow down");
    Problem::new(Kind::TooOften, what).retry_after(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_tenant_that_asks_too_often_is_told_when_to_come_again_and_nobody_else_is() {
        let bounds = CurrentActBounds::default();
        let pace = Pace::new(bounds.clone());
        let tenant = |name: &str| Some(Tenant::new(name).unwrap());
        let (acme, other) = (tenant("acme"), tenant("other"));
        let test = |of: &Option<Tenant>| pace.act(of.as_ref(), TenantAct::Test, 1).map_err(|problem| problem.kind);
        for _ in 0..DEFAULT_TESTS_PER_MINUTE {
            assert_eq!(test(&acme), Ok(()));
        }
        assert_eq!((test(&acme), test(&other), test(&None)), (Err(Kind::TooOften), Ok(()), Ok(())));
        let told = pace.act(acme.as_ref(), TenantAct::Test, 1).unwrap_err();
        assert!(told.body.detail.contains("30 test events a minute") && told.body.detail.contains("tests_per_minute"));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!((test(&acme), test(&acme)), (Ok(()), Err(Kind::TooOften)));
        // After a reload it fills faster.
        let rates = TenantRates { tests: NonZeroU32::new(60).unwrap(), ..bounds.now().rates };
        assert!(bounds.replace(ActBounds { rates, ..bounds.now() }));
        assert_eq!(test(&acme), Err(Kind::TooOften));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!((test(&acme), test(&acme)), (Ok(()), Err(Kind::TooOften)));
    }
}
