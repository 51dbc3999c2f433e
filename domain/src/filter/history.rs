//! The filters that a destination has had: every event is judged by the one that stood for it.

use super::Filter;
use crate::event::LoggedEvent;
use crate::revision::{Cuts, Revision};
use serde::{Deserialize, Serialize};

/// A filter that was replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerFilter {
    /// The first revision whose events it does not judge any more.
    pub until: Revision,
    /// The filter.
    pub filter: Filter,
}

/// Which events a destination wants, and wanted before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filters {
    /// Which it wants now.
    pub current: Filter,
    /// The first revision that `current` judges by. [`Revision::ORIGIN`]: it has no other.
    pub since: Revision,
    /// Those before, ascending by [`FormerFilter::until`].
    pub former: Vec<FormerFilter>,
}

impl Filters {
    /// Whether an event is wanted, by the filter that stood for it in a partition with these cuts.
    #[must_use]
    pub fn wanted(&self, cuts: &Cuts, event: &LoggedEvent) -> bool {
        let filter = if self.former.is_empty() { &self.current } else { self.at(cuts.revision_at(event.offset)) };
        filter.wants(&event.event)
    }

    /// A filter that judges all events.
    #[must_use]
    pub fn always(filter: Filter) -> Self {
        Self { current: filter, ..Self::default() }
    }

    /// The filter that judges the events of a revision. What was there before the destination was made is judged by
    /// its first filter, should somebody want it replayed.
    #[must_use]
    pub fn at(&self, revision: Revision) -> &Filter {
        if revision >= self.since {
            return &self.current;
        }
        let former = self.former.iter().find(|former| revision < former.until);
        former.map_or(&self.current, |former| &former.filter)
    }

    /// The filter from `revision` on is another one.
    #[must_use]
    pub fn changed(&self, filter: Filter, revision: Revision) -> Self {
        if filter == self.current {
            return self.clone();
        }
        let mut former = self.former.clone();
        former.push(FormerFilter { until: revision, filter: self.current.clone() });
        Self { current: filter, since: revision, former }
    }

    /// Lets go of filters that judge nothing from `revision` on.
    pub fn trim(&mut self, revision: Revision) {
        self.former.retain(|former| former.until > revision);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::TypePattern;

    fn only(pattern: &str) -> Filter {
        Filter { types: vec![TypePattern::new(pattern).unwrap()], ..Filter::default() }
    }

    #[test]
    fn a_trim_keeps_the_filters_that_still_judge_something() {
        let filters = Filters::always(only("a")).changed(only("b"), Revision(5)).changed(only("c"), Revision(9));
        for (trimmed_at, left) in [(4, vec!["a", "b"]), (5, vec!["b"]), (8, vec!["b"]), (9, vec![])] {
            let mut trimmed = filters.clone();
            trimmed.trim(Revision(trimmed_at));
            let former: Vec<Filter> = trimmed.former.into_iter().map(|former| former.filter).collect();
            assert_eq!(former, left.into_iter().map(only).collect::<Vec<_>>(), "{trimmed_at}");
        }
    }
}
