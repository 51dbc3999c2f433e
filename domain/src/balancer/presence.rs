//! Who is there, as a register tells that may have been away itself.
//!
//! A register forgets whoever has not announced itself for a while. After an outage of the store, nobody has. Whoever
//! is back first would find itself alone, take over all partitions whose leases ran out meanwhile, and then hand them
//! over again, a part of them at a time. So who could not announce itself in time takes it that the others could not
//! either: those that it knew stay for as long as if they had done so at that moment.

use crate::time::Timestamp;
use std::collections::BTreeSet;
use std::time::Duration;

/// Those who are taken to be there.
#[derive(Clone, Debug)]
pub struct Presence<W> {
    /// How long after its last announcement one comes too late.
    late_after: Duration,
    /// For how long whoever announces itself is there.
    present_for: Duration,
    there: BTreeSet<W>,
    heard: Option<Timestamp>,
    /// Until then nobody is taken to be gone.
    spared_until: Timestamp,
}

impl<W: Ord + Clone> Presence<W> {
    /// Of one who announces itself so often that a later announcement than `late_after` the one before is late, and is
    /// there for `present_for` by each.
    #[must_use]
    pub const fn new(late_after: Duration, present_for: Duration) -> Self {
        let there = BTreeSet::new();
        Self { late_after, present_for, there, heard: None, spared_until: Timestamp::ZERO }
    }

    /// The register has taken an announcement, and said who is there. Answers who is taken to be.
    pub fn heard(&mut self, said: impl IntoIterator<Item = W>, now: Timestamp) -> Vec<W> {
        if self.heard.is_some_and(|before| now.since(before) > self.late_after) {
            self.spared_until = now.after(self.present_for);
        }
        self.heard = Some(now);
        if now >= self.spared_until {
            self.there.clear();
        }
        self.there.extend(said);
        self.there.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATE: Duration = Duration::from_secs(2);
    const PRESENT_FOR: Duration = Duration::from_secs(4);

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + millis)
    }

    #[test]
    fn whoever_was_there_before_an_outage_has_time_to_come_back() {
        let mut presence = Presence::new(LATE, PRESENT_FOR);
        assert_eq!(presence.heard(["a", "b", "c"], at(0)), ["a", "b", "c"]);
        assert_eq!(presence.heard(["a"], at(10_000)), ["a", "b", "c"]);
        assert_eq!(presence.heard(["a", "d"], at(11_000)), ["a", "b", "c", "d"]);
        assert_eq!(presence.heard(["a", "b"], at(12_500)), ["a", "b", "c", "d"]);
        assert_eq!(presence.heard(["a", "b"], at(13_999)), ["a", "b", "c", "d"]);
        assert_eq!(presence.heard(["a", "b"], at(14_000)), ["a", "b"]);
    }

    #[test]
    fn who_goes_while_the_register_is_there_is_gone() {
        let mut presence = Presence::new(LATE, PRESENT_FOR);
        assert_eq!(presence.heard(["a", "b"], at(0)), ["a", "b"]);
        assert_eq!(presence.heard(["a"], at(2000)), ["a"]);
    }
}
