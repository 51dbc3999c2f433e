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
    /// Whether the register did not answer while it had never done so.
    was_missed: bool,
    /// Until when what it says then is incomplete.
    incomplete_until: Option<Timestamp>,
}

impl<W: Ord + Clone> Presence<W> {
    /// Of one who announces itself so often that a later announcement than `late_after` the one before is late, and is
    /// there for `present_for` by each.
    #[must_use]
    pub const fn new(late_after: Duration, present_for: Duration) -> Self {
        Self {
            late_after,
            present_for,
            there: BTreeSet::new(),
            heard: None,
            spared_until: Timestamp::ZERO,
            was_missed: false,
            incomplete_until: None,
        }
    }

    /// The register has not taken an announcement.
    pub const fn missed(&mut self) {
        if self.heard.is_none() {
            self.was_missed = true;
            self.incomplete_until = None;
        }
    }

    /// The register has taken an announcement, and said who is there. Answers who is taken to be; nothing while that cannot
    /// be told: after an outage that one who starts has come into, the others have yet to announce themselves again.
    pub fn heard(&mut self, said: impl IntoIterator<Item = W>, now: Timestamp) -> Option<Vec<W>> {
        if self.heard.is_none()
            && self.was_missed
            && now < *self.incomplete_until.get_or_insert(now.after(self.late_after))
        {
            return None;
        }
        if self.heard.is_some_and(|before| now.since(before) > self.late_after) {
            self.spared_until = now.after(self.present_for);
        }
        self.heard = Some(now);
        if now >= self.spared_until {
            self.there.clear();
        }
        self.there.extend(said);
        Some(self.there.iter().cloned().collect())
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
        assert_eq!(presence.heard(["a", "b", "c"], at(0)).unwrap(), ["a", "b", "c"]);
        assert_eq!(presence.heard(["a"], at(10_000)).unwrap(), ["a", "b", "c"]);
        assert_eq!(presence.heard(["a", "d"], at(11_000)).unwrap(), ["a", "b", "c", "d"]);
        assert_eq!(presence.heard(["a", "b"], at(12_500)).unwrap(), ["a", "b", "c", "d"]);
        assert_eq!(presence.heard(["a", "b"], at(13_999)).unwrap(), ["a", "b", "c", "d"]);
        assert_eq!(presence.heard(["a", "b"], at(14_000)).unwrap(), ["a", "b"]);
    }

    #[test]
    fn who_goes_while_the_register_is_there_is_gone() {
        let mut presence = Presence::new(LATE, PRESENT_FOR);
        assert_eq!(presence.heard(["a", "b"], at(0)).unwrap(), ["a", "b"]);
        assert_eq!(presence.heard(["a"], at(2000)).unwrap(), ["a"]);
    }

    #[test]
    fn whoever_starts_while_the_register_is_away_waits_for_the_others_to_be_back() {
        let mut presence = Presence::new(LATE, PRESENT_FOR);
        presence.missed();
        assert_eq!(presence.heard(["a"], at(1000)), None);
        presence.missed();
        assert_eq!(presence.heard(["a"], at(3000)), None, "it was away once more");
        assert_eq!(presence.heard(["a", "b"], at(4999)), None);
        assert_eq!(presence.heard(["a", "b", "c"], at(5000)).unwrap(), ["a", "b", "c"]);
        presence.missed();
        assert_eq!(presence.heard(["a"], at(6000)).unwrap(), ["a"]);
    }
}
