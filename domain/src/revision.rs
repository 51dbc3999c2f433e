//! Revisions of the set of destinations, and from which offset on a partition follows each.
//!
//! Whoever changes a destination wants to know which events the change applies to. Each partition answers
//! with a *cut*: what is below was judged by the filters before the change, what is from there on by those
//! after it. A cut is stored before anything from there on is judged, so that crashes, hand-overs and
//! replays judge an event as it was judged the first time.

use crate::partition::Offset;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A state of the set of destinations: microseconds since the Unix epoch by the store's clock, but always
/// larger than the one before. None is given twice, also after a failover that lost the last ones.
///
/// [`Revision::ORIGIN`] is the state before the first change: destinations of stores that were made before
/// there were revisions have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub u64);

impl Revision {
    /// Before the first change.
    pub const ORIGIN: Self = Self(0);

    /// The revision of the next change, when the store's clock says `clock` (in microseconds since the Unix epoch).
    #[must_use]
    pub fn next(self, clock: u64) -> Self {
        Self(self.0.saturating_add(1).max(clock))
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// From where on a partition follows a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// The revision.
    pub revision: Revision,
    /// The first offset whose event is judged by it.
    pub at: Offset,
}

/// The cuts of a partition, ascending in both revision and offset. Revisions that were taken over at one offset are
/// one cut, the last of them: nothing was ever judged by the others. So there are never more than events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cuts(Vec<Cut>);

impl Cuts {
    /// The cuts that a store has, in any order.
    #[must_use]
    pub fn of(mut cuts: Vec<Cut>) -> Self {
        cuts.sort_by_key(|cut| (cut.revision, cut.at));
        let mut all = Self::default();
        cuts.into_iter().for_each(|cut| all.add(cut));
        all
    }

    /// Adds a cut. One of a revision that is known already changes nothing: a commit may be applied twice.
    pub fn add(&mut self, cut: Cut) {
        if let Some(last) = self.0.last_mut() {
            if cut.revision <= last.revision {
                return;
            }
            if cut.at <= last.at {
                last.revision = cut.revision;
                return;
            }
        }
        self.0.push(cut);
    }

    /// The last one; `None` if none was taken over yet.
    #[must_use]
    pub fn last(&self) -> Option<Cut> {
        self.0.last().copied()
    }

    /// The revision that was taken over last.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.last().map_or(Revision::ORIGIN, |cut| cut.revision)
    }

    /// By which revision the event at `offset` is judged.
    #[must_use]
    pub fn revision_at(&self, offset: Offset) -> Revision {
        // Almost always the last one.
        self.0.iter().rev().find(|cut| cut.at <= offset).map_or(Revision::ORIGIN, |cut| cut.revision)
    }

    /// From where on events are judged by `revision` or a later one, of a log that begins at `start`. `None` if it is
    /// not followed yet, or if that was so far back that no event is left which was judged before, so that it is no
    /// longer known where.
    #[must_use]
    pub fn cut_of(&self, revision: Revision, start: Offset) -> Option<Offset> {
        let cut = self.0.iter().find(|cut| cut.revision >= revision)?;
        let is_first = self.0.first() == Some(cut);
        // Of cuts at or below the log's start the last one stands for all; at the very beginning there was no other.
        let stands_for_others = is_first && cut.revision > revision && cut.at <= start && start > Offset::ZERO;
        (!stands_for_others).then_some(cut.at)
    }

    /// Lets go of cuts that no event from `start` on needs.
    pub fn trim(&mut self, start: Offset) {
        let needed = self.0.iter().rposition(|cut| cut.at <= start).unwrap_or(0);
        self.0.drain(..needed);
    }

