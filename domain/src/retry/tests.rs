use super::*;
use proptest::prelude::*;

fn policies() -> impl Strategy<Value = RetryPolicy> {
    (1_u64..10_000, 1.0_f64..4.0, 0_u64..1_000_000, 0.0_f64..=1.0).prop_map(|(initial, factor, more, jitter)| {
        RetryPolicy {
            initial: Duration::from_millis(initial),
            factor,
            limit: Duration::from_millis(initial + more),
            total: None,
            jitter,
        }
    })
}

/// The same, with a time for all delays together.
fn policies_with_total() -> impl Strategy<Value = RetryPolicy> {
    let factor = prop_oneof![Just(1.0), Just(1.000_000_001), Just(2.0), 1.0_f64..4.0];
    (policies(), factor, 1.0_f64..400.0).prop_map(|(policy, factor, times)| RetryPolicy {
        total: Some(policy.initial.mul_f64(times)),
        factor,
        jitter: 0.0,
        ..policy
    })
}

/// Every failure in a row with the same answers, until it is given up or `most` were counted.
fn run(
    policy: &RetryPolicy,
    not_before: Option<Duration>,
    seed: u64,
    most: usize,
) -> (Vec<Duration>, Option<RetryState>) {
    let (mut now, mut state, mut delays) = (Timestamp::from_millis(1_000_000), None, Vec::new());
    for n in 0..most {
        let random = (seed ^ n as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        match Backoff::failed(policy, state.take(), Failure::new(now, "no"), not_before, random) {
            Verdict::Retry(next) => {
                let due = next.next_attempt.at().unwrap();
                delays.push(due.since(now));
                now = due;
                state = Some(next);
            }
            Verdict::GiveUp(last) => return (delays, Some(last)),
        }
    }
    (delays, None)
}

proptest! {
    #[test]
    fn delays_double_within_jitter_and_stop_where_the_next_would_pass_the_limit(policy in policies(), seed: u64) {
        let (delays, given_up) = run(&policy, None, seed, 200);
        for (n, delay) in delays.iter().enumerate() {
            let exact = policy.initial.as_secs_f64() * policy.factor.powi(i32::try_from(n).unwrap());
            prop_assert!(exact <= policy.limit.as_secs_f64());
            prop_assert!(delay.as_secs_f64() >= exact * (1.0 - policy.jitter) - 1e-6);
            prop_assert!(delay.as_secs_f64() <= exact * (1.0 + policy.jitter) + 0.001_001);
        }
        if let Some(last) = given_up {
            let next = policy.initial.as_secs_f64() * policy.factor.powi(i32::try_from(delays.len()).unwrap());
            prop_assert!(next > policy.limit.as_secs_f64());
            prop_assert_eq!(last.attempts as usize, delays.len() + 1);
            prop_assert!(last.is_held());
        } else {
            prop_assert_eq!(delays.len(), 200);
        }
    }

    #[test]
    fn delays_grow_up_to_the_limit_until_the_next_would_pass_the_total(policy in policies_with_total(), seed: u64) {
        let (delays, given_up) = run(&policy, None, seed, 500);
        let last = given_up.expect("it ends, as no delay is shorter than the first");
        prop_assert_eq!(last.attempts as usize, delays.len() + 1);
        let (total, limit) = (policy.total.unwrap().as_secs_f64(), policy.limit.as_secs_f64());
        let exact = |n: usize| (policy.initial.as_secs_f64() * policy.factor.powf(n as f64)).min(limit);
        let (mut taken, rounding) = (0.0, |sum: f64| 1e-6 * sum.max(1.0));
        for (n, delay) in delays.iter().enumerate() {
            prop_assert!((delay.as_secs_f64() - exact(n)).abs() <= 0.001_001, "{n}: {delay:?}");
            taken += exact(n);
        }
        prop_assert!(taken <= total + rounding(total), "{taken} s of {total}");
        let next = taken + exact(delays.len());
        prop_assert!(next >= total - rounding(total), "another one would come to {next} s of {total}");
    }

    #[test]
    fn retry_after_is_respected_and_bounded(policy in policies(), seed: u64, asked in 0_u64..10_000_000_000) {
        let asked = Duration::from_millis(asked);
        let (delays, _) = run(&policy, Some(asked), seed, 20);
        let longest = policy.limit.mul_f64(1.0 + policy.jitter) + Duration::from_millis(1);
        for delay in delays {
            prop_assert!(delay >= asked.min(policy.limit));
            prop_assert!(delay <= longest);
        }
    }

    #[test]
    fn state_survives_a_round_trip_through_storage(policy in policies(), seed: u64, failures in 1_usize..30) {
        let (mut stored, mut kept) = (None, None);
        for n in 0..failures {
            let failure = Failure::new(Timestamp::from_millis(n as u64), "5\u{2764}3");
            let verdict = |state| match Backoff::failed(&policy, state, failure.clone(), None, seed) {
                Verdict::Retry(state) | Verdict::GiveUp(state) => state,
            };
            let from_storage: Option<RetryState> =
                stored.as_ref().map(|text: &String| serde_json::from_str(text).unwrap());
            kept = Some(verdict(kept));
            let again = verdict(from_storage);
            prop_assert_eq!(kept.as_ref(), Some(&again));
            stored = Some(serde_json::to_string(&again).unwrap());
        }
    }
}

#[test]
fn the_default_policy_goes_on_for_three_days() {
    let (delays, given_up) = run(&RetryPolicy { jitter: 0.0, ..RetryPolicy::default() }, None, 0, 100);
    assert_eq!(delays[11..14], [2048, 3600, 3600].map(Duration::from_secs));
    // 4,095 s of doubling, and as many hours as there are in what is left of three days.
    assert_eq!((delays.len(), given_up.unwrap().attempts), (82, 83));
    let without = RetryPolicy { jitter: 0.0, total: None, ..RetryPolicy::default() };
    let (delays, given_up) = run(&without, None, 0, 100);
    assert_eq!((delays[11], given_up.unwrap().attempts), (Duration::from_secs(2048), 13));
}

#[test]
fn a_delay_equal_to_the_limit_is_still_taken() {
    let policy = RetryPolicy { limit: Duration::from_secs(4), total: None, ..RetryPolicy::default() };
    assert_eq!(policy.delay(3), Some(Duration::from_secs(4)));
    assert_eq!(policy.delay(4), None);
    let in_all = RetryPolicy { total: Some(Duration::from_secs(1 + 2 + 4 + 4)), ..policy };
    assert_eq!((in_all.delay(4), in_all.delay(5)), (Some(Duration::from_secs(4)), None));
}

#[test]
fn history_keeps_the_last_failures_and_cuts_their_reasons() {
    let mut state = None;
    for n in 0..MAX_HISTORY as u64 + 3 {
        state = Some(Backoff::note(state, Failure::new(Timestamp::from_millis(n), &"é".repeat(MAX_REASON_BYTES))));
    }
    let state = state.unwrap();
    assert_eq!(state.history.len(), MAX_HISTORY);
    assert_eq!(state.history[0].at, Timestamp::from_millis(3));
    assert_eq!(state.first_failure, Timestamp::ZERO);
    assert_eq!(state.last_error().len(), MAX_REASON_BYTES);
}

#[test]
fn policies_out_of_bounds_are_refused() {
    let good = RetryPolicy::default();
    assert!(good.check().is_ok());
    assert_eq!(RetryPolicy { factor: 0.5, ..good }.check(), Err(InvalidPolicy::Factor));
    assert_eq!(RetryPolicy { factor: f64::NAN, ..good }.check(), Err(InvalidPolicy::Factor));
    assert_eq!(RetryPolicy { jitter: 1.1, ..good }.check(), Err(InvalidPolicy::Jitter));
    assert_eq!(RetryPolicy { initial: Duration::ZERO, ..good }.check(), Err(InvalidPolicy::Initial));
    assert_eq!(RetryPolicy { limit: Duration::from_millis(1), ..good }.check(), Err(InvalidPolicy::Limit));
    let total = Some(Duration::from_millis(1));
    assert_eq!(RetryPolicy { total, ..good }.check(), Err(InvalidPolicy::Total));
    let initial = good.initial;
    for jitter in [0.0, 1.0] {
        let at_the_bounds = RetryPolicy { initial, factor: 1.0, limit: initial, total: Some(initial), jitter };
        assert_eq!(at_the_bounds.check(), Ok(at_the_bounds));
    }
}

#[test]
fn delays_that_do_not_grow_or_hardly_do_end_where_their_sum_would_pass_the_total() {
    let initial = Duration::from_secs(2);
    let total = |secs| Some(Duration::from_secs(secs));
    for limit in [initial, Duration::from_secs(60)] {
        let even = RetryPolicy { initial, factor: 1.0, limit, total: total(6), jitter: 0.0 };
        assert_eq!((even.delay(3), even.delay(4)), (Some(initial), None));
    }
    // 1 ms × (1.0001^n - 1) / 0.0001 reaches 1,000,000 s at the 115,136th.
    let (initial, limit) = (Duration::from_millis(1), Duration::from_secs(1_000_000));
    let slow = RetryPolicy { initial, factor: 1.0001, limit, total: total(1_000_000), jitter: 0.0 };
    assert_eq!((slow.delay(115_000).is_some(), slow.delay(115_200).is_some()), (true, false));
}

#[test]
fn of_an_event_that_failed_the_last_failure_is_told_with_what_was_answered() {
    let failed = |millis, status| Failure::new(Timestamp::from_millis(millis), "no").answered(status);
    let first = Backoff::note(None, failed(1, Some(503)));
    assert_eq!((first.last_status(), first.last_error()), (Some(503), "no"));
    let second = Backoff::note(Some(first), failed(2, None));
    assert_eq!(second.last_status(), None, "it was not answered");
}

#[test]
fn a_failure_that_does_not_count_changes_when_the_next_attempt_is_and_not_how_many_there_were() {
    let failed = |millis| Failure::new(Timestamp::from_millis(millis), "no");
    let mut state = Backoff::postponed(None, failed(5), Duration::from_millis(10));
    assert_eq!((state.attempts, state.next_attempt), (0, NextAttempt::At(Timestamp::from_millis(15))));
    for millis in 6..9 {
        state = Backoff::note(Some(state), failed(millis));
    }
    let state = Backoff::postponed(Some(state), failed(20), Duration::from_millis(10));
    assert_eq!((state.attempts, state.next_attempt), (3, NextAttempt::At(Timestamp::from_millis(30))));
}

#[test]
fn an_event_that_was_given_up_is_held_also_when_its_state_was_stored() {
    let given_up = Backoff::note(None, Failure::new(Timestamp::from_millis(5), "no"));
    let retried = RetryState { next_attempt: NextAttempt::At(Timestamp::from_millis(7)), ..given_up.clone() };
    for (state, is_held, millis) in [(given_up, true, u64::MAX), (retried, false, 7)] {
        assert_eq!(state.is_held(), is_held);
        let written = serde_json::to_value(&state).unwrap();
        assert_eq!(written["next_attempt"], millis);
        assert_eq!(serde_json::from_value::<RetryState>(written).unwrap(), state);
    }
}

#[test]
fn the_smallest_random_number_shortens_a_delay_by_all_of_its_jitter_and_the_largest_lengthens_it_so() {
    // So long that a part in 2^53 of it shows.
    let delay = Duration::from_secs(1 << 40);
    for (jitter, shortest, longest) in [(0.0, 1.0, 1.0), (0.5, 0.5, 1.5), (1.0, 0.0, 2.0)] {
        let ends = [0, u64::MAX].map(|random| jittered(delay, jitter, random));
        assert_eq!(ends, [delay.mul_f64(shortest), delay.mul_f64(longest)]);
    }
}

proptest! {
    /// Whatever a clock shows at a restart, an attempt is due no later than it was after its failure.
    #[test]
    fn a_clock_that_was_set_back_makes_nobody_wait_longer(policy in policies(), now in 0_u64..10_000_000, seed: u64) {
        let at = Timestamp::from_millis(5_000_000);
        let Verdict::Retry(state) = Backoff::failed(&policy, None, Failure::new(at, "no"), None, seed) else {
            return Ok(());
        };
        let (planned, now) = (state.next_attempt.at().unwrap().since(at), Timestamp::from_millis(now));
        let known = state.clone().as_of(now);
        prop_assert!(known.next_attempt.at().unwrap().since(now) <= planned);
        prop_assert!(known.first_failure <= now && known.history.iter().all(|failure| failure.at <= now));
        if now >= at {
            prop_assert_eq!(known, state);
        }
    }
}
