//! What of each destination has expired in a partition, and from when on its waiting counts.

use super::OwnedPartition;
use crate::destination::DestinationName;
use crate::dispatcher::shared::Shared;
use crate::io::Notice;
use crate::lane::{Expired, Lane};
use crate::progress::{Commit, Expiry};
use crate::way::LaneAt;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// What has expired, and which lanes wait with that.
#[derive(Debug, Default)]
pub(super) struct Expiries {
    /// By destination, as the last commit that was made leaves it; of nearly all there is nothing to be known.
    known: BTreeMap<DestinationName, Expiry>,
    /// Lanes that have more to settle than the next commit may carry. Some have gone since.
    waiting: BTreeSet<LaneAt>,
    /// The one of them whose turn was last.
    last: Option<LaneAt>,
}

impl Expiries {
    /// What is known of a destination.
    pub(super) fn of(&self, name: &DestinationName) -> Expiry {
        self.known.get(name).copied().unwrap_or_default()
    }

    /// Takes over what is stored of it.
    pub(super) fn restore(&mut self, name: &DestinationName, expiry: Expiry) {
        if !expiry.is_none() {
            self.known.insert(name.clone(), expiry);
        }
    }

    /// Lets go of it, and gives back what was known.
    pub(super) fn take(&mut self, name: &DestinationName) -> Expiry {
        self.known.remove(name).unwrap_or_default()
    }

    /// A lane goes on with what has waited for too long when a commit is stored.
    pub(super) fn wait_for_commit(&mut self, at: LaneAt) {
        self.waiting.insert(at);
    }

    /// The next of them whose turn it is.
    fn next_waiting(&mut self) -> Option<LaneAt> {
        let behind = self.last.map_or(Bound::Unbounded, Bound::Excluded);
        let next = self.waiting.range((behind, Bound::Unbounded)).next().or_else(|| self.waiting.first());
        self.last = next.copied();
        self.waiting.take(&self.last?)
    }
}

impl OwnedPartition {
    /// Whether something of a destination has expired, or may have.
    pub(super) fn has_expired(&self, name: &DestinationName) -> bool {
        self.expiry.known.contains_key(name) || self.commits.uncommitted.expired.contains_key(name)
    }

    /// How many events of a destination have expired here.
    pub(in crate::dispatcher) fn expired_of(&self, name: &DestinationName) -> u64 {
        let uncounted = self.commits.uncommitted.expired.get(name).map_or(0, |expired| expired.uncounted);
        self.expiry.of(name).expired + uncounted
    }

    /// Lets go of what is known of a destination whose lane goes and whose progress stays, and gives it back; and whether no
    /// commit has said that yet.
    pub(super) fn take_expiry(&mut self, name: &DestinationName) -> (Expiry, bool) {
        let mut expiry = self.expiry.take(name);
        let expired = self.commits.uncommitted.expired.get_mut(name);
        let uncounted = expired.map_or(0, |expired| std::mem::take(&mut expired.uncounted));
        expiry.expired += uncounted;
        (expiry, uncounted > 0)
    }

    /// A commit is stored: lanes go on with what has waited for too long, as far as the next one has room.
    pub(super) fn go_on_expiring(&mut self, shared: &mut Shared) {
        let most = shared.settings.max_uncommitted;
        for _ in 0..self.expiry.waiting.len() {
            if self.commits.uncommitted.settled_unsent >= most {
                return;
            }
            let Some(at) = self.expiry.next_waiting() else { return };
            self.with_lane(at, shared, Lane::go_on_expiring);
        }
    }

    /// What the commit that is being made says of it.
    pub(super) fn commit_expired(&mut self, commit: &mut Commit) {
        for (name, expired) in std::mem::take(&mut self.commits.uncommitted.expired) {
            if expired.uncounted > 0 {
                let of = self.expiry.known.entry(name.clone()).or_default();
                of.expired += expired.uncounted;
                commit.lanes.entry(name.clone()).or_default().expiry = Some(*of);
            }
            // Of what left nothing in the commit before, as replays may, there may be something to tell still.
            let before = self.commits.expired.get(&name).map_or(0, |before| before.count);
            self.commits.expired.insert(name, Expired { count: before + expired.count, ..expired });
        }
    }

    /// A commit is stored: what it says has expired is told.
    pub(super) fn tell_expired(&mut self, shared: &mut Shared) {
        for (destination, expired) in std::mem::take(&mut self.commits.expired) {
            shared.notice(Notice::Expired {
                destination,
                partition: self.partition,
                count: expired.count,
                last: expired.last,
            });
        }
    }
}
