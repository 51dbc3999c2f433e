//! What is old, where clocks may have been wrong: a log is in the order in which its entries were accepted, and each
//! says when that was, by the clock of whoever took it in.

use crate::time::{MAX_CLOCK_SKEW, Timestamp};

/// How old an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// Old enough to go.
    Old,
    /// Not old enough.
    Young,
    /// Its time lies ahead by more than [`MAX_CLOCK_SKEW`]: a clock was wrong, and the time says nothing.
    Ahead,
}

/// Tells old entries from young ones.
#[derive(Clone, Copy, Debug)]
pub struct Ages {
    before: Timestamp,
    latest: Timestamp,
}

impl Ages {
    /// What was accepted before `before` is old; it is `now`.
    #[must_use]
    pub fn new(before: Timestamp, now: Timestamp) -> Self {
        Self { before, latest: now.after(MAX_CLOCK_SKEW) }
    }

    /// Of what was accepted at this time.
    #[must_use]
    pub fn of(self, accepted: Timestamp) -> Age {
        if accepted < self.before {
            Age::Old
        } else if accepted > self.latest {
            Age::Ahead
        } else {
            Age::Young
        }
    }

    /// Of the first entry from `from` up to `below` whose time does not lie ahead, found in about as many looks as the
    /// distance has binary digits; `None` if there is none. (Where such entries stand among others, of one of them.)
    /// `look` answers with the first entry from a place on.
    ///
    /// # Errors
    /// Those of `look`.
    pub fn behind<E>(
        self,
        from: u64,
        below: u64,
        mut look: impl FnMut(u64) -> Result<Option<(u64, Timestamp)>, E>,
    ) -> Result<Option<Age>, E> {
        let (mut low, mut high, mut found) = (from, below, None);
        while low < high {
            let middle = low + (high - low) / 2;
            match look(middle)?.filter(|(at, _)| *at < high) {
                Some((at, accepted)) if self.of(accepted) == Age::Ahead => low = at + 1,
                Some((_, accepted)) => (high, found) = (middle, Some(self.of(accepted))),
                None => high = middle,
            }
        }
        Ok(found)
    }
}

/// Which of the oldest entries may go, looked at one after the other.
///
/// One whose time lies ahead was accepted before those behind it, so that it is at least as old as the next of them
/// whose time does not lie ahead, and goes with that one: otherwise it would hold everything behind it until its time
/// has come. It is not enough that it lies ahead: the clock that is wrong may be that of whoever looks, and then it
/// is young.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Oldest {
    /// All up to here may go.
    pub may_go: Option<u64>,
    /// So may all up to here, if what is behind it is old.
    pub may_follow: Option<u64>,
}

impl Oldest {
    /// Adds the entry at the next place. Answers whether those behind it matter.
    pub fn add(&mut self, at: u64, age: Age) -> bool {
        match age {
            Age::Old => *self = Self { may_go: Some(at), may_follow: None },
            Age::Ahead => self.may_follow = Some(at),
            Age::Young => self.may_follow = None,
        }
        age != Age::Young
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000_000);

    fn ages() -> Ages {
        Ages::new(NOW.before(Duration::from_secs(3600)), NOW)
    }

    fn accepted(age: Age) -> Timestamp {
        match age {
            Age::Old => NOW.before(Duration::from_secs(3601)),
            Age::Young => NOW,
            Age::Ahead => NOW.after(Duration::from_secs(61)),
        }
    }

    /// What may go of a log, if `most` are looked at one by one.
    fn may_go(log: &[Age], most: usize) -> usize {
        let mut oldest = Oldest::default();
        for (at, age) in (0..).zip(log.iter().take(most)) {
            if !oldest.add(at, ages().of(accepted(*age))) {
                break;
            }
        }
        if let Some(last) = oldest.may_follow {
            let look = |at: u64| {
                let age = usize::try_from(at).ok().and_then(|at| log.get(at));
                Ok::<_, ()>(age.map(|age| (at, accepted(*age))))
            };
            if ages().behind(last + 1, log.len() as u64, look) == Ok(Some(Age::Old)) {
                oldest.may_go = Some(last);
            }
        }
        oldest.may_go.map_or(0, |last| usize::try_from(last).unwrap() + 1)
    }

    #[test]
    fn a_clock_that_differs_by_little_is_not_wrong() {
        assert_eq!(ages().of(NOW.after(MAX_CLOCK_SKEW)), Age::Young);
        assert_eq!(ages().of(NOW.after(MAX_CLOCK_SKEW).after(Duration::from_millis(1))), Age::Ahead);
    }

    #[test]
    fn what_was_accepted_just_then_is_young() {
        let before = NOW.before(Duration::from_secs(3600));
        assert_eq!(ages().of(before), Age::Young);
        assert_eq!(ages().of(before.before(Duration::from_millis(1))), Age::Old);
    }

    #[test]
    fn what_stands_behind_the_part_that_is_looked_at_says_nothing() {
        let look = |at: u64| Ok::<_, ()>((at <= 10).then_some((10, accepted(Age::Old))));
        assert_eq!(ages().behind(0, 10, look), Ok(None));
        assert_eq!(ages().behind(0, 11, look), Ok(Some(Age::Old)));
    }

    #[test]
    fn as_many_looks_are_taken_as_the_distance_has_digits() {
        for age in [Age::Ahead, Age::Old] {
            let mut looks = 0;
            let look = |at: u64| {
                looks += 1;
                if looks > 41 { Err("it looks too often") } else { Ok(Some((at, accepted(age)))) }
            };
            let found = ages().behind(1 << 20, 1 << 40, look);
            assert_eq!(found, Ok((age == Age::Old).then_some(age)));
        }
    }

    #[test]
    fn what_lies_ahead_goes_with_the_next_that_does_not() {
        use Age::{Ahead, Old, Young};
        assert_eq!(may_go(&[Ahead, Ahead, Old, Young], 9), 3);
        assert_eq!(may_go(&[Old, Ahead, Young, Old], 9), 1);
        assert_eq!(may_go(&[Ahead, Ahead, Ahead], 9), 0, "nothing tells how old they are");
        assert_eq!(may_go(&[Ahead, Ahead, Ahead, Old, Young], 2), 2, "what tells it is further away");
        assert_eq!(may_go(&[Ahead, Ahead, Ahead, Young], 2), 0);
    }

    proptest! {
        /// Whatever goes besides what is old lies ahead; and what lies ahead does not hold for long.
        #[test]
        fn nothing_young_goes(
            log in prop::collection::vec(prop::sample::select(vec![Age::Old, Age::Young, Age::Ahead]), 0..40),
            most in 0_usize..50,
        ) {
            let gone = may_go(&log, most);
            prop_assert!(gone <= most && !log[..gone].contains(&Age::Young));
        }

        /// A clock was ahead for a while.
        #[test]
        fn what_lies_ahead_holds_nothing_that_is_old(
            (before, ahead, old, young) in (0_usize..20, 0_usize..50, 1_usize..20, 0_usize..20),
            most in 1_usize..90,
        ) {
            let runs = [(Age::Old, before), (Age::Ahead, ahead), (Age::Old, old), (Age::Young, young)];
            let log: Vec<Age> = runs.iter().flat_map(|(age, count)| std::iter::repeat_n(*age, *count)).collect();
            prop_assert_eq!(may_go(&log, most), most.min(before + ahead + old));
        }
    }
}
