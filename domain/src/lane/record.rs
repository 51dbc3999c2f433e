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
