//! What the store knows of a lane, and what it is to be told next.

use crate::lane_key::LaneKey;
use crate::progress::{Pause, Position};
use std::collections::BTreeSet;

/// What the last commit said, and what has changed since.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// Where it stands in the last commit that was made.
    pub(super) position: Position,
    paused: Option<Pause>,
    paused_changed: bool,
    /// Keys of which the next commit says where they stand, or that they have caught up.
    changed: BTreeSet<LaneKey>,
}

impl Record {
    pub(super) const fn paused(&self) -> Option<&Pause> {
        self.paused.as_ref()
    }

    /// Records that Laneway paused the destination, or no longer does.
    pub(super) fn set_paused(&mut self, pause: Option<Pause>) {
        self.paused_changed |= self.paused != pause;
        self.paused = pause;
    }

    /// Takes over a pause that was stored.
    pub(super) fn restore_paused(&mut self, pause: Option<Pause>) {
        self.paused = pause;
    }

    /// Whether it says no more than that the lane is where the others are.
    pub(super) fn is_plain(&self) -> bool {
        let nothing_new = self.changed.is_empty() && !self.paused_changed;
        nothing_new && self.paused.is_none() && self.position == Position::Shared
    }

    pub(super) fn changed(&mut self, key: LaneKey) {
        self.changed.insert(key);
    }

    pub(super) fn any_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    pub(super) fn take_changed(&mut self) -> BTreeSet<LaneKey> {
        std::mem::take(&mut self.changed)
    }

    pub(super) fn take_paused(&mut self) -> Option<Option<Pause>> {
        std::mem::take(&mut self.paused_changed).then(|| self.paused.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::tests::{NOW, key};
    use crate::partition::Offset;

    fn pause() -> Pause {
        Pause { since: NOW, reason: "gone".into() }
    }

    #[test]
    fn it_is_plain_only_if_there_is_nothing_to_tell_and_nothing_of_its_own() {
        let change: [fn(&mut Record); 4] = [
            |record| record.changed(key(1)),
            |record| record.paused_changed = true,
            |record| record.restore_paused(Some(pause())),
            |record| record.position = Position::At(Offset(1)),
        ];
        for change in change {
            let mut record = Record::default();
            assert!(record.is_plain());
            change(&mut record);
            assert!(!record.is_plain(), "{record:?}");
        }
    }

    #[test]
    fn what_has_changed_of_keys_is_told_once() {
        let mut record = Record::default();
        assert!(!record.any_changed());
        [2, 1, 2].into_iter().for_each(|n| record.changed(key(n)));
        assert!(record.any_changed());
        assert_eq!(record.take_changed(), [key(1), key(2)].into());
        assert!(!record.any_changed() && record.take_changed().is_empty());
    }

    #[test]
    fn a_pause_is_told_once_and_only_if_it_is_another_one() {
        let mut record = Record::default();
        record.set_paused(None);
        assert_eq!(record.take_paused(), None, "it was not paused before");
        record.set_paused(Some(pause()));
        record.set_paused(Some(pause()));
        assert_eq!(record.paused(), Some(&pause()));
        assert_eq!(record.take_paused(), Some(Some(pause())));
        record.set_paused(Some(pause()));
        assert_eq!(record.take_paused(), None);
        record.set_paused(None);
        assert_eq!(record.paused(), None);
        assert_eq!((record.take_paused(), record.take_paused()), (Some(None), None));
    }

    #[test]
    fn a_pause_that_was_stored_is_not_told_again() {
        let mut record = Record::default();
        record.restore_paused(Some(pause()));
        assert_eq!(record.paused(), Some(&pause()));
        assert_eq!(record.take_paused(), None);
        record.set_paused(Some(pause()));
        assert_eq!(record.take_paused(), None);
    }
}
