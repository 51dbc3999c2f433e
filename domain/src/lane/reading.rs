//! How far a lane has looked at the log, and who reads on for it.

use crate::partition::Offset;
use crate::time::Timestamp;

/// A lane's place in the log.
#[derive(Debug)]
pub(super) struct Reading {
    /// Whether it takes what the partition's reader reads. Else it reads for itself from `cursor`.
    attached: bool,
    cursor: Offset,
    /// Events below are not this lane's: it was made after them, or had settled them.
    from: Offset,
    /// Whether a read of its own is under way.
    under_way: bool,
    /// While it reads for itself: since when what comes next waits at least, as far as the last read has shown.
    next_since: Option<Timestamp>,
}

impl Reading {
    /// Takes what the partition's reader reads, from `from` on.
    pub(super) const fn attached_from(from: Offset) -> Self {
        Self { attached: true, cursor: from, from, under_way: false, next_since: None }
    }

    pub(super) const fn is_attached(&self) -> bool {
        self.attached
    }

    pub(super) const fn is_under_way(&self) -> bool {
        self.under_way
    }

    /// Events below are not this lane's.
    pub(super) const fn from(&self) -> Offset {
        self.from
    }

    /// Where it has looked up to, with the partition's reader at `head`.
    pub(super) fn looked_up_to(&self, head: Offset) -> Offset {
        if self.attached { head.max(self.from) } else { self.cursor }
    }

    /// How far it has looked while it read for itself.
    pub(super) const fn cursor(&self) -> Offset {
        self.cursor
    }

    /// From here on it reads for itself.
    pub(super) fn detach(&mut self, at: Offset) {
        assert!(self.attached, "a lane is detached once");
        self.attached = false;
        self.cursor = at;
        self.next_since = None;
    }

    /// Since when what it reads next waits at least; nothing if it takes what the partition's reader reads, or if that is
    /// not known.
    pub(super) const fn next_since(&self) -> Option<Timestamp> {
        self.next_since
    }

    /// What comes next waits since then or later, as far as clocks go.
    pub(super) const fn set_next_since(&mut self, since: Option<Timestamp>) {
        self.next_since = since;
    }

    /// It has come as far as the partition's reader.
    pub(super) fn attach(&mut self) {
        assert!(!self.attached && !self.under_way, "a lane is attached once, and between two reads of its own");
        self.attached = true;
        self.next_since = None;
    }

    /// Whether it reads for itself, is not at it, and there is more below `end`.
    pub(super) fn may_begin(&self, end: Offset) -> bool {
        !self.attached && !self.under_way && self.cursor < end
    }

    /// Begins a read of its own. Returns from where on.
    pub(super) const fn begin(&mut self) -> Offset {
        self.under_way = true;
        self.cursor
    }

    /// The read has ended. Returns from where on it was.
    pub(super) const fn end(&mut self) -> Offset {
        self.under_way = false;
        self.cursor
    }

    /// It has looked at everything below `next`.
    pub(super) fn advance(&mut self, next: Offset) {
        assert!(!self.attached && next >= self.cursor, "a lane that reads for itself goes forward");
        self.cursor = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::tests::NOW;

    #[test]
    fn an_attached_lane_has_looked_as_far_as_the_reader_and_at_least_to_where_it_begins() {
        let reading = Reading::attached_from(Offset(5));
        assert!(reading.is_attached() && !reading.is_under_way());
        assert_eq!((reading.looked_up_to(Offset(3)), reading.looked_up_to(Offset(9))), (Offset(5), Offset(9)));
        assert_eq!(reading.from(), Offset(5));
    }

    #[test]
    fn a_lane_reads_for_itself_only_while_it_is_detached_and_not_at_it_and_there_is_more() {
        let mut reading = Reading::attached_from(Offset(0));
        assert!(!reading.may_begin(Offset(9)), "others read for it");
        reading.detach(Offset(5));
        assert_eq!([4, 5, 6].map(|end| reading.may_begin(Offset(end))), [false, false, true]);
        assert_eq!(reading.begin(), Offset(5));
        assert!(reading.is_under_way() && !reading.may_begin(Offset(9)));
        assert_eq!(reading.end(), Offset(5));
        reading.advance(Offset(8));
        assert!(!reading.is_under_way() && reading.may_begin(Offset(9)) && !reading.may_begin(Offset(8)));
        assert_eq!((reading.cursor(), reading.looked_up_to(Offset(99))), (Offset(8), Offset(8)));
    }

    #[test]
    fn how_old_the_next_is_that_it_reads_is_forgotten_where_it_reads_from_another_place() {
        let mut reading = Reading::attached_from(Offset(0));
        reading.set_next_since(Some(NOW));
        reading.detach(Offset(5));
        assert_eq!(reading.next_since(), None);
        reading.set_next_since(Some(NOW));
        assert_eq!(reading.next_since(), Some(NOW));
        reading.attach();
        assert_eq!((reading.next_since(), reading.is_attached()), (None, true));
    }
}
