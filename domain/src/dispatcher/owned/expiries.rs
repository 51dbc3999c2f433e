//! What of each destination has expired in a partition, and from when on its waiting counts.

use super::OwnedPartition;
use crate::destination::DestinationName;
use crate::dispatcher::shared::Shared;
use crate::io::Notice;
use crate::lane::Expired;
use crate::progress::{Commit, Expiry};
use std::collections::BTreeMap;

/// By destination, as the last commit that was made leaves it; of nearly all there is nothing to be known.
#[derive(Debug, Default)]
pub(super) struct Expiries(BTreeMap<DestinationName, Expiry>);

impl Expiries {
    /// What is known of a destination.
    pub(super) fn of(&self, name: &DestinationName) -> Expiry {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// Takes over what is stored of it.
    pub(super) fn restore(&mut self, name: &DestinationName, expiry: Expiry) {
        if !expiry.is_none() {
            self.0.insert(name.clone(), expiry);
        }
    }

    /// Lets go of it, and gives back what was known.
    pub(super) fn take(&mut self, name: &DestinationName) -> Expiry {
        self.0.remove(name).unwrap_or_default()
    }
}

impl OwnedPartition {
    /// Whether something of a destination has expired, or may have.
    pub(super) fn has_expired(&self, name: &DestinationName) -> bool {
        self.expiry.0.contains_key(name) || self.commits.uncommitted.expired.contains_key(name)
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

    /// What the commit that is being made says of it.
    pub(super) fn commit_expired(&mut self, commit: &mut Commit) {
        for (name, expired) in std::mem::take(&mut self.commits.uncommitted.expired) {
            if expired.uncounted > 0 {
                let of = self.expiry.0.entry(name.clone()).or_default();
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
