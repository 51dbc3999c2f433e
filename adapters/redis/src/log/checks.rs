//! Entries that a process knows to have been in a log, by their checks: it notices by them when they are no longer
//! there.

use laneway_domain::Offset;
use std::collections::VecDeque;

/// How many entries are remembered by their check. What is lost at a failover is what a replica was
/// late by: some milliseconds' events.
const MAX_CHECKS: usize = 4096;

/// Offset and check of entries, rising.
#[derive(Debug, Default)]
pub(crate) struct Checks(VecDeque<(Offset, u32)>);

impl Checks {
    /// Remembers one that is behind all others.
    pub(crate) fn note(&mut self, offset: Offset, check: u32) {
        if self.0.back().is_none_or(|(last, _)| *last < offset) {
            self.0.push_back((offset, check));
        }
        if self.0.len() > MAX_CHECKS {
            self.0.pop_front();
        }
    }

    pub(crate) fn all(&self) -> Vec<(Offset, u32)> {
        self.0.iter().copied().collect()
    }

    /// The last one.
    pub(crate) fn last(&self) -> Option<(Offset, u32)> {
        self.0.back().copied()
    }

    /// The last one below `offset`.
    pub(crate) fn last_below(&self, offset: Offset) -> Option<(Offset, u32)> {
        let below = self.0.partition_point(|(seen, _)| *seen < offset);
        self.0.get(below.checked_sub(1)?).copied()
    }

    /// Whether another entry was at the place of this one.
    pub(crate) fn contradict(&self, offset: Offset, check: u32) -> bool {
        let at = self.0.partition_point(|(seen, _)| *seen < offset);
        self.0.get(at).is_some_and(|(seen, known)| *seen == offset && *known != check)
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(offsets: impl IntoIterator<Item = u32>) -> Checks {
        let mut checks = Checks::default();
        offsets.into_iter().for_each(|n| checks.note(Offset(n.into()), n + 100));
        checks
    }

    #[test]
    fn another_entry_at_a_known_place_is_a_contradiction() {
        let checks = noted([3, 4]);
        assert!(checks.contradict(Offset(3), 7) && !checks.contradict(Offset(3), 103));
        assert!(!checks.contradict(Offset(5), 7));
        assert_eq!(checks.last_below(Offset(4)), Some((Offset(3), 103)));
        assert_eq!(checks.last_below(Offset(3)), None);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_rises() {
        let mut checks = noted(0..5000);
        checks.note(Offset(4000), 1);
        assert_eq!(checks.all().len(), MAX_CHECKS);
        assert_eq!(checks.last(), Some((Offset(4999), 5099)));
    }
}
