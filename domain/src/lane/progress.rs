//! What of a lane goes into a commit.

use super::Lane;
use crate::{LaneChange, LaneKey, LaneProgress, Offset, Pause, Position};

impl Lane {
    /// Everything wanted below is settled, but for the keys behind.
    pub(crate) fn settled_below(&self, head: Offset) -> Offset {
        self.on_track.first().map_or_else(|| self.looked_up_to(head), |(offset, _)| offset)
    }

    /// Whether it stands at the partition's default position, as far as commits know.
    pub(crate) const fn shares_position(&self) -> bool {
        self.attached && matches!(self.position, Position::Shared)
    }

    /// A lane whose stored position is its own.
    pub(crate) const fn stands_at(&mut self, offset: Offset) {
        self.position = Position::At(offset);
    }

    /// The position that a commit with the default position `default` gives it. Nothing ever
    /// stands above what is settled, and nothing goes back.
    fn next_position(&self, default: Offset, head: Offset) -> Position {
        let own = self.settled_below(head);
        let stood = match self.position {
            Position::Shared => Offset::ZERO,
            Position::At(offset) => offset.max(self.from),
        };
        if self.attached && own >= default && stood <= default { Position::Shared } else { Position::At(own) }
    }

    /// What has changed since the last commit was made; nothing if nothing has.
    pub(crate) fn take_changes(&mut self, default: Offset, head: Offset) -> Option<LaneChange> {
        self.drop_ahead(head);
        let next = self.next_position(default, head);
        let position = (next != self.position).then_some(next);
        self.position = next;
        let record = |key: &LaneKey| self.keys.get(key).and_then(super::KeyQueue::record);
        let behind = std::mem::take(&mut self.changed).into_iter().map(|key| {
            let record = record(&key);
            (key, record)
        });
        let behind = behind.collect();
        let paused = std::mem::take(&mut self.paused_changed).then(|| self.paused.clone());
        let change = LaneChange { position, paused, behind };
        (change != LaneChange::default()).then_some(change)
    }

    /// Whether a commit has something to say of its keys.
    pub(crate) fn has_changed_keys(&self) -> bool {
        !self.changed.is_empty()
    }

    /// Whether it waits to look at the first events of restored keys.
    pub(crate) fn has_ahead(&self) -> bool {
        !self.ahead.is_empty()
    }

    /// Restored keys of which nothing came where their first event should have been have caught up.
    fn drop_ahead(&mut self, head: Offset) {
        while let Some((offset, key)) = self.ahead.first()
            && *offset < self.looked_up_to(head)
        {
            let key = key.clone();
            self.ahead.pop_first();
            let Some(queue) = self.keys.get_mut(&key) else { continue };
            let was_ahead = queue.behind.as_mut().is_some_and(|behind| std::mem::take(&mut behind.ahead));
            if was_ahead && queue.is_at_rest() {
                self.without_entries(&key);
            }
        }
    }

    /// The records of these keys do not apply any more.
    pub(crate) fn forget_keys(&mut self, keys: impl Iterator<Item = LaneKey>) {
        self.changed.extend(keys);
    }

    /// The next changes say of all keys behind where they stand. One that has just caught up may have a record
    /// in the store that nothing would take away once the lane is gone.
    pub(crate) fn restate(&mut self) {
        self.changed.extend(self.behind.iter().cloned());
    }

    /// All of it, as a commit now would leave it.
    pub(crate) fn progress(&self, head: Offset) -> LaneProgress {
        let record = |key: &LaneKey| Some((key.clone(), self.keys.get(key)?.record()?));
        LaneProgress {
            position: Position::At(self.settled_below(head)),
            paused: self.paused.clone(),
            behind: self.behind.iter().filter_map(record).collect(),
        }
    }

    /// Records that Laneway paused the destination, or no longer does.
    pub(crate) fn set_paused(&mut self, pause: Option<Pause>) {
        self.paused_changed |= self.paused != pause;
        self.paused = pause;
    }

    /// Takes over a pause that was stored.
    pub(crate) fn restore_paused(&mut self, pause: Option<Pause>) {
        self.paused = pause;
    }
}
