//! Token buckets: how often something may be done on average, and how much of it at once.

use crate::time::Timestamp;
use std::num::NonZeroU64;
use std::time::Duration;

/// How fast a [`TokenBucket`] fills, and how much it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// How many tokens come in each time of `per`, evenly.
    pub tokens: NonZeroU64,
    /// In milliseconds.
    pub per: NonZeroU64,
    /// The most tokens that can lie there, and with which it begins: what may be taken at once.
    pub burst: NonZeroU64,
}

impl Allowance {
    /// So many tokens a second, of which at most `burst` at once.
    #[must_use]
    pub const fn per_second(tokens: NonZeroU64, burst: NonZeroU64) -> Self {
        const SECOND: NonZeroU64 = NonZeroU64::new(1000).unwrap();
        Self { tokens, per: SECOND, burst }
    }

    /// So many tokens a minute, of which at most `burst` at once.
    #[must_use]
    pub const fn per_minute(tokens: NonZeroU64, burst: NonZeroU64) -> Self {
        const MINUTE: NonZeroU64 = NonZeroU64::new(60_000).unwrap();
        Self { tokens, per: MINUTE, burst }
    }
}

/// A bucket into which tokens drip, and out of which whatever is limited takes some. Begins full.
///
/// Over any time `t`, at most `burst` and what came in `t` are taken, and what was taken beyond the burst in one piece.
/// Exact: no part of a token is lost to rounding, however often it is asked. Where the clock goes backwards, at most
/// one burst too many is allowed.
#[derive(Clone, Debug)]
pub struct TokenBucket {
    allowance: Allowance,
    /// In parts of a token, of which a millisecond brings exactly `allowance.tokens`; a token has `allowance.per` of them.
    /// Below zero after more was taken than there was.
    level: i128,
    filled_at: Option<Timestamp>,
}

impl TokenBucket {
    /// A full bucket.
    #[must_use]
    pub const fn new(allowance: Allowance) -> Self {
        let full = Self { allowance, level: 0, filled_at: None };
        Self { level: full.capacity(), ..full }
    }

    /// How it fills.
    #[must_use]
    pub const fn allowance(&self) -> Allowance {
        self.allowance
    }

    /// Fills otherwise from `now` on. What lies there stays, as far as there is room for it; a debt stays too.
    pub fn set_allowance(&mut self, allowance: Allowance, now: Timestamp) {
        self.fill(now);
        // Rounded down: a change brings nobody a token.
        self.level = self.level.saturating_mul(i128::from(allowance.per.get())).div_euclid(self.parts(1));
        self.allowance = allowance;
        self.level = self.level.min(self.capacity());
    }

