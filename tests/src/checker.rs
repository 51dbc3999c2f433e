//! Checks what a receiver has seen against what the store holds: the guarantees, as counts.

use crate::receiver::Record;
use crate::store::Stored;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// How many examples of a violation are shown.
const EXAMPLES: usize = 5;

/// What was found at one receiver.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// Events that it should have taken and did not.
    pub lost: Vec<String>,
    /// Attempts at an event before every earlier event of its key was taken or given up.
    pub out_of_order: Vec<String>,
    /// Deliveries of an event that the store does not hold.
    pub unknown: Vec<String>,
    /// Deliveries whose body, key or sequence is not that of the stored event.
    pub changed: Vec<String>,
    /// Deliveries without the headers that each has to have.
    pub broken: Vec<String>,
    /// Events taken more than once, counted by each time beyond the first.
    pub duplicates: u64,
    /// Different events taken.
    pub taken: usize,
}

impl Findings {
    /// Whether every guarantee was kept. (Duplicates have a bound of their own.)
    #[must_use]
    pub fn clean(&self) -> bool {
        [&self.lost, &self.out_of_order, &self.unknown, &self.changed, &self.broken].iter().all(|v| v.is_empty())
    }

    /// # Panics
    /// If a guarantee was broken, with examples.
    pub fn assert_clean(&self, receiver: &str) {
        assert!(self.clean(), "{receiver}: {self}");
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} taken, {} duplicates", self.taken, self.duplicates)?;
        let kinds = [
            ("lost", &self.lost),
            ("out of order", &self.out_of_order),
            ("unknown", &self.unknown),
            ("changed", &self.changed),
            ("broken", &self.broken),
        ];
        for (kind, found) in kinds {
            write!(f, ", {} {kind}", found.len())?;
            if !found.is_empty() {
                write!(f, " ({} …)", found[..found.len().min(EXAMPLES)].join("; "))?;
            }
        }
        Ok(())
    }
}

/// Compares. `stored` are the events that this destination wants; `given_up` the ids of those that
/// became its dead letters; `open` says that some may still be waiting, so that nothing counts as lost.
#[must_use]
pub fn check(stored: &[Stored], record: &Record, given_up: &BTreeSet<String>, open: bool) -> Findings {
    let known: BTreeMap<&str, &Stored> = stored.iter().map(|event| (event.id.as_str(), event)).collect();
    assert_eq!(known.len(), stored.len(), "the store holds an id twice");
    let mut found = Findings { broken: record.broken.clone(), taken: record.taken.len(), ..Findings::default() };
    found.duplicates = record.taken.values().map(|&times| u64::from(times) - 1).sum();
    let mut queues = Queues::new(stored, given_up);
    for delivery in &record.deliveries {
        let Some(event) = known.get(delivery.id.as_str()) else {
            found.unknown.push(delivery.id.clone());
            continue;
        };
        let same = event.data == delivery.body
            && event.key == delivery.key
            && (event.partition, event.offset) == delivery.sequence;
        if !same {
            found.changed.push(format!("{} at {:?}, stored {event:?}", delivery.id, delivery.sequence));
        }
        if let Some(other) = queues.conflict(event) {
            found.out_of_order.push(format!("{} and {other} of key {:?}", event.id, event.key));
        }
        if delivery.taken {
            queues.taken(event);
        }
    }
    if !open {
        let missing = stored.iter().filter(|e| !record.taken.contains_key(&e.id) && !given_up.contains(&e.id));
        found.lost = missing.map(|e| format!("{} at {}/{}", e.id, e.partition, e.offset)).collect();
    }
    found
}

/// Per key the events that are still to come, by offset, and the last one that was begun. (An event
/// that was given up is never taken, but must have been begun in its turn as well.)
struct Queues<'a> {
    waiting: BTreeMap<&'a str, BTreeMap<u64, &'a str>>,
    begun: BTreeMap<&'a str, BTreeMap<u64, &'a str>>,
}

