//! Quotas: how much a tenant may send. Each has a credit of one second's worth, which fills evenly.
//!
//! A request is let in as a whole while there is any credit, and may use more than there is: then the tenant waits until that
//! is paid back. So a batch of any size comes through, and over a longer time nobody sends more than the quota says.

use crate::bucket::{Allowance, TokenBucket};
use crate::by_tenant::ByTenant;
use crate::tenant::Tenant;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::num::{NonZeroU32, NonZeroU64};

/// A second.
const MILLISECONDS: NonZeroU64 = NonZeroU64::new(1000).unwrap();

/// What one tenant may, where that is not what all may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantLimits {
    /// Events a second that it may send, over all processes together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events_per_second: Option<NonZeroU32>,
    /// Bytes a second of its events ([`crate::Event::weight`]), over all processes together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<NonZeroU64>,
    /// The most bytes of one of its events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_bytes: Option<NonZeroU32>,
    /// The most destinations that are made for it over the HTTP interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destinations: Option<u32>,
}

impl TenantLimits {
    /// Whether nothing is said.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// What holds where this says nothing.
    #[must_use]
    pub fn or(self, all: Self) -> Self {
        Self {
            events_per_second: self.events_per_second.or(all.events_per_second),
            bytes_per_second: self.bytes_per_second.or(all.bytes_per_second),
            event_bytes: self.event_bytes.or(all.event_bytes),
            destinations: self.destinations.or(all.destinations),
        }
    }

    /// How much it may send.
    #[must_use]
    pub const fn quota(&self) -> Quota {
        Quota { events_per_second: self.events_per_second, bytes_per_second: self.bytes_per_second }
    }
}

/// How much a tenant may send. What is `None` has no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Events a second.
    pub events_per_second: Option<NonZeroU32>,
    /// Bytes a second.
    pub bytes_per_second: Option<NonZeroU64>,
}

/// What tenants may still send, at one process.
#[derive(Debug, Default)]
pub struct Quotas(ByTenant<Credit>);

/// What one of them may.
#[derive(Debug, Default)]
struct Credit {
    events: Option<TokenBucket>,
    bytes: Option<TokenBucket>,
}

impl Credit {
    /// The quota is this now, shared by so many processes. What was used stays used.
    fn follow(&mut self, quota: Quota, sharing: NonZeroU32, now: Timestamp) {
        follow(&mut self.events, quota.events_per_second.map(NonZeroU64::from), sharing, now);
        follow(&mut self.bytes, quota.bytes_per_second, sharing, now);
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut TokenBucket> {
        [&mut self.events, &mut self.bytes].into_iter().flatten()
    }

    /// When there is any credit, if there is none now.
    fn next(&mut self, now: Timestamp) -> Option<Timestamp> {
        self.all_mut().filter_map(|bucket| bucket.next(1, now)).max()
    }
}

fn follow(bucket: &mut Option<TokenBucket>, per_second: Option<NonZeroU64>, sharing: NonZeroU32, now: Timestamp) {
    let Some(tokens) = per_second else { return *bucket = None };
    let sharing = NonZeroU64::from(sharing);
    let burst = NonZeroU64::new(tokens.get() / sharing).unwrap_or(NonZeroU64::MIN);
    let allowance = Allowance { per: MILLISECONDS.saturating_mul(sharing), ..Allowance::per_second(tokens, burst) };
    match bucket {
        Some(bucket) if bucket.allowance() == allowance => {}
        Some(bucket) => bucket.set_allowance(allowance, now),
        None => *bucket = Some(TokenBucket::new(allowance)),
    }
}

impl Quotas {
    /// Whether the tenant has credit left, as one of `sharing` processes that take its events in.
    ///
    /// # Errors
    /// If it has none: when it has some again, if it sends nothing meanwhile.
    pub fn look(
        &mut self,
        tenant: &Tenant,
        quota: Quota,
        sharing: NonZeroU32,
        now: Timestamp,
    ) -> Result<(), Timestamp> {
        // Of whom nothing is remembered, nothing was used.
        let Some(credit) = self.0.get_mut(tenant) else { return Ok(()) };
        credit.follow(quota, sharing, now);
        credit.next(now).map_or(Ok(()), Err)
    }