    /// When `tokens` may be taken, if not now. More than a burst may be taken once the bucket is full.
    pub fn next(&mut self, tokens: u64, now: Timestamp) -> Option<Timestamp> {
        self.fill(now);
        let missing = self.parts(tokens).min(self.capacity()).saturating_sub(self.level);
        let missing = u128::try_from(missing).ok().filter(|missing| *missing > 0)?;
        let millis = missing.div_ceil(u128::from(self.allowance.tokens.get()));
        Some(now.after(Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))))
    }

    /// Takes `tokens`, whether they are there or not. What is missing is a debt, which is paid off first.
    pub fn take(&mut self, tokens: u64, now: Timestamp) {
        self.fill(now);
        self.level = self.level.saturating_sub(self.parts(tokens));
    }

    /// Takes `tokens` if they may be taken now.
    ///
    /// # Errors
    /// When they may be, if nothing else is taken until then; nothing is taken now.
    pub fn try_take(&mut self, tokens: u64, now: Timestamp) -> Result<(), Timestamp> {
        match self.next(tokens, now) {
            Some(at) => Err(at),
            None => {
                self.take(tokens, now);
                Ok(())
            }
        }
    }

    /// Whether it is full at `now`: nothing is lost by forgetting such a bucket and making it anew.
    pub fn is_full(&mut self, now: Timestamp) -> bool {
        self.fill(now);
        self.level == self.capacity()
    }

    const fn parts(&self, tokens: u64) -> i128 {
        // The product of two numbers of 64 bits may be beyond 127 bits.
        (tokens as i128).saturating_mul(self.allowance.per.get() as i128)
    }

    const fn capacity(&self) -> i128 {
        self.parts(self.allowance.burst.get())
    }

    fn fill(&mut self, now: Timestamp) {
        let since = self.filled_at.map_or(Duration::ZERO, |at| now.since(at));
        let millis = i128::try_from(since.as_millis()).unwrap_or(i128::MAX);
        let added = millis.saturating_mul(i128::from(self.allowance.tokens.get()));
        self.level = self.level.saturating_add(added).min(self.capacity());
        self.filled_at = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: Timestamp = Timestamp::from_millis(1_000_000);

    fn count(count: u64) -> NonZeroU64 {
        NonZeroU64::new(count).unwrap()
    }

    fn allowances() -> impl Strategy<Value = Allowance> {
        let tokens = prop_oneof![1_u64..500, 1_u64..1_000_000_000];
        let per = prop_oneof![Just(1_000_u64), 1_u64..100_000];
        let burst = prop_oneof![1_u64..20, 1_u64..1_000_000_000];
        (tokens, per, burst).prop_map(|(tokens, per, burst)| Allowance {
            tokens: count(tokens),
            per: count(per),
            burst: count(burst),
        })
    }

    proptest! {
        /// Over any time, not only from the beginning: `(when, how many)` were taken.
        #[test]
        fn what_is_taken_over_any_time_is_a_burst_and_what_came(
            allowance in allowances(),
            asked in prop::collection::vec((0_u64..400, 0_u64..2_000), 1..60),
        ) {
            let mut bucket = TokenBucket::new(allowance);
            let burst = allowance.burst.get();
            let mut now = START;
            let mut taken = Vec::new();
            for (gap, share) in asked {
                now = now.after(Duration::from_millis(gap));
                // Up to twice the burst in one piece.
                let tokens = (u128::from(burst) * u128::from(share)).div_ceil(1_000) as u64;
                if let Err(at) = bucket.try_take(tokens, now) {
                    prop_assert!(at > now);
                    if at.as_millis() > now.as_millis() {
                        let before = Timestamp::from_millis(at.as_millis() - 1);
                        prop_assert!(before == now || bucket.clone().next(tokens, before).is_some(), "{at} is too late");
                    }
                    prop_assert_eq!(bucket.clone().next(tokens, at), None, "{} is too early", at);
                    now = at;
                    prop_assert_eq!(bucket.try_take(tokens, now), Ok(()));
                }
                taken.push((now, tokens));
            }
            for (first, (begun, _)) in taken.iter().enumerate() {
                let mut sum = 0_u128;
                for (at, tokens) in &taken[first..] {
                    let came = u128::from(at.as_millis() - begun.as_millis()) * u128::from(allowance.tokens.get());
                    // Whoever takes more than a burst has the rest as a debt, which the next one waits for.
                    let most = u128::from(burst) * u128::from(allowance.per.get()) + came;
                    prop_assert!(sum * u128::from(allowance.per.get()) <= most);
                    sum += u128::from((*tokens).min(burst));
                    prop_assert!(sum * u128::from(allowance.per.get()) <= most);
                    sum += u128::from(tokens.saturating_sub(burst));
                }
            }
        }

        /// Work-conserving: whoever takes as soon as there is one gets all that comes.
        #[test]
        fn nothing_is_lost_to_rounding(
            tokens in 1_u64..500,
            per in 1_u64..100_000,
            burst in 1_u64..20,
            gaps in prop::collection::vec(0_u64..50, 0..50),
        ) {
            let mut bucket = TokenBucket::new(Allowance { tokens: count(tokens), per: count(per), burst: count(burst) });
            bucket.take(burst, START);
            let mut now = START;
            for gap in gaps {
                now = now.after(Duration::from_millis(gap));
                bucket.fill(now);
            }
            let came = u128::from(now.as_millis() - START.as_millis()) * u128::from(tokens) / u128::from(per);
            let came = u64::try_from(came).unwrap().min(burst);
            prop_assert!(came == 0 || bucket.clone().next(came, now).is_none());
            prop_assert!(came == burst || bucket.clone().next(came + 1, now).is_some());
        }

        #[test]
        fn no_number_is_too_large(
            tokens in 1_u64..,
            per in 1_u64..,
            burst in 1_u64..,
            steps in prop::collection::vec((any::<u64>(), any::<u64>()), 1..10),
        ) {
            let mut bucket = TokenBucket::new(Allowance { tokens: count(tokens), per: count(per), burst: count(burst) });
            for (at, tokens) in steps {
                bucket.take(tokens, Timestamp::from_millis(at));
                bucket.next(tokens, Timestamp::from_millis(at));
                bucket.set_allowance(Allowance { tokens: count(burst), per: count(tokens.max(1)), burst: count(per) }, START);
            }
        }
    }

    /// Takes tokens until there is none.
    fn burst(bucket: &mut TokenBucket, now: Timestamp) -> u32 {
        let mut taken = 0;
        while bucket.try_take(1, now).is_ok() {
            taken += 1;
        }
        taken
    }

    #[test]
    fn a_burst_is_what_it_holds_at_first_and_however_long_nothing_came() {
        let mut bucket = TokenBucket::new(Allowance::per_second(count(7), count(7)));
        assert!(bucket.is_full(START));
        assert_eq!(burst(&mut bucket, START), 7);
        assert!(!bucket.is_full(START));
        assert_eq!(burst(&mut bucket, START.after(Duration::from_millis(500))), 3);
        assert_eq!(burst(&mut bucket, START.after(Duration::from_secs(3_600))), 7);
        assert!(bucket.is_full(START.after(Duration::from_secs(7_200))));
    }

    #[test]
    fn a_debt_is_paid_off_first() {
        let mut bucket = TokenBucket::new(Allowance::per_second(count(10), count(10)));
        assert_eq!(bucket.try_take(50, START), Ok(()), "a full bucket lets more than a burst through");
        assert_eq!(bucket.try_take(1, START), Err(START.after(Duration::from_millis(4_100))));
        let paid = START.after(Duration::from_secs(4));
        assert_eq!(bucket.next(1, paid), Some(paid.after(Duration::from_millis(100))));
        // More than a burst waits until it is full.
        assert_eq!(bucket.next(50, paid), Some(paid.after(Duration::from_secs(1))));
    }

    #[test]
    fn a_minute_can_have_one_token() {
        let mut bucket = TokenBucket::new(Allowance::per_minute(count(1), count(2)));
        assert_eq!(burst(&mut bucket, START), 2);
        assert_eq!(bucket.try_take(1, START), Err(START.after(Duration::from_secs(60))));
    }

    #[test]
    fn another_allowance_takes_over_what_lies_there() {
        let mut bucket = TokenBucket::new(Allowance::per_second(count(10), count(10)));
        bucket.take(5, START);
        bucket.set_allowance(Allowance::per_minute(count(1), count(100)), START);
        assert_eq!(burst(&mut bucket, START), 5);
        bucket.take(3, START);
        bucket.set_allowance(Allowance::per_second(count(1), count(4)), START);
        assert_eq!(bucket.next(1, START), Some(START.after(Duration::from_secs(4))), "a debt stays");
        let mut bucket = TokenBucket::new(Allowance::per_second(count(10), count(10)));
        bucket.set_allowance(Allowance::per_second(count(10), count(2)), START);
        assert_eq!(burst(&mut bucket, START), 2);
    }

    #[test]
    fn a_clock_that_goes_backwards_costs_nothing_and_stops_nothing() {
        let mut bucket = TokenBucket::new(Allowance::per_second(count(1), count(1)));
        bucket.take(1, START.after(Duration::from_secs(3_600)));
        assert_eq!(bucket.next(1, START), Some(START.after(Duration::from_secs(1))));
    }
}