    /// All of them, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Cut> + '_ {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cut(revision: u64, at: u64) -> Cut {
        Cut { revision: Revision(revision), at: Offset(at) }
    }

    #[test]
    fn a_revision_is_the_clock_unless_that_stands_or_went_back() {
        assert_eq!(Revision(5).next(9), Revision(9));
        assert_eq!(Revision(5).next(5), Revision(6));
        assert_eq!(Revision(5).next(0), Revision(6));
    }

    #[test]
    fn revisions_that_were_taken_over_at_one_offset_are_one_cut() {
        let cuts = Cuts::of(vec![cut(1, 4), cut(2, 4), cut(3, 7), cut(3, 7)]);
        assert_eq!(cuts.iter().collect::<Vec<_>>(), [cut(2, 4), cut(3, 7)]);
    }

    #[test]
    fn of_cuts_at_or_below_the_start_of_the_log_the_last_one_is_left_and_stands_for_those_before_it() {
        let mut cuts = Cuts::of(vec![cut(2, 4), cut(5, 10), cut(9, 20)]);
        cuts.trim(Offset(9));
        assert_eq!(cuts.iter().collect::<Vec<_>>(), [cut(2, 4), cut(5, 10), cut(9, 20)]);
        cuts.trim(Offset(10));
        assert_eq!(cuts.iter().collect::<Vec<_>>(), [cut(5, 10), cut(9, 20)]);
        let told = |revision| cuts.cut_of(Revision(revision), Offset(12));
        assert_eq!([4, 5, 6, 9, 10].map(told), [None, Some(Offset(10)), Some(Offset(20)), Some(Offset(20)), None]);
        assert_eq!(cuts.cut_of(Revision(4), Offset(9)), Some(Offset(10)), "an event is left that was judged before");
        let first = Cuts::of(vec![cut(3, 0)]);
        assert_eq!(first.cut_of(Revision(2), Offset::ZERO), Some(Offset::ZERO), "there was no cut before it");
    }

    proptest! {
        /// What a cut says of the events that are left is what it said before a trim; and it says something wherever an
        /// event is left that was judged before.
        #[test]
        fn a_cut_is_told_as_it_was_or_not_at_all(
            steps in prop::collection::vec((1_u64..4, 0_u64..4), 1..12), start in 0_u64..30,
        ) {
            let mut next = cut(0, 0);
            let all: Vec<Cut> = steps
                .into_iter()
                .map(|(revision, at)| {
                    next = cut(next.revision.0 + revision, next.at.0 + at);
                    next
                })
                .collect();
            let mut cuts = Cuts::of(all.clone());
            cuts.trim(Offset(start));
            for revision in 0..=next.revision.0 + 1 {
                let naive = all.iter().find(|cut| cut.revision.0 >= revision).map(|cut| cut.at);
                let told = cuts.cut_of(Revision(revision), Offset(start));
                prop_assert!(told.is_none() || told == naive, "{revision}: {told:?}, not {naive:?}");
                prop_assert!(told == naive || naive.is_some_and(|at| at.0 <= start), "{revision}: {naive:?} is not told");
            }
        }

        /// What is judged after a trim is judged as before it.
        #[test]
        fn a_trim_changes_no_judgement_of_what_is_left(
            steps in prop::collection::vec((1_u64..4, 0_u64..4), 0..12), start in 0_u64..30,
        ) {
            let mut next = cut(0, 0);
            let all: Vec<Cut> = steps
                .into_iter()
                .map(|(revision, at)| {
                    next = cut(next.revision.0 + revision, next.at.0 + at);
                    next
                })
                .collect();
            let cuts = Cuts::of(all.clone());
            let naive = |offset: Offset| {
                all.iter().filter(|cut| cut.at <= offset).map(|cut| cut.revision).max().unwrap_or_default()
            };
            let mut trimmed = cuts.clone();
            trimmed.trim(Offset(start));
            for offset in 0..40 {
                prop_assert_eq!(cuts.revision_at(Offset(offset)), naive(Offset(offset)));
                if offset >= start {
                    prop_assert_eq!(trimmed.revision_at(Offset(offset)), naive(Offset(offset)));
                }
            }
            prop_assert_eq!(trimmed.revision(), cuts.revision());
        }
    }
}
