//! How much one answer about the events of an id may gather, and what is said of those that are left out.

use laneway_domain::{LoggedEvent, Offset, Told};
use laneway_ports::{EventSummary, LookedBack};

/// The most bytes of events, and of what is told of them, that one answer gathers: an id is unique per source only, so
/// that whoever sends events chooses how many have it. The first event is told of in any case.
const MOST_BYTES: usize = 8 << 20;
/// The most records of the history that are looked through for one answer: some 160 MiB, read in pieces. It is what
/// four events with a long history take.
const MOST_RECORDS: usize = 40_000;
/// What stands about an event at a destination, its attempts aside: words.
const AT_BYTES: usize = 256;

/// What one answer has gathered.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    bytes: usize,
    records: usize,
}

impl Gathered {
    pub(super) fn event(&mut self, event: &LoggedEvent) {
        self.bytes = self.bytes.saturating_add(event.event.weight());
    }

    pub(super) fn record(&mut self) {
        self.records += 1;
    }

    pub(super) fn told(&mut self, told: &Told) {
        self.bytes = self.bytes.saturating_add(told.weight());
    }

    pub(super) fn destinations(&mut self, count: usize) {
        self.bytes = self.bytes.saturating_add(count.saturating_mul(AT_BYTES));
    }

    /// Whether nothing more has room.
    pub(super) const fn is_too_much(&self) -> bool {
        self.bytes > MOST_BYTES || self.records > MOST_RECORDS
    }
}

/// Says that these events are left out, and has the next look go on with them. In each partition they are the last ones
/// of what was found, or were found at once, above which the next look begins.
pub(super) fn leave_out(looked: &mut LookedBack, left: &[EventSummary], partitions: u32) -> Option<String> {
    let latest = left.iter().map(|event| event.accepted_at).max()?;
    // Where nothing was to be looked at any more, the beginning has been reached.
    let mut next = looked.next.take().unwrap_or_else(|| vec![Offset::ZERO; partitions as usize].into());
    for event in left {
        if let Some(at) = next.below.get_mut(event.partition.0 as usize) {
            *at = event.offset.next().max(*at);
        }
        next.given.retain(|given| *given != (event.partition, event.offset));
    }
    (looked.next, looked.to) = (Some(next), looked.to.max(Some(latest)));
    let count = left.len();
    Some(format!(
        "events of this id that are left out because the answer would be too long: {count}; `next` goes on with them, \
         and `source` chooses among them"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use laneway_domain::{EventId, EventType, Partition, Timestamp};
    use laneway_ports::LogCursor;

    fn event(partition: u32, offset: u64, at: u64) -> EventSummary {
        EventSummary {
            id: EventId::new("e").unwrap(),
            partition: Partition(partition),
            offset: Offset(offset),
            accepted_at: Timestamp::from_millis(at),
            event_type: EventType::new("a").unwrap(),
            tenant: None,
            key: None,
            source: None,
            bytes: 0,
        }
    }

    #[test]
    fn the_next_look_begins_with_what_is_left_out_and_is_done_where_nothing_is() {
        let mut looked = LookedBack::default();
        let said = leave_out(&mut looked, &[event(0, 9, 50), event(2, 4, 40), event(0, 7, 30)], 3);
        assert!(said.unwrap().contains("too long: 3;"));
        assert_eq!(looked.next, Some(vec![Offset(10), Offset::ZERO, Offset(5)].into()));
        assert_eq!(looked.to, Some(Timestamp::from_millis(50)), "before that not all was shown");
    }

    #[test]
    fn where_the_look_itself_goes_on_it_still_does() {
        let next = Some(vec![Offset(3), Offset(8)].into());
        let to = Some(Timestamp::from_millis(20));
        let mut looked = LookedBack { next: next.clone(), to, ..LookedBack::default() };
        assert_eq!(leave_out(&mut looked, &[], 2), None);
        assert_eq!((&looked.next, looked.to), (&next, to), "nothing is left out");
        leave_out(&mut looked, &[event(0, 5, 10)], 2).unwrap();
        assert_eq!((looked.next, looked.to), (Some(vec![Offset(6), Offset(8)].into()), to));
    }

    #[test]
    fn what_was_found_at_once_and_had_no_room_is_not_counted_as_given() {
        let at = |event: &EventSummary| (event.partition, event.offset);
        let (first, second) = (event(0, 5, 10), event(1, 6, 9));
        let next = LogCursor { below: vec![Offset(u64::MAX); 2], given: vec![at(&first), at(&second)] };
        let mut looked = LookedBack { next: Some(next), ..LookedBack::default() };
        leave_out(&mut looked, std::slice::from_ref(&second), 2).unwrap();
        let expected = LogCursor { below: vec![Offset(u64::MAX); 2], given: vec![at(&first)] };
        assert_eq!(looked.next, Some(expected));
    }
}
