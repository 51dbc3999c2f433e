//! What of a lane goes into a commit.

use super::Lane;
use super::queues::KeyQueue;
use crate::lane_key::LaneKey;
use crate::partition::Offset;
use crate::progress::{LaneChange, LaneProgress, Pause, Position};
use crate::revision::Revision;

impl Lane {
    /// Everything wanted below is settled, but for the keys behind.
    pub(crate) fn settled_below(&self, head: Offset) -> Offset {
        self.on_track.first().map_or_else(|| self.looked_up_to(head), |(offset, _)| offset)
    }

    /// Whether it stands at the partition's default position, as far as commits know.
    pub(crate) const fn shares_position(&self) -> bool {
        self.is_attached() && matches!(self.record.position, Position::Shared)
    }

    /// Where it stands in the last commit that was made, with the default position of that.
    pub(crate) fn stood_at(&self, default: Offset) -> Offset {
        self.record.position.offset(default)
    }

    /// A lane whose stored position is its own.
    pub(crate) const fn stands_at(&mut self, offset: Offset) {
        self.record.position = Position::At(offset);
    }

    /// The position that a commit with the default position `default` gives it. Nothing ever
    /// stands above what is settled, and nothing goes back.
    fn next_position(&self, default: Offset, head: Offset) -> Position {
        let own = self.settled_below(head);
        let stood = match self.record.position {
            Position::Shared => Offset::ZERO,
            Position::At(offset) => offset.max(self.reading.from()),
        };
        if self.is_attached() && own >= default && stood <= default { Position::Shared } else { Position::At(own) }
    }

    /// What has changed since the last commit was made; nothing if nothing has.
    pub(crate) fn take_changes(&mut self, default: Offset, head: Offset) -> Option<LaneChange> {
        self.drop_ahead(head);
        let next = self.next_position(default, head);
        let position = (next != self.record.position).then_some(next);
        self.record.position = next;
        let record = |key: LaneKey| {
            let record = self.queues.get(&key).and_then(KeyQueue::record);
            (key, record)
        };
        let behind = self.record.take_changed().into_iter().map(record).collect();
        let paused = self.record.take_paused();
        let change = LaneChange { position, paused, behind, ..LaneChange::default() };
        (change != LaneChange::default()).then_some(change)
    }

    /// Whether a commit has something to say of its keys.
    pub(crate) fn has_changed_keys(&self) -> bool {
        self.record.any_changed()
    }

    /// Whether it waits to look at the first events of restored keys.
    pub(crate) fn has_ahead(&self) -> bool {
        self.behind.any_ahead()
    }

    /// Restored keys of which nothing came where their first event should have been have caught up.
    fn drop_ahead(&mut self, head: Offset) {
        while let Some(key) = self.behind.next_passed(self.looked_up_to(head)) {
            // Its event may have come, and all of the key be settled.
            let Some(queue) = self.queues.get_mut(&key) else { continue };
            let was_ahead = queue.behind_mut().is_some_and(|behind| std::mem::take(&mut behind.ahead));
            if was_ahead && queue.is_at_rest() {
                self.without_entries(&key);
            }
        }
    }

    /// The records of these keys do not apply any more.
    pub(crate) fn forget_keys(&mut self, keys: impl Iterator<Item = LaneKey>) {
        keys.for_each(|key| self.record.changed(key));
    }

    /// The next changes say of all keys behind where they stand. One that has just caught up may have a record
    /// in the store that nothing would take away once the lane is gone.
    pub(crate) fn restate(&mut self) {
        self.behind.iter().for_each(|key| self.record.changed(key.clone()));
    }

    /// All of it, as a commit now would leave it, of a destination that was made at `born`.
    pub(crate) fn progress(&self, head: Offset, born: Revision) -> LaneProgress {
        let record = |key: &LaneKey| Some((key.clone(), self.queues.known(key).record()?));
        LaneProgress {
            born,
            position: Position::At(self.settled_below(head)),
            paused: self.record.paused().cloned(),
            behind: self.behind.iter().filter_map(record).collect(),
            ..LaneProgress::default()
        }
    }

    /// Records that Laneway paused the destination, or no longer does.
    pub(crate) fn set_paused(&mut self, pause: Option<Pause>) {
        self.record.set_paused(pause);
    }

    /// Takes over a pause that was stored.
    pub(crate) fn restore_paused(&mut self, pause: Option<Pause>) {
        self.record.restore_paused(pause);
    }
}