    /// The tenant sends so many events with so many bytes, to one of `sharing` processes: each has an equal part of the
    /// quota.
    ///
    /// # Errors
    /// If it has no credit: when it has some. Then nothing is used.
    pub fn take(
        &mut self,
        tenant: &Tenant,
        quota: Quota,
        sharing: NonZeroU32,
        (events, bytes): (u64, u64),
        now: Timestamp,
    ) -> Result<(), Timestamp> {
        let is_as_new = |credit: &mut Credit| credit.all_mut().all(|bucket| bucket.is_full(now));
        let credit = self.0.get_or_new(tenant, is_as_new, Credit::default);
        credit.follow(quota, sharing, now);
        if let Some(at) = credit.next(now) {
            return Err(at);
        }
        for (bucket, used) in [(&mut credit.events, events), (&mut credit.bytes, bytes)] {
            if let Some(bucket) = bucket {
                bucket.take(used, now);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    fn tenant(name: &str) -> Tenant {
        Tenant::new(name).unwrap()
    }

    fn quota(events: u32, bytes: u64) -> Quota {
        Quota { events_per_second: NonZeroU32::new(events), bytes_per_second: NonZeroU64::new(bytes) }
    }

    const ALONE: NonZeroU32 = NonZeroU32::MIN;
    const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    proptest! {
        /// Whoever sends as fast as they are let gets their part of the quota, and never more than a burst and one request
        /// beyond.
        #[test]
        fn nobody_sends_more_than_the_quota_and_a_burst_nor_less_than_it(
            per_second in 1_u32..2_000, sharing in 1_u32..5, requests in prop::collection::vec((1_u64..400, 0_u64..300), 1..200),
        ) {
            let (mut quotas, acme, quota) = (Quotas::default(), tenant("acme"), quota(per_second, 0));
            let sharing = NonZeroU32::new(sharing).unwrap();
            let (mut now, mut sent, mut largest, mut idle) = (START, 0, 0, 0);
            for (events, gap) in requests {
                now = now.after(Duration::from_millis(gap));
                idle += gap;
                if let Err(at) = quotas.take(&acme, quota, sharing, (events, 0), now) {
                    // Not a millisecond before, and then it is let in.
                    prop_assert!(quotas.look(&acme, quota, sharing, at.before(Duration::from_millis(1))).is_err());
                    // What it is asked to wait for is rounded up to whole tokens and milliseconds.
                    idle += 1 + 1_000 * u64::from(sharing.get()) / u64::from(per_second);
                    now = at;
                    prop_assert_eq!(quotas.take(&acme, quota, sharing, (events, 0), now), Ok(()));
                }
                sent += events;
                largest = largest.max(events);
                let elapsed = u64::try_from(now.since(START).as_millis()).unwrap();
                let part = |millis: u64| millis * u64::from(per_second) / 1000 / u64::from(sharing.get());
                prop_assert!(sent <= part(elapsed + 1_000) + largest + 1, "{sent} in {elapsed} ms");
                prop_assert!(sent + 1 >= part(elapsed.saturating_sub(idle)), "{sent} in {elapsed} ms, {idle} of them idle");
            }
        }
    }

    #[test]
    fn each_limit_holds_by_itself_and_none_is_none() {
        let (mut quotas, acme) = (Quotas::default(), tenant("acme"));
        for _ in 0..100 {
            assert_eq!(quotas.take(&acme, quota(0, 0), ALONE, (1_000_000, u64::MAX), START), Ok(()));
        }
        // A request of any size comes through, and is paid back after.
        assert_eq!(quotas.take(&acme, quota(0, 1_000), ALONE, (1, 5_000), START), Ok(()));
        let over = quotas.take(&acme, quota(0, 1_000), ALONE, (1, 1), START);
        assert_eq!(over, Err(START.after(Duration::from_millis(4_001))));
        assert_eq!(quotas.take(&acme, quota(10, 0), ALONE, (1, 1), START), Ok(()), "bytes do not count any more");
        assert_eq!(quotas.take(&tenant("b"), quota(0, 1_000), ALONE, (1, 1), START), Ok(()), "another's is another's");
        let nine = NonZeroU32::new(9).unwrap();
        assert_eq!(quotas.take(&tenant("c"), quota(1, 1), nine, (u64::MAX, u64::MAX), START), Ok(()));
        assert!(quotas.take(&tenant("c"), quota(1, 1), nine, (1, 1), START).is_err());
    }

    #[test]
    fn what_was_used_is_paid_back_at_the_limit_that_holds_now() {
        let (mut quotas, acme) = (Quotas::default(), tenant("acme"));
        assert_eq!(quotas.take(&acme, quota(1, 0), ALONE, (61, 0), START), Ok(()));
        let mut wait = |events, sharing| {
            let sharing = NonZeroU32::new(sharing).unwrap();
            quotas.look(&acme, quota(events, 0), sharing, START).err().map(|at| at.since(START).as_millis())
        };
        assert_eq!([wait(1, 1), wait(2, 1), wait(61, 1), wait(61, 2)], [61_000, 30_500, 1_000, 2_000].map(Some));
    }

    #[test]
    fn who_has_full_credit_is_forgotten() {
        let (mut quotas, mut now) = (Quotas::default(), START);
        for n in 0..20_000 {
            assert_eq!(quotas.take(&tenant(&format!("t{n}")), quota(1_000, 0), ALONE, (1, 1), now), Ok(()));
            now = now.after(Duration::from_millis(1));
        }
        assert!(quotas.0.len() <= 1_000, "{}", quotas.0.len());
    }

    #[test]
    fn what_is_not_said_of_a_tenant_is_said_of_all() {
        let all =
            TenantLimits { events_per_second: NonZeroU32::new(5), destinations: Some(9), ..TenantLimits::default() };
        let own = TenantLimits { events_per_second: NonZeroU32::new(7), ..TenantLimits::default() };
        assert_eq!(own.or(all), TenantLimits { destinations: Some(9), ..own });
        assert_eq!(TenantLimits::default().or(all), all);
        assert_eq!(own.quota(), quota(7, 0));
    }

    #[test]
    fn limits_say_nothing_only_where_none_of_them_is_said() {
        assert!(TenantLimits::default().is_none());
        let (few, many) = (NonZeroU32::new(1), NonZeroU64::new(1));
        for said in [
            TenantLimits { events_per_second: few, ..TenantLimits::default() },
            TenantLimits { bytes_per_second: many, ..TenantLimits::default() },
            TenantLimits { event_bytes: few, ..TenantLimits::default() },
            TenantLimits { destinations: Some(0), ..TenantLimits::default() },
        ] {
            assert!(!said.is_none(), "{said:?}");
        }
    }
}
