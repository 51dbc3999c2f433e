//! How often a tenant may do what costs others something: change things, test, replay, and search.

use crate::bucket::{Allowance, TokenBucket};
use crate::by_tenant::ByTenant;
use crate::tenant::Tenant;
use crate::time::Timestamp;
use std::num::{NonZeroU32, NonZeroU64};

/// What is done too often if nobody bounds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TenantAct {
    /// Something is different afterwards: a destination, a token, a link, a key or dead letter.
    Change,
    /// An event is sent to a receiver that nobody has accepted.
    Test,
    /// What was delivered is read and sent again, or counted for that.
    Replay,
    /// The log or the history is read through, or the workers are asked how things are.
    Search,
}

impl TenantAct {
    const ALL: [Self; 4] = [Self::Change, Self::Test, Self::Replay, Self::Search];

    /// The setting that bounds it, and what it bounds.
    #[must_use]
    pub const fn setting(self) -> (&'static str, &'static str) {
        match self {
            Self::Change => ("tenants.changes_per_minute", "changes"),
            Self::Test => ("tenants.tests_per_minute", "test events"),
            Self::Replay => ("tenants.replays_per_minute", "replays"),
            Self::Search => ("tenants.searches_per_minute", "searches"),
        }
    }
}

/// How often each may be done in a minute, by one tenant; as many may be done at once as in a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TenantRates {
    /// [`TenantAct::Change`].
    pub changes: NonZeroU32,
    /// [`TenantAct::Test`].
    pub tests: NonZeroU32,
    /// [`TenantAct::Replay`].
    pub replays: NonZeroU32,
    /// [`TenantAct::Search`].
    pub searches: NonZeroU32,
}

impl TenantRates {
    /// How often that may be done in a minute.
    #[must_use]
    pub const fn of(&self, act: TenantAct) -> NonZeroU32 {
        match act {
            TenantAct::Change => self.changes,
            TenantAct::Test => self.tests,
            TenantAct::Replay => self.replays,
            TenantAct::Search => self.searches,
        }
    }

    fn allowance(&self, act: TenantAct) -> Allowance {
        let a_minute = NonZeroU64::from(self.of(act));
        Allowance::per_minute(a_minute, a_minute)
    }
}

/// What each tenant has done lately.
#[derive(Debug)]
pub struct TenantBuckets {
    rates: TenantRates,
    buckets: ByTenant<[TokenBucket; 4]>,
}

impl TenantBuckets {
    /// Nobody has done anything.
    #[must_use]
    pub fn new(rates: TenantRates) -> Self {
        Self { rates, buckets: ByTenant::default() }
    }

    /// These rates hold from `now` on. What somebody may still do stays, as far as they allow it.
    pub fn set_rates(&mut self, rates: TenantRates, now: Timestamp) {
        if rates != self.rates {
            self.rates = rates;
            for buckets in self.buckets.all_mut() {
                for (act, bucket) in TenantAct::ALL.into_iter().zip(buckets) {
                    bucket.set_allowance(rates.allowance(act), now);
                }
            }
        }
    }

    /// The tenant does `count` such things at `now`. More than a minute's worth at once is done when it has done nothing
    /// for long enough, and makes it wait the longer afterwards.
    ///
    /// # Errors
    /// From when on it may; nothing is counted then.
    pub fn act(&mut self, tenant: &Tenant, act: TenantAct, count: u64, now: Timestamp) -> Result<(), Timestamp> {
        let rates = self.rates;
        let is_as_new = |buckets: &mut [TokenBucket; 4]| buckets.iter_mut().all(|bucket| bucket.is_full(now));
        let new = || TenantAct::ALL.map(|act| TokenBucket::new(rates.allowance(act)));
        self.buckets.get_or_new(tenant, is_as_new, new)[act as usize].try_take(count, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::by_tenant::TIDY_FROM;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::time::Duration;

    const START: Timestamp = Timestamp::from_millis(1_000_000);

    fn rates(a_minute: u32) -> TenantRates {
        let rate = |of| NonZeroU32::new(of).unwrap();
        TenantRates {
            changes: rate(a_minute),
            tests: rate(a_minute + 1),
            replays: rate(a_minute + 2),
            searches: rate(a_minute + 3),
        }
    }

    fn tenant(n: usize) -> Tenant {
        Tenant::new(&format!("t{n}")).unwrap()
    }

    proptest! {
        /// As if each tenant and each kind of act were alone.
        #[test]
        fn what_one_does_is_nothing_to_the_others(
            steps in prop::collection::vec((0_usize..3, 0_usize..4, 1_u64..4, 0_u64..20_000), 1..100),
        ) {
            let mut all = TenantBuckets::new(rates(5));
            all.buckets.tidy_next(); // Each time.
            let mut alone: BTreeMap<(usize, usize), TokenBucket> = BTreeMap::new();
            let mut now = START;
            for (of, act, count, passes) in steps {
                let kind = TenantAct::ALL[act];
                let bucket = alone.entry((of, act)).or_insert_with(|| TokenBucket::new(rates(5).allowance(kind)));
                prop_assert_eq!(all.act(&tenant(of), kind, count, now), bucket.try_take(count, now));
                now = now.after(Duration::from_millis(passes));
            }
        }
    }

    #[test]
    fn as_many_as_in_a_minute_may_be_done_at_once_and_then_one_after_the_other() {
        let mut buckets = TenantBuckets::new(rates(6));
        for _ in 0..6 {
            assert_eq!(buckets.act(&tenant(0), TenantAct::Change, 1, START), Ok(()));
        }
        let next = START.after(Duration::from_secs(10));
        assert_eq!(buckets.act(&tenant(0), TenantAct::Change, 1, START), Err(next));
        assert_eq!(buckets.act(&tenant(0), TenantAct::Test, 1, START), Ok(()));
        assert_eq!(buckets.act(&tenant(0), TenantAct::Change, 1, next), Ok(()));
        buckets.set_rates(rates(60), next);
        assert_eq!(buckets.act(&tenant(0), TenantAct::Change, 1, next), Err(next.after(Duration::from_secs(1))));
    }

    #[test]
    fn who_does_nothing_for_a_minute_is_forgotten() {
        let mut buckets = TenantBuckets::new(rates(6));
        for n in 0..TIDY_FROM {
            buckets.act(&tenant(n), TenantAct::Search, 1, START).unwrap();
        }
        let later = START.after(Duration::from_secs(60));
        buckets.act(&tenant(TIDY_FROM), TenantAct::Search, 1, later).unwrap();
        assert_eq!(buckets.buckets.len(), 1);
        // Those who do something are not.
        let all = (0..3 * TIDY_FROM).all(|n| buckets.act(&tenant(n), TenantAct::Search, 1, later).is_ok());
        assert!(all && buckets.buckets.len() == 3 * TIDY_FROM && buckets.buckets.tidy_at() > 3 * TIDY_FROM);
    }

    #[test]
    fn what_is_done_too_often_is_named_with_the_setting_that_bounds_it() {
        for (act, setting, what) in [
            (TenantAct::Change, "tenants.changes_per_minute", "changes"),
            (TenantAct::Test, "tenants.tests_per_minute", "test events"),
            (TenantAct::Replay, "tenants.replays_per_minute", "replays"),
            (TenantAct::Search, "tenants.searches_per_minute", "searches"),
        ] {
            assert_eq!(act.setting(), (setting, what));
        }
    }
}
