//! The limit on waiting: what a lane has given up because it waited for too long.

use crate::partition::Offset;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// What of a lane has expired, and from when on the waiting of its events counts.
///
/// It is stored as a whole and never as a difference, so that a commit which is stored twice counts nothing twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expiry {
    /// How many events were settled here without being delivered, because they had waited for as long as they may
    /// ([`crate::Destination::max_age`]). One that is replayed and delivered later stays counted. What a replay with a
    /// selection leaves out for that reason was settled before, and is not counted.
    pub expired: u64,
    /// Of the events below, waiting counts from [`Expiry::again_since`] on at the earliest: the lane went back over them,
    /// because an operator wanted them again.
    pub again_below: Offset,
    /// Since when.
    pub again_since: Timestamp,
}

impl Expiry {
    /// Whether there is nothing to be known of it.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// From when on the waiting of the event at `offset` counts, which was accepted at `accepted_at`.
    #[must_use]
    pub fn waits_since(&self, offset: Offset, accepted_at: Timestamp) -> Timestamp {
        if offset < self.again_below { accepted_at.max(self.again_since) } else { accepted_at }
    }

    /// The lane went back at `now`, and had looked at everything below `looked_up_to`.
    pub(crate) fn went_back(&mut self, looked_up_to: Offset, now: Timestamp) {
        self.again_below = self.again_below.max(looked_up_to);
        self.again_since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_the_lane_went_back_over_waiting_counts_from_then_on() {
        let moment = Timestamp::from_millis;
        let mut expiry = Expiry::default();
        assert!(expiry.is_none());
        expiry.went_back(Offset(5), moment(100));
        assert!(!expiry.is_none());
        for (offset, accepted_at, since) in [(4, 50, 100), (4, 200, 200), (5, 50, 50), (5, 200, 200)] {
            let found = expiry.waits_since(Offset(offset), moment(accepted_at));
            assert_eq!(found, moment(since), "{offset}, accepted at {accepted_at}");
        }
        // It had looked further before: that counts anew as well.
        expiry.went_back(Offset(3), moment(300));
        assert_eq!(expiry.waits_since(Offset(4), moment(50)), moment(300));
    }
}