impl<'a> Queues<'a> {
    fn new(stored: &'a [Stored], given_up: &BTreeSet<String>) -> Self {
        let mut waiting: BTreeMap<&str, BTreeMap<u64, &str>> = BTreeMap::new();
        for event in stored.iter().filter(|event| !given_up.contains(&event.id)) {
            if let Some(key) = &event.key {
                waiting.entry(key).or_default().insert(event.offset, &event.id);
            }
        }
        Self { waiting, begun: BTreeMap::new() }
    }

    /// The event of the same key that this one should have waited for, or that should have waited for it.
    fn conflict(&mut self, event: &'a Stored) -> Option<&'a str> {
        let key = event.key.as_deref()?;
        let ahead =
            self.waiting.get(key).and_then(BTreeMap::first_key_value).filter(|(offset, _)| **offset < event.offset);
        let ahead = ahead.map(|(_, id)| *id);
        let begun = self.begun.entry(key).or_default();
        let overtook = begun.last_key_value().filter(|(offset, _)| **offset > event.offset).map(|(_, id)| *id);
        let again = begun.insert(event.offset, &event.id).is_some();
        ahead.or_else(|| overtook.filter(|_| !again))
    }

    fn taken(&mut self, event: &Stored) {
        if let Some(queue) = event.key.as_deref().and_then(|key| self.waiting.get_mut(key)) {
            queue.remove(&event.offset);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receiver::Delivery;
    use bytes::Bytes;
    use std::time::Instant;

    fn stored(offset: u64, key: &str) -> Stored {
        Stored { partition: 0, offset, id: format!("e{offset}"), key: Some(key.into()), data: Bytes::from_static(b"x") }
    }

    fn record(deliveries: &[(u64, &str, bool)]) -> Record {
        let mut record = Record::default();
        for &(offset, key, taken) in deliveries {
            let event = stored(offset, key);
            if taken {
                *record.taken.entry(event.id.clone()).or_default() += 1;
            }
            record.deliveries.push(Delivery {
                at: Instant::now(),
                id: event.id,
                sequence: (0, offset),
                key: event.key,
                attempt: 1,
                traceparent: None,
                content_type: String::new(),
                body: event.data,
                taken,
            });
        }
        record
    }

    fn checked(deliveries: &[(u64, &str, bool)], given_up: &[&str]) -> Findings {
        let events = [stored(0, "a"), stored(1, "b"), stored(2, "a")];
        check(&events, &record(deliveries), &given_up.iter().map(|&id| id.to_owned()).collect(), false)
    }

    #[test]
    fn a_correct_run_is_clean() {
        let found = checked(&[(1, "b", true), (0, "a", false), (0, "a", true), (2, "a", true), (2, "a", true)], &[]);
        found.assert_clean("receiver");
        assert_eq!(found.duplicates, 1);
    }

    #[test]
    fn an_attempt_before_its_predecessor_is_taken_is_out_of_order() {
        let early = checked(&[(1, "b", true), (2, "a", false), (0, "a", true), (2, "a", true)], &[]);
        assert!(!early.out_of_order.is_empty());
        let given_up = checked(&[(1, "b", true), (0, "a", false), (2, "a", true)], &["e0"]);
        assert!(given_up.out_of_order.is_empty());
        let given_up_late = checked(&[(1, "b", true), (2, "a", true), (0, "a", false)], &["e0"]);
        assert!(!given_up_late.out_of_order.is_empty());
    }

    #[test]
    fn what_was_not_taken_is_lost_and_what_was_not_stored_is_unknown() {
        let found = checked(&[(1, "b", true), (0, "a", true), (9, "z", true)], &[]);
        assert_eq!((found.lost.len(), found.unknown.len()), (1, 1));
    }

    #[test]
    fn another_body_key_or_sequence_is_a_change() {
        let events = [stored(0, "a")];
        let mut seen = record(&[(0, "a", true)]);
        seen.deliveries[0].body = Bytes::from_static(b"y");
        assert_eq!(check(&events, &seen, &BTreeSet::new(), false).changed.len(), 1);
        let seen = record(&[(0, "b", true)]);
        assert_eq!(check(&events, &seen, &BTreeSet::new(), false).changed.len(), 1);
    }
}
